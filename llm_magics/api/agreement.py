"""How far two columns of labels agree, one label a row or several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llm_magics.api.calibration import kappa
from llm_magics.api.label_columns import Word, names_of


@dataclass(frozen=True)
class Agreement:
    """Two columns over the ``rows`` that both labelled.

    ``same`` is the share of rows labelled alike, ``kappa`` Cohen's (1960); nan where both columns are
    constant. With several labels a row, ``same`` counts equal sets, ``overlap`` is the mean of shared
    labels over all labels of a row (Jaccard; 1 where both are empty), and ``kappa`` the mean over the
    labels, each taken as a yes or no of its own (``by_label``).
    """

    rows: int
    same: float
    kappa: float
    overlap: float | None = None
    by_label: Mapping[str, float] | None = None

    def __str__(self) -> str:
        shared = "" if self.overlap is None else f", sharing {self.overlap:.1%} of their labels"
        whose = "Cohen's kappa" if self.overlap is None else "mean Cohen's kappa"
        return f"agree on {self.same:.1%} of {self.rows:,} rows{shared} ({whose} {self.kappa:.2f})"


def agreement(first: Sequence[Word | None], second: Sequence[Word | None]) -> Agreement | None:
    """Compare two columns row by row; None where no row has labels of both."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    if not any(isinstance(word, tuple) for pair in pairs for word in pair):
        left, right = [a for a, _ in pairs], [b for _, b in pairs]
        return Agreement(len(pairs), _share(a == b for a, b in pairs), kappa(left, right))
    sets = [(frozenset(names_of(a)), frozenset(names_of(b))) for a, b in pairs]
    seen = sorted(frozenset().union(*(a | b for a, b in sets)))
    by_label = {name: kappa([name in a for a, _ in sets], [name in b for _, b in sets]) for name in seen}
    known = [value for value in by_label.values() if not math.isnan(value)]
    return Agreement(
        rows=len(sets),
        same=_share(a == b for a, b in sets),
        kappa=sum(known) / len(known) if known else math.nan,
        overlap=sum(overlap(a, b) for a, b in sets) / len(sets),
        by_label=by_label,
    )


def overlap(first: Iterable[str], second: Iterable[str]) -> float:
    """Labels that both hold over those that either holds (Jaccard 1901); 1 where both are empty."""
    a, b = frozenset(first), frozenset(second)
    return len(a & b) / len(a | b) if a | b else 1.0


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found)
