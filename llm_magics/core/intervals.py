"""Confidence intervals of shares."""

from __future__ import annotations

Z95 = 1.959964
"""The quantile of the normal distribution for a two-sided 95%."""


def wilson(hits: float, n: float, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927), 95% by default."""
    if n == 0:
        return 0.0, 1.0
    p, zz = hits / n, z * z / n
    middle = p + zz / 2
    spread = z * float(p * (1 - p) / n + zz / (4 * n)) ** 0.5
    return max(0.0, (middle - spread) / (1 + zz)), min(1.0, (middle + spread) / (1 + zz))
