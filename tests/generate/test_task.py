"""The generate task."""

from __future__ import annotations

import pytest

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Response
from llm_magics.data.templates import compile_template
from llm_magics.engine.task import Target
from llm_magics.tasks.generate.task import Generate


def task(text: str = "Say {a} {b}", **more: object) -> Generate:
    return Generate(compile_template(text, ["a", "b"], {}), **more)  # type: ignore[arg-type]


@pytest.mark.checklist("G2", "R10")
def test_generations_differ_by_sample_and_seed() -> None:
    """Each has a key of its own; a seed moves on."""
    target = Target("openai", "m", parameters={"seed": 7})
    requests = [task().request({"a": 1, "b": 2}, target, n) for n in range(3)]
    assert len({r.key for r in requests}) == 3
    assert [r.parameters["seed"] for r in requests] == [7, 8, 9]


def test_a_row_with_nothing_in_it_is_skipped_one_with_something_is_not() -> None:
    """A null among values is the empty text."""
    assert task().request({"a": None, "b": " "}, Target("o", "m")) is None
    assert task().request({"a": None, "b": "x"}, Target("o", "m")).messages[-1].content == "Say  x"


def test_thinking_is_not_part_of_the_text_and_fences_are() -> None:
    """What the person asked for."""
    request = task().request({"a": 1, "b": 2}, Target("o", "m"))
    assert task().parse(request, Response("<think>hm</think>\n```py\n1\n```")).values == {
        "generation": "```py\n1\n```"
    }


def test_an_empty_answer_is_no_answer_and_not_paid_twice() -> None:
    """Failed, with the reason."""
    request = task().request({"a": 1, "b": 2}, Target("o", "m"))
    with pytest.raises(AnswerError, match="token limit"):
        task().parse(request, Response("", finish_reason="length"))
    assert task().reask(request, Response(""), AnswerError("x")) is None
