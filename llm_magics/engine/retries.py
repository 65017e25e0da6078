"""Sending requests to one backend: rate limits, deadlines, budget, and retries with backoff."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from llm_magics.backends.base import Backend
from llm_magics.backends.pricing import priced, split_usage
from llm_magics.core.errors import BadRequest, BudgetExceeded, LLMError, MalformedAnswer, RateLimited, Timeout
from llm_magics.core.limits import DEFAULT_LIMITS, LONGEST_PAUSE, Permit, RateLimiter, backoff_seconds
from llm_magics.core.types import NO_USAGE, Embedding, Limits, Request, Response, Usage, Vector
from llm_magics.data.templates import cell_text, has_unsendable
from llm_magics.engine.budget import Budget
from llm_magics.settings.quantities import format_duration

MAX_PAUSES = LONGEST_PAUSE
"""Seconds of backoff in all after which a request fails."""

EXTRA_RETRIES = 3
"""Retries beyond the default number for a row, where the backend has answered others."""

Outcome: TypeAlias = Response | Exception


class Reply(NamedTuple):
    """The outcome of a request, its number of attempts, and the usage beyond the outcome's own."""

    outcome: Outcome
    attempts: int
    usage: Usage = NO_USAGE


OnOutcomes: TypeAlias = Callable[[Sequence[Request], Sequence[Outcome]], None]
"""Called with each round of outcomes at once, before anything else happens to them."""


class Retrier:
    """Sends the requests of one run to one backend, and retries them."""

    def __init__(self, backend: Backend, limiter: RateLimiter, limits: Limits, budget: Budget) -> None:
        self.backend = backend
        self.limiter = limiter
        self.limits = limits
        self.budget = budget
        self.answered = 0
        self.closed: LLMError | None = None
        """The host's error that asks to wait longer than is waited for: nothing more is sent in this run."""
        # A second clock over the backend's own would cost each request a timer.
        timed = backend.keeps_time and limits.timeout == backend.limits.timeout
        self.deadline = None if timed else limits.timeout

    async def ask(self, requests: Sequence[Request], keep: OnOutcomes) -> list[Reply]:
        """A response or the last error for each request, in order; ``keep`` gets each round of outcomes."""
        if self.closed is not None:
            return [Reply(self.closed, 0) for _ in requests]
        outcomes = await self._once(requests, keep)
        if len(requests) > 1 and _refused_whole(outcomes):
            middle = len(requests) // 2
            return await self.ask(requests[:middle], keep) + await self.ask(requests[middle:], keep)
        replies = [Reply(outcome, 1) for outcome in outcomes]
        left = [i for i, outcome in enumerate(outcomes) if is_retryable(outcome)]
        if left:
            await self._again(requests, replies, left, keep)
        return replies

    async def _again(
        self, requests: Sequence[Request], replies: list[Reply], left: list[int], keep: OnOutcomes
    ) -> None:
        """Retry the requests with retryable errors, as long as the policy allows."""
        patience = RetryPolicy(self.limits.retries)
        while left:
            pause = patience.pause([replies[i].outcome for i in left], alive=self.answered > 0)
            if pause is None:
                for i in left:
                    told = self._told_wait(replies[i].outcome, patience.waited)
                    replies[i] = replies[i]._replace(outcome=told)
                return
            await asyncio.sleep(pause)
            outcomes = await self._once([requests[i] for i in left], keep)
            for i, outcome in zip(left, outcomes, strict=True):
                replies[i] = Reply(outcome, replies[i].attempts + 1)
            left = [i for i in left if is_retryable(replies[i].outcome)]

    def _told_wait(self, outcome: Outcome, waited: float) -> Outcome:
        """The error with the wait that the host asks for, where that is why the request is given up."""
        wait = _retry_after(outcome)
        if not isinstance(outcome, LLMError) or not wait or waited <= MAX_PAUSES or outcome is self.closed:
            return outcome
        told = copy.copy(outcome)
        told.__cause__ = outcome.__cause__
        most = format_duration(MAX_PAUSES)
        told.message = (
            f"{outcome.message} The host asks to wait {format_duration(wait)}; {most} are waited for."
        )
        told.args = (told.message,)
        told.hint = "Run the cell again then: only what is missing is sent."
        if wait > MAX_PAUSES and isinstance(outcome, RateLimited):
            self.closed = told
        return told

    async def _once(self, requests: Sequence[Request], keep: OnOutcomes) -> Sequence[Outcome]:
        """Send once, within rate limits and deadline; an error of the whole call counts for each request."""
        try:
            reserved = await self.budget.reserve(requests)
        except BudgetExceeded as error:
            return [error] * len(requests)
        try:
            weight = sum(map(self.budget.expects.likely, requests)) if self.limiter.counts_tokens else 0.0
            permit = await self.limiter.acquire(weight)
            used = None
            try:
                # A request that waited for its permit may find the host closed.
                shut = self.closed
                outcomes: list[Outcome] = [shut for _ in requests] if shut else await self._send(requests)
                used = self._spend(requests, outcomes)
                self._steer(permit, outcomes)
            finally:
                self.limiter.release(permit, used)
        finally:
            self.budget.settle(reserved)
        keep(requests, outcomes)
        return outcomes

    async def _send(self, requests: Sequence[Request]) -> list[Outcome]:
        try:
            async with asyncio.timeout(self.deadline):
                return [_storable(outcome) for outcome in await self._call(requests)]
        except TimeoutError as error:
            late = Timeout(f"no answer from {self.backend.name} within {self.limits.timeout:g} s.")
            late.__cause__ = error
            return [late] * len(requests)
        except Exception as error:  # noqa: BLE001 - a fault in a backend is its rows' fault, never the run's
            return [error] * len(requests)

    async def _call(self, requests: Sequence[Request]) -> list[Outcome]:
        """Call the backend; this is the only place that does."""
        if isinstance(requests[0].response_format, Vector):
            return embedding_responses(await self.backend.embed([r.subject for r in requests]), requests)
        if len(requests) == 1:
            return [await self.backend.complete(requests[0])]
        outcomes: list[Outcome] = list(await self.backend.complete_many(requests))
        if len(outcomes) != len(requests):
            raise MalformedAnswer(
                f"{self.backend.name} gave {len(outcomes)} answers to {len(requests)} requests."
            )
        return outcomes

    def _spend(self, requests: Sequence[Request], outcomes: list[Outcome]) -> float | None:
        """Price the responses and count them; returns their tokens, None without a response."""
        used = None
        for i, outcome in enumerate(outcomes):
            if not isinstance(outcome, Response):
                continue
            self.answered += 1
            usage = outcome.usage
            if usage is NO_USAGE:
                used = used or 0
                continue
            if usage.cost is None and self.budget.price is not None:
                usage = priced(usage, self.budget.price)
                outcomes[i] = dataclasses.replace(outcome, usage=usage)
            self.budget.spend(requests[i], usage)
            used = (used or 0) + usage.input_tokens + usage.output_tokens
        return used

    def _steer(self, permit: Permit, outcomes: Sequence[Outcome]) -> None:
        """Report the outcome to the limiter."""
        facts = self.backend.observe()
        if facts:
            self.limiter.observe(facts)
        self.limiter.record_outcome(
            permit, next((outcome for outcome in outcomes if is_retryable(outcome)), None)
        )


class RetryPolicy:
    """How long a request is retried, and with which pauses.

    A backend that has answered other requests is alive, and its errors are chance: then a row gets
    ``EXTRA_RETRIES`` more than the default number, so that no row of thousands is lost to a series of
    errors. A number that the user set is kept to.
    """

    def __init__(self, retries: int) -> None:
        self.retries = retries
        self.tries = self.faults = 0
        self.last = self.waited = 0.0

    def pause(self, faults: Sequence[Outcome], *, alive: bool) -> float | None:
        """Seconds to wait before the next attempt, None to give up."""
        free = all(isinstance(fault, RateLimited) for fault in faults)
        asked = max(map(_retry_after, faults))
        # Never sooner than last time: jitter alone may draw a short wait after a long one.
        drawn = backoff_seconds(min(self.tries, DEFAULT_LIMITS.retries) if alive else self.tries)
        self.last = asked or max(drawn, 1.2 * self.last, 0.05)
        self.tries += 1
        self.faults += not free
        self.waited += self.last
        more = EXTRA_RETRIES if alive and self.retries == DEFAULT_LIMITS.retries else 0
        if self.faults > self.retries + more or self.waited > MAX_PAUSES:
            return None
        # A Retry-After that came with a 429 holds everybody back at the limiter, this row with the rest.
        return 0.0 if free and asked else self.last


def _storable(outcome: Outcome) -> Outcome:
    """A response without NUL and unpaired surrogates in its text, which no store and no frame takes."""
    if isinstance(outcome, Response) and has_unsendable(outcome.text):
        return dataclasses.replace(outcome, text=cell_text(outcome.text))
    return outcome


def is_retryable(outcome: Outcome) -> bool:
    """Whether an outcome is an error that may pass."""
    return not isinstance(outcome, Response) and isinstance(outcome, LLMError) and outcome.retryable


def embedding_responses(embedding: Embedding, requests: Sequence[Request]) -> list[Outcome]:
    """One response a text; the usage of the call is split by text length and adds up exactly."""
    if len(embedding.vectors) != len(requests):
        raise MalformedAnswer(f"{len(embedding.vectors)} vectors came for {len(requests)} texts.")
    shares = split_usage(embedding.usage, [len(request.subject) for request in requests])
    return [
        Response(vector=vector, usage=usage, model=embedding.model, notes=embedding.notes)
        for vector, usage in zip(embedding.vectors, shares, strict=True)
    ]


def _refused_whole(outcomes: Sequence[Outcome]) -> bool:
    """Whether a batch was refused as a whole, perhaps because of one row in it."""
    return isinstance(outcomes[0], BadRequest) and all(outcome is outcomes[0] for outcome in outcomes)


def _retry_after(fault: object) -> float:
    return float(getattr(fault, "retry_after", None) or 0.0)
