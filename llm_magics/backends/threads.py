"""Blocking calls beside an event loop, each in a daemon thread, so that none can hang the kernel."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], name: str = "llm_magics call") -> T:
    """The result of ``work()``, called in a thread of its own; its exception is raised here.

    The thread has the caller's context variables. A cancelled wait returns at once: the thread ends with
    its work and its result is dropped. The standard executors join their threads when the kernel exits,
    so that one hanging call would hang it.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(work)
        except StopIteration as stop:  # a future refuses it
            error = RuntimeError(f"StopIteration: {stop}")
        except BaseException as caught:  # noqa: BLE001 - it is raised again where the result is awaited
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


class Watched:
    """An awaitable that records whether its coroutine ever really waited.

    A coroutine that never waits is a blocking call: on a shared loop such calls would run one after
    another.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine
        self.waited = False

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self.coroutine.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                pending = resume()
            except StopIteration as stop:
                return stop.value
            self.waited = True
            try:
                resume = partial(steps.send, (yield pending))
            except BaseException as error:  # noqa: BLE001 - cancellation belongs inside the coroutine
                resume = partial(steps.throw, error)


class LoopThread:
    """A daemon thread with an event loop for a user's own async functions.

    A function that blocks there delays neither the engine nor an interrupt.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name=name, daemon=True).start()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, computed on this thread's loop; cancelling here cancels there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))

    def stop(self) -> None:
        """End the loop after what it is doing now."""
        self.loop.call_soon_threadsafe(self.loop.stop)
