"""The fields of an extract body, and a model's JSON read by them."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.openai.wire import is_strict
from llm_magics.core.errors import UsageError
from llm_magics.text.fields import Field, as_fields, fields_schema, parse_fields, read_record, read_value

BODY = """
product: product name, null if absent
price float: in euros
defects list[str]: each distinct defect
tone one of calm|annoyed|very angry

# a comment
"unit price" number!: with spaces in its name
maker object: who made it
    name str!
    parts list[object]
        part: what
        n int
bought date
"""


@pytest.mark.checklist("G5")
def test_a_body_becomes_typed_fields() -> None:
    """Types, options, nesting, what must be there; the default type is text."""
    fields = {field.name: field for field in parse_fields(BODY)}
    assert fields["product"] == Field("product", "str", "product name, null if absent")
    assert fields["defects"].item is not None and fields["defects"].item.kind == "str"
    assert fields["tone"].options == ("calm", "annoyed", "very angry")
    assert fields["unit price"].required and fields["unit price"].kind == "float"
    assert [inner.name for inner in fields["maker"].fields] == ["name", "parts"]
    assert [inner.kind for inner in fields["maker"].fields[1].item.fields] == ["str", "int"]


def test_the_schema_is_one_that_strict_servers_take() -> None:
    """Every object closed, every property required; absence is null."""
    schema = fields_schema(parse_fields(BODY))
    assert is_strict(schema)
    assert schema["properties"]["price"] == {"type": ["number", "null"], "description": "in euros"}
    assert schema["properties"]["tone"]["enum"][-1] is None
    assert schema["properties"]["unit price"]["type"] == "number"
    json.dumps(schema)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "missing"),
        ("price flaot", "Did you mean 'float'"),
        ("a: x\na: y", "twice"),
        ("tone one of calm", "one of what"),
        ("maker object", "no fields below"),
        ("a: x\n    b: y", "line 2: indented without an object"),
        ("    a: x\nb: y", "line 2"),
    ],
)
def test_a_body_that_cant_be_read_says_where_and_why(body: str, said: str) -> None:
    """With the grammar in the hint."""
    with pytest.raises(UsageError) as raised:
        parse_fields(body)
    assert said in str(raised.value)
    assert "name [type]: description" in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "given_", "value", "mended"),
    [
        ("int", 3, 3, False),
        ("int", 3.0, 3, True),
        ("int", "1,200", 1200, True),
        ("int", 2**63 + 1, 2**63 + 1, False),
        ("float", "€ 12.50", 12.5, True),
        ("float", 7, 7.0, False),
        ("float", "n/a", None, True),
        ("bool", "Yes", True, True),
        ("bool", False, False, False),
        ("date", "2024-02-29", dt.date(2024, 2, 29), False),
        ("datetime", "2024-02-29T10:00", dt.datetime(2024, 2, 29, 10), False),
        ("str", "null", None, True),
        ("str", 5, "5", True),
        ("list[int]", [1, "2", None], [1, 2], True),
        ("list[str]", None, [], False),
        ("list[str]", "one", ["one"], True),
        ("one of a|b", " B.", "b", True),
        ("one of yes|unknown", "unknown", "unknown", False),
    ],
)
def test_values_are_read_as_their_type(kind: str, given_: object, value: object, mended: bool) -> None:
    """What had to be mended is told apart from what fitted."""
    (field,) = as_fields({"x": kind})
    assert read_value(field, given_, "x") == (value, mended)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("int", 2.5),
        ("int", True),
        ("int", 10**400),
        ("float", 10**400),
        ("float", "1.299,00"),
        ("float", float("nan")),
        ("bool", "maybe"),
        ("date", "29.2.2024"),
        ("one of a|b", "c"),
        ("str", ["x"]),
        ("list[int]", ["x"]),
    ],
)
def test_what_doesnt_fit_is_an_error_that_names_the_field(kind: str, bad: object) -> None:
    """Nothing is guessed: the model is asked again with this sentence."""
    (field,) = as_fields({"x": kind})
    with pytest.raises(ValueError, match="x"):
        read_value(field, bad, "x")


def test_python_types_are_fields_too() -> None:
    """A mapping of name -> type, from a script."""
    kinds = [f.kind for f in as_fields({"a": str, "b": int, "c": list[str], "d": dt.date})]
    assert kinds == ["str", "int", "list", "date"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("product", "price", "defects", "tone", "bought"), JSON))
)
def test_whatever_a_model_says_becomes_the_types_or_an_error(answer: dict[str, object]) -> None:
    """Never a value of another type in a column."""
    fields = parse_fields("product\nprice float\ndefects list[str]\ntone one of calm|angry\nbought date")
    try:
        record, _ = read_record(fields, answer)
    except ValueError:
        return
    assert record["product"] is None or isinstance(record["product"], str)
    assert record["price"] is None or isinstance(record["price"], float)
    assert all(isinstance(item, str) for item in record["defects"])
    assert record["tone"] in (None, "calm", "angry")
    assert record["bought"] is None or isinstance(record["bought"], dt.date)


def test_a_mark_after_a_bare_name_means_the_field() -> None:
    """``product!: the name`` is a text that must be there; a quoted name keeps its signs."""
    fields = parse_fields('product!: the name\nprice?\n"is it!"')
    assert [(field.name, field.kind, field.required) for field in fields] == [
        ("product", "str", True),
        ("price", "str", False),
        ("is it!", "str", False),
    ]
