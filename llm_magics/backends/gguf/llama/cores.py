"""The processor's cores, shared among the workers of one model."""

from __future__ import annotations

import os


class Cores:
    """Threads for decodes: all of them for a worker alone, an equal part each where several work.

    Two contexts of one thread each evaluate up to a quarter more rows than one context of two threads,
    which wait for each other after every step of every layer (docs/benchmarks/gguf.md).
    """

    def __init__(self, threads: int = 0) -> None:
        self.total = threads or physical_cores()
        self._at_work: set[object] = set()

    def join(self, worker: object) -> None:
        """``worker`` has work."""
        self._at_work.add(worker)

    def leave(self, worker: object) -> None:
        """``worker`` has none."""
        self._at_work.discard(worker)

    @property
    def share(self) -> int:
        """Threads for a worker's next decode."""
        return max(1, self.total // max(1, len(self._at_work)))


def physical_cores() -> int:
    """Cores this process may use, hyperthreads not counted: a second thread on a core only waits."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    try:
        import psutil
    except ImportError:
        return allowed
    return min(allowed, psutil.cpu_count(logical=False) or allowed)
