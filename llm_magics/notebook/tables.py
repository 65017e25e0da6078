"""Tables in a cell: aligned text in a terminal, escaped HTML in a notebook, plain data in code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_magics.widgets.html import escape
from llm_magics.widgets.output.sentences import sentence_html
from llm_magics.widgets.output.states import Level, state_html
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.rows import Column, numbers_html, rows_html

STACKED = 5
"""From this many columns on a table becomes a list of short lists where the page is narrow."""


class Table:
    """Rows of named values, with a title above and notes below.

    ``rows`` is the data (plain values), ``columns`` are the displayed ones in order. ``states`` gives, by
    column, how good its values are, for a sign before each. ``caption`` is a title in a notebook alone.
    ``str()`` is the text for a terminal.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]] = (),
        *,
        title: str = "",
        caption: str = "",
        columns: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        empty: str = "",
        heads: bool = True,
        states: Mapping[str, Mapping[str, Level]] | None = None,
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.title = title
        self.caption = caption or title
        self.columns = list(columns) if columns is not None else _columns(self.rows)
        self.notes = list(notes)
        self.empty = empty
        self.heads = heads
        self.states = dict(states or {})

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
        title = f'<p class="llmx-head"><b>{escape(self.caption)}</b></p>' if self.caption else ""
        notes = (f'<p class="llmx-notes">{"".join(map(_part, _spaced(note)))}</p>' for note in self.notes)
        name = escape(self.caption or "table")
        return output_block(title, self._table(name), *notes, name=name, kind="llmx-table")

    def _text(self) -> str:
        if not self.rows:
            return self.empty
        cells = [[cell_text(row.get(column)) for column in self.columns] for row in self.rows]
        lines = [self.columns, *cells] if self.heads else cells
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        padded = (
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        )
        return "\n".join(line.rstrip() for line in padded)

    def _table(self, name: str) -> str:
        if not self.rows:
            return f"<p>{sentence_html(self.empty)}</p>" if self.empty else ""
        filled = [name for name in self.columns if any(cell_text(row.get(name)) for row in self.rows)]
        columns = [self._column(name, place) for place, name in enumerate(filled or self.columns[:1])]
        return rows_html(columns, name, heads=self.heads, stacked=self.heads and len(columns) >= STACKED)

    def _column(self, name: str, place: int) -> Column:
        """A column of the HTML table; the first one's repeated words are left to the screen reader."""
        values = [row.get(name) for row in self.rows]
        if name in self.states:
            levels = self.states[name]
            cells = [state_html(cell_text(value), levels.get(cell_text(value), "plain")) for value in values]
            return Column(name, "short", cells)
        if self._numbers(name):
            return Column(name, "number", numbers_html(values, grouped=True))
        cells = [sentence_html(_yes_or_no(value)) for value in values]
        if place:
            return Column(name, "short", cells)
        above = ["", *cells[:-1]]
        seen = [_unseen(one) if one == last else one for one, last in zip(cells, above, strict=True)]
        return Column(name, "name", seen)

    def _numbers(self, column: str) -> bool:
        """Whether a column holds only numbers."""
        values = [row[column] for row in self.rows if row.get(column) is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


class Reading(Table):
    """A sentence or two; ``rows`` may hold the facts behind it. ``fixed`` keeps columns of letters."""

    def __init__(self, text: str, rows: Sequence[Mapping[str, Any]] = (), *, fixed: bool = False) -> None:
        super().__init__(rows, columns=(), notes=[text])
        self.fixed = fixed

    def _text(self) -> str:
        return ""

    def html(self) -> str:
        """The text with its lines."""
        if self.fixed:
            text = f'<pre class="llmx-help">{escape(str(self))}</pre>'
            return output_block(text, name="help", kind="llmx-table")
        said = f'<p class="llmx-keep">{sentence_html(str(self))}</p>'
        return output_block(said, name="what was done", kind="llmx-table", role="status")


def _unseen(cell: str) -> str:
    """A cell for screen readers alone."""
    return f'<span class="llmx-unseen">{cell}</span>' if cell else ""


def _spaced(note: str) -> list[str]:
    """The sentences of a note, which three spaces part."""
    return [part for part in re.split(r" {3,}", note) if part]


def _part(sentence: str) -> str:
    return f"<span>{sentence_html(sentence)}</span>"


def _yes_or_no(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else cell_text(value)


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
