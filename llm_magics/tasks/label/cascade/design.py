"""How a cascade samples its pool: the strata, the size of each sample, and the limits that go with them.

Everything here is decided by the agreement that is expected of the proxy model, before a label of the samples
is seen. Where the expectation is wrong, more rows are asked about than need be; the guarantee holds all the
same, as ``MissChance`` doesn't know of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from llm_magics.tasks.label.cascade.guarantee import Guarantee, MissChance, Strata

_CUTS = (0.3, 0.45, 0.6, 0.75)
"""Where the first stratum ends: at this share of the summed square roots of the expected disagreements."""
_DENSER = (1.0, 1.5, 2.2, 3.2, 4.5)
"""How many times denser the second stratum is sampled."""
_LARGEST = 0.9
_FEWEST = 5
_SHARES = 40
_LEAPS = 4
"""Every fourth share is tried first."""
_MARGIN = 0.6
"""How much of one more disagreement in the surest stratum is added to those that were seen. A larger one
takes from the limits that go with few of them, a smaller one from the others."""
_HALVINGS = 11
_POINTS = 8
_TRIES, _MOST_TRIES = 3_000, 60
"""Limits are counted out for so many designs over the rows that may disagree, at least for one: few rows
leave few limits to choose from, so that designs differ by more than is likely of them."""
_SUREST = 0.99
"""The highest agreement that a sample is designed for: a few hundred rows can't show more."""


@dataclass(frozen=True)
class Design:
    """Strata, the limits of the walk, and how many rows the proxy model is likely to label."""

    strata: Strata
    limits: tuple[int, ...]
    saved: float

    @property
    def draws(self) -> int:
        """How many rows are drawn."""
        return sum(self.strata.draws)


def best_design(guarantee: Guarantee, expected: Any) -> Design:
    """The design after which the fewest calls are likely, the samples' own included.

    ``expected`` is the proxy model's expected agreement by place in the order of confidence: float (pool,).
    """
    pool, allowed = len(expected), guarantee.allowed
    if pool < 2:
        return Design(Strata((0, pool), (0, 0)), (), float(min(pool, allowed)))
    outlook = _Outlook(guarantee, expected)
    tries = min(_MOST_TRIES, max(1, _TRIES // max(1, allowed)))
    designs = [outlook.design(strata) for strata in _promising(outlook)[:tries]]
    return max(designs, key=lambda design: design.saved)


def rough_design(guarantee: Guarantee, expected: Any) -> Design:
    """About the best design, at once: its limits are not counted out, it has none."""
    if len(expected) < 2:
        return best_design(guarantee, expected)
    outlook = _Outlook(guarantee, expected)
    strata = _promising(outlook)[0]
    return Design(strata, (), outlook.about(strata))


def _promising(outlook: _Outlook) -> list[Strata]:
    """Designs, the one that is likely to save most calls first, before limits are counted out.

    For each cut and ratio of densities the share that is drawn is climbed, from the best one so far.
    """
    import numpy as np

    pool, total = outlook.pool, np.sqrt(np.diff(outlook.errors)).cumsum()
    cuts = [min(max(1, int(cut)), pool - 1) for cut in np.searchsorted(total, total[-1] * np.array(_CUTS))]
    shares = np.geomspace(min(0.5, _FEWEST / pool), 0.5, _SHARES)
    found: dict[Strata, float] = {}

    def look(cut: int, denser: float, at: int) -> float:
        draws = shares[at] * cut, min(_LARGEST, shares[at] * denser) * (pool - cut)
        strata = Strata((cut, pool - cut), (max(1, round(draws[0])), max(1, round(draws[1]))))
        if strata not in found:
            found[strata] = outlook.about(strata)
        return found[strata]

    at = max(range(0, _SHARES, _LEAPS), key=lambda at: look(cuts[0], _DENSER[0], at))
    for cut, denser in product(cuts, _DENSER):
        for step in (1, -1):
            while 0 <= at + step < _SHARES and look(cut, denser, at + step) > look(cut, denser, at):
                at += step
    return sorted(found, key=lambda strata: -found[strata])


def exact_limits(guarantee: Guarantee, strata: Strata, likely: Sequence[float]) -> Any:
    """Limits by which the chance of a miss is at most ``delta`` in every pool: int (n,), never rising.

    Their shape is that of an upper bound of the undrawn disagreements at a distance that is found by halving.
    What is left of ``delta`` then raises single limits, in the order of how ``likely`` they are to be met.
    """
    allowed, delta = guarantee.allowed, guarantee.delta
    longest = _limits(strata, allowed, 0.0)
    most = (len(longest) + 2, int(longest[0]) + 2 if len(longest) else 2)
    chance = MissChance(strata, allowed, most)
    low, high = 0.0, 6.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kept = chance.worst(_limits(strata, allowed, middle)) <= delta
        low, high = (low, middle) if kept else (middle, high)
    limits = _limits(strata, allowed, high)
    if chance.worst(limits) > delta:
        return limits[:0]
    return _raised(limits, chance, delta, most[1], likely)


def _raised(limits: Any, chance: MissChance, delta: float, most: int, likely: Sequence[float]) -> Any:
    """Raise single limits as far as ``delta`` allows, none above the one before it."""
    limits, chances = limits.copy(), chance.by_wrong(limits)
    for seen in sorted(range(len(limits)), key=lambda seen: -likely[seen] if seen < len(likely) else 0.0):
        while limits[seen] < (limits[seen - 1] if seen else most):
            more = chances + chance.raised(seen, int(limits[seen]))
            if more.max() > delta:
                break
            limits[seen], chances = limits[seen] + 1, more
    return limits


def _limits(strata: Strata, allowed: int, distance: float) -> Any:
    """For each number of disagreements seen in the first stratum, the most in the second: int (n,).

    Those with which an upper bound of the undrawn disagreements is not above ``allowed + 1``. A drawn one
    stands for ``(1 - share) / share`` undrawn ones. The bound is the quantile of the gamma distribution with
    their sum and variance (Fay & Feuer 1997), ``distance`` standard deviations up (Wilson & Hilferty 1931).
    """
    import numpy as np

    weights = [max((1 - share) / share, 1e-9) for share in strata.shares]
    most = [
        min(drawn, int((allowed + 1) / weight)) for drawn, weight in zip(strata.draws, weights, strict=True)
    ]
    seen = np.arange(most[0] + 1)
    low, high = np.full(len(seen), -1), np.full(len(seen), most[1] + 1)
    while (high - low).max() > 1:
        middle = (low + high) // 2
        others = np.maximum(middle, 0)
        mean = weights[0] * (seen + _MARGIN) + weights[1] * others
        shape = mean**2 / (weights[0] ** 2 * (seen + _MARGIN**2) + weights[1] ** 2 * others)
        below = (mean * _gamma_quantile(shape, distance) / shape <= allowed + 1) | (middle < 0)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low[: int((low < 0).argmax())] if (low < 0).any() else low


def _gamma_quantile(shape: Any, distance: Any) -> Any:
    """About the quantile of the gamma distribution at so many standard deviations of the normal one."""
    import numpy as np

    return shape * np.maximum(1 - 1 / (9 * shape) + distance / (3 * np.sqrt(shape)), 0) ** 3


class _Outlook:
    """What is likely to come of a design, where disagreements come at the expected rate."""

    def __init__(self, guarantee: Guarantee, expected: Any) -> None:
        import numpy as np
        from scipy.special import ndtri

        self.guarantee, self.pool = guarantee, len(expected)
        errors = 1 - np.minimum(np.asarray(expected, dtype=float), _SUREST)
        self.errors = np.concatenate([[0.0], errors.cumsum()])
        self.distance = -float(ndtri(guarantee.delta))

    def design(self, strata: Strata) -> Design:
        """These strata with their limits."""
        limits = exact_limits(self.guarantee, strata, self.likely(strata))
        return Design(strata, tuple(int(limit) for limit in limits), self.saved(strata, limits))

    def about(self, strata: Strata) -> float:
        """How many rows the proxy model is likely to label, by limits that are not counted out."""
        import numpy as np
        from scipy.special import betainc

        allowed = self.guarantee.allowed
        limits = _limits(strata, allowed, self.distance)
        # Where all disagreements are in the first stratum, no more can be passed over (but for rounding).
        alone = betainc(allowed + 1, np.arange(len(limits)) + 1.0, 1 - strata.shares[0])
        return self.saved(strata, limits[alone <= self.guarantee.delta])

    def likely(self, strata: Strata, count: int | None = None) -> Any:
        """The chance of each number of disagreements in the first sample (Poisson): float (count,)."""
        import numpy as np
        from scipy.special import gammaln

        seen = np.arange(strata.draws[0] + 1 if count is None else count)
        mean = max(float(self.errors[strata.sizes[0]]) * strata.shares[0], 1e-12)
        return np.exp(seen * np.log(mean) - mean - gammaln(seen + 1.0))

    def saved(self, strata: Strata, limits: Any) -> float:
        """How many rows the proxy model is likely to label."""
        import numpy as np

        size, (few, many) = strata.sizes[0], strata.shares
        if not len(limits):
            return float(min(self.guarantee.allowed, self.pool - sum(strata.draws)))
        likely = self.likely(strata, len(limits))
        ends = self._stops(np.asarray(limits), self.errors[size], many)
        taken = (size * (1 - few) + np.maximum(ends - size, 0) * (1 - many)).mean(axis=0)
        early = np.minimum(self._stops(np.array([len(limits) - 1]), 0.0, few), size).mean() * (1 - few)
        mean = (likely * taken).sum() + max(0.0, 1 - likely.sum()) * early
        return max(float(self.guarantee.allowed), float(mean))

    def _stops(self, limits: Any, before: float, share: float) -> Any:
        """The places of the drawn disagreements that pass these limits, by luck: int (points, limits).

        They come as in a Poisson process: the one that passes a limit waits for a gamma distributed time.
        """
        import numpy as np
        from scipy.special import ndtri

        luck = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)[:, None]
        waits = _gamma_quantile(np.maximum(limits, 0) + 1.0, luck) / share
        return np.minimum(np.searchsorted(self.errors, before + waits), len(self.errors) - 1)
