"""The fields of an extract body, and a model's JSON read by them."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.openai.dialects import is_strict
from llm_magics.core.errors import UsageError
from llm_magics.text.fields import Field, as_fields, parse_fields
from llm_magics.text.records import read_record, read_value
from llm_magics.text.schemas import fields_schema

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
    problems: list[str] = []
    assert read_value(field, given_, "x", problems) == (value, mended)
    assert problems == []


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("int", 2.5),
        ("int", True),
        ("int", 10**400),
        ("float", 10**400),
        ("float", "1e400"),
        ("float", "€ 1.200"),
        ("float", "1,234,56"),
        ("float", "12-15"),
        ("float", "5 kg"),
        ("float", float("nan")),
        ("bool", "maybe"),
        ("date", "05/03/2026"),
        ("date", "13/05/26"),
        ("date", "May 2024"),
        ("date", "31/02/2026"),
        ("datetime", "29 Feb 2024 10:00 XYZ"),
        ("one of a|b", "c"),
        ("str", ["x"]),
        ("list[int]", ["x"]),
    ],
)
def test_what_doesnt_fit_is_null_with_a_sentence_that_names_the_field(kind: str, bad: object) -> None:
    """Nothing is guessed: the model is asked again with this sentence."""
    (field,) = as_fields({"x": kind})
    problems: list[str] = []
    assert read_value(field, bad, "x", problems)[0] in (None, [])
    assert len(problems) == 1 and problems[0].startswith("x")
    with pytest.raises(ValueError, match="x"):
        read_record([field], {"x": bad})


@pytest.mark.checklist("R14", "T14")
@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("float", "€ 12,50", 12.5),
        ("float", "-$1,299.00", -1299.0),
        ("float", "1.299,00 EUR", 1299.0),
        ("float", "CHF 1'234.50", 1234.5),
        ("float", "1\u202f234\u202f567,8", 1234567.8),
        ("float", "₹ 12,34,567.89", 1234567.89),
        ("float", "12%", 12.0),
        ("float", "0,125", 0.125),
        ("int", "1.234.567", 1234567),
        ("int", "12345678901234567", 12345678901234567),
        ("int", "-", None),
        ("float", "N/A", None),
        ("float", "unknown", None),
        ("float", "not specified", None),
        ("list[str]", "none", []),
        ("list[int]", "[1, 2]", [1, 2]),
        ("str", "N/A", None),
        ("str", "none", "none"),
        ("str", "unknown", "unknown"),
        ("bool", 1, True),
        ("date", "29.2.2024", dt.date(2024, 2, 29)),
        ("date", "February 29th, 2024", dt.date(2024, 2, 29)),
        ("date", "2024/2/9", dt.date(2024, 2, 9)),
        ("date", "05/05/2026", dt.date(2026, 5, 5)),
        ("datetime", "29 Feb 2024 10:30", dt.datetime(2024, 2, 29, 10, 30)),
    ],
)
def test_signs_separators_and_words_for_nothing_are_read_by_rules(
    kind: str, text: object, value: object
) -> None:
    """Whatever is written as a text in place of a JSON value is told apart as repaired."""
    (field,) = as_fields({"x": kind})
    problems: list[str] = []
    read, _ = read_value(field, text, "x", problems)
    assert (read, problems) == (value, [])
    assert type(read) is type(value)


@pytest.mark.checklist("R14", "T14")
@pytest.mark.parametrize(
    "answer",
    [
        {"answer": {"unit_price": 5, "maker": "Ann"}},
        {"data": [{"unit_price": 5, "maker": "Ann"}]},
        {"status": "done", "result": {"record": {"unit_price": 5, "maker": "Ann"}}},
        [{"unit_price": 5, "maker": "Ann"}],
        '{"unit_price": 5, "maker": "Ann"}',
        {"answer": '```json\n{"unit_price": 5, "maker": "Ann"}\n```'},
        {"Unit Price": 5, "MAKER": "Ann"},
        {"unitPrice": 5, "maker": "Ann"},
        {"unit-price": 5, "Maker": "Ann", "note": "?"},
    ],
)
def test_an_object_in_an_envelope_or_with_respelt_keys_is_read(answer: object) -> None:
    """As repaired: it isn't what was asked for."""
    fields = parse_fields("unit_price float\nmaker\ncolour")
    record = read_record(fields, answer)
    assert record.values == {"unit_price": 5.0, "maker": "Ann", "colour": None}
    assert record.repaired and not record.problems


@pytest.mark.checklist("T14")
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"cost": 5},
        [{"price": 1}, {"price": 2}],
        {"a": {"price": 1}, "b": {"price": 2}},
        "5",
        5,
        {"price": "cheap", "maker": None},
    ],
)
def test_an_answer_without_a_usable_field_is_an_error(answer: object) -> None:
    """Never a row of nulls that counts as a success."""
    with pytest.raises(ValueError, match=r"price|object|list"):
        read_record(parse_fields("price float\nmaker"), answer)


@pytest.mark.checklist("T14")
def test_an_unreadable_part_leaves_the_others_as_they_are() -> None:
    """In objects and lists too; two spellings with two values are none of the two."""
    fields = parse_fields("price float\nsizes list[int]\nmaker object\n  name\n  born date\nColour\nnote")
    record = read_record(
        fields,
        {
            "price": "cheap",
            "sizes": [1, "x", 3],
            "maker": {"Name": "Ann", "born": "05/03/2026"},
            "colour": "red",
            "COLOUR": "blue",
            "note": "new",
        },
    )
    maker = {"name": "Ann", "born": None}
    assert record.values == {"price": None, "sizes": [1, 3], "maker": maker, "Colour": None, "note": "new"}
    assert [said.partition(",")[0] for said in record.problems] == [
        "price is 'cheap'",
        "sizes[1] is 'x'",
        "maker.born is '05/03/2026'",
        "Colour is ['red'",
    ]


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
        record = read_record(fields, answer).values
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
