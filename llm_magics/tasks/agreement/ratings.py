"""Columns of labels as numbers: a row a unit, a column an annotator, equal rows counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llm_magics.core.errors import UsageError
from llm_magics.data.frames import Frame, read
from llm_magics.data.templates import is_null
from llm_magics.tasks.label.examples import names_in

Array: TypeAlias = Any


@dataclass(frozen=True)
class Ratings:
    """The distinct rows of labels and how often each occurs.

    ``patterns`` has a row a distinct combination and a column an annotator: the number of a label in
    ``labels``, -1 where there is none. ``counts`` says how many rows of the frame have it.
    """

    labels: tuple[str, ...]
    patterns: Array
    counts: Array


def read_columns(data: Any, columns: Sequence[str], name: str) -> tuple[Frame, list[list[Any]]]:
    """The frame, and each column's cells. Raises UsageError for fewer than two columns, NotFound."""
    frame, _ = read(data, name)
    frame.require_whole("agreement")
    if len(dict.fromkeys(columns)) < 2:
        raise UsageError("agreement takes two or more columns.", hint=f"%llm agreement {name} topic,anna,ben")
    for column in columns:
        frame.require(column)
    return frame, [_cells(frame.values(column)) for column in columns]


def _cells(values: Sequence[Any]) -> list[Any]:
    return [None if is_missing(value) else value for value in values]


def is_missing(cell: Any) -> bool:
    """Whether a cell holds no label; an empty list is one that says "none applies"."""
    return not isinstance(cell, list | tuple | set) and not hasattr(cell, "tolist") and is_null(cell)


def holds_several(cells: Sequence[Sequence[Any]]) -> bool:
    """Whether rows have lists of labels."""
    return any(
        isinstance(cell, list | tuple | set) or getattr(cell, "ndim", 0) == 1
        for column in cells
        for cell in column
    )


def one_label(cells: Sequence[Sequence[Any]], order: Sequence[str] | None) -> Ratings:
    """One label a row; ``order`` has the labels from low to high, by default they are sorted.

    Raises UsageError for a label that the order lacks.
    """
    texts = [[None if cell is None else text_of(cell) for cell in column] for column in cells]
    found = {text for column in texts for text in column if text is not None}
    labels = tuple(order) if order is not None else tuple(sorted(found, key=_sorting))
    if missing := sorted(found.difference(labels)):
        raise UsageError(
            f"the order of the labels lacks {missing[0]!r}.", hint=f"Found: {', '.join(sorted(found))}"
        )
    place = {label: number for number, label in enumerate(labels)}
    return _counted(labels, [[-1 if text is None else place[text] for text in column] for column in texts])


def each_label(cells: Sequence[Sequence[Any]]) -> dict[str, Ratings]:
    """Several labels a row: for each label, who gave it (1) and who gave others (0).

    The distinct rows are those of all labels together, the same for each of them, so that a resample draws
    whole rows.
    """
    sets = [[None if cell is None else frozenset(names_in(cell)) for cell in column] for column in cells]
    names = sorted({name for column in sets for held in column if held is not None for name in held})
    codes = [
        [-1 if held is None else int(name in held) for held in column] for name in names for column in sets
    ]
    if not codes:
        return {}
    joint, many = _counted((), codes), len(sets)
    return {
        name: Ratings(("no", "yes"), joint.patterns[:, many * place : many * (place + 1)], joint.counts)
        for place, name in enumerate(names)
    }


def _counted(labels: tuple[str, ...], codes: Sequence[Sequence[int]]) -> Ratings:
    import numpy as np

    table = np.array(codes, dtype=np.int32).T
    rated = table[(table >= 0).any(axis=1)]
    patterns, counts = np.unique(rated, axis=0, return_counts=True)
    return Ratings(labels, patterns, counts)


def text_of(cell: Any) -> str:
    """A label as text; nulls make floats of whole numbers, which are labels without the point."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _sorting(text: str) -> tuple[bool, float, str]:
    """Numbers by their size, before texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def order_of(frame: Frame, columns: Sequence[str], asked: Any) -> Sequence[str] | None:
    """The labels from low to high: as given, by the columns' categories, or by number.

    Raises UsageError for texts without a known order.
    """
    if isinstance(asked, list | tuple):
        return [text_of(label) for label in asked]
    for column in columns:
        kept = getattr(getattr(frame.native[column], "cat", None), "categories", None)
        if kept is not None and not callable(kept):
            return [text_of(label) for label in kept]
    values = [cell for column in columns for cell in _cells(frame.values(column)) if cell is not None]
    if any(_sorting(text_of(value))[0] for value in values):
        raise UsageError(
            "the order of the labels is not known: they are texts.", hint="--ordinal low,middle,high"
        )
    return None
