"""The label task: pure, row by row."""

from __future__ import annotations

import pytest

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Choice, OneOf, Response, Schema
from llm_magics.engine.task import Target
from llm_magics.tasks.label.task import NONE_MEANS, Label

TARGET = Target("openai", "m")
CHOICES = (Choice("a", "the first", ("like a",)), Choice("b", "", (), ("not b",)))


def task(**more: object) -> Label:
    return Label(CHOICES, "text", **more)  # type: ignore[arg-type]


def ask(made: Label, text: object = "hello"):
    return made.request({"text": text}, TARGET)


@pytest.mark.checklist("T1", "T3")
def test_a_request_names_every_label_with_its_description_and_examples() -> None:
    """Instructions first and the same for every row; the row's text last."""
    first, second = ask(task(), "one"), ask(task(), "two")
    assert first.messages[0] == second.messages[0]
    for part in ("- a: the first", "like a", "- b", "not b"):
        assert part in first.messages[0].content
    assert first.messages[-1].content.endswith("one")
    assert first.subject == "one"
    assert first.response_format.names == ("a", "b")
    assert first.key != second.key


@pytest.mark.parametrize("text", [None, float("nan"), "", "  \n"])
def test_a_blank_row_asks_nothing(text: object) -> None:
    """It is skipped, not sent."""
    assert ask(task(), text) is None


def test_a_native_answer_must_be_listed_too() -> None:
    """D11: banana is never accepted."""
    request = ask(task())
    assert task().parse(request, Response(parsed="a")).values["label"] == "a"
    with pytest.raises(AnswerError, match="none of the labels"):
        task().parse(request, Response(parsed="banana"))


@pytest.mark.checklist("T9", "X2")
def test_confidence_is_the_labels_probability() -> None:
    """And --scores gives one column a label."""
    made = task(scores=True)
    parsed = made.parse(ask(made), Response(parsed="b", scores={"a": 0.25, "b": 0.75}))
    assert parsed.values == {
        "label": "b",
        "label_confidence": 0.75,
        "label_score_a": 0.25,
        "label_score_b": 0.75,
    }
    assert tuple(parsed.values) == made.columns
    assert isinstance(made.format, OneOf)


@pytest.mark.checklist("T7")
def test_the_default_is_null_unless_asked_and_random_only_by_seed() -> None:
    """Nothing is invented; the same seed invents the same."""
    request = ask(task())
    assert task().default(request) is None
    assert task(default_label="b").default(request).values["label"] == "b"
    drawn = {task(default_label="random", seed=s).default(request).values["label"] for s in range(20)}
    assert drawn == {"a", "b"}
    again = [task(default_label="random", seed=3).default(request) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.checklist("T8")
def test_a_reask_says_what_was_wrong_and_is_another_request() -> None:
    """Its key differs, so the store stays true."""
    request = ask(task())
    error = AnswerError("the answer 'x' is none of the labels", answer="x")
    second = task().reask(request, Response("x"), error)
    assert second.key != request.key
    assert second.messages[-2].content == "x"
    assert "none of the labels" in second.messages[-1].content


def test_none_is_a_choice_of_its_own_and_stands_last() -> None:
    """--none other; or the one that is listed already, told what it means."""
    assert task(none="other").labels.names == ("a", "b", "other")
    assert task(none="a").labels.names == ("a", "b")
    first, second = task(none="a").all_choices
    assert first.description == f"the first; {NONE_MEANS}" and first.examples == ("like a",)
    assert second == CHOICES[1]
    assert task(none="b").all_choices[1].description == NONE_MEANS


@pytest.mark.checklist("T2")
def test_many_labels_are_a_list_or_one_column_each() -> None:
    """In the list's order, at most max_choices, no padding."""
    made = task(many=True, max_choices=1)
    assert made.parse(ask(made), Response('["b", "a"]')).values["label"] == ["a"]
    wide = task(many=True, wide=True, output="is_")
    assert wide.parse(ask(wide), Response(parsed=["b"])).values == {"is_a": False, "is_b": True}


@pytest.mark.checklist("T5")
def test_an_explanation_comes_before_the_label() -> None:
    """Both from one answer, the label still checked."""
    made = task(explain=True)
    assert isinstance(made.format, Schema)
    assert list(made.format.schema["properties"]) == ["explanation", "label"]
    parsed = made.parse(ask(made), Response('{"explanation": "because", "label": "A"}'))
    assert parsed.values["label"] == "a"
    assert parsed.values["label_explanation"] == "because"
    with pytest.raises(AnswerError):
        made.parse(ask(made), Response('{"explanation": "because", "label": "zzz"}'))


@pytest.mark.checklist("T5", "T6")
@pytest.mark.parametrize("many", [False, True])
def test_an_explanation_without_a_label_is_no_label_called_none(many: bool) -> None:
    """The reason alone: neither the label "none" nor "no label applies" was said."""
    made = Label((Choice("none"), Choice("some")), "text", many=many, explain=True)
    with pytest.raises(AnswerError):
        made.parse(ask(made), Response(text='{"explanation": "it is some kind of text"}'))
