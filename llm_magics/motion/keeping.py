"""Answers on their way to the disk: those that arrive in one turn of the loop share a commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from llm_magics.errors import StoreError
from llm_magics.store import Store
from llm_magics.types import Request, Response

LATE = 10_000
"""Answers that wait in memory for a store that can't be written."""

PAUSE = 5.0
"""Seconds before a store that failed is tried again: a lock or a full disk may pass."""


class Keeper:
    """Writes to a store; says once where that fails, lets the answers go on, and writes them later."""

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self._pairs: deque[tuple[Request, Response]] = deque(maxlen=LATE)
        self._waiting: list[asyncio.Future[None]] = []
        self._fault: StoreError | None = None
        self._said = False
        self._not_before = 0.0

    async def keep(self, pairs: Iterable[tuple[Request, Response]]) -> None:
        """On disk when this returns; written in any case, even where who waits is cancelled."""
        if self.store is None:
            return
        self._pairs.extend(pairs)
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            return
        if not self._waiting:
            loop.call_soon(self.write)
        written = loop.create_future()
        self._waiting.append(written)
        await written

    def write(self) -> None:
        """Commit what has come together, and what is late."""
        waiting, self._waiting = self._waiting, []
        try:
            if self.store is not None and self._pairs:
                self.store.put_many(self._pairs)
                self._pairs.clear()
        except StoreError as error:
            self._fault = error
            self._not_before = asyncio.get_running_loop().time() + PAUSE
        for written in waiting:
            if not written.done():
                written.set_result(None)

    def complaint(self) -> str:
        """What is wrong with the store, the first time that something is; else nothing."""
        if self._fault is None or self._said:
            return ""
        self._said = True
        return f"{self._fault.message} Answers that can't be written are in this run's frame only."
