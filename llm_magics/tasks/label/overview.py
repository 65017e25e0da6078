"""The result of a label run at a glance: the share of each label, with its mean confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text, is_null
from llm_magics.tasks.label.columns import LabelColumns, LabelValue, label_names
from llm_magics.tasks.label.task import Label
from llm_magics.widgets.results.rows import Column, marks_html
from llm_magics.widgets.results.shares import Share, own_colours, swatch


class LabelOverview:
    """The labels in the rows of a result; ``name`` is the prefix of the columns beside them."""

    def __init__(self, task: Label, frame: Frame) -> None:
        self.names: tuple[Any, ...] = tuple(task.labels.names)
        columns = LabelColumns(task.output, tuple(task.labels.names), task.many, task.wide)
        self.name = columns.name
        self.many = columns.many
        self.head = f"{task.output}…" if task.wide else task.output
        self.columns = [task.output + name for name in self.names] if task.wide else [task.output]
        self.words = columns.read(frame)
        self.colours: Mapping[Any, int] = (
            {name: place for place, name in enumerate(self.names)} if own_colours(len(self.names)) else {}
        )
        self._confidence = self._column(frame, "confidence")
        self._status = self._column(frame, "status")

    def _column(self, frame: Frame, what: str) -> Sequence[Any]:
        name = f"{self.name}_{what}"
        return frame.values(name) if name in frame.columns else [None] * len(frame)

    @property
    def confidences(self) -> list[float]:
        """The confidence of each row that has one."""
        return [float(value) for value in self._confidence if not is_null(value)]

    def shares(self) -> list[Share]:
        """The labels, most frequent first (numbers in their order), then the rows without one."""
        counts = Counter(name for word in self.words for name in label_names(word))
        shares = [
            Share(cell_text(name), counts[name], self._mean(name), self.colours.get(name))
            for name in self.names
        ]
        if not all(isinstance(name, int | float) for name in self.names):
            shares.sort(key=lambda share: -share.rows)
        return [*shares, *self._without()]

    def _mean(self, name: Any) -> float | None:
        """The mean confidence of the rows with this label."""
        found = [
            float(sure)
            for word, sure in zip(self.words, self._confidence, strict=True)
            if not is_null(sure) and name in label_names(word)
        ]
        return sum(found) / len(found) if found and not self.many else None

    def _without(self) -> list[Share]:
        """The rows with an empty set of labels, and those without an answer, by their status."""
        none = sum(word is not None and not label_names(word) for word in self.words)
        missing = Counter(
            status or "no answer"
            for word, status in zip(self.words, self._status, strict=True)
            if word is None
        )
        found = [("none of them", none), *missing.most_common()]
        return [Share(name, rows, None, -1) for name, rows in found if rows]

    def column(self, words: Sequence[LabelValue | None]) -> Column:
        """The labels of some rows as a column of names with their colours."""
        cells = [marks_html(label_names(word), lambda name: swatch(self.colours.get(name))) for word in words]
        return Column(self.head, "short", cells)
