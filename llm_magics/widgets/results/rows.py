"""Rows of a result as a table that is read: texts to the left and wrapped, numbers to the right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from html import unescape
from typing import Any, Literal

from llm_magics.data.templates import cell_text, is_null
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import scrolled

Kind = Literal["text", "short", "number", "key", "name"]

TEXT, SHORT = 400, 120
"""Characters of a text, and of a short cell, that are shown; the frame has the rest."""

LINE = 24
"""Characters up to which a short cell stays on one line."""

DASH = '<span class="llmx-dim">–</span>'


@dataclass(frozen=True)
class Column:
    """A column of the table: its name, how its cells stand, and the cells as escaped HTML."""

    name: str
    kind: Kind
    cells: Sequence[str]


def column(name: str, values: Sequence[Any], *, text: bool = False) -> Column:
    """A column of plain values; ``text`` gives it the room of a text."""
    known = [value for value in values if not is_null(value)]
    if known and all(_is_number(value) for value in known):
        return Column(name, "number", numbers_html(values))
    most = TEXT if text else SHORT
    values = values if any(_has_time(value) for value in known) else list(map(_day, values))
    return Column(name, "text" if text else "short", [value_html(value, most) for value in values])


def _has_time(value: Any) -> bool:
    return not isinstance(value, datetime) or value.time() != time()


def _day(value: Any) -> Any:
    """A midnight as its day, where a column has nothing else."""
    return value if is_null(value) else value.date()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers_html(values: Sequence[Any], *, grouped: bool = False) -> list[str]:
    """Numbers, their points below each other; fractions with four digits, those of a column alike.

    ``grouped`` sets commas in whole numbers too, which are counts then and no years or keys.
    """
    told = ["" if is_null(value) else _number(value, grouped=grouped) for value in values]
    places = [len(one.partition(".")[2]) for one in told if _POINT.fullmatch(one)]
    most = max(places, default=0)
    if len(places) == sum(map(bool, told)) and 0 < most <= MOST_PLACES:
        told = [
            f"{value:,.{most}f}" if one and isinstance(value, float) else one
            for one, value in zip(told, values, strict=True)
        ]
    return [escape(one) or DASH for one in told]


_POINT = re.compile(r"-?[\d,]+(\.\d+)?")

MOST_PLACES = 4
"""Digits after the point that all numbers of a column get where one has them."""


def _number(value: Any, *, grouped: bool) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if grouped else f"{value}"
    if 1_000 <= abs(value) < 1e15:
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:.4g}"


def value_html(value: Any, most: int = SHORT) -> str:
    """A value as text, cut; lists with commas, a vector by its length, a time to the minute."""
    items = value.tolist() if hasattr(value, "tolist") and hasattr(value, "__len__") else value
    if isinstance(items, list | tuple):
        if len(items) > 8 and all(_is_number(item) for item in items):
            return escape(f"vector of {len(items):,}")
        return escape(cut(", ".join(map(_item, items)), most)) if items else DASH
    text = cell_text(items)
    if not text.strip():  # pandas' NaT is a datetime without a time
        return DASH
    if isinstance(items, datetime) and items.tzinfo is None:
        day, _, clock = text.removesuffix(":00").partition(" ")
        return f'<span class="llmx-whole">{escape(day)}</span> {escape(clock)}'.rstrip()
    return _long_words(cut(text, most))


def _long_words(text: str) -> str:
    """The text escaped; a word too long for any line may be broken, also where a page drops our style."""
    return "<wbr>".join(escape(part) for part in _LONG.split(text) if part)


_LONG = re.compile(r"(\S{40})(?=\S)")


def _item(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {cell_text(each)}" for key, each in value.items()) + "}"
    return cell_text(value)


def confidence_column(name: str, values: Sequence[Any]) -> Column:
    """Confidences as numbers with a short bar before each."""
    return Column(name, "number", [_sure(value) for value in values])


def _sure(value: Any) -> str:
    if is_null(value):
        return DASH
    width = 100 * max(0.0, min(1.0, float(value)))
    bar = f'<span class="llmx-sure" aria-hidden="true"><span style="width:{width:.0f}%"></span></span>'
    return f"{bar}{float(value):.2f}"


def marks_html(names: Iterable[Any], mark: Callable[[Any], str]) -> str:
    """Names, each with what ``mark`` puts before it; a dash where there is none."""
    marked = (f'<span class="llmx-mark">{mark(name)}{escape(cell_text(name))}</span>' for name in names)
    return " ".join(marked) or DASH


def rows_html(columns: Sequence[Column], name: str, *, heads: bool = True, stacked: bool = False) -> str:
    """The columns as a table that scrolls where it has to; ``key`` and ``name`` head their rows.

    ``stacked`` makes a short list of each row where the page is narrow.
    """
    kinds = [_kind(one) for one in columns]
    names = "".join(
        f'<th scope="col" class="{kind}">{_breaking(cut(one.name, 60))}</th>'
        if one.name
        else '<td class="llmx-key"></td>'
        for one, kind in zip(columns, kinds, strict=True)
    )
    head = f"<thead><tr>{names}</tr></thead>" if heads else ""
    cell = _stacked if stacked else _cell
    lines = "".join(
        f"<tr>{''.join(map(cell, columns, kinds, cells))}</tr>"
        for cells in zip(*(one.cells for one in columns), strict=True)
    )
    table = f'<table class="llmx-rows{" llmx-stack" if stacked else ""}">{head}<tbody>{lines}</tbody></table>'
    return scrolled(table, escape(name))


def _breaking(name: str) -> str:
    """A column's name, which may be broken after an underscore."""
    return re.sub("(_+)(?=[^_])", r"\1<wbr>", escape(name))


def _kind(one: Column) -> str:
    if one.kind == "short":
        longest = max((len(unescape(_TAG.sub("", cell))) for cell in one.cells), default=0)
        return "llmx-short llmx-line" if longest <= LINE else "llmx-short llmx-lines"
    return {"number": "llmx-n"}.get(one.kind, f"llmx-{one.kind}")


_TAG = re.compile("<[^>]*>")


def _cell(one: Column, kind: str, cell: str) -> str:
    if one.kind in ("key", "name"):
        return f'<th scope="row" class="{kind}" align="left">{cell}</th>'
    return f'<td class="{kind}"{_lie(one, cell)}>{cell}</td>'


def _lie(one: Column, cell: str) -> str:
    """How a cell stands where a page drops our style: numbers to the right, texts where they begin."""
    if one.kind == "number":
        return ' align="right"'
    return _AUTO if _RIGHT_TO_LEFT.search(cell) else _LEFT if one.kind == "text" else ""


_LEFT, _AUTO = ' style="text-align:left"', ' dir="auto"'
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


def _stacked(one: Column, kind: str, cell: str) -> str:
    """A cell that says which column it is of."""
    if one.kind in ("key", "name"):
        return _cell(one, kind, cell)
    return f'<td class="{kind}"{_lie(one, cell)} data-head="{escape(one.name)}">{cell}</td>'
