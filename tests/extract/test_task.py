"""Extract: typed fields, many records, entities, pydantic models."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from typing import Literal

import pytest
from pydantic import BaseModel
from pydantic import Field as About

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Response, Schema
from llm_magics.engine.task import Target, Task
from llm_magics.tasks.extract.pydantic_models import checked, model_fields
from llm_magics.tasks.extract.task import Entities, Extract
from llm_magics.text.fields import parse_fields

TARGET = Target("openai", "m")
FIELDS = parse_fields("product\nprice float: in euros\ntone one of calm|angry")


def extract(**more: object) -> Extract:
    return Extract(FIELDS, "text", **more)  # type: ignore[arg-type]


def ask(task: Task, text: object = "The lamp cost 5 euros."):
    return task.request({"text": text}, TARGET)


def test_the_request_holds_every_field_and_the_schema() -> None:
    """Instructions first and the same for every row."""
    first, second = ask(extract(), "one"), ask(extract(), "two")
    assert first.messages[0] == second.messages[0]
    assert "price (number, or null): in euros" in first.messages[0].content
    assert isinstance(first.response_format, Schema)
    assert first.messages[1].content.endswith("one") and first.subject == "one"
    assert ask(extract(), "  ") is None


@pytest.mark.checklist("G5")
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"product": "lamp", "price": 5, "tone": null}', "ok"),
        ('```json\n{"product": "lamp", "price": "5 EUR", "tone": "null"}\n```', "repaired"),
        ('<think>{"product": "bed"}</think>Here: {"product": "lamp", "price": 5.0, "tone": null,}', "ok"),
    ],
)
def test_an_answer_becomes_columns(text: str, status: str) -> None:
    """Read natively or out of what the model wrote around it."""
    parsed = extract().parse(ask(extract()), Response(text=text))
    assert parsed.values == {"product": "lamp", "price": 5.0, "tone": None}
    assert parsed.status == status


@pytest.mark.checklist("G5")
def test_what_doesnt_fit_is_asked_again_with_the_reason() -> None:
    """Once: the engine asks as often as a task says, here the error names the field."""
    request = ask(extract())
    response = Response(text='{"product": "lamp", "price": "cheap", "tone": "calm"}')
    with pytest.raises(AnswerError, match="price is 'cheap'") as raised:
        extract().parse(request, response)
    again = extract().reask(request, response, raised.value)
    assert "price is 'cheap'" in again.messages[-1].content
    assert again.key != request.key
    assert extract().default(request) is None
    assert raised.value.valid_part == {"product": "lamp", "price": None, "tone": "calm"}


@pytest.mark.checklist("T14")
def test_records_that_can_be_read_are_kept() -> None:
    """Of several records too, wherever the list of them stands."""
    task = extract(many=True)
    answer = (
        '{"Records": [{"product": "a", "price": "cheap"}, {"colour": "red"}, {"product": "b", "price": 1}]}'
    )
    with pytest.raises(AnswerError, match=r"records\[0\]\.price is 'cheap'.*records\[1\]") as raised:
        task.parse(ask(task), Response(text=answer))
    (kept,) = raised.value.valid_part.values()
    assert [(one["product"], one["price"]) for one in kept] == [("a", None), ("b", 1.0)]
    for text in ('{"data": [{"product": "a"}]}', '{"product": "a"}', '[{"Product": "a"}]'):
        ((one,),) = task.parse(ask(task), Response(text=text)).values.values()
        assert one["product"] == "a"
    with pytest.raises(AnswerError, match="none of the keys"):
        task.parse(ask(task), Response(text='{"records": [{"colour": "red"}]}'))


@pytest.mark.checklist("T14")
def test_the_object_that_has_the_fields_counts() -> None:
    """Not the last one in the answer, whatever it is."""
    text = 'Found: {"product": "lamp", "price": 5, "tone": null}. About me: {"confidence": 0.9}'
    assert extract().parse(ask(extract()), Response(text=text)).values["product"] == "lamp"


def test_several_records_a_text() -> None:
    """A list under one key, empty where there is none; a bare list is understood."""
    task = extract(many=True, prefix="x_")
    request = ask(task)
    answer = '{"records": [{"product": "a", "price": 1, "tone": "calm"}, {"product": "b", "price": null, "tone": null}]}'
    (records,) = task.parse(request, Response(text=answer)).values.values()
    assert [record["product"] for record in records] == ["a", "b"]
    assert task.columns == ("x_records",)
    assert task.parse(request, Response(parsed=[])).values == {"x_records": []}
    with pytest.raises(AnswerError, match="no list"):
        task.parse(request, Response(text='{"found": 1}'))


class Part(BaseModel):
    name: str
    price: float | None = About(None, description="in euros", ge=0)


class Order(BaseModel):
    """An order."""

    number: int
    parts: list[Part] = []


@pytest.mark.checklist("G5")
def test_a_pydantic_model_stands_in_for_fields() -> None:
    """Its schema is asked for, its validation decides, its message is what the model hears."""
    task = Extract(model_fields(Order), "text", model=Order)
    request = ask(task)
    assert task.columns == ("number", "parts")
    assert "$defs" in request.response_format.schema
    parsed = task.parse(request, Response(text='{"number": 3, "parts": [{"name": "lamp", "price": 2}]}'))
    assert parsed.values == {"number": 3, "parts": [{"name": "lamp", "price": 2.0}]}
    with pytest.raises(AnswerError, match=r"parts\.0\.price.*greater than or equal to 0"):
        task.parse(request, Response(text='{"number": 3, "parts": [{"name": "lamp", "price": -2}]}'))


@pytest.mark.checklist("T14")
def test_what_a_model_refuses_is_null_and_the_rest_is_kept() -> None:
    """Its validation decides field by field; envelopes and keys are read as for fields of a body."""
    task = Extract(model_fields(Order), "text", model=Order)
    with pytest.raises(AnswerError, match=r"number is 'x'.*valid integer") as raised:
        task.parse(ask(task), Response(text='{"number": "x", "parts": [{"name": "lamp"}]}'))
    assert raised.value.valid_part == {"number": None, "parts": [{"name": "lamp", "price": None}]}
    parsed = task.parse(ask(task), Response(text='{"answer": {"Number": 3}}'))
    assert (parsed.values["number"], parsed.status) == (3, "repaired")
    with pytest.raises(AnswerError, match="none of the keys"):
        task.parse(ask(task), Response(text='{"cost": 3}'))


class Tone(Enum):
    """How it sounds."""

    calm = "calm"
    angry = "angry"


class Everything(BaseModel):
    """One of each."""

    when: dt.date | None
    at: dt.datetime
    tone: Tone | None = None
    size: Literal["small", "large"]
    tags: set[str] = set()
    price: Decimal
    either: int | str
    maker: Part | None = None
    called: str = About(alias="calledBy", description="who asks")


@pytest.mark.checklist("G5")
def test_a_model_tells_the_prompt_and_the_columns_its_types() -> None:
    """As fields of a body do: kinds, options, nulls, objects; dates stay dates, enums become their values."""
    fields = {field.name: field for field in model_fields(Everything)}
    kinds = {name: (field.kind, field.required) for name, field in fields.items()}
    assert kinds == {
        "when": ("date", False),
        "at": ("datetime", True),
        "tone": ("one of", False),
        "size": ("one of", True),
        "tags": ("list", False),
        "price": ("str", True),
        "either": ("str", True),
        "maker": ("object", False),
        "calledBy": ("str", True),
    }
    assert fields["tone"].options == ("calm", "angry") and fields["maker"].fields[1].kind == "float"
    prompt = ask(Extract(tuple(fields.values()), "text", model=Everything)).messages[0].content
    assert (
        "- tone (one of calm, angry, or null)" in prompt and "  - price (number, or null): in euros" in prompt
    )
    answer = {"when": "2024-05-01", "at": "2024-05-01T10:00:00", "tone": "calm", "size": "small"}
    found = checked(Everything, answer | {"price": "9.50", "either": 3, "tags": ["x"], "calledBy": "Ann"})
    assert found["when"] == dt.date(2024, 5, 1) and found["at"] == dt.datetime(2024, 5, 1, 10)
    assert (found["tone"], found["price"], found["tags"], found["called"]) == ("calm", "9.50", ["x"], "Ann")


@pytest.mark.checklist("T10")
def test_entities_have_exact_places_and_listed_kinds() -> None:
    """S15: a quote that isn't there is asked about, then left out; never a tag inside a word."""
    task = Entities(parse_fields("person: names\nplace"), "text")
    request = ask(task, "Annie met Ann in Rome")
    answer = '{"entities": [{"label": "PERSON", "text": "Ann"}, {"label": "place", "text": "Rome"}]}'
    parsed = task.parse(request, Response(text=answer))
    assert parsed.values["spans"] == [
        {"start": 10, "end": 13, "label": "person", "text": "Ann"},
        {"start": 17, "end": 21, "label": "place", "text": "Rome"},
    ]
    bad = Response(text='[{"label": "place", "text": "Paris"}, {"label": "person", "text": "Ann"}]')
    with pytest.raises(AnswerError, match="Paris") as raised:
        task.parse(request, bad)
    again = task.reask(request, bad, raised.value)
    second = task.parse(again, bad)
    assert second.status == "repaired"
    assert [span["text"] for span in second.values["spans"]] == ["Ann"]


def test_malformed_entities_are_one_rows_error() -> None:
    """S15: a bad answer is an AnswerError, whatever it is."""
    task = Entities(parse_fields("person\nplace"), "text")
    for text in (
        "",
        "no",
        "{",
        '{"entities": 3}',
        '{"entities": ["Ann"]}',
        '{"entities": [{"label": "person"}]}',
    ):
        with pytest.raises(AnswerError):
            task.parse(ask(task), Response(text=text))
