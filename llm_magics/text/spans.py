"""Entities in a text: locating quotes as character offsets, and showing them in colour with a legend."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.data.templates import cell_text
from llm_magics.text.markdown_html import NO_MATH

PALETTE = ("#a6cee3", "#fdbf6f", "#b2df8a", "#fb9a99", "#cab2d6", "#ffff99", "#d9d9d9", "#e0c3a0")
"""Background colours with a contrast of at least 10:1 to black (softened from ColorBrewer Paired)."""


@dataclass(frozen=True)
class Span:
    """An entity: ``text`` is the whole text's part from ``start`` to ``end``, in Python's characters."""

    start: int
    end: int
    label: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return the span as a dict, the form that a column holds."""
        return {"start": self.start, "end": self.end, "label": self.label, "text": self.text}


def locate_spans(text: str, mentions: Iterable[tuple[str, str]]) -> tuple[list[Span], list[tuple[str, str]]]:
    """Return the (label, quote) mentions as spans in order of appearance, and those not in the text.

    A quote is found as whole words: ``Ann`` is not found in ``Annie``. The n-th mention of a quote is its
    n-th occurrence, or its last where there are fewer. Case and runs of white space are ignored where the
    exact quote doesn't occur.
    """
    spans: dict[tuple[int, int, str], Span] = {}
    missing: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for label, quote in mentions:
        places = find_quote(text, quote)
        if not places:
            missing.append((label, quote))
            continue
        n = seen[quote] = seen.get(quote, -1) + 1
        start, end = places[min(n, len(places) - 1)]
        spans.setdefault((start, end, label), Span(start, end, label, text[start:end]))
    return sorted(spans.values(), key=lambda span: (span.start, -span.end)), missing


def find_quote(text: str, quote: str) -> list[tuple[int, int]]:
    """Return the places of a quote as whole words, exact or else up to case and white space."""
    words = quote.split()
    if not words:
        return []
    exact = _find_whole_words(text, re.escape(quote.strip()), 0)
    return exact or _find_whole_words(text, r"\s+".join(map(re.escape, words)), re.IGNORECASE)


def _find_whole_words(text: str, pattern: str, flags: int) -> list[tuple[int, int]]:
    # Word boundaries only where the quote begins or ends with a word character, so that "$5" and "C++" work.
    before = r"(?<!\w)(?=\w)|(?=\W)"
    after = r"(?<=\w)(?!\w)|(?<=\W)"
    whole = re.compile(f"(?:{before})(?:{pattern})(?:{after})", flags)
    return [match.span() for match in whole.finditer(text)]


def spans_of_cell(spans: Any) -> list[Span]:
    """Return the spans in a cell of a column (dicts or Spans); an empty list for a null."""
    if spans is None or (not isinstance(spans, list | tuple) and not hasattr(spans, "tolist")):
        return []
    found = spans if isinstance(spans, list | tuple) else spans.tolist()
    return [
        item if isinstance(item, Span) else Span(item["start"], item["end"], item["label"], item["text"])
        for item in found
    ]


class SpansView:
    """A view of texts with their entities marked and a legend; all text is escaped.

    ``texts`` and ``spans`` are columns of one frame, which may contain nulls; the first ``limit`` texts are
    shown.
    """

    def __init__(
        self, texts: Iterable[Any], spans: Iterable[Any], labels: Sequence[str] = (), limit: int = 50
    ) -> None:
        self.rows = [
            (cell_text(text), spans_of_cell(found)) for text, found in zip(texts, spans, strict=True)
        ]
        seen = (span.label for _, found in self.rows for span in found)
        self.labels = list(dict.fromkeys([*labels, *seen]))
        self.limit = limit

    def __repr__(self) -> str:
        counts = dict.fromkeys(self.labels, 0)
        for _, found in self.rows:
            for span in found:
                counts[span.label] += 1
        listed = ", ".join(f"{label} {n:,}" for label, n in counts.items())
        return f"{len(self.rows):,} texts; spans: {listed or 'none'}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return an HTML fragment that needs no script and no style sheet."""
        colours = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(self.labels)}
        legend = " ".join(
            _mark_html(html.escape(label), label, colours, named=False) for label in self.labels
        )
        shown = "".join(
            f'<p style="white-space:pre-wrap;line-height:1.8">{spans_to_html(text, spans, colours)}</p>'
            for text, spans in self.rows[: self.limit]
        )
        more = len(self.rows) - self.limit
        rest = f"<p>{more:,} more texts are not shown.</p>" if more > 0 else ""
        return f'<div class="llm-spans {NO_MATH}"><p role="note">{legend}</p>{shown}{rest}</div>'


def spans_to_html(text: str, spans: Sequence[Span], colours: Mapping[str, str]) -> str:
    """Return the text as HTML with its spans marked; of overlapping spans the first and longest is drawn."""
    pieces, end = [], 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start < end or span.end > len(text):
            continue
        pieces.append(html.escape(text[end : span.start]))
        pieces.append(_mark_html(html.escape(text[span.start : span.end]), span.label, colours))
        end = span.end
    return "".join([*pieces, html.escape(text[end:])])


def _mark_html(escaped: str, label: str, colours: Mapping[str, str], *, named: bool = True) -> str:
    name = html.escape(label, quote=True)
    colour = colours.get(label, PALETTE[0])
    # The label follows each mark in small type: colour alone is not accessible, and eight colours repeat.
    beside = f'<span style="font-size:0.7em;padding-left:4px"> {name}</span>' if named else ""
    return (
        f'<mark title="{name}" style="background:{colour};color:#000;border-radius:3px;padding:0 3px">'
        f"{escaped}{beside}</mark>"
    )
