"""Shares of the same labels by several models, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.data.templates import cell_text, is_null
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import scrolled
from llm_magics.widgets.results.shares import NAMED, bar_html, own_colours, percent, swatch

MOST_LABELS = 30
"""The most labels in the table; the frame has all."""


def compared_html(
    names: Sequence[str], columns: Mapping[str, Sequence[Any]], head: str = "label", *, ordered: bool = False
) -> str:
    """A line a label, two cells a model: a bar of its share, and rows with the share.

    ``columns`` are the labels given, by model, one a row. ``ordered`` keeps the order of the names, and
    gives them no colours of their own; else the most frequent come first. ``head`` says what they are.
    """
    counts = {
        model: Counter(None if is_null(value) else cell_text(value) for value in values)
        for model, values in columns.items()
    }
    widest = max((n for count in counts.values() for n in count.values()), default=1) or 1
    often = list(names)
    if not ordered:
        often.sort(key=lambda name: -sum(count[name] for count in counts.values()))
    coloured = own_colours(len(names)) and not ordered
    places = {name: place if coloured else None for place, name in enumerate(names)}
    lines = [
        _line(f"{swatch(places[name])}{escape(cut(name, NAMED))}", name, counts, widest)
        for name in often[:MOST_LABELS]
    ]
    if any(count[None] for count in counts.values()):
        lines.append(_line(f"{swatch(-1)}no answer", None, counts, widest))
    models = "".join(
        f'<td class="llmx-part"></td><th scope="col" class="llmx-n">{escape(cut(model, 40))}</th>'
        for model in counts
    )
    more = len(often) - MOST_LABELS
    rest = f'<p class="llmx-dim">{more:,} more labels</p>' if more > 0 else ""
    head = f'<thead><tr><th scope="col">{escape(head)}</th>{models}</tr></thead>'
    table = f'<table class="llmx-compared">{head}<tbody>{"".join(lines)}</tbody></table>'
    return scrolled(table, "labels by model") + rest


def _line(head: str, name: str | None, counts: Mapping[str, Counter[str | None]], widest: int) -> str:
    cells = "".join(_cells(count[name], sum(count.values()), widest) for count in counts.values())
    return f'<tr><th scope="row" class="llmx-name">{head}</th>{cells}</tr>'


def _cells(rows: int, total: int, widest: int) -> str:
    return (
        f'<td class="llmx-part" aria-hidden="true">{bar_html(rows / widest)}</td>'
        f'<td class="llmx-n">{rows:,} ({percent(rows, total)})</td>'
    )
