"""Gaussian smoothing of a grid, in numpy alone: scipy.ndimage takes a quarter of a second to import."""

from __future__ import annotations

from typing import Any

REACH = 4
"""Standard deviations after which the kernel ends, as in scipy.ndimage.gaussian_filter."""


def smoothed(grid: Any, deviation: float) -> Any:
    """The grid convolved with a Gaussian of this ``deviation``, in cells; mirrored at its edges."""
    import numpy as np

    return _along(_along(np.asarray(grid, dtype=float), deviation).T, deviation).T


def _along(grid: Any, deviation: float) -> Any:
    """Each column smoothed: a sum of shifted copies, one for each weight of the kernel."""
    import numpy as np

    reach = int(REACH * deviation + 0.5)
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / deviation) ** 2)
    weights /= weights.sum()
    around = np.pad(grid, ((reach, reach), (0, 0)), mode="symmetric")
    size = len(grid)
    return sum(weight * around[i : i + size] for i, weight in enumerate(weights))
