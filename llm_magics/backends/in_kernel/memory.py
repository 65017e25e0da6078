"""Memory of the machine and of this process, in bytes."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path


def total_memory() -> int:
    """Bytes of memory of this machine, or of the container where that has less."""
    import psutil

    whole = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        whole = min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole


def resident_memory() -> int:
    """Bytes of this process that are in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def give_back_memory() -> None:
    """Return freed memory to the system; glibc keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
