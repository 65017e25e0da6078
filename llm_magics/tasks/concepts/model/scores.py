"""Scores of documents under a criterion: failures are NaN, never a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

NAN = float("nan")


@dataclass(frozen=True)
class Score:
    """How far one document satisfies one criterion, 0 to 1; NaN with an ``error`` where that failed."""

    value: float = NAN
    rationale: str = ""
    highlight: str = ""
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the document was asked about without a usable answer."""
        return math.isnan(self.value)


@dataclass(frozen=True)
class Column:
    """The scores of all documents under one criterion; None where a document was not asked about."""

    scores: tuple[Score | None, ...]

    @classmethod
    def empty(cls, n: int) -> Column:
        """A column of ``n`` documents, none of which was asked about."""
        return cls((None,) * n)

    @cached_property
    def array(self) -> Any:
        """One number a document, as an array to read; NaN where not asked or failed."""
        import numpy as np

        return np.array([NAN if score is None else score.value for score in self.scores], dtype=float)

    @property
    def values(self) -> list[float]:
        """``array`` as a list."""
        return self.array.tolist()  # type: ignore[no-any-return]

    def missing(self, *, failed: bool = True) -> list[int]:
        """Rows not asked about, and with ``failed`` those whose answer was not usable."""
        return [i for i, s in enumerate(self.scores) if s is None or (failed and s.failed)]

    def rows(self, threshold: float) -> list[int]:
        """Rows that match: a score above ``threshold``."""
        return (self.array > threshold).nonzero()[0].tolist()  # type: ignore[no-any-return]

    def filled(self, answers: Mapping[int, Score]) -> Column:
        """A column with these answers put in."""
        return Column(tuple(answers.get(i, score) for i, score in enumerate(self.scores)))


@dataclass
class Scores:
    """The scores of ``n`` documents by criterion, whatever the concept with that criterion is called.

    A renamed concept and an undone edit therefore find their scores again; only a changed criterion is
    scored anew.
    """

    n: int
    columns: dict[str, Column] = field(default_factory=dict)

    def __getitem__(self, criterion: str) -> Column:
        return self.columns.get(criterion) or Column.empty(self.n)

    def put(self, criterion: str, answers: Mapping[int, Score]) -> None:
        """Add these scores, by document."""
        self.columns[criterion] = self[criterion].filled(answers)

    def derive(self, criterion: str, parts: Sequence[str]) -> None:
        """Score "at least one of ``parts`` holds" from their scores, where all of them have been scored."""
        if criterion not in self.columns and all(part in self.columns for part in parts):
            rows = zip(*(self[part].scores for part in parts), strict=True)
            self.columns[criterion] = Column(tuple(_best(scores) for scores in rows))

    def json(self) -> dict[str, list[Any]]:
        """Plain data: a list a column, null where not asked."""
        return {criterion: [_plain(s) for s in column.scores] for criterion, column in self.columns.items()}

    @classmethod
    def from_json(cls, n: int, data: Mapping[str, Sequence[Any]]) -> Scores:
        """What ``json`` gave."""
        columns = {
            criterion: Column(tuple(_score(item) for item in items)) for criterion, items in data.items()
        }
        return cls(n, columns)


def _best(scores: Sequence[Score | None]) -> Score | None:
    """The highest score; the failed one where a part failed and none holds; None where one is missing."""
    given = [score for score in scores if score is not None]
    if len(given) < len(scores):
        return None
    best = max(given, key=lambda score: -1.0 if score.failed else score.value)
    failed = next((score for score in given if score.failed), None)
    return failed if failed is not None and best.value <= HOLDS else best


HOLDS = 0.5
"""A score above this says yes."""


def _plain(score: Score | None) -> Any:
    if score is None:
        return None
    value = None if score.failed else score.value
    return [value, score.rationale, score.highlight, score.error] if _said(score) else [value]


def _said(score: Score) -> bool:
    return bool(score.rationale or score.highlight or score.error)


def _score(item: Any) -> Score | None:
    if item is None:
        return None
    value, *rest = item
    return replace(Score(*([NAN, *rest])), value=NAN if value is None else float(value))
