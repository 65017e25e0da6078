"""The budget: what a request will take is guessed on the high side, and money in flight counts."""

from __future__ import annotations

import asyncio

import pytest

from llm_magics.core.errors import BudgetExceeded
from llm_magics.core.types import Message, Price, Request, Usage
from llm_magics.engine.budget import GUESS, Budget, TokenEstimator, input_tokens
from llm_magics.testing import clock

DOLLAR_A_TOKEN = Price(1e6, 1e6)


def ask(text: str = "one two three four", **more) -> Request:
    return Request("openai", "m", (Message("user", text),), **more)


def test_a_prompt_weighs_its_messages_or_its_subject():
    """A few tokens a message beside its words; what has no message is embedded."""
    one = input_tokens(ask("hello"))
    assert input_tokens(Request("openai", "m", (Message("user", "hello"),) * 3)) == 3 * one
    assert input_tokens(Request("openai", "m", (), subject="hello")) == one - 4


def test_before_any_answer_the_output_is_the_named_maximum_or_a_guess():
    """Whatever the parameter is called, and times the rows that share a request."""
    expects = TokenEstimator()
    assert expects.tokens(ask())[1] == GUESS
    assert expects.tokens(ask(rows_per_request=3))[1] == 3 * GUESS
    assert expects.tokens(ask(parameters={"max_new_tokens": 7}))[1] == 7
    assert expects.tokens(ask(parameters={"max_tokens": 9}))[1] == 9


def test_answers_teach_how_long_they_get_and_how_far_the_prompts_guess_was_off():
    """The longest answer and the worst guess count; an estimated usage teaches nothing about prompts."""
    expects, guess = TokenEstimator(), input_tokens(ask())
    for output in (10, 40, 10):
        expects.learn(Usage(0, output))
    assert expects.tokens(ask()) == (guess, 40)
    expects.compare(ask(), Usage(5 * guess, 1, estimated=True))
    expects.compare(ask(), Usage(0, 1))
    assert expects.tokens(ask())[0] == guess
    expects.compare(ask(), Usage(3 * guess, 1))
    expects.compare(ask(), Usage(guess, 1))
    assert expects.tokens(ask())[0] == 3 * guess


def test_what_a_request_most_likely_takes_is_its_length_and_the_mean_answer():
    """For tokens a minute: a quarter of the characters, four a message, and what answers took so far."""
    expects = TokenEstimator()
    assert expects.likely(ask("x" * 400)) == 100 + 4 + GUESS
    assert expects.likely(ask("x" * 400, parameters={"max_new_tokens": 10})) == 100 + 4 + 10
    assert expects.likely(ask("x" * 400, parameters={"max_new_tokens": 4000})) == 100 + 4 + GUESS
    assert expects.likely(Request("openai", "m", (), subject="x" * 400)) == 100 + GUESS
    for output in (10, 40, 10):
        expects.learn(Usage(5, output))
    assert expects.likely(ask("x" * 400)) == pytest.approx(100 + 4 + 20)


@pytest.mark.checklist("K4")
def test_money_in_flight_is_reserved_and_what_is_freed_goes_to_who_waits():
    """Two of three fit; the third waits, and goes when an answer was cheaper than feared."""
    request = ask(parameters={"max_new_tokens": 10})
    each = input_tokens(request) + 10.0

    async def three() -> list[str]:
        budget, order = Budget(2.5 * each, DOLLAR_A_TOKEN), []
        first, second = await budget.reserve([request]), await budget.reserve([request])
        assert (first, second) == (each, each)

        async def wait() -> None:
            await budget.reserve([request])
            order.append("third")

        third = asyncio.create_task(wait())
        await asyncio.sleep(1)
        order.append("answer")
        budget.spend(request, Usage(5, 10, cost=0.25 * each))
        budget.settle(first)
        await asyncio.wait_for(third, 1)
        assert budget.spent == 0.25 * each
        return order

    assert clock.run(three()) == ["answer", "third"]


@pytest.mark.checklist("K4")
def test_nothing_is_sent_that_could_pass_the_limit_and_the_refusal_stands():
    """With nothing in flight there is nothing to wait for: everybody hears the same refusal."""
    request = ask(parameters={"max_new_tokens": 10})
    each = input_tokens(request) + 10.0

    async def last() -> None:
        budget = Budget(1.5 * each, DOLLAR_A_TOKEN)
        budget.spend(request, Usage(5, 10, cost=each))
        for _ in range(2):
            with pytest.raises(BudgetExceeded, match="would be passed") as caught:
                await budget.reserve([request])
        assert caught.value is budget.stopped
        assert "raise --max-cost" in caught.value.hint

    clock.run(last())


def test_exactly_the_limit_may_be_spent():
    """A limit is what may be spent, to the cent."""
    request = ask(parameters={"max_new_tokens": 10})

    async def all_of_it() -> float:
        return await Budget(2 * (input_tokens(request) + 10.0), DOLLAR_A_TOKEN).reserve([request, request])

    assert clock.run(all_of_it()) == 2 * (input_tokens(request) + 10.0)


def test_without_a_limit_nothing_is_counted():
    """And where the price is not known, nothing can be."""

    async def free() -> tuple[float, float]:
        unlimited, unpriced = Budget(None, DOLLAR_A_TOKEN), Budget(1.0, None)
        return await unlimited.reserve([ask()]), await unpriced.reserve([ask()])

    assert clock.run(free()) == (0.0, 0.0)
