"""Lines are split by shell rules and parsed without ever leaving the kernel."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.options.line_parser import (
    HelpAsked,
    LineParser,
    assignment,
    command,
    parameter,
    scalar,
    split,
)


def _parser() -> LineParser:
    parser = LineParser("%llm label", "Label rows.")
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--on-error", choices=("null", "raise"))
    parser.add_argument("-p", dest="parameters", action="append", type=parameter)
    return parser


def test_quotes_are_the_shells() -> None:
    """Quotes group and vanish; braces and dollars stay as typed."""
    line = "reviews --on \"review body\" --focus 'a {b} $c'"
    assert split(line) == ["reviews", "--on", "review body", "--focus", "a {b} $c"]


def test_an_open_quote_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="closing quotation"):
        split("label reviews --focus don't")


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("reviews --on-eror null", NotFound, "--on-error"),
        ("reviews --on-error nul", NotFound, "'null'"),
        ("reviews more", UsageError, "'more' is one argument too many"),
        ("", UsageError, "DATA"),
        ("reviews -p temperature", UsageError, "NAME=VALUE"),
        ("reviews --on-error", UsageError, "expected one argument"),
        ("reviews --on-err null", NotFound, "--on-error"),
    ],
)
def test_faults_name_what_was_meant(line: str, error: type[Exception], said: str) -> None:
    """Every fault is a UsageError that says which words there are; abbreviations are no words."""
    with pytest.raises(error) as raised:
        _parser().parse_line(line)
    assert said in str(raised.value)


def test_help_is_text_and_not_an_exit() -> None:
    with pytest.raises(HelpAsked) as asked:
        _parser().parse_line("-h")
    assert "--on-error {null,raise}" in asked.value.text
    assert "\x1b" not in asked.value.text


def test_parameters_are_typed() -> None:
    values = _parser().parse_line(
        """r -p temperature=0.2 -p stop='["\\n"]' -p seed=7 -p name=gpt-4.1 -p x=-1"""
    )
    assert dict(values.parameters) == {
        "temperature": 0.2,
        "stop": ["\n"],
        "seed": 7,
        "name": "gpt-4.1",
        "x": -1,
    }


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()))
def test_a_value_written_as_json_is_read_as_itself(value: object) -> None:
    assert scalar(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_some_value(text: str) -> None:
    """Reading a value never fails, and a plain word stays what it is."""
    read = scalar(text)
    assert read == text or not isinstance(read, str) or text.startswith('"')


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_splitting_never_fails_but_with_a_usage_error(line: str) -> None:
    try:
        words = split(line)
    except UsageError:
        return
    assert all(isinstance(word, str) for word in words)


def test_assignments_keep_what_follows_the_first_equals_sign() -> None:
    assert assignment("where=a=b") == ("where", "a=b")


def test_unknown_commands_name_the_near_ones() -> None:
    with pytest.raises(NotFound, match="label"):
        command("lable", ["label", "generate"], "%llm")


def test_a_number_where_a_parameter_takes_a_text_is_that_text() -> None:
    assert parameter("stop=5") == ("stop", "5")
    assert parameter('stop=["5", "6"]') == ("stop", ["5", "6"])
    assert parameter("seed=5") == ("seed", 5)
    assert parameter("temperature=hot") == ("temperature", "hot")
    assert parameter("anything=5") == ("anything", 5)
