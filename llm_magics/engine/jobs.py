"""Jobs: work on the loop thread, seen from other threads: wait for it, await it, cancel it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from llm_magics.core.errors import Interrupted

POLL = 0.1
"""Seconds between checks of running work: no platform reliably interrupts a wait by a signal."""


loop_thread = threading.local()
"""``loop_thread.here`` is True on a loop thread, where waiting would deadlock."""


class Tracked(Protocol):
    """What a job shows of its run."""

    @property
    def df(self) -> Any:
        """The frame so far."""

    @property
    def meter(self) -> Any:
        """The run's progress; ``line()`` is one line of text."""


class Job:
    """Work in the background. It always ends: with a result, an error, or cancelled.

    ``await job`` in a cell, or ``job.result()``, waits for it; ``job.df`` is the partial frame.
    """

    def __init__(
        self,
        future: concurrent.futures.Future[Any],
        stop: Callable[[], object],
        id: str = "",  # noqa: A002 - what a user reads in %llm jobs
        run: Tracked | None = None,
    ) -> None:
        self.id = id
        self.run = run
        self._future = future
        self._stop = stop

    @property
    def status(self) -> Literal["running", "done", "failed", "cancelled"]:
        """``running``, ``done``, ``failed`` or ``cancelled``."""
        if not self._future.done():
            return "running"
        if self._future.cancelled():
            return "cancelled"
        return "failed" if self._future.exception() else "done"

    @property
    def progress(self) -> str:
        """Rows, tokens, money and time so far, on one line."""
        return self.run.meter.line() if self.run is not None else self.status

    @property
    def df(self) -> Any:
        """The frame with what is answered so far."""
        return self.run.df if self.run is not None else None

    @property
    def error(self) -> BaseException | None:
        """The exception it failed with."""
        return self._future.exception() if self.status == "failed" else None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end, at most ``timeout`` seconds.

        Raises what the work raised, TimeoutError, or Interrupted where it was cancelled. Stopping the
        cell that waits leaves the job running.
        """
        refuse_on_loop_thread()
        with interruptible():
            if not wait(self._future, timeout=timeout):
                raise TimeoutError(f"job {self.id} is still running after {timeout:g} s.")
        return outcome(self._future)

    def cancel(self) -> bool:
        """Ask the job to stop; True if it was still running. Finished rows are kept."""
        running = not self._future.done()
        if running:
            self._stop()
        return running

    async def _ended(self) -> Any:
        # A wrapped future leaves an idle kernel loop asleep through an interrupt; ticks wake it.
        try:
            while not self._future.done():  # noqa: ASYNC110 - see above
                await asyncio.sleep(POLL)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return outcome(self._future)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._ended().__await__()

    def __repr__(self) -> str:
        said = self.error or self.progress
        return f"<Job {self.id} {self.status}: {said}>"


def refuse_on_loop_thread() -> None:
    """Raise RuntimeError on the loop thread, where waiting for a job would never end."""
    if getattr(loop_thread, "here", False):
        raise RuntimeError("a coroutine on the loop thread would wait for itself; use await.")


def wait(
    future: concurrent.futures.Future[Any],
    tick: Callable[[], object] | None = None,
    timeout: float | None = None,
) -> bool:
    """Wait in short polls, calling ``tick`` between them; return whether the future is done."""
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        left = POLL if until is None else min(POLL, until - time.monotonic())
        concurrent.futures.wait((future,), timeout=max(0.0, left))
        if future.done() or left <= 0:
            return future.done()
        if tick is not None:
            tick()


def outcome(future: concurrent.futures.Future[Any]) -> Any:
    """The future's result; raises its error, or Interrupted where it was cancelled."""
    if future.cancelled():
        raise Interrupted("Stopped. What was answered is kept; run the cell again to go on.")
    return future.result()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this context the first SIGINT raises KeyboardInterrupt; further ones are ignored.

    ipykernel installs a handler of its own for cells with a top-level ``await``, under which a blocking
    wait would miss the signal. Signals reach the main thread only; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
