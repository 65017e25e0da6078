"""Tables in a cell: aligned text in a terminal, escaped HTML in a notebook, plain data in code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from llm_magics.text.markdown_html import NO_MATH


class Table:
    """Rows of named values, with a title above and notes below.

    ``rows`` is the data (plain values), ``columns`` are the displayed ones in order; ``shown`` turns a
    value into text. ``str()`` is the text for a terminal.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]] = (),
        *,
        title: str = "",
        columns: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        empty: str = "",
        heads: bool = True,
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.title = title
        self.columns = list(columns) if columns is not None else _columns(self.rows)
        self.notes = list(notes)
        self.empty = empty
        self.heads = heads

    def json(self) -> str:
        """The rows as JSON."""
        return json.dumps(self.rows, ensure_ascii=False, default=str)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.title, self._text(), *self.notes)))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}

    def html(self) -> str:
        """The table as HTML; every text in it is escaped."""
        title = f"<b>{escape(self.title)}</b>" if self.title else ""
        notes = "".join(f'<div style="white-space:pre-wrap">{escape(note)}</div>' for note in self.notes)
        return f'<div class="{NO_MATH}">{title}{self._table()}{notes}</div>'

    def _cells(self) -> list[list[str]]:
        return [[cell_text(row.get(column)) for column in self.columns] for row in self.rows]

    def _text(self) -> str:
        if not self.rows:
            return self.empty
        lines = [self.columns, *self._cells()] if self.heads else self._cells()
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        padded = (
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        )
        return "\n".join(line.rstrip() for line in padded)

    def _table(self) -> str:
        if not self.rows:
            return f"<div>{escape(self.empty)}</div>" if self.empty else ""
        sides = ["right" if self._numbers(column) else "left" for column in self.columns]

        def line(tag: str, texts: Sequence[str]) -> str:
            cells = (
                f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>'
                for text, side in zip(texts, sides, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        head = f"<thead>{line('th', self.columns)}</thead>" if self.heads else ""
        return f"<table>{head}<tbody>{''.join(line('td', texts) for texts in self._cells())}</tbody></table>"

    def _numbers(self, column: str) -> bool:
        """Whether a column holds only numbers."""
        values = [row[column] for row in self.rows if row.get(column) is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


class Reading(Table):
    """A sentence or two; ``rows`` may hold the facts behind it."""

    def __init__(self, text: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(rows, columns=(), notes=[text])

    def _text(self) -> str:
        return ""

    def _table(self) -> str:
        return ""

    def html(self) -> str:
        """The text with its lines."""
        return f'<pre style="margin:0;padding:0;white-space:pre-wrap">{escape(str(self))}</pre>'


def cell_text(value: Any) -> str:
    """A value as one line of text; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(cell_text, value))
    return " ".join(str(value).split())


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))
