"""Label columns of a frame: a name a row, a list of names, or a true/false column a label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llm_magics.data.frames import Frame
from llm_magics.data.templates import is_null
from llm_magics.runs.run import original
from llm_magics.tasks.label.examples import items_in
from llm_magics.text.label_names import label_name

LabelValue: TypeAlias = str | tuple[str, ...]
"""The label of one row, or with several labels a row a tuple of names in the list's order."""


def made_by_labelling(frame: Frame) -> list[str]:
    """The frame's columns that stand beside a column with their status."""
    names = frame.columns
    marked = (name.removesuffix("_status") for name in names if name.endswith("_status"))
    return [name for name in marked if name in names]


@dataclass(frozen=True)
class LabelColumns:
    """The columns that hold labels out of ``names``.

    One column ``output`` of names, with ``many`` of lists of names; or, ``wide``, a true/false column a
    label, each called ``output`` and the label's name. ``values`` has the labels that are numbers or truth
    values, by name.
    """

    output: str
    names: tuple[str, ...]
    many: bool = False
    wide: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The prefix of the columns beside them: ``_status``, ``_confidence``, ``_gold`` follow."""
        return self.output.rstrip("_") if self.wide else self.output

    @property
    def gold(self) -> str:
        """The column of gold labels."""
        return f"{self.name}_gold"

    def word(self, cell: Any) -> LabelValue | None:
        """A cell as a label value; several labels may be a list, or a text with ``|`` between."""
        if is_null(cell):
            return None
        if self.many:
            return self.ordered(label_name(name, self.names) for name in items_in(cell))
        return label_name(cell, self.names)

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Each name once: the listed ones in the list's order, then any other."""
        given = dict.fromkeys(names)
        return (*(n for n in self.names if n in given), *(n for n in given if n not in self.names))

    def read(self, frame: Frame) -> list[LabelValue | None]:
        """Each row's labels; None where it has no answer."""
        if not self.wide:
            return [self.word(cell) for cell in frame.values(self.output)]
        columns = [frame.values(self.output + name) for name in self.names]
        return [self._from_wide(cells) for cells in zip(*columns, strict=True)]

    def of(self, cells: Mapping[str, Any]) -> LabelValue | None:
        """One row's labels from its cells."""
        if not self.wide:
            return self.word(cells.get(self.output))
        return self._from_wide([cells.get(self.output + name) for name in self.names])

    def _from_wide(self, cells: Sequence[Any]) -> LabelValue | None:
        if all(is_null(cell) for cell in cells):
            return None
        true = tuple(n for n, cell in zip(self.names, cells, strict=True) if not is_null(cell) and cell)
        return true if self.many else next(iter(true), None)

    def write(self, words: Sequence[LabelValue | None]) -> dict[str, list[Any]]:
        """The columns that hold these labels."""
        if not self.wide:
            return {self.output: [self.cell(word) for word in words]}
        return {
            self.output + name: [None if word is None else name in label_names(word) for word in words]
            for name in self.names
        }

    def cell(self, word: LabelValue | None) -> Any:
        """A row's labels as a cell of a frame, each label as it was given."""
        return original(label_cell(word), self.values)

    @property
    def originals(self) -> list[Any]:
        """The labels as they were given."""
        return [self.values.get(name, name) for name in self.names]

    @property
    def categories(self) -> Mapping[str, Sequence[Any]]:
        """The values of the columns that hold one label a row."""
        columns = [] if self.many else [self.gold, *([] if self.wide else [self.output])]
        return dict.fromkeys(columns, self.originals)

    def packed(self, word: LabelValue) -> str:
        """A row's labels as one text."""
        return word if isinstance(word, str) else json.dumps(list(word), ensure_ascii=False)

    def unpacked(self, text: str) -> LabelValue:
        """The labels of a text that ``packed`` made."""
        return self.ordered(json.loads(text)) if self.many else text


def label_names(word: LabelValue | None) -> tuple[str, ...]:
    """A row's labels, one or several or none, as a tuple."""
    return (word,) if isinstance(word, str) else word or ()


def label_cell(word: LabelValue | None) -> Any:
    """A row's labels as a cell of a frame."""
    return list(word) if isinstance(word, tuple) else word
