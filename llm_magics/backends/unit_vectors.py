"""What the embedded models share: vectors and their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


def unit(vectors: NDArray[float32]) -> NDArray[float32]:
    """Each row scaled to length 1; zeros stay zeros. Shape (n, d)."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled
