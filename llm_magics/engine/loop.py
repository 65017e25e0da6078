"""The loop thread: one daemon thread with one event loop, on which clients, limiters and connections live."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llm_magics.core.errors import Interrupted
from llm_magics.engine.jobs import (
    Job,
    Tracked,
    interruptible,
    loop_thread,
    outcome,
    refuse_on_loop_thread,
    wait,
)

T = TypeVar("T")

GRACE = 2.0
"""Seconds that cancelled work gets to clean up."""


class LoopThread:
    """Runs coroutines for threads without a loop or with a busy one.

    The thread starts with the first one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Here rather than at the start: what is registered after this loop was made ends before it.
        atexit.register(self.close)

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T], tick: Callable[[], object] | None = None) -> T:
        """Wait for ``work``; ``tick`` is called about ten times a second on the calling thread.

        An interrupt cancels the work, waits up to two seconds for it to clean up, and raises Interrupted.
        """
        try:
            refuse_on_loop_thread()
        except RuntimeError:
            work.close()
            raise
        with interruptible():
            job = self.submit(work)
            future = job._future  # noqa: SLF001 - one class in two files
            try:
                wait(future, tick)
            except BaseException as error:
                job.cancel()
                wait(future, timeout=GRACE)
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted from None
                raise
        result: T = outcome(future)
        return result

    def submit(self, work: Coroutine[Any, Any, Any], id: str = "", run: Tracked | None = None) -> Job:  # noqa: A002 - a Job's own word
        """Start ``work`` and return its Job at once. Its output goes to the calling cell."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        tasks: list[asyncio.Task[Any]] = []
        loop = self._start()

        def begin() -> None:
            task = loop.create_task(work)
            tasks.append(task)
            task.add_done_callback(lambda done: _transfer(done, future))

        def stop() -> None:
            for task in tasks:
                task.cancel()

        # call_soon_threadsafe takes the caller's context variables along: ipykernel finds the cell by them.
        loop.call_soon_threadsafe(begin)
        return Job(future, lambda: _tell(loop, stop), id, run)

    def close(self) -> None:
        """Cancel all work, wait up to two seconds, end the thread. The next call starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        _tell(loop, loop.stop)
        if thread is not threading.current_thread():
            thread.join(2 * GRACE)

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or not self.running:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="llm_magics loop", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """The thread's function: run until stopped, then cancel the remaining work."""
    loop_thread.here = True
    asyncio.set_event_loop(loop)
    try:
        _run(loop)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=GRACE))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped; a SystemExit in a user's function ends its own work only."""
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # the task it came from has it too, and hands it on
            continue
        return


def _transfer(task: asyncio.Task[Any], future: concurrent.futures.Future[Any]) -> None:
    """Pass the task's outcome on to the future that another thread waits for."""
    if task.cancelled():
        future.cancel()
        future.set_running_or_notify_cancel()
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    """Call a function on the loop, if it is still alive."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)
