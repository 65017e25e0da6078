"""The guarantee of a cascade: how many rows a proxy model may label and still agree with the model.

A pool of rows is sorted by the proxy model's confidence, the surest first. The model labels a uniformly
random sample of them. The proxy model labels the others down to the place where the sample has shown one
disagreement more than a limit; from there on the model labels every row. Only rows that the proxy model
labels can disagree in the end: at most ``(1 - target) * rows`` of them may.

The limit makes this exact. Number the disagreements of the pool from the surest row on, those that nobody
sees included. More than ``allowed`` unseen ones lie above the place where the search stops only if, of the
first ``allowed + 1 + limit``, at most ``limit`` are in the sample. Their number in the sample is
hypergeometric, whichever rows they are and whatever the confidence is worth. The limit is the largest for
which that happens with a probability of at most ``delta``. All places are covered by this one event, so
nothing is divided among thresholds, and nothing is approximated. (Inverse sampling: Haldane, "On a method of
estimating frequencies", Biometrika 1945. The order by confidence and the promise about all rows are those of
BARGAIN: Zeighami, Shankar, Parameswaran, SIGMOD 2026, arXiv 2509.02896. The test is ours.)

It holds for a sample whose size is fixed before its labels are seen, and for a proxy model whose labels and
order don't depend on the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_SPENT = 0.65
"""The share of the permitted chance of a miss that the test spends. It is exact, so that all of it would be
used up; a count over a few hundred runs should stay below what was stated, too."""
_FEWEST = 10
_SIZES = 48
_POINTS = 16
_HARDLY_MORE = 1.01
_SUREST = 0.99
"""The highest agreement that a sample is designed for: a few hundred rows can't show more."""


@dataclass(frozen=True)
class Guarantee:
    """At least the share ``target`` of ``rows`` labels are the model's, with probability ``confidence``."""

    rows: int
    target: float
    confidence: float = 0.9

    @property
    def allowed(self) -> int:
        """How many rows may have another label than the model's."""
        return math.floor((1 - self.target) * self.rows + 1e-9)

    @property
    def delta(self) -> float:
        """The chance of a miss that the test is made for."""
        return _SPENT * (1 - self.confidence)

    def limit(self, pool: int, draws: int) -> int:
        """Disagreements in a sample of ``draws`` of ``pool`` rows that are passed over; -1: not even none."""
        limit: int = _limit(pool, draws, self.allowed, self.delta)
        return limit

    def certified(self, pool: int, places: Any, agrees: Any) -> int:
        """How many rows of the order, from the surest on, have the proxy model's label unless drawn.

        ``places`` are the draws' positions in the order of confidence, ``agrees`` whether proxy and model
        agree there: bool (draws,).
        """
        import numpy as np

        places, agrees = np.asarray(places, dtype=np.int64), np.asarray(agrees, dtype=bool)
        limit, wrong = self.limit(pool, len(places)), np.sort(places[~agrees])
        undrawn = np.setdiff1d(np.arange(pool), places)
        unseen = int(undrawn[self.allowed]) if len(undrawn) > self.allowed else pool
        if limit < 0:
            return unseen
        return max(unseen, int(wrong[limit]) if len(wrong) > limit else pool)

    def saved(self, expected: Any, draws: int) -> float:
        """How many rows the proxy model is likely to label after a sample of ``draws``.

        ``expected`` is its expected agreement by position in the order of confidence. It decides how many
        rows are drawn and can't make the guarantee invalid.
        """
        import numpy as np
        from scipy.special import gammaincinv

        pool, share = len(expected), draws / max(1, len(expected))
        if share >= 1:
            return 0.0
        unseen = min(pool, self.allowed / (1 - share))
        limit = self.limit(pool, draws)
        if limit < 0:
            return unseen * (1 - share)
        # Where the sample's disagreements come at the expected rate, the one that ends the search is the
        # last of a Poisson process: its place is averaged over quantiles.
        errors = np.cumsum(1 - np.minimum(np.asarray(expected, dtype=float), _SUREST))
        waits = gammaincinv(limit + 1, (np.arange(_POINTS) + 0.5) / _POINTS)
        places = np.searchsorted(errors, waits / share)
        return float(np.maximum(places, unseen).mean()) * (1 - share)

    def best_draws(self, expected: Any) -> int:
        """The size of the sample after which the fewest calls are likely, the sample's own included.

        The largest of those that cost hardly more: it depends least on what was expected, and where the
        promise is missed after all, it is missed by less.
        """
        import numpy as np

        pool = len(expected)
        sizes = {0, *(int(size) for size in np.geomspace(_FEWEST, max(_FEWEST, 0.6 * pool), _SIZES))}
        calls = {size: pool - self.saved(expected, size) for size in sizes if size < pool}
        return max(size for size, asked in calls.items() if asked <= _HARDLY_MORE * min(calls.values()))


@lru_cache(maxsize=1024)
def _limit(pool: int, draws: int, allowed: int, delta: float) -> int:
    """The largest x for which ``allowed + 1 + x`` rows have at most x in the sample by a chance of delta."""
    from scipy.stats import hypergeom

    low, high = -1, min(draws, pool - allowed) - 1
    while low < high:
        middle = (low + high + 1) // 2
        missed = hypergeom.cdf(middle, pool, allowed + 1 + middle, draws)
        low, high = (middle, high) if missed <= delta else (low, middle - 1)
    return low
