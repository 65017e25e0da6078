"""The backend that shares rows or generations among several backends (distilabel's LLMPool)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llm_magics.backends.base import Secrets
from llm_magics.backends.namespaces import nested_backend
from llm_magics.backends.pool.member import Member, MembersBackend
from llm_magics.core.errors import LLMError, RateLimited, Unsupported, UsageError
from llm_magics.core.types import BackendSpec, Capabilities, Embedding, Limits, Price, Request, Response

WAIT = 24 * 3600.0
"""Seconds that a row may wait for a member; each member's own limits bound its calls."""


class PoolBackend(MembersBackend):
    """Shares requests among members, the same way each time.

    The first generation of a prompt goes to the member that a hash of prompt and ``seed`` picks, the
    next generations to the members after it in turn: n generations are split evenly, and which member
    gets one more is chance with a seed. Where a member fails, the next one answers, and a note says so;
    a member that can't work at all (refused key, no such model) gets nothing more until ``close``.

    ``spec.options``: ``members`` (names, specs or backends, at least two), ``seed`` (0; a request's
    own ``seed`` comes first). Each member keeps its own limits and parameters, and is asked under the
    one limiter that all cells ask it under: a 429 of one slows that one, and its share goes to the
    others meanwhile. Embeddings are given only where all members serve the same model: vectors of
    different models can't be compared.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        given = spec.options.get("members", ())
        if isinstance(given, str) or len(given) < 2:
            raise UsageError(
                f"{self.name} needs at least two members.", hint="%llm_config add NAME --pool ONE,OTHER"
            )
        own = spec.limits.timeout if spec.limits.timeout != Limits().timeout else None
        self.members = [Member(nested_backend(value, secrets), own) for value in given]
        self.seed = int(spec.options.get("seed", 0))
        backends = [each.backend for each in self.members]
        self.base_url = "pool:" + ",".join(f"{b.namespace}::{b.model}@{b.base_url}" for b in backends)
        self.capabilities = _common([backend.capabilities for backend in backends])
        self.limits = replace(spec.limits, timeout=WAIT)
        self.price = spec.price or _dearest([backend.price for backend in backends])

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Send each request to its member, the members side by side."""
        turns = [_Turn(request, self.order(request)) for request in requests]
        open_ones = turns
        while open_ones := [turn for turn in open_ones if turn.advance()]:
            shares: dict[int, list[_Turn]] = {}
            for turn in open_ones:
                shares.setdefault(id(turn.member), []).append(turn)
            await asyncio.gather(*(_serve(share) for share in shares.values()))
        return [turn.outcome() for turn in turns]

    def order(self, request: Request) -> list[Member]:
        """The members in the order for this request: the first one is asked, the others stand in."""
        seed = request.parameters.get("seed", self.seed)
        return self._from(f"{seed}:{replace(request, sample=0).key}", request.sample)

    def _from(self, what: str, turn: int = 0) -> list[Member]:
        """The members, beginning with the one that a hash picks, or so many after it."""
        start = int.from_bytes(hashlib.sha256(what.encode("utf-8", "replace")).digest()[:8], "big") + turn
        first = start % len(self.members)
        return [*self.members[first:], *self.members[:first]]

    def shares(self, requests: Sequence[Request]) -> Mapping[str, int]:
        """How many of ``requests`` would go to each member first, by name; nothing is sent."""
        counts = {each.backend.name: 0 for each in self.members}
        for request in requests:
            counts[self.order(request)[0].backend.name] += 1
        return counts

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors from the next member that can embed; all members must serve one model."""
        if not self.capabilities.embed or len({m.backend.model for m in self.members}) > 1:
            raise Unsupported(f"the members of {self.name} make vectors that can't be compared.")
        failure: LLMError | None = None
        for each in _waking_first(self._from("".join(texts[:1]))):
            try:
                return await each.embed(texts)
            except LLMError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def close(self) -> None:
        """Close every member and forget which ones failed."""
        await super().close()
        self.members = [Member(each.backend, each.timeout) for each in self.members]


class _Turn:
    """One request on its way from member to member."""

    def __init__(self, request: Request, order: list[Member]) -> None:
        self.request = request
        self.first = order[0]
        self.errors: list[LLMError] = []
        self.answer: Response | None = None
        self._next = _waking_first(order)
        self.member = order[0]

    def advance(self) -> bool:
        """Go to the next member; False where the request is answered or no member is left."""
        if self.answer is not None:
            return False
        following = next(self._next, None)
        if following is None:
            return False
        self.member = following
        return True

    def take(self, answer: Response | LLMError) -> None:
        """Take in the member's response."""
        if isinstance(answer, LLMError):
            self.errors.append(answer)
        else:
            self.answer = answer

    def outcome(self) -> Response | LLMError:
        """The response, with a note where another member gave it, else the most useful error."""
        if self.answer is None:
            return next((error for error in self.errors if error.retryable), self.errors[0])
        model = self.answer.model or self.member.backend.model
        notes = self.answer.notes
        if self.member is not self.first:
            notes = (*notes, f"{_told(self.first)}; {self.member.backend.name} took its share.")
        usage = self.answer.usage
        return replace(self.answer, model=model, notes=notes, usage=replace(usage, cost=_cost(self)))


def _cost(turn: _Turn) -> float | None:
    """The cost by the answering member's own price; None where that is unknown."""
    assert turn.answer is not None
    usage, price = turn.answer.usage, turn.member.backend.price
    if usage.cost is not None or price is None:
        return usage.cost
    return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1e6


def _told(failing: Member) -> str:
    """Why a member can't answer, in few words."""
    if failing.fault is None or isinstance(failing.fault, RateLimited):
        return f"{failing.backend.name} was slowed down by its host"
    return f"{failing.backend.name} failed ({type(failing.fault).__name__})"


def _waking_first(order: Sequence[Member]) -> Iterator[Member]:
    """The free members in order, then those that rest, soonest first; the broken ones only where all are."""
    free = [each for each in order if each.free]
    yield from free
    tired = sorted((each for each in order if each not in free), key=lambda each: each.rests_until)
    yield from (each for each in tired if not each.hopeless)
    if all(each.hopeless for each in order):
        yield from tired


async def _serve(turns: Sequence[_Turn]) -> None:
    """Send all requests that are with one member."""
    answers = await turns[0].member.complete([turn.request for turn in turns])
    for turn, answer in zip(turns, answers, strict=True):
        turn.take(answer)


def _common(several: Sequence[Capabilities]) -> Capabilities:
    """The capabilities that every member has."""
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
