"""Several rows in one request (``--rows-per-request``): asked as one, kept apart, the rest asked alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from llm_magics.backends.pricing import total_usage as summed
from llm_magics.core.errors import BadRequest
from llm_magics.core.types import NO_USAGE, Message, Request, Response, Usage
from llm_magics.engine.batched_requests import Bundle, bundled
from llm_magics.engine.retries import Attempts, Keep, Outcome, Reply, share

USELESS = 3
"""So many first answers without one row in them, and rows are asked alone from there on."""

LEFT_OUT = (
    "some rows were missing in an answer to several, and were asked alone (attempts in llm.last.outputs)"
)
GIVEN_UP = "the model doesn't answer several rows by their ids; they were asked alone"


class Together(Attempts):
    """Asks for several rows at once; what comes back for a row is that row's, or the row is asked alone.

    Each answer is kept under its own row's key. What the shared request took is shared out over its rows
    by length, those that it left out included, and adds up exactly.
    """

    useless = 0
    useful = False

    async def ask(self, requests: Sequence[Request], keep: Keep) -> list[Reply]:
        """An answer or the last fault for each request, in order."""
        if not self.useful and self.useless >= USELESS:
            return await self._apart(requests, keep, GIVEN_UP)
        kinds = _alike(requests)
        asking = (self._one_kind([requests[i] for i in places], keep) for places in kinds)
        replies = [reply for part in await asyncio.gather(*asking) for reply in part]
        order = [i for places in kinds for i in places]
        return [reply for _, reply in sorted(zip(order, replies, strict=True), key=lambda pair: pair[0])]

    async def _one_kind(self, requests: Sequence[Request], keep: Keep) -> list[Reply]:
        """Requests that may share one; asked in halves where that is refused, alone where it is but one."""
        bundle = bundled(requests)
        if bundle is None:
            return await self._apart(requests, keep)
        (reply,) = await super().ask([bundle.request], _nowhere)
        if isinstance(reply.outcome, BadRequest):  # too long, or refused for the sake of one row
            middle = len(requests) // 2
            first = await self._one_kind(requests[:middle], keep)
            return first + await self._one_kind(requests[middle:], keep)
        if not isinstance(reply.outcome, Response):
            return [Reply(reply.outcome, reply.attempts) for _ in requests]
        return await self._shared_out(bundle, reply.outcome, reply.attempts, keep)

    async def _shared_out(self, bundle: Bundle, response: Response, attempts: int, keep: Keep) -> list[Reply]:
        """Each row's own answer; the rows without one are asked alone."""
        requests = bundle.requests
        answers = bundle.read(response)
        self.useful = self.useful or any(answers)
        self.useless += not any(answers)
        shares = share(response.usage, [len(request.messages[-1].content) for request in requests])
        own = {
            i: dataclasses.replace(answer, usage=used)
            for i, (answer, used) in enumerate(zip(answers, shares, strict=True))
            if answer is not None
        }
        keep([requests[i] for i in own], list(own.values()))
        left = [i for i in range(len(requests)) if i not in own]
        alone = await self._apart([requests[i] for i in left], keep, LEFT_OUT)
        missed = {
            i: Reply(reply.outcome, attempts + reply.attempts, _sum(shares[i], reply.usage))
            for i, reply in zip(left, alone, strict=True)
        }
        return [missed[i] if i in missed else Reply(own[i], attempts) for i in range(len(requests))]

    async def _apart(self, requests: Sequence[Request], keep: Keep, note: str = "") -> list[Reply]:
        """Each request alone, side by side; ``note`` is said with their answers."""
        found = await asyncio.gather(*(self._alone(request, keep) for request in requests))
        return [reply._replace(outcome=_noted(reply.outcome, note)) for reply in found]

    async def _alone(self, request: Request, keep: Keep) -> Reply:
        (reply,) = await super().ask([request], keep)
        return reply


def _nowhere(requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """The answer to several is kept once it is taken apart."""


def _alike(requests: Sequence[Request]) -> list[list[int]]:
    """Places of the requests that have all but their last message in common."""
    kinds: dict[tuple[Message, ...], list[int]] = {}
    for place, request in enumerate(requests):
        kinds.setdefault(request.messages[:-1], []).append(place)
    return list(kinds.values())


def _noted(outcome: Outcome, note: str) -> Outcome:
    if not note or not isinstance(outcome, Response):
        return outcome
    return dataclasses.replace(outcome, notes=(*outcome.notes, note))


def _sum(one: Usage, other: Usage) -> Usage:
    return one if other is NO_USAGE else summed((one, other))
