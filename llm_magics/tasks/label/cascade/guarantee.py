"""The guarantee of a cascade: how many rows a proxy model may label and still agree with the model.

A pool of rows is sorted by the proxy model's confidence, the surest first, and cut into two strata: the
surest rows, and the others. The model labels a random sample of fixed size of each stratum, of the less sure
one a larger share. Then the order is walked from the surest row on, and the disagreements that the samples
show are counted: ``x`` in the first stratum, ``y`` in the second. The walk stops at the disagreement with
which ``y`` passes ``limits[x]`` (in the first stratum: with which ``x`` passes the last limit there is). The
proxy model labels the rows above that place that were not drawn; the model labels every other row. Only rows
that the proxy model labels can disagree in the end: at most ``allowed = (1 - target) * rows`` of them may.

Why it holds. Let ``n`` be the number of disagreements in the first stratum, seen or not. The target is missed
only if, before the walk stops, ``allowed + 1`` disagreements were passed that were not drawn. Number the
disagreements by their places. Whichever rows they are, those that are drawn are a simple random sample
without replacement, so that

- ``x`` is hypergeometric, and the number that are drawn before the u-th undrawn one is negative
  hypergeometric (inverse sampling: Haldane, "On a method of estimating frequencies", Biometrika 1945);
- the strata are drawn independently of each other;
- nothing depends on disagreements behind the place where the walk stops, so that the second stratum may be
  taken to hold as many as it has rows.

The chance of a miss is hence a sum of products of these probabilities that depends on one unknown number
alone, ``n``. ``MissChance.worst`` computes it for every ``n`` and takes the largest. The limits are chosen
such that it is at most ``delta``: nothing is approximated, nothing is assumed about the confidence, and all
places to stop are covered by this one event, so that no chance is divided among thresholds. An unknown
division of errors among strata that is maximised over is the exact method of Wright, "Exact confidence
bounds when sampling from small finite universes" (1991), and of stratified election audits (Stark 2008;
Spertus & Stark, "Sweeter than SUITE", 2022). The order by confidence and the promise about all rows are those
of BARGAIN (Zeighami, Shankar, Parameswaran, SIGMOD 2026, arXiv 2509.02896). The test is ours.

Where more than a thousand rows may disagree, ``n`` and ``u`` are taken in steps of a thousandth of them,
each step at its worst: a larger ``n`` is replaced by the step's first with so many fewer disagreements
allowed, and ``u`` is rounded down. Both can only enlarge the chance, as limits never rise.

It holds for samples whose sizes and limits are fixed before their labels are seen, and for a proxy model
whose labels and order don't depend on the samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_SPENT = 0.7
"""The share of the permitted chance of a miss that the test spends. It is exact, so that nearly all of it is
used up; a count over a few hundred runs should stay below what was stated, too."""
_STEPS = 1_000


@dataclass(frozen=True)
class Strata:
    """The sizes of the two strata, the surest rows first, and how many rows of each are drawn."""

    sizes: tuple[int, int]
    draws: tuple[int, int]

    @property
    def pool(self) -> int:
        """All rows."""
        return sum(self.sizes)

    @property
    def shares(self) -> tuple[float, float]:
        """The share of each stratum that is drawn."""
        first, second = (drawn / max(1, size) for drawn, size in zip(self.draws, self.sizes, strict=True))
        return first, second

    def drawn(self, rank: Any, keys: Any) -> Any:
        """Which rows are in the samples: bool (pool,).

        ``rank`` is each row's place in the order of confidence, ``keys`` a random number for each row that
        doesn't depend on its place: of each stratum the rows with the smallest keys are drawn.
        """
        import numpy as np

        drawn, surest = np.zeros(self.pool, dtype=bool), np.asarray(rank) < self.sizes[0]
        for rows, count in zip((surest.nonzero()[0], (~surest).nonzero()[0]), self.draws, strict=True):
            drawn[rows[np.argsort(keys[rows], kind="stable")[:count]]] = True
        return drawn


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

    def certified(self, strata: Strata, limits: tuple[int, ...], places: Any, agrees: Any) -> int:
        """How many rows of the order, from the surest on, have the proxy model's label unless drawn.

        ``places`` are the draws' positions in the order of confidence, ``agrees`` whether proxy and model
        agree there: bool (draws,).
        """
        import numpy as np

        places, agrees = np.asarray(places, dtype=np.int64), np.asarray(agrees, dtype=bool)
        undrawn = np.setdiff1d(np.arange(strata.pool), places)
        # So few rows can't hold more disagreements than allowed.
        unseen = int(undrawn[self.allowed]) if len(undrawn) > self.allowed else strata.pool
        if not limits:
            return unseen
        wrong = np.sort(places[~agrees])
        surest, others = wrong[wrong < strata.sizes[0]], wrong[wrong >= strata.sizes[0]]
        if len(surest) >= len(limits):
            return max(unseen, int(surest[len(limits) - 1]))
        limit = limits[len(surest)]
        return max(unseen, int(others[limit]) if len(others) > limit else strata.pool)


class MissChance:
    """The largest chance of a miss that any pool has, for samples of two strata and ``allowed`` misses."""

    def __init__(self, strata: Strata, allowed: int, most: tuple[int, int], steps: int = _STEPS) -> None:
        """``most``: no limits will be longer, and none higher, than these two numbers."""
        import numpy as np
        from scipy.special import gammaln

        (size, other), (drawn, also) = strata.sizes, strata.draws
        step = max(1, allowed // steps)
        self.step, self.allowed = step, allowed - step + 1
        self._logs = gammaln(np.arange(strata.pool + allowed + sum(most) + 3) + 1.0)
        self.wrong = np.arange(0, min(size, allowed + most[0] + 1) + 1, step)
        wrong, seen = self.wrong[:, None], np.arange(most[0])[None, :]
        chance = np.where(seen <= wrong, self._hypergeometric(size, drawn, wrong, seen), 0.0)
        # In the second stratum so many undrawn disagreements are still needed for a miss.
        left = self.allowed + 1 - wrong + seen
        self._continued = np.where(left >= 1, chance, 0.0)
        self._needed = np.maximum(left, 0) // step
        needed = np.arange(int(self._needed.max()) + 1) * step
        self._stopped = self._negative_hypergeometric(other, also, np.maximum(needed, 1), most[1])
        # In the first one already: the undrawn one that is too many comes before the last limit is passed.
        self._missed = np.where(left < 1, chance, 0.0).cumsum(axis=1)
        self._inside = self._negative_hypergeometric(size, drawn, np.array([self.allowed + 1]), most[0])[0]

    def by_wrong(self, limits: Any) -> Any:
        """The chance of a miss for each number of disagreements in the first stratum: float (wrong,)."""
        import numpy as np

        count = len(limits)
        many = self.wrong >= self.allowed + count
        first = np.where(many, self._inside[count - 1], self._missed[:, count - 1])
        reached = self._stopped[self._needed[:, :count], np.asarray(limits)]
        return first + (self._continued[:, :count] * reached).sum(axis=1)

    def raised(self, seen: int, limit: int) -> Any:
        """What these chances gain by one more than ``limit`` for ``seen`` disagreements: float (wrong,)."""
        reached = self._stopped[self._needed[:, seen]]
        return self._continued[:, seen] * (reached[:, limit + 1] - reached[:, limit])

    def worst(self, limits: Any) -> float:
        """The largest of these chances; 0 where there are no limits, as nothing is then taken by trust."""
        return float(self.by_wrong(limits).max()) if len(limits) else 0.0

    def _log_choose(self, total: Any, some: Any) -> Any:
        """The logarithm of the binomial coefficient, minus infinity where there is no such choice."""
        import numpy as np

        possible = (some >= 0) & (total >= some)
        n, k = np.where(possible, total, 0), np.where(possible, some, 0)
        return np.where(possible, self._logs[n] - self._logs[k] - self._logs[n - k], -np.inf)

    def _hypergeometric(self, size: int, drawn: int, wrong: Any, seen: Any) -> Any:
        """The chance that of ``wrong`` of ``size`` rows just ``seen`` are among ``drawn`` ones."""
        import numpy as np

        ways = self._log_choose(wrong, seen) + self._log_choose(size - wrong, drawn - seen)
        return np.exp(ways - self._log_choose(size, drawn))

    def _negative_hypergeometric(self, size: int, drawn: int, undrawn: Any, most: int) -> Any:
        """The chance that at most 0, 1 .. ``most`` disagreements are drawn before so many that are not.

        Of ``size`` rows ``drawn`` are drawn, and all may disagree: float (undrawn, most + 1).
        """
        import numpy as np

        undrawn, seen = undrawn[:, None], np.arange(most + 1)[None, :]
        ways = self._log_choose(undrawn + seen - 1, seen)
        ways = ways + self._log_choose(size - undrawn - seen, drawn - seen)
        return np.exp(ways - self._log_choose(size, drawn)).cumsum(axis=1)
