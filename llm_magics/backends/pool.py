"""Several backends that share rows or generations (distilabel's LLMPool)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from llm_magics.backends.base import Backend, Secrets
from llm_magics.backends.members import addressed, member, patience
from llm_magics.errors import LLMError, RateLimited, Timeout, Unsupported, UsageError
from llm_magics.limits import Limiter
from llm_magics.types import BackendSpec, Capabilities, Embedding, Price, Request, Response

PATIENCE = 3
"""Failures in a row after which a member is left alone for a while."""

REST = 30.0
"""Seconds a member that failed so often is left alone, unless it said how long."""


class PoolBackend(Backend):
    """Shares requests among members, the same way each time.

    The first generation of a prompt goes to the member that a hash of prompt and ``seed`` picks, the
    next generations to the members after it in turn: n generations are split evenly, and which member
    gets one more is chance with a seed. Where a member fails, the next one answers, and a note says so;
    a member that can't work at all (refused key, no such model) gets nothing more until ``close``.

    ``spec.options``: ``members`` (names, specs or backends, at least two), ``seed`` (0; a request's
    own ``seed`` comes first). Each member keeps its own limits and parameters. Embeddings are given
    only where all members serve the same model: vectors of different models can't be compared.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        given = spec.options.get("members", ())
        if isinstance(given, str) or len(given) < 2:
            raise UsageError(
                f"{self.name} needs at least two members.", hint="%llm_config add NAME --pool ONE,OTHER"
            )
        self.members = [_Member(member(value, secrets)) for value in given]
        self.seed = int(spec.options.get("seed", 0))
        backends = [each.backend for each in self.members]
        self.base_url = "pool:" + ",".join(f"{b.namespace}::{b.model}@{b.base_url}" for b in backends)
        self.capabilities = _common([backend.capabilities for backend in backends])
        self.limits = patience(spec.limits, backends)
        self.price = spec.price or _dearest([backend.price for backend in backends])

    @property
    def announcement(self) -> str:
        """The members' own announcements."""
        said = dict.fromkeys(m.backend.announcement for m in self.members)
        return " ".join(filter(None, said))

    async def open(self) -> None:
        """Make every member ready; one that can't be is left out. Raises where none can."""
        faults = await asyncio.gather(*(each.open() for each in self.members))
        if all(faults):
            raise next(fault for fault in faults if fault)

    async def complete(self, request: Request) -> Response:
        """The answer of the member whose turn it is, or of the next one that can."""
        answer = (await self.complete_many([request]))[0]
        if isinstance(answer, LLMError):
            raise answer
        return answer

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Each request to its member, the members side by side."""
        turns = [_Turn(request, self.order(request)) for request in requests]
        open_ones = turns
        while open_ones := [turn for turn in open_ones if turn.advance()]:
            shares: dict[int, list[_Turn]] = {}
            for turn in open_ones:
                shares.setdefault(id(turn.member), []).append(turn)
            await asyncio.gather(*(_serve(share) for share in shares.values()))
        return [turn.outcome() for turn in turns]

    def order(self, request: Request) -> list[_Member]:
        """The members in this request's turn: who is asked first, who stands in."""
        seed = request.parameters.get("seed", self.seed)
        prompt = replace(request, sample=0).key
        start = int.from_bytes(hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[:8], "big")
        turn = (start + request.sample) % len(self.members)
        return [*self.members[turn:], *self.members[:turn]]

    def shares(self, requests: Sequence[Request]) -> Mapping[str, int]:
        """How many of ``requests`` would go to each member first, by name; nothing is sent."""
        counts = {each.backend.name: 0 for each in self.members}
        for request in requests:
            counts[self.order(request)[0].backend.name] += 1
        return counts

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors from the first member that can; all of them must serve one model."""
        if not self.capabilities.embed or len({m.backend.model for m in self.members}) > 1:
            raise Unsupported(f"the members of {self.name} make vectors that can't be compared.")
        failure: LLMError | None = None
        for each in sorted(self.members, key=lambda m: m.resting()):
            try:
                return await each.embed(texts)
            except LLMError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def close(self) -> None:
        """Close every member and forget who failed."""
        await asyncio.gather(*(each.backend.close() for each in self.members))
        self.members = [_Member(each.backend) for each in self.members]


@dataclass(eq=False)
class _Member:
    """A backend of the pool, how it is doing, and its own limits."""

    backend: Backend
    failures: int = 0
    rests_until: float = 0.0
    limiter: Limiter | None = None
    _limits: ExitStack = field(default_factory=ExitStack)

    def resting(self) -> bool:
        """True while it should not be asked."""
        return asyncio.get_running_loop().time() < self.rests_until

    async def open(self) -> LLMError | None:
        """Make it ready; what keeps it from that."""
        try:
            await self.backend.open()
        except LLMError as error:
            self._note(error)
            return error
        return None

    async def complete(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Its answers within its own limits; what it raises stands in each place."""
        addressed_ = [addressed(request, self.backend) for request in requests]
        if self.backend.capabilities.batch_size > 1 and len(requests) > 1:
            return await self._within(self.backend.complete_many, addressed_)
        answers = await asyncio.gather(*(self._within(self._single, [request]) for request in addressed_))
        return [answer for one in answers for answer in one]

    async def _single(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        return [await self.backend.complete(requests[0])]

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Its vectors within its own limits."""
        gate = self._gate()
        permit = await gate.acquire()
        try:
            return await self.backend.embed(texts)
        finally:
            gate.release(permit)

    async def _within(self, ask: Any, requests: Sequence[Request]) -> list[Response | LLMError]:
        gate = self._gate()
        permit = await gate.acquire()
        try:
            async with asyncio.timeout(self.backend.limits.timeout):
                answers: list[Response | LLMError] = await ask(requests)
        except TimeoutError:
            answers = [Timeout(f"{self.backend.name} gave no answer in time.")] * len(requests)
        except LLMError as error:
            answers = [error] * len(requests)
        finally:
            gate.release(permit)
        for answer in answers:
            self._note(answer)
        return answers

    def _gate(self) -> Limiter:
        if self.limiter is None:
            self.limiter = Limiter(self.backend.capabilities.max_concurrency)
            self._limits.enter_context(self.limiter.under(self.backend.limits))
        return self.limiter

    def _note(self, answer: Response | LLMError) -> None:
        """Remember how it went: a hopeless member rests for good, a shaky one for a while."""
        if not isinstance(answer, LLMError):
            self.failures, self.rests_until = 0, 0.0
            return
        if answer.fatal:
            self.rests_until = float("inf")
        elif answer.retryable:
            self.failures += 1
            asked = getattr(answer, "retry_after", None)
            if isinstance(answer, RateLimited) or self.failures >= PATIENCE:
                self.rests_until = asyncio.get_running_loop().time() + (asked or REST)


class _Turn:
    """One request on its way from member to member."""

    def __init__(self, request: Request, order: list[_Member]) -> None:
        self.request = request
        self.first = order[0]
        self.errors: list[LLMError] = []
        self.answer: Response | None = None
        self._next = _waking_first(order)
        self.member = order[0]

    def advance(self) -> bool:
        """Go to the next member; False where it is answered or no one is left."""
        if self.answer is not None:
            return False
        following = next(self._next, None)
        if following is None:
            return False
        self.member = following
        return True

    def take(self, answer: Response | LLMError) -> None:
        """What the member said."""
        if isinstance(answer, LLMError):
            self.errors.append(answer)
        else:
            self.answer = answer

    def outcome(self) -> Response | LLMError:
        """The answer with a note where another member gave it, else the fault worth retrying."""
        if self.answer is None:
            return next((error for error in self.errors if error.retryable), self.errors[0])
        model = self.answer.model or self.member.backend.model
        notes = self.answer.notes
        if self.member is not self.first:
            notes = (*notes, f"{self.first.backend.name} failed; {self.member.backend.name} took its share.")
        usage = self.answer.usage
        return replace(self.answer, model=model, notes=notes, usage=replace(usage, cost=_cost(self)))


def _cost(turn: _Turn) -> float | None:
    """What the answering member's own price makes of the tokens; None where it is unknown."""
    assert turn.answer is not None
    usage, price = turn.answer.usage, turn.member.backend.price
    if usage.cost is not None or price is None:
        return usage.cost
    return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1e6


def _waking_first(order: Sequence[_Member]) -> Iterator[_Member]:
    """Those awake in order, then those at rest; who is hopeless only where all are."""
    awake = [each for each in order if not each.resting()]
    yield from awake
    tired = [each for each in order if each not in awake]
    hopeful = [each for each in tired if each.rests_until != float("inf")]
    yield from hopeful
    if not awake and not hopeful:
        yield from tired


async def _serve(turns: Sequence[_Turn]) -> None:
    """Ask one member for all the turns that are with it."""
    answers = await turns[0].member.complete([turn.request for turn in turns])
    for turn, answer in zip(turns, answers, strict=True):
        turn.take(answer)


def _common(several: Sequence[Capabilities]) -> Capabilities:
    """What every member can."""
    windows = [each.context_window for each in several if each.context_window]
    known = [each.parameters for each in several if each.parameters is not None]
    return Capabilities(
        text=all(each.text for each in several),
        one_of=all(each.one_of for each in several),
        schema=all(each.schema for each in several),
        logprobs=all(each.logprobs for each in several),
        embed=all(each.embed for each in several),
        max_concurrency=sum(each.max_concurrency for each in several),
        batch_size=max(each.batch_size for each in several),
        embed_batch=min(each.embed_batch for each in several),
        context_window=min(windows, default=None),
        stored=any(each.stored for each in several),
        parameters=frozenset().union(*known) if len(known) == len(several) else None,
    )


def _dearest(prices: Sequence[Price | None]) -> Price | None:
    """The highest prices among the members, for an estimate; None where one is unknown."""
    known: list[Price] = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    return Price(max(p.input for p in known), max(p.output for p in known), source="the dearest member")
