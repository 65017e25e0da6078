"""Ratings and comparisons."""

from __future__ import annotations

import pytest

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Response
from llm_magics.engine.task import Target
from llm_magics.tasks.judge.task import Compare, Rate, standing

TARGET = Target("openai", "m")


@pytest.mark.checklist("G8")
def test_a_rating_is_a_whole_number_on_the_scale() -> None:
    """Anything else is asked for again; a failed one is never a number."""
    task = Rate("text", "is it clear?", context="prompt")
    request = task.request({"text": "ok", "prompt": "why?"}, TARGET)
    assert "is it clear?" in request.messages[0].content and "why?" in request.messages[1].content
    parsed = task.parse(request, Response(text='{"reason": "short", "rating": "4"}'))
    assert parsed.values == {"rating": 4, "rating_reason": "short"}
    for text in (
        '{"answer": {"Rating": 4, "Reason": "short"}}',
        '[{"rating": 4, "reason": "short"}]',
        '{"rating": 4, "reason": "short"} {"confidence": 1}',
    ):
        assert task.parse(request, Response(text=text)).values == parsed.values
    for bad in (
        '{"rating": 6}',
        '{"score": 4}',
        '{"rating": 3.5}',
        '{"rating": true}',
        '{"rating": NaN}',
        '{"rating": Infinity}',
        "4",
        "",
    ):
        with pytest.raises(AnswerError):
            task.parse(request, Response(text=bad))


@pytest.mark.checklist("G8")
def test_each_pair_is_asked_both_ways_round() -> None:
    """Candidates are columns, or a list in one."""
    task = Compare(("a", "b", "c"))
    row = {"a": "AAA", "b": "BBB", "c": "CCC"}
    asked = [task.request(row, TARGET, sample).messages[-1].content for sample in range(6)]
    assert asked[0].index("AAA") < asked[0].index("BBB")
    assert asked[1].index("BBB") < asked[1].index("AAA")
    assert len(set(asked)) == 6
    listed = Compare(("texts",), most=3)
    assert listed.request({"texts": ["x", "y"]}, TARGET, 0) is not None
    assert listed.request({"texts": ["x", "y"]}, TARGET, 2) is None, "there is no third"
    assert task.parse(None, Response(text='{"reason": "", "better": "Second"}')).values == {"best": "second"}
    assert task.parse(None, Response(text="second")).values == {"best": "second"}
    for strange in ('{"better": "banana"}', "First, I look at how clear both are."):
        with pytest.raises(AnswerError):
            task.parse(None, Response(text=strange))


@pytest.mark.checklist("G8")
def test_a_pair_is_won_only_where_both_orders_agree() -> None:
    """A judge that always says first produces ties alone."""
    pairs = [(0, 1), (0, 2), (1, 2)]
    biased = standing(3, pairs, ["first", "first"] * 3)
    assert biased.best is None and biased.points == (1.0, 1.0, 1.0) and biased.agreed == 0
    clear = standing(3, pairs, ["second", "first", "second", "first", "first", "second"])
    assert clear.best == 1 and clear.order == (1, 2, 0) and clear.agreed == 1
    assert standing(3, pairs, [None] * 6) is None
    half = standing(2, [(0, 1)], ["first", None])
    assert half.best is None
