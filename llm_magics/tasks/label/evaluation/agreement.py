"""Agreement of two columns of labels, one label a row or several: share of equal labels, Cohen's kappa."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.tasks.label.columns import LabelValue, label_names


@dataclass(frozen=True)
class Agreement:
    """Two columns over the ``rows`` that have labels in both.

    ``same`` is the share of equal rows, ``kappa`` Cohen's (1960); nan where both columns are constant.
    With several labels a row, ``same`` counts equal sets, ``overlap`` is the mean of shared labels over
    all labels of a row (Jaccard; 1 where both are empty), and ``kappa`` the mean over the labels, each
    taken as a yes or no (``by_label``).
    """

    rows: int
    same: float
    kappa: float
    overlap: float | None = None
    by_label: Mapping[str, float] | None = None

    def __str__(self) -> str:
        shared = "" if self.overlap is None else f", sharing {self.overlap:.1%} of their labels"
        whose = "Cohen's kappa" if self.overlap is None else "mean Cohen's kappa"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        kappa = "undefined: one label throughout" if math.isnan(self.kappa) else f"{self.kappa:.2f}"
        return f"agree on {self.same:.1%} of {rows}{shared} ({whose} {kappa})"


def agreement(first: Sequence[LabelValue | None], second: Sequence[LabelValue | None]) -> Agreement | None:
    """Compare two columns row by row; None where no row has labels of both."""
    # Counted, because 100,000 rows hold few different pairs.
    pairs = Counter((a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    if not pairs:
        return None
    if any(isinstance(word, tuple) for pair in pairs for word in pair):
        return _of_sets(pairs)
    return Agreement(pairs.total(), _same(pairs), _kappa(pairs))


def _of_sets(pairs: Counter[tuple[LabelValue, LabelValue]]) -> Agreement:
    sets: Counter[tuple[frozenset[str], frozenset[str]]] = Counter()
    for (a, b), n in pairs.items():
        sets[frozenset(label_names(a)), frozenset(label_names(b))] += n
    seen = sorted(frozenset().union(*(a | b for a, b in sets)))
    by_label = {name: _kappa(_held(sets, name)) for name in seen}
    known = [value for value in by_label.values() if not math.isnan(value)]
    return Agreement(
        rows=sets.total(),
        same=_same(sets),
        kappa=sum(known) / len(known) if known else math.nan,
        overlap=sum(n * overlap(a, b) for (a, b), n in sets.items()) / sets.total(),
        by_label=by_label,
    )


def _held(sets: Mapping[tuple[frozenset[str], frozenset[str]], int], name: str) -> Counter[tuple[bool, bool]]:
    """How often either of two annotators gave this label."""
    held: Counter[tuple[bool, bool]] = Counter()
    for (a, b), n in sets.items():
        held[name in a, name in b] += n
    return held


def _same(pairs: Counter[Any]) -> float:
    return sum(n for (a, b), n in pairs.items() if a == b) / pairs.total()


def overlap(first: Iterable[str], second: Iterable[str]) -> float:
    """Labels in both over labels in either (Jaccard 1901); 1 where both are empty."""
    a, b = frozenset(first), frozenset(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def _kappa(pairs: Counter[tuple[Any, Any]]) -> float:
    """Cohen's kappa; nan where chance alone explains everything."""
    n = pairs.total()
    left, right = Counter[Any](), Counter[Any]()
    for (a, b), often in pairs.items():
        left[a] += often
        right[b] += often
    chance = sum(left[name] * right[name] for name in left) / (n * n) if n else 1.0
    return math.nan if chance == 1 else (_same(pairs) - chance) / (1 - chance)
