"""Rows become requests: rows are read lazily, equal requests are sent once, stored ones not at all."""

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
"""Rows that are read and looked up at a time, and the most that are held ready."""


class WorkItem(NamedTuple):
    """One row and generation of a run: its index in the results, its values, its sample number."""

    index: int  # type: ignore[assignment] # hides tuple.index, which nobody calls on an Ask
    row: Row
    sample: int = 0


class PendingRequest:
    """A request that needs an answer, and the rows that wait for the same answer."""

    __slots__ = ("followers", "index", "request", "stored")

    def __init__(self, index: int, request: Request) -> None:
        self.index = index
        self.request = request
        self.stored: Response | None = None
        self.followers: list[int] = []


@dataclass(frozen=True)
class RequestSource:
    """How rows become requests.

    Without ``keyed`` no key is computed, and nothing is looked up or deduplicated. ``outgrown`` tells of
    a stored response whether it has to be asked for again.
    """

    task: Task
    target: Target
    store: ResponseStore | None = None
    newer_than: float | None = None
    keyed: bool = True
    chunk: int = CHUNK
    outgrown: Callable[[Response], bool] = lambda _: False


class RequestQueue:
    """The requests of a run, made lazily; ``deliver`` gets the results of rows that need no request."""

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
        """Up to ``n`` requests to send, and the stored ones in between; empty when there are no more."""
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
        """Forget a request that was answered: an equal row from now on is looked up in the store."""
        if self.draw.keyed:
            self._open.pop(pending.request.key, None)

    def _draw_more(self) -> None:
        """Read the next rows and make their requests."""
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
        """Whether an equal request is in flight; its answer will serve this row too."""
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
