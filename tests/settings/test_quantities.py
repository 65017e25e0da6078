"""Sizes, spans, windows and prices are read as people type them, or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import UsageError
from llm_magics.settings.quantities import (
    format_duration,
    format_size,
    parse_duration,
    parse_price,
    parse_size,
    parse_window,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12GB", 12 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("500mb", 5 * 10**8),
        ("2000000", 2 * 10**6),
        ("1KiB", 1024),
        ("7 B", 7),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604800), ("12h", 43200), ("30m", 1800), ("45s", 45), ("2w", 1209600)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("read", "text"),
    [(parse_duration, "7"), (parse_duration, "0.5"), (parse_size, "12"), (parse_size, "500")],
)
def test_a_forgotten_unit_is_asked_for(read: object, text: str) -> None:
    """``--older-than 7`` would delete all paid answers but those of the last seven seconds."""
    with pytest.raises(UsageError, match="name the unit"):
        read(text)  # type: ignore[operator]


def test_windows_and_prices() -> None:
    assert parse_window("40/10") == (40, 10.0)
    assert (parse_price("0.15/0.60").input, parse_price("0.15/0.60").output, parse_price("0.02").output) == (
        0.15,
        0.6,
        0.0,
    )


@pytest.mark.parametrize("read", [parse_size, parse_duration, parse_window, parse_price])
@pytest.mark.parametrize("text", ["", "x", "-1", "1/", "/", "0/0/0", "nan/1", "12 parsecs", "inf"])
def test_anything_else_is_a_usage_error(read: object, text: str) -> None:
    with pytest.raises(UsageError):
        read(text)  # type: ignore[operator]


@given(st.text())
def test_no_text_breaks_a_reader(text: str) -> None:
    for read in (parse_size, parse_duration, parse_window, parse_price):
        try:
            read(text)
        except UsageError:
            continue


@given(st.integers(min_value=0, max_value=10**15))
def test_a_shown_size_is_read_back_within_its_rounding(count: int) -> None:
    assert parse_size(format_size(count)) == pytest.approx(count, rel=0.06, abs=0.5)


def test_spans_are_shown_in_the_unit_that_fits() -> None:
    assert [format_duration(s) for s in (45, 240, 7200, 3 * 86400)] == ["45 s", "4 min", "2 h", "3 d"]
