"""Attempts: what one backend answers, what that weighs, and how long it is worth going on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from llm_magics.backends.base import Backend
from llm_magics.core.errors import AuthError, Overloaded, RateLimited
from llm_magics.core.limits import RateLimiter
from llm_magics.core.types import BackendSpec, Limits, Message, Price, Request, Response, Usage
from llm_magics.engine.budget import Budget
from llm_magics.engine.retries import EXTRA_RETRIES, MAX_PAUSES, Retrier, RetryPolicy
from llm_magics.testing import clock

RETRIES = Limits().retries


class Host(Backend):
    """Says what it is given to say, one thing after another."""

    facts: Mapping[str, float] = {}

    def __init__(self, *said: Response | Exception) -> None:
        super().__init__(BackendSpec("host", "m"))
        self.said = list(said)

    async def complete(self, request: Request) -> Response:
        found = self.said.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def observe(self) -> Mapping[str, float]:
        return self.facts


def ask(text: str = "x" * 400) -> Request:
    return Request("host", "m", (Message("user", text),), parameters={"max_new_tokens": 100})


def attempts(host: Host, limiter: RateLimiter, budget: Budget | None = None) -> Retrier:
    return Retrier(host, limiter, host.limits, budget or Budget(None, None))


@pytest.mark.checklist("K5")
@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (Response("yes", usage=Usage(90, 10)), 100),
        (Response("yes"), 0),
        (AuthError("no"), 100 + 4 + 100),
    ],
)
def test_what_an_answer_took_is_settled_with_the_tokens_a_minute(said, taken):
    """The real tokens where there is an answer, nothing for one that cost none, the estimate for a fault."""

    async def one() -> float:
        limiter = RateLimiter()
        with limiter.applied(Limits(tpm=6000)):
            await attempts(Host(said), limiter).ask([ask()], lambda *_: None)
            assert limiter.in_flight == 0
            return limiter.tokens.level

    assert clock.run(one()) == pytest.approx(6000 - taken)


@pytest.mark.checklist("K6")
def test_what_a_host_tells_of_its_quota_reaches_the_limiter():
    """And a host that tells nothing changes nothing."""

    async def two() -> tuple[float | None, float | None, float]:
        limiter, host = RateLimiter(), Host(Response("a"), Response("b"))
        with limiter.applied(Limits()):
            asking = attempts(host, limiter)
            await asking.ask([ask()], lambda *_: None)
            before = limiter.requests.host_limit
            host.facts = {"limit_requests": 60.0, "remaining_requests": 12.0}
            await asking.ask([ask()], lambda *_: None)
            return before, limiter.requests.host_limit, limiter.requests.level

    assert clock.run(two()) == (None, 60.0, 11.0)


def test_an_answer_without_a_price_gets_the_backends_and_is_counted_once():
    """Also where it had to be asked for twice: a fault costs nothing."""

    async def one() -> tuple[object, float, int]:
        host = Host(Overloaded("full", status=503), Response("yes", usage=Usage(10, 5)))
        limiter, budget = RateLimiter(), Budget(5.0, Price(1e4, 1e4))
        with limiter.applied(Limits()):
            asking = attempts(host, limiter, budget)
            (reply,) = await asking.ask([ask()], lambda *_: None)
        assert (budget.reserved, budget.in_flight, asking.answered) == (0.0, 0, 1)
        return reply.outcome.usage.cost, budget.spent, reply.attempts

    assert clock.run(one()) == (pytest.approx(0.15), pytest.approx(0.15), 2)


@pytest.mark.parametrize(("alive", "tries"), [(False, RETRIES), (True, RETRIES + EXTRA_RETRIES)])
def test_faults_end_a_rows_tries_sooner_where_nobody_was_answered(alive, tries):
    """The number that the user named holds as it is."""
    patience = RetryPolicy(RETRIES)
    pauses = [patience.pause([Overloaded("full", status=503)], alive=alive) for _ in range(tries + 1)]
    assert None not in pauses[:-1]
    assert pauses[-1] is None
    named = RetryPolicy(1)
    assert named.pause([Overloaded("full")], alive=True) is not None
    assert named.pause([Overloaded("full")], alive=True) is None


def test_waiting_for_a_quota_costs_no_try_but_ends_too():
    """A 429 is waited out at the limiter, together with all others, until it has been a quarter of an hour."""
    patience = RetryPolicy(2)
    asked = [patience.pause([RateLimited("wait", retry_after=100.0)], alive=True) for _ in range(10)]
    assert asked == [0.0] * int(MAX_PAUSES / 100) + [None]


def test_a_wait_that_was_asked_for_is_kept_to_and_the_next_is_no_shorter():
    """Retry-After of a 503 is waited here; without one, no pause is shorter than the last."""
    patience = RetryPolicy(9)
    assert patience.pause([Overloaded("full", retry_after=7.0), Overloaded("full")], alive=True) == 7.0
    assert patience.pause([Overloaded("full")], alive=True) == pytest.approx(8.4)
    assert RetryPolicy(9).pause([RateLimited("wait")], alive=True) >= 0.05


def test_every_round_is_told_before_the_next_begins():
    """What was answered is kept while the rest is still being asked for."""
    rounds: list[list[str]] = []

    async def one() -> None:
        limiter, host = RateLimiter(), Host(Overloaded("full", status=503), Response("yes"))
        with limiter.applied(Limits()):
            await attempts(host, limiter).ask(
                [ask()], lambda _, outcomes: rounds.append([type(outcome).__name__ for outcome in outcomes])
            )

    clock.run(one())
    assert rounds == [["Overloaded"], ["Response"]]


def test_a_cancelled_request_leaves_nothing_behind():
    """Neither its turn nor the money set aside for it."""

    async def one() -> tuple[int, int, float]:
        class Slow(Host):
            async def complete(self, request: Request) -> Response:
                await asyncio.sleep(60)
                return Response("late")

        limiter, budget = RateLimiter(), Budget(1.0, Price(1, 1))
        with limiter.applied(Limits()):
            task = asyncio.create_task(attempts(Slow(), limiter, budget).ask([ask()], lambda *_: None))
            await asyncio.sleep(1)
            assert (limiter.in_flight, budget.in_flight) == (1, 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return limiter.in_flight, budget.in_flight, budget.reserved

    assert clock.run(one()) == (0, 0, 0.0)
