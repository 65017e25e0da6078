"""Members of a pool or a committee: their health, and their calls under limiters that all callers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from llm_magics.backends.base import Backend, BatchBackend
from llm_magics.backends.error_mapping import from_exception
from llm_magics.backends.namespaces import addressed
from llm_magics.core import tokens
from llm_magics.core.errors import LLMError, Overloaded, RateLimited, Timeout
from llm_magics.core.limits import Permit, RateLimiter
from llm_magics.core.types import Embedding, Request, Response

MAX_FAILURES = 3
"""Failures in a row after which a member rests."""

REST = 30.0
"""Seconds that a member rests after so many failures, unless its host said how long."""


class MembersBackend(BatchBackend):
    """A backend made of other backends, its ``members``; a subclass sets them and asks them."""

    members: list[Member]

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The members' backends, in the members' order."""
        return tuple(each.backend for each in self.members)

    @property
    def announcement(self) -> str:
        """The members' own announcements."""
        return " ".join(filter(None, dict.fromkeys(each.announcement for each in self.backends)))

    def share(self, limiter: Callable[[Backend], RateLimiter]) -> None:
        """Call each member under the limiter that all its callers share."""
        for each in self.members:
            each.share(limiter)

    async def open(self) -> None:
        """Open every member; one that fails is left out. Raises where none can be opened."""
        faults = await asyncio.gather(*(each.open() for each in self.members))
        if all(faults):
            raise next(fault for fault in faults if fault)

    async def close(self) -> None:
        """Close every member."""
        await asyncio.gather(*(each.close() for each in self.backends))


class Member:
    """A backend of a pool, called under the limiter that all its callers share.

    ``fault`` is its last error, None once it has answered again. ``timeout`` is in seconds for one call,
    where the pool sets one.
    """

    def __init__(self, backend: Backend, timeout: float | None = None) -> None:
        self.backend = backend
        self.timeout = timeout
        self.fault: LLMError | None = None
        self.failures = 0
        self.rests_until = 0.0
        self.gate: RateLimiter | None = None
        self._asked = 0
        self._limits = ExitStack()
        self._waiting: set[asyncio.Future[Permit]] = set()

    @property
    def free(self) -> bool:
        """False while it rests, and while a host that refused has a full queue."""
        rested = asyncio.get_running_loop().time() >= self.rests_until
        return rested and not (self.gate is not None and self.gate.is_saturated)

    @property
    def hopeless(self) -> bool:
        """True where it can't work at all: a refused key, no such model."""
        return self.rests_until == float("inf")

    def share(self, limiter: Callable[[Backend], RateLimiter]) -> None:
        """Use the engine's limiter of this backend from now on."""
        self.gate = limiter(self.backend)
        self.backend.share(limiter)

    async def open(self) -> LLMError | None:
        """Open it; returns the error that prevents that."""
        try:
            await self.backend.open()
        except LLMError as error:
            self._note(error)
            return error
        return None

    async def complete(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Its responses; an error stands in each place."""
        mine = [addressed(request, self.backend) for request in requests]
        if self.backend.capabilities.batch_size > 1 and len(mine) > 1:
            outcome = await self._ask(_text(mine), partial(self.backend.complete_many, mine))
            return [outcome] * len(mine) if isinstance(outcome, LLMError) else outcome
        singles = (self._ask(_text([each]), partial(self.backend.complete, each)) for each in mine)
        return list(await asyncio.gather(*singles))

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Its vectors."""
        outcome = await self._ask("".join(texts), partial(self.backend.embed, texts))
        if isinstance(outcome, LLMError):
            raise outcome
        assert isinstance(outcome, Embedding)
        return outcome

    async def _ask(self, text: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The result or error of the call, within rate limits and deadline, reported to the limiter."""
        outcome: Any = None
        with self._held() as gate:
            permit = await self._turn(gate, text)
            if permit is None:
                return self.fault or Overloaded(f"{self.backend.name} has no time.")
            try:
                outcome = await self._timed(call)
                gate.observe(self.backend.observe())
                gate.record_outcome(permit, _fault(outcome))
            finally:
                gate.release(permit, _used(outcome))
        for each in _each(outcome):
            self._note(each)
        return outcome

    async def _turn(self, gate: RateLimiter, text: str) -> Permit | None:
        """A permit of the limiter; None for calls that still wait when the member begins to rest."""
        weight = tokens.count_tokens(text, self.backend.model) if gate.counts_tokens else 0.0
        turn = asyncio.ensure_future(gate.acquire(weight))
        self._waiting.add(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                gate.release(turn.result())
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return None
        finally:
            self._waiting.discard(turn)

    async def _timed(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self.timeout or self.backend.limits.timeout):
                return await call()
        except TimeoutError:
            return Timeout(f"{self.backend.name} gave no answer in time.")
        except Exception as error:  # noqa: BLE001 - one member's fault, whatever it is, is not the pool's
            return from_exception(error, who=self.backend.name, model=self.backend.model)

    @contextmanager
    def _held(self) -> Iterator[RateLimiter]:
        """The limiter, with this backend's limits in force while anything is sent."""
        self.gate = self.gate or RateLimiter(self.backend.capabilities.max_concurrency)
        if not self._asked:
            self._limits.enter_context(self.gate.applied(self.backend.limits))
        self._asked += 1
        try:
            yield self.gate
        finally:
            self._asked -= 1
            if not self._asked:
                self._limits.close()

    def _note(self, outcome: object) -> None:
        """Record an outcome: a broken member rests for good, a failing one for a while."""
        if not isinstance(outcome, LLMError):
            self.fault, self.failures, self.rests_until = None, 0, 0.0
            return
        self.fault = outcome
        if outcome.fatal:
            self._rest(float("inf"))
        elif outcome.retryable:
            self.failures += 1
            if isinstance(outcome, RateLimited) or self.failures >= MAX_FAILURES:
                self._rest(getattr(outcome, "retry_after", None) or min(REST, 2.0**self.failures))

    def _rest(self, seconds: float) -> None:
        """Take no requests for a while; those that wait go to the other members."""
        self.rests_until = asyncio.get_running_loop().time() + seconds
        for turn in self._waiting:
            turn.cancel()


def _each(outcome: Any) -> Sequence[Any]:
    return outcome if isinstance(outcome, list) else [outcome]


def _fault(outcome: Any) -> LLMError | None:
    """The first error that may pass."""
    return next((each for each in _each(outcome) if isinstance(each, LLMError) and each.retryable), None)


def _used(outcome: Any) -> float | None:
    """The tokens of the responses, None without one."""
    usages = [each.usage for each in _each(outcome) if isinstance(each, Response | Embedding)]
    return sum(usage.input_tokens + usage.output_tokens for usage in usages) if usages else None


def _text(requests: Sequence[Request]) -> str:
    return "".join(message.content for request in requests for message in request.messages)
