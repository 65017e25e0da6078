"""A column of a result at a glance: how many rows have a value, and what the values are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from llm_magics.data.templates import cell_text, is_null
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.results.shares import bar_html, percent

MOST_VALUES = 4
"""The most frequent values of a column that are named."""


@dataclass(frozen=True)
class Field:
    """A column's name, the rows that have a value, and a sentence of what the values are."""

    name: str
    filled: int
    said: str


def field_of(name: str, values: Sequence[Any]) -> Field:
    """A column at a glance: numbers by median and range, texts by length or by the most frequent ones."""
    known = [each for value in values if (each := _plain(value)) is not None]
    if not known:
        return Field(name, 0, "")
    if all(isinstance(value, list | tuple) for value in known):
        return Field(name, len(known), _lists(known))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return Field(name, len(known), _numbers(known))
    return Field(name, len(known), _texts([cell_text(value) for value in known]))


def _plain(value: Any) -> Any:
    """The value without numpy's types; None for a null, an empty text and an empty list."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return value or None
    return None if is_null(value) or not cell_text(value).strip() else value


def _numbers(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    if len(set(values)) <= MOST_VALUES:
        return _frequent(Counter(f"{value:g}" for value in values))
    return f"median {median(values):g}, {low:g} to {high:g}"


def _lists(values: Sequence[Sequence[Any]]) -> str:
    items = [item for value in values for item in value]
    if items and all(isinstance(item, int | float) for item in items):
        return f"vectors of {len(values[0]):,}"
    if items and all(isinstance(item, Mapping) for item in items):
        if all("label" in item for item in items):
            return _frequent(Counter(cell_text(item["label"]) for item in items))
        return f"{len(items):,} records"
    return _frequent(Counter(map(cell_text, items)))


def _texts(values: Sequence[str]) -> str:
    """The most frequent values; of texts that hardly repeat the length in words."""
    counts = Counter(values)
    words = [len(value.split()) for value in values]
    if median(words) >= 8 or (len(counts) > len(values) / 2 and median(words) >= 4):
        low, high = min(words), max(words)
        return f"{low:,} words" if low == high else f"median {median(words):g} words, {low:,} to {high:,}"
    return _frequent(counts)


def _frequent(counts: Counter[str]) -> str:
    named = ", ".join(f"{cut(name, 40)} ({n:,})" for name, n in counts.most_common(MOST_VALUES))
    more = len(counts) - MOST_VALUES
    return f"{named} and {more:,} more" if more > 0 else named


def fields_html(fields: Sequence[Field], total: int) -> str:
    """The columns as a table, a line each: name, bar and number of rows that have a value, the values."""
    heads = (
        '<tr><th scope="col">column</th><th scope="col" class="llmx-n">rows</th><td class="llmx-part"></td>'
        '<th scope="col" class="llmx-n">filled</th><th scope="col">values</th></tr>'
    )
    lines = "".join(_line(one, total) for one in fields)
    return f'<table class="llmx-fields"><thead>{heads}</thead><tbody>{lines}</tbody></table>'


def _line(one: Field, total: int) -> str:
    bar = bar_html(one.filled / max(1, total))
    return (
        f'<tr><th scope="row" class="llmx-name">{escape(cut(one.name, 60))}</th>'
        f'<td class="llmx-n">{one.filled:,}</td><td class="llmx-part" aria-hidden="true">{bar}</td>'
        f'<td class="llmx-n">{percent(one.filled, total)}</td><td>{escape(one.said)}</td></tr>'
    )
