"""The documents that concepts are about: texts in row order, and the frame they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llm_magics.data import frames
from llm_magics.data.templates import cell_text


@dataclass(frozen=True)
class Documents:
    """A frame and the column of its texts. The frame is the user's own and never written to."""

    frame: frames.Frame
    column: str

    @classmethod
    def read(cls, data: Any, on: str | None = None, name: str = "data") -> Documents:
        """From a frame and its column, a Series or a list of texts.

        Raises UsageError where the column is not said, NotFound where there is no such column.
        """
        frame, column = frames.read(data, name, on)
        if column is None:
            column = _only_text(frame)
        return cls(frame, frame.require(column))

    @classmethod
    def of(cls, texts: Sequence[str]) -> Documents:
        """From texts alone."""
        import pandas as pd

        return cls(frames.Frame(pd.DataFrame({"text": list(texts)})), "text")

    @cached_property
    def texts(self) -> list[str]:
        """The texts as they are, in row order; a null is the empty text."""
        return [cell_text(value) for value in self.frame.values(self.column)]

    @cached_property
    def labels(self) -> list[Any]:
        """The rows' own labels: a pandas index, else their numbers."""
        index = getattr(self.frame.native, "index", None)
        return list(index) if index is not None and not callable(index) else list(range(len(self)))

    @cached_property
    def blank(self) -> frozenset[int]:
        """Rows without text; they are never asked about."""
        return frozenset(i for i, text in enumerate(self.texts) if not text.strip())

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: Sequence[int]) -> Any:
        """These rows as a frame of the user's own library."""
        return frames.repeat_rows(self.frame, list(rows)).native

    def subset(self, rows: Sequence[int]) -> Documents:
        """The documents at these rows."""
        return Documents(frames.repeat_rows(self.frame, list(rows)), self.column)


def _only_text(frame: frames.Frame) -> str:
    from llm_magics.core.errors import UsageError

    texts = [name for name in frame.columns if _is_text(frame, name)]
    if len(texts) == 1:
        return texts[0]
    listed = ", ".join(texts or frame.columns)
    raise UsageError(f"which column of {frame.name} holds the text?", hint=f"--on COL, one of: {listed}")


def _is_text(frame: frames.Frame, name: str) -> bool:
    values = [value for value in frame.values(name)[:50] if value is not None]
    return bool(values) and all(isinstance(value, str) for value in values)
