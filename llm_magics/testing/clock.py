"""An event loop with virtual time: sleeping is instant, and takes exactly as long as it says."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FakeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nothing is ready. No I/O, no threads."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jump(self._jump))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.now

    def _jump(self, seconds: float) -> None:
        self.now += seconds


class _Jump(selectors.DefaultSelector):  # type: ignore[misc, valid-type, unused-ignore]
    """A selector that moves the clock in place of waiting."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("deadlock: nothing is ready, and no timer is set")
        if not ready and timeout:
            self._jump(timeout)
        return ready


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time."""
    with asyncio.Runner(loop_factory=FakeLoop) as runner:
        return runner.run(work)
