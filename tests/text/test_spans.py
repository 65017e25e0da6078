"""Quotes as offsets, offsets as escaped HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.text.spans import Span, SpansView, find_quote, locate_spans


@pytest.mark.checklist("T10")
def test_a_quote_is_found_as_a_whole_word() -> None:
    """S15: Ann is not tagged inside Annie."""
    text = "Annie met Ann. Ann left with Annie's $5 in C++."
    spans, missing = locate_spans(text, [("person", "Ann"), ("person", "Ann"), ("money", "$5"), ("x", "Bob")])
    assert [(s.start, s.end) for s in spans] == [(10, 13), (15, 18), (37, 39)]
    assert missing == [("x", "Bob")]
    assert find_quote(text, "C++") == [(43, 46)]


def test_repeated_mentions_are_the_next_occurrences() -> None:
    """Of one name under two labels too; more mentions than occurrences add nothing."""
    spans, _ = locate_spans(
        "Paris flew to Paris", [("person", "Paris"), ("city", "Paris"), ("city", "Paris")]
    )
    assert [(s.start, s.label) for s in spans] == [(0, "person"), (14, "city")]


def test_case_and_white_space_are_forgiven_only_where_the_exact_quote_is_absent() -> None:
    """The span is what stands in the text."""
    spans, _ = locate_spans("the NEW\n York times", [("place", "New York")])
    assert spans == [Span(4, 13, "place", "NEW\n York")]
    assert find_quote("us and US", "US") == [(7, 9)]


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_offsets_are_exact(text: str, quotes: list[str]) -> None:
    """Whatever is asked for, text[start:end] is the span's text, and it lies in the text."""
    spans, _ = locate_spans(text, [("x", quote) for quote in quotes])
    for span in spans:
        assert text[span.start : span.end] == span.text
        assert span.text.split() and span.text.casefold()


@pytest.mark.checklist("T10", "W5")
def test_the_view_is_escaped_and_has_a_legend() -> None:
    """Texts and labels are untrusted."""
    text = "<script>alert(1)</script> & Ann"
    start = text.index("Ann")
    span = {"start": start, "end": start + 3, "label": 'p"<b>', "text": "Ann"}
    shown = SpansView([text, "nothing"], [[span], None])
    page = shown.to_html()
    assert "<script" not in page and "<b>" not in page and 'p"' not in page
    assert "&lt;script&gt;" in page
    assert len(re.findall("<mark ", page)) == 2, "one in the legend, one in the text"
    assert "1" in repr(shown)
