"""Shares of documents with their intervals, and a sentence on where slices differ most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from llm_magics.core.intervals import wilson
from llm_magics.tasks.concepts.model.concept_model import ConceptModel

FEWEST = 5
"""A slice of fewer documents is not compared: nearly any share of it is possible."""


@dataclass(frozen=True)
class Share:
    """``count`` of ``size`` documents, with the 95% interval of the share (Wilson 1927)."""

    count: int
    size: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, size: int) -> Share:
        """From 0 of 0 documents nothing follows: the interval is all of 0 to 1."""
        low, high = wilson(count, size) if size else (0.0, 1.0)
        return cls(count, size, low, high)

    @property
    def value(self) -> float:
        """The share itself; 0 where there are no documents."""
        return self.count / self.size if self.size else 0.0


def shares(concepts: ConceptModel, column: str | None) -> tuple[list[str], list[list[Share]]]:
    """Groups ("all" first) and, for each ticked concept, the share of each group that matches.

    Documents without text are in no share.
    """
    groups, counts, sizes = concepts.counted(column)
    blank = concepts.documents.blank
    asked = [sizes[0] - len(blank), *sizes[1:]]
    if column is not None and blank:
        codes = concepts.slice(column).codes
        for row in blank:
            asked[codes[row] + 1] -= 1
    lines = [[Share.of(n, size) for n, size in zip(line, asked, strict=True)] for line in counts]
    return groups, lines


def difference(concepts: ConceptModel, column: str | None, concept: str | None = None) -> str:
    """What tells the slices of a column apart most, in a sentence; of one ``concept`` if its id is given.

    Only differences whose intervals don't overlap count.
    """
    if column is None:
        return ""
    groups, lines = shares(concepts, column)
    named = [
        (c.name, line[1:])
        for c, line in zip(concepts.selected, lines, strict=True)
        if concept in (None, c.id)
    ]
    found = [one for name, line in named for one in _gaps(name, groups[1:], line)]
    if not found:
        return f"No share differs clearly between the slices of {column}: the intervals overlap."
    _, name, high, low, above, below = max(found)
    return f"“{name}” differs most: {above:.0%} of {high}, {below:.0%} of {low}."


_Gap = tuple[float, str, str, str, float, float]


def _gaps(name: str, groups: list[str], line: list[Share]) -> Iterator[_Gap]:
    """Pairs of slices whose intervals lie apart, with the distance of their shares."""
    known = [(group, one) for group, one in zip(groups, line, strict=True) if one.size >= FEWEST]
    for (high, above), (low, below) in permutations(known, 2):
        if above.low > below.high:
            yield above.value - below.value, name, high, low, above.value, below.value
