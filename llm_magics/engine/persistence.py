"""Committing responses to the store: those that arrive in one turn of the loop share a transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from llm_magics.core.errors import StoreError
from llm_magics.core.types import Request, Response
from llm_magics.store.responses import ResponseStore

MAX_WAITING = 10_000
"""Responses that wait in memory while the store can't be written."""

RETRY_AFTER = 5.0
"""Seconds before a store that failed is tried again: a lock or a full disk may pass."""


class CommitQueue:
    """Queues responses for the store.

    Where it fails, the run goes on and the responses are written later.
    """

    def __init__(self, store: ResponseStore | None) -> None:
        self.store = store
        self._pairs: deque[tuple[Request, Response]] = deque(maxlen=MAX_WAITING)
        self._waiting: list[Callable[[], None]] = []
        self._due = False
        self._broken: Exception | None = None
        self._fault: StoreError | None = None
        self._said = False
        self._not_before = 0.0

    def add(self, pairs: Iterable[tuple[Request, Response]]) -> None:
        """Queue responses for the commit of this turn of the loop; nobody waits for the disk."""
        if self.store is None:
            return
        self._pairs.extend(pairs)
        loop = asyncio.get_running_loop()
        if not self._due and loop.time() >= self._not_before:
            self._due = True
            loop.call_soon(self.commit)

    def after_commit(self, what: Callable[[], None]) -> None:
        """Call ``what`` once the queued responses are on disk: at once where nothing is queued.

        An exception of one call is raised by the next ``after_commit`` or ``raise_errors``.
        """
        self.raise_errors()
        if self._due:
            self._waiting.append(what)
        else:
            what()

    def commit(self) -> None:
        """Write everything that is queued."""
        self._due = False
        try:
            if self.store is not None and self._pairs:
                self.store.put_many(self._pairs)
                self._pairs.clear()
        except StoreError as error:
            self._fault = error
            self._not_before = asyncio.get_running_loop().time() + RETRY_AFTER
        waiting, self._waiting = self._waiting, []
        for what in waiting:
            try:
                what()
            except Exception as error:  # noqa: BLE001 - no caller to raise to: see ``then``
                self._broken = self._broken or error

    def raise_errors(self) -> None:
        """Raise the exception of an earlier call."""
        if self._broken is not None:
            raise self._broken

    def problem(self) -> str:
        """What is wrong with the store, told once; else an empty text."""
        if self._fault is None or self._said:
            return ""
        self._said = True
        return f"{self._fault.message} Answers that can't be written are in this run's frame only."
