"""The concept steps' questions and what becomes of their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Response
from llm_magics.engine.task import Target, Task
from llm_magics.tasks.concepts.steps.distill import DistillFilter, DistillSummarize
from llm_magics.tasks.concepts.steps.review import (
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ReviewSelect,
    listed,
)
from llm_magics.tasks.concepts.steps.score import LEVELS, Score, SummarizeConcept, level_of
from llm_magics.tasks.concepts.steps.synthesize import Synthesize

TARGET = Target("openai", "m")


def ask(task: Any, row: dict[str, str], answer: Any, again: bool = False) -> Any:
    """The values of an answer; ``again``: to the second try."""
    request = task.request(row, TARGET)
    response = Response(answer if isinstance(answer, str) else json.dumps(answer))
    if again:
        request = task.reask(request, Response("?"), AnswerError("bad"))
    return task.parse(request, response).values


@pytest.mark.checklist("N5")
@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("A", "A"), ("b", "B"), (" (C) ", "C"), ("D: rather no", "D"), ("E.", "E"), ("Agree", "B"),
        ("Strongly agree", "A"), ("strongly disagree!", "E"), ("neither agree nor disagree", "C"), ("yes", "A"),
        ("a great text", None), ("Absolutely", None), ("A or B", None), ("A/B", None), ("", None), (None, None),
        (1, None), (True, None), ("F", None), ("not applicable", None),
    ],
)  # fmt: skip
def test_a_level_is_read_by_whole_words(said: Any, level: str | None) -> None:
    """LLooM read the first character: "Agree" was A and "a" was E. Here what is unclear is no answer."""
    assert level_of(said) == level


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_levels(said: str) -> None:
    """Any text is a level or nothing."""
    assert level_of(said) in {None, *LEVELS}


@pytest.mark.checklist("N5")
def test_a_missing_criterion_is_asked_again_and_then_missing() -> None:
    """The first time an incomplete answer is refused; the second time what is usable counts."""
    task = Score(criteria=("Is it A?", "Is it B?"))
    half = {
        "results": [
            {"id": "2", "answer": "B", "rationale": "r", "quote": "the text"},
            {"id": "1", "answer": "?"},
        ]
    }
    with pytest.raises(AnswerError, match="criterion 1"):
        ask(task, {"text": "The text."}, half)
    assert ask(task, {"text": "The text."}, half, again=True) == {"marks": (None, (0.75, "r", "the text"))}
    with pytest.raises(AnswerError):
        ask(task, {"text": "The text."}, {"results": []}, again=True)


@pytest.mark.checklist("N10")
def test_the_document_comes_last_and_is_the_only_part_that_may_be_cut() -> None:
    """Instructions stand before the text; the request's subject is the text; braces in it stay."""
    text = 'About {criteria} and {"json": 1} ' * 50
    request = Score(criteria=("Is it {odd}?",)).request({"text": text}, TARGET)
    assert request is not None and request.subject == text
    prompt = request.messages[-1].content
    assert prompt.index("How far") < prompt.index(text) and "Is it {odd}?" in prompt


def test_quotes_have_to_stand_in_the_text() -> None:
    """White space, case and typographic quotes don't count; an invented quote is dropped, or asked again."""
    row = {"text": "It’s late.\nVery   late indeed."}
    assert ask(DistillFilter(), row, {"quotes": ["it's late.", "very late INDEED.", "made up"]}) == {
        "quotes": ("it's late.", "very late INDEED.")
    }
    with pytest.raises(AnswerError, match="stands in the text"):
        ask(DistillFilter(), row, {"quotes": ["made up"]})
    assert ask(DistillFilter(seed="x"), row, {"quotes": []}) == {"quotes": ()}


@pytest.mark.checklist("N2")
def test_the_seed_steers_every_step() -> None:
    """It stands in each prompt but the scores'."""
    row = {"text": "t", "points": "1: a", "concepts": "1: a: b"}
    for kind in (DistillFilter, DistillSummarize, Synthesize, ReviewRemove, ReviewSelect):
        request = kind(seed="late parcels").request(row, TARGET)
        assert request is not None and "late parcels" in request.messages[-1].content


@pytest.mark.checklist("N4")
def test_reviews_know_numbers_only_and_use_each_once() -> None:
    """Unknown numbers are dropped, a number in two groups counts in the first, names are never matched."""
    row = {"concepts": listed([("a", "A?"), ("b", "B?"), ("c", "C?")])}
    assert ask(ReviewRemove(), row, {"remove": [2, "9", "b"]}) == {"remove": ("2",)}
    groups = [
        {"ids": ["1", "2"], "name": "ab", "criterion": "?"},
        {"ids": ["2", "3"], "name": "bc", "criterion": "?"},
        {"ids": ["3"], "name": "c", "criterion": "?"},
    ]
    merged = ask(ReviewMerge(), row, {"merge": groups})["merge"]
    assert [group["ids"] for group in merged] == [("1", "2")]
    assert ask(ReviewSelect(most=2), row, {"keep": ["3", "1", "2"]}) == {"keep": ("3", "1")}
    with pytest.raises(AnswerError):
        ask(ReviewSelect(most=2), row, {"keep": ["x"]})
    same = {"same": [{"reference": "1", "concept": "3"}, {"reference": "2", "concept": "8"}]}
    assert ask(MatchConcepts(), {**row, "reference": "1: x"}, same) == {"same": {"1": "3"}}


def test_concepts_keep_only_examples_that_were_shown() -> None:
    """And one without a name or a criterion is none."""
    row = {"points": "1: a\n2: b"}
    good = {"name": " Late  parcels ", "criterion": "Is it late?", "examples": ["2", "7", 1]}
    found = ask(Synthesize(), row, {"concepts": [good, {"name": "x"}, 3]})["concepts"]
    assert found == ({"name": "Late parcels", "criterion": "Is it late?", "examples": ["2", "1"]},)
    with pytest.raises(AnswerError):
        ask(Synthesize(), row, {"concepts": [{"name": "x"}]})


@pytest.mark.parametrize(
    "answer", ["", "no json", "[1]", '{"other": 1}', '{"quotes": "x"}', "null", '{"quotes']
)
def test_an_unreadable_answer_is_an_error_with_a_second_try(answer: str) -> None:
    """Never a made-up value; the second request carries what was wrong."""
    task = DistillFilter()
    request = task.request({"text": "t"}, TARGET)
    assert request is not None
    with pytest.raises(AnswerError) as caught:
        task.parse(request, Response(answer))
    again = task.reask(request, Response(answer), caught.value)
    assert again is not None and caught.value.message in again.messages[-1].content
    assert task.default(request) is None


def test_fenced_and_native_answers_are_read() -> None:
    """A fence around the JSON, or a value that the backend served itself."""
    row = {"quotes": "q", "name": "n", "criterion": "c"}
    assert ask(SummarizeConcept(), row, 'Here:\n```json\n{"summary": "It  is\\nso."}\n```') == {
        "summary": "It is so."
    }
    task = SummarizeConcept()
    request = task.request(row, TARGET)
    assert request is not None
    assert task.parse(request, Response(parsed={"summary": "x"})).values == {"summary": "x"}
    assert isinstance(task, Task)
    assert task.request({**row, "quotes": " "}, TARGET) is None
