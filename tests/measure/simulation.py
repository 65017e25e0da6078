"""Rows whose truth is known, labels of a model that errs in one direction, and gold samples of two designs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LABELS = ("a", "b", "c")
WRONG = np.array([0.6, 0.3, 0.1])
"""Where a model's errors go: they favour the first label, so that counts are biased."""


@dataclass(frozen=True)
class World:
    """The shares of three labels, how good the model is, the numbers of rows and of gold rows."""

    shares: tuple[float, float, float]
    accuracy: float
    rows: int
    gold: int
    lean: bool = False
    """Gold rows are drawn more often where errors are likely, by five strata."""

    def draw(self, chance: np.random.Generator) -> pd.DataFrame:
        """A frame: topic, topic_gold, and the column of chances where they are unequal."""
        truth = chance.choice(3, self.rows, p=self.shares)
        hardness = chance.random(self.rows)
        wrong = chance.random(self.rows) < (1 - self.accuracy) * 2 * hardness
        given = np.where(wrong, self._instead(truth, chance), truth)
        names = np.array(LABELS, dtype=object)
        rows, chances = self._sample(hardness, chance)
        gold = np.full(self.rows, None, dtype=object)
        gold[rows] = names[truth[rows]]
        frame = pd.DataFrame({"topic": names[given], "topic_gold": gold})
        return frame.assign(topic_design=chances) if self.lean else frame

    def _instead(self, truth: np.ndarray, chance: np.random.Generator) -> np.ndarray:
        other = np.empty(self.rows, dtype=int)
        for label in range(3):
            odds = np.where(np.arange(3) == label, 0, WRONG)
            here = truth == label
            other[here] = chance.choice(3, int(here.sum()), p=odds / odds.sum())
        return other

    def _sample(self, hardness: np.ndarray, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if not self.lean:
            return chance.choice(self.rows, self.gold, replace=False), np.empty(0)
        strata = np.minimum((hardness * 5).astype(int), 4)
        sizes = np.bincount(strata, minlength=5)
        wanted = sizes * (0.44 + 0.28 * np.arange(5))
        counts = np.maximum(1, np.round(self.gold * wanted / wanted.sum()).astype(int))
        drawn = [chance.choice(np.flatnonzero(strata == h), counts[h], replace=False) for h in range(5)]
        rows = np.concatenate(drawn)
        chances = np.full(self.rows, np.nan)
        chances[rows] = (counts / sizes)[strata[rows]]
        return rows, chances
