"""Small pieces of HTML. Whatever comes from rows, models or users is escaped here, always."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_magics.data.templates import cell_text
from llm_magics.text.markdown_html import NO_MATH

STYLE = (
    "<style>"
    ".llmx{color:inherit;font-family:inherit;font-size:13px;line-height:1.45}"
    ".llmx table{border-collapse:collapse;margin:.4em 0}"
    ".llmx.llmx th,.llmx.llmx td{border:1px solid rgba(128,128,128,.45);padding:2px 7px;text-align:left;"
    "vertical-align:top;background:transparent;color:inherit}"
    ".llmx.llmx td.n,.llmx.llmx th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".llmx.llmx .n,.llmx .w{white-space:nowrap}.llmx caption{text-align:left;padding:.2em 0}"
    ".llmx mark{background:#ffe08a;color:#111;padding:0 1px}"
    ".llmx .dim{opacity:.78}"
    ".llmx .doc{border-left:3px solid rgba(128,128,128,.5);padding:2px 0 2px 8px;margin:7px 0;"
    "overflow-wrap:anywhere;white-space:pre-wrap}"
    ".llmx .bar{display:inline-block;height:.7em;background:#0066aa;vertical-align:baseline}"
    ".llmx h3{font-size:15px;margin:.3em 0}.llmx h4{font-size:13px;margin:.6em 0 .2em}"
    "</style>"
)
"""Colours inherit from the page, so that light and dark themes both work; marks bring their own."""


def escape(value: Any) -> str:
    """Text as it may stand in HTML, quotes included; control characters are gone."""
    return html.escape(_CONTROL.sub("", cell_text(str(value))), quote=True)


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def cut(text: str, most: int) -> str:
    """At most so many characters, the cut shown."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def block(*parts: str, role: str = "", said: str = "") -> str:
    """The parts as one piece in our style; ``said`` is what a screen reader calls it."""
    label = f' role="{role}"' if role else ""
    label += f' aria-label="{escape(said)}"' if said else ""
    return f'{STYLE}<div class="llmx {NO_MATH}"{label}>{"".join(parts)}</div>'


def heading(text: Any, level: int = 3) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def line(text: Any, *, dim: bool = False) -> str:
    """A paragraph."""
    return f"<div{' class=dim' if dim else ''}>{escape(text)}</div>"


def parts_of(text: str, quote: str, most: int = 1500) -> list[str]:
    """The text cut to ``most`` characters, as [before, quote, after] where the quote stands in it."""
    start = text.casefold().find(quote.casefold()) if quote.strip() else -1
    if start < 0 or len(text.casefold()) != len(text):
        return [cut(text, most)]
    end = start + len(quote)
    first = max(0, start - max(0, (most - len(quote)) // 2))
    last = min(len(text), max(end, first + most))
    before = ("…" if first else "") + text[first:start]
    return [before, text[start:end], text[end:last] + ("…" if last < len(text) else "")]


def marked(text: str, quote: str, most: int = 1500) -> str:
    """The text with the quote in it marked, cut around the quote where it is long."""
    before, *rest = map(escape, parts_of(text, quote, most))
    return f"{before}<mark>{rest[0]}</mark>{rest[1]}" if rest else before


def table(heads: Sequence[Any], rows: Iterable[Sequence[Any]], *, caption: str = "", numbers: int = 1) -> str:
    """A table whose columns from the ``numbers``-th on are numbers; the first cell heads its row."""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(_cell("th", value, i >= numbers, "col") for i, value in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(_cell("th" if i == 0 else "td", value, i >= numbers, "row") for i, value in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, value: Any, number: bool, scope: str) -> str:
    kind = " class=n" if number else ""
    where = f' scope="{scope}"' if tag == "th" else ""
    return f"<{tag}{kind}{where}>{escape(value)}</{tag}>"


def bar(share: float, width: float = 8.0) -> str:
    """A bar of a share of ``width`` em; the number belongs beside it."""
    long = max(0.0, min(1.0, share)) * width
    return f'<span class="bar" aria-hidden="true" style="width:{long:.2f}em"></span>'


def definitions(pairs: Mapping[str, Any]) -> str:
    """Terms and what they are, a line each; empty ones stay out."""
    return "".join(
        f"<div><b>{escape(term)}</b> {escape(value)}</div>" for term, value in pairs.items() if value
    )
