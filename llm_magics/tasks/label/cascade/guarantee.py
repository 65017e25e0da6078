"""The guarantee of a cascade: how many rows a proxy model may label and still agree with the model.

Rows are sorted by the proxy model's confidence. A prefix of them may be labelled by the proxy when at
most ``(1 - target) * rows`` of its labels, over the whole frame, differ from the model's. That is tested
on a uniformly random sample, drawn without replacement, of rows the model has labelled.

The test is one by betting: a bettor bets against the hypothesis "the proxy errs too often", and each
drawn row multiplies the bettor's wealth. Under a true hypothesis the wealth is a martingale, so by
Ville's inequality it ever reaches ``1 / delta`` with probability ``delta`` at most, whenever one looks or
stops (Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSSB 2024, with
their correction for sampling without replacement). Prefixes are tested from the most confident rows on,
and the first one that is not certified ends the search, so ``delta`` is not divided among them; the frame
of the method is that of BARGAIN (Zeighami, Shankar, Parameswaran, SIGMOD 2026, arXiv 2509.02896). The
bets are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

STEPS = 80
"""The number of prefixes that are tested, evenly spaced."""
_FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
_PRIOR = 100.0
"""The weight of the proxy's own expected accuracy in the size of bets, in drawn rows."""


def log_wealth(agrees: Any, size: int, errors: int, belief: float = 0.9) -> float:
    """The log of the wealth after the draws ``agrees`` (0 or 1, in order) from a prefix of ``size`` rows.

    The hypothesis tested: at least ``errors`` of the rows disagree. ``belief`` is the expected agreement
    before the first draw; it sizes bets and can't make the test invalid. Half the stake follows the
    running estimate (Kelly's fraction), half is spread over fixed fractions. Infinite where the draws
    rule the hypothesis out.
    """
    import numpy as np

    x = np.asarray(agrees, dtype=float)
    if errors > size:
        return math.inf
    if x.size == 0:
        return 0.0
    before = np.concatenate(([0.0], np.cumsum(x)[:-1]))
    left = size - np.arange(x.size)
    if x.sum() > size - errors:
        return math.inf
    claimed = np.clip((size - errors - before) / left, 1e-9, 1 - 1e-9)
    estimate = (_PRIOR * belief + before) / (_PRIOR + np.arange(x.size))
    kelly = np.clip((estimate - claimed) / (1 - claimed), 0.02, 0.98)
    growth = x / claimed
    followed = float(np.log1p(kelly * (growth - 1)).sum())
    spread = [float(np.log1p(f * (growth - 1)).sum()) - math.log(len(_FRACTIONS)) for f in _FRACTIONS]
    return float(np.logaddexp.reduce([followed, *spread])) - math.log(2)


@dataclass(frozen=True)
class Outlook:
    """What more draws would bring: the prefix in reach, the draws it needs, the calls saved in all."""

    size: int
    draws: float
    gain: float


class Search:
    """The search for the largest prefix that the proxy model may label.

    ``rows`` is the number of all rows of the guarantee, ``pool`` those in order of confidence (rows
    outside it have the model's own label), ``expected`` the proxy's expected agreement by position in
    that order (its confidence; it sizes bets and decides nothing). ``target`` and ``confidence`` are
    shares. Draws must be uniformly random without replacement from the pool, in the order of ``add``.
    """

    def __init__(
        self, rows: int, expected: Any, target: float, confidence: float = 0.9, steps: int = STEPS
    ) -> None:
        import numpy as np

        self.rows, self.pool = rows, len(expected)
        self.allowed = math.floor((1 - target) * rows + 1e-9)
        self.bar = math.log(1 / (1 - confidence))
        sizes = {round(self.pool * step / steps) for step in range(1, steps + 1)}
        self.sizes = sorted(size for size in sizes if size > 0)
        means = np.cumsum(np.asarray(expected, dtype=float)) / np.arange(1, self.pool + 1)
        self.beliefs = [float(means[size - 1]) for size in self.sizes]
        self._places = np.empty(0, dtype=np.int64)
        self._agrees = np.empty(0, dtype=np.int8)
        self._won = 0

    @property
    def drawn(self) -> int:
        """How many rows were drawn."""
        return int(self._places.size)

    @property
    def size(self) -> int:
        """Rows of the largest certified prefix; 0 for none."""
        return self.sizes[self._won - 1] if self._won else 0

    @property
    def saved(self) -> int:
        """Rows of that prefix that were not drawn: the calls it saves."""
        return self.size - int((self._places < self.size).sum())

    def add(self, places: Any, agrees: Any) -> None:
        """Add draws: positions in the order of confidence, and whether proxy and model agree."""
        import numpy as np

        self._places = np.concatenate([self._places, np.asarray(places, dtype=np.int64)])
        self._agrees = np.concatenate([self._agrees, np.asarray(agrees, dtype=np.int8)])
        while self._won < len(self.sizes) and self._wealth(self._won) >= self.bar:
            self._won += 1

    def _draws(self, step: int) -> Any:
        return self._agrees[self._places < self.sizes[step]]

    def _wealth(self, step: int) -> float:
        """The wealth against the hypothesis that the prefix has more than the allowed errors.

        The drawn rows keep the model's label, so that fewer errors remain than are counted here.
        Subtracting them would make the hypothesis depend on the draws, and the search would need a part
        of delta a prefix.
        """
        return log_wealth(self._draws(step), self.sizes[step], self.allowed + 1, self.beliefs[step])

    def outlook(self) -> Outlook:
        """The prefix with the largest expected saving, less the draws that it still needs."""
        best, most = Outlook(self.size, 0.0, 0.0), 0.0
        for step in range(self._won, len(self.sizes)):
            most = max(most, self._needed(step))
            if not math.isfinite(most):
                break
            size = self.sizes[step]
            draws = min(most, self.pool - self.drawn)
            inside = draws * size / self.pool
            undrawn = size - int((self._places < size).sum())
            gain = undrawn - self.saved - inside
            if gain > best.gain:
                best = Outlook(size, draws, gain)
        return best

    def _needed(self, step: int) -> float:
        """Draws from the pool until this prefix is certified, if its agreement is what it seems to be."""
        agrees, size = self._draws(step), self.sizes[step]
        seems = (_PRIOR * self.beliefs[step] + float(agrees.sum())) / (_PRIOR + agrees.size)
        claimed = 1 - (self.allowed + 1) / size
        if claimed <= 0:
            return 0.0
        if seems <= claimed:
            return math.inf
        rate = _divergence(seems, claimed)
        short = max(0.0, self.bar + math.log(2) - self._wealth(step))
        return short / rate * self.pool / size


def _divergence(p: float, q: float) -> float:
    """The Kullback-Leibler divergence of two coins: the best growth of log wealth a draw."""
    p, q = min(p, 1 - 1e-9), min(max(q, 1e-9), 1 - 1e-9)
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
