"""Rows drawn as workers ask for them: made into requests, looked up, equal ones joined."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from llm_magics.core.types import Request, Response, Result
from llm_magics.engine.task import Row, Target, Task
from llm_magics.store.responses import ResponseStore

CHUNK = 256
"""Rows drawn and looked up at a time; what stands ready is never more."""


class WorkItem(NamedTuple):
    """One row to ask about: its place in the results, its values, which generation of it."""

    index: int  # type: ignore[assignment] # hides tuple.index, which nobody calls on an Ask
    row: Row
    sample: int = 0


class PendingRequest:
    """A request to be answered, and the rows that wait for the same answer."""

    __slots__ = ("followers", "index", "request", "stored")

    def __init__(self, index: int, request: Request) -> None:
        self.index = index
        self.request = request
        self.stored: Response | None = None
        self.followers: list[int] = []


@dataclass(frozen=True)
class RequestSource:
    """How rows become requests. ``keyed`` False skips keys, and with them store and duplicates.

    ``outgrown`` says of a stored answer that it must be asked for again.
    """

    task: Task
    target: Target
    store: ResponseStore | None = None
    newer_than: float | None = None
    keyed: bool = True
    chunk: int = CHUNK
    outgrown: Callable[[Response], bool] = lambda _: False


class RequestQueue:
    """The rows of a run, drawn lazily; ``deliver`` gets those with nothing to ask."""

    def __init__(
        self, work_items: Iterable[WorkItem], draw: RequestSource, deliver: Callable[[Result], None]
    ) -> None:
        self.draw = draw
        self.exhausted = False
        self._asks = iter(work_items)
        self._deliver = deliver
        self._ready: deque[PendingRequest] = deque()
        self._open: dict[str, PendingRequest] = {}
        self._asking = 0

    async def take(self, n: int) -> list[PendingRequest]:
        """Up to ``n`` requests to send, with any stored ones before them; empty when all are out."""
        ready = self._ready
        # A batch is made full; what stands ready stays bounded where nearly all of it is stored.
        while not self.exhausted and self._asking < n and len(ready) < self.draw.chunk:
            self._draw_more()
            await asyncio.sleep(0)
        taken: list[PendingRequest] = []
        while ready and (n or ready[0].stored):
            pending = ready.popleft()
            n -= pending.stored is None
            taken.append(pending)
        self._asking -= sum(pending.stored is None for pending in taken)
        return taken

    def done(self, pending: PendingRequest) -> None:
        """Its answer is out: an equal row from now on is looked up again."""
        if self.draw.keyed:
            self._open.pop(pending.request.key, None)

    def _draw_more(self) -> None:
        """Make the next rows into requests."""
        make, target = self.draw.task.request, self.draw.target
        drawn = list(islice(self._asks, self.draw.chunk))
        fresh: list[PendingRequest] = []
        for index, row, sample in drawn:
            request = make(row, target, sample)
            if request is None:
                self._deliver(Result(index, "skipped"))
            elif not self._joins(request, index):
                fresh.append(self._new(index, request))
        self.exhausted = len(drawn) < self.draw.chunk
        self._look_up(fresh)
        self._ready.extend(fresh)
        self._asking += sum(pending.stored is None for pending in fresh)

    def _joins(self, request: Request, index: int) -> bool:
        """Whether an equal request is already under way, and now answers this row too."""
        leader = self._open.get(request.key) if self.draw.keyed else None
        if leader is None:
            return False
        leader.followers.append(index)
        return True

    def _new(self, index: int, request: Request) -> PendingRequest:
        pending = PendingRequest(index, request)
        if self.draw.keyed:
            self._open[request.key] = pending
        return pending

    def _look_up(self, fresh: list[PendingRequest]) -> None:
        if self.draw.store is None or not fresh:
            return
        found = self.draw.store.get_many([each.request.key for each in fresh], self.draw.newer_than)
        for pending in fresh if found else ():
            stored = found.get(pending.request.key)
            if stored is not None and not self.draw.outgrown(stored):
                pending.stored = stored
