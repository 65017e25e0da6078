"""Answers on their way to the disk: those that arrive in one turn of the loop share a commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from llm_magics.core.errors import StoreError
from llm_magics.core.types import Request, Response
from llm_magics.store.responses import ResponseStore

MAX_WAITING = 10_000
"""Answers that wait in memory for a store that can't be written."""

RETRY_AFTER = 5.0
"""Seconds before a store that failed is tried again: a lock or a full disk may pass."""


class CommitQueue:
    """Writes to a store; says once where that fails, lets the answers go on, and writes them later."""

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
        """Write in this turn of the loop, with what else comes in it; nobody waits for the disk."""
        if self.store is None:
            return
        self._pairs.extend(pairs)
        loop = asyncio.get_running_loop()
        if not self._due and loop.time() >= self._not_before:
            self._due = True
            loop.call_soon(self.commit)

    def after_commit(self, what: Callable[[], None]) -> None:
        """Call once what has been kept so far is on disk: at once where it is.

        What one call raised, the next ``then`` or ``check`` raises.
        """
        self.raise_errors()
        if self._due:
            self._waiting.append(what)
        else:
            what()

    def commit(self) -> None:
        """Commit what has come together, and what is late."""
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
        """Raise what a call raised, if one did."""
        if self._broken is not None:
            raise self._broken

    def problem(self) -> str:
        """What is wrong with the store, the first time that something is; else nothing."""
        if self._fault is None or self._said:
            return ""
        self._said = True
        return f"{self._fault.message} Answers that can't be written are in this run's frame only."
