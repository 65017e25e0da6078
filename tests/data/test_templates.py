"""Templates: one pass, named columns only, everything else as typed."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data.templates import cell_text, compile_template, is_null, require_columns

COLUMNS = ["stars", "review text", "lang"]


def render(text: str, row: dict, variables: dict | None = None) -> str:
    return compile_template(text, list(row), variables or {}).render(row)


@pytest.mark.checklist("G1")
def test_columns_variables_and_json_in_one_template() -> None:
    """Columns (spaces too) and @variables are filled; JSON and other braces stay as typed."""
    text = 'Answer {stars} stars for {@brand}.\n{"ok": true, "in": {"deep": [1]}}\n{review text}'
    row = {"stars": 4, "review text": "fine"}
    expected = 'Answer 4 stars for ACME.\n{"ok": true, "in": {"deep": [1]}}\nfine'
    assert render(text, row, {"brand": "ACME"}) == expected


@pytest.mark.checklist("G1")
@given(st.text())
def test_inserted_text_is_never_read_again(value: str) -> None:
    """A value that looks like a template arrives as it is."""
    row = {"a": value, "b": "secret"}
    assert render("<{a}>", row) == f"<{cell_text(value)}>"


@given(st.text(alphabet=st.characters(blacklist_characters="{}")))
def test_text_without_braces_is_itself(text: str) -> None:
    """No brace, no change."""
    assert render(text, {"a": 1}) == text


def test_doubled_braces_are_literal_where_a_template_opens_one() -> None:
    """{{ }} are literal braces; }} alone is not touched."""
    assert render('{{"a": {{"b": {stars}}}}}', {"stars": 1}) == '{"a": {"b": 1}}'
    assert render('{"a": {"b": 1}} {stars}', {"stars": 2}) == '{"a": {"b": 1}} 2'


@pytest.mark.parametrize(
    ("text", "said"), [("{star}", "stars"), ("{reveiw text}", "review text"), ("{nope}", "Known")]
)
def test_an_unknown_name_is_an_error_with_the_near_ones(text: str, said: str) -> None:
    """A bare identifier that is no column never goes out as typed."""
    with pytest.raises(NotFound, match="no column") as raised:
        compile_template(text, COLUMNS, {})
    assert said in raised.value.hint


def test_an_unknown_variable_is_named() -> None:
    """{@name} must exist in the notebook."""
    with pytest.raises(NotFound, match="no variable 'brnad'") as raised:
        compile_template("{@brnad}", COLUMNS, {"brand": 1})
    assert "brand" in raised.value.hint


def test_a_template_without_a_column_is_refused() -> None:
    """Every row would ask the same."""
    with pytest.raises(UsageError, match="names no column"):
        require_columns(compile_template("hello", COLUMNS, {}), COLUMNS)


@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT])
def test_every_kind_of_missing_value_is_the_empty_text(value: object) -> None:
    """Null never becomes the word nan."""
    assert is_null(value)
    assert cell_text(value) == ""


@pytest.mark.parametrize("value", ["", 0, False, [], [1, 2], pd.Series([1, 2])])
def test_what_is_not_missing_is_not_null(value: object) -> None:
    """Empty and zero are values; a container is not compared element by element."""
    assert not is_null(value)


@pytest.mark.parametrize("typed", ["{{ body }}", "{{body}}"])
def test_jinjas_braces_are_answered_with_ours(typed: str) -> None:
    """They quote a brace here, and would send the same text for every row."""
    with pytest.raises(UsageError, match="names no column") as raised:
        require_columns(compile_template(f"Hello {typed}", ["body", "n"], {}), ["body", "n"])
    assert "in single braces: {body}\n" in raised.value.hint


@pytest.mark.parametrize(
    "typed",
    ["{n:.2f}", "{n!r}", "{n:>10}", "{n:,}", "{body.upper()}", "{body[0]}", "{body|upper}", "{body | upper}"],
)
def test_a_template_computes_nothing_and_says_so(typed: str) -> None:
    """The same braces as an f-string's would be sent as they stand, for every row."""
    with pytest.raises(UsageError, match="computes and formats nothing") as raised:
        compile_template(f"Hello {{body}} {typed}", ["body", "n"], {})
    assert f"as typed: {{{typed}}}" in raised.value.hint


@pytest.mark.parametrize("typed", ["{n: 3}", '{n: "x"}', '{"n": 1}', "{n:}", "{n, body}", "{n -> body}"])
def test_what_is_no_format_stays_as_typed(typed: str) -> None:
    template = compile_template(f"{typed} {{body}}", ["body", "n"], {})
    assert template.render({"body": "x", "n": 1}) == f"{typed} x"
