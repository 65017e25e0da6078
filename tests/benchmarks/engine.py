"""What the engine and the store cost a row, against a backend that answers at once.

    python tests/benchmarks/engine.py [ROWS]

CPU of the process in milliseconds a row (best of three), and the memory a run adds at 1,000, 10,000
and 100,000 rows. The last column is what it would be where a fixed pure-Python loop takes 40 ms, to
compare machines, and busy moments of one.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_magics.backends.base import Backend
from llm_magics.core.types import BackendSpec, Capabilities, Choice, Response, Usage
from llm_magics.engine.engine import Engine
from llm_magics.engine.progress import Meter
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Target
from llm_magics.engine.worker_pool import Options
from llm_magics.store.responses import ResponseStore
from llm_magics.tasks.label.task import Label

TASK = Label((Choice("good", "praise"), Choice("bad", "complaints"), Choice("other")), "text")
TARGET = Target("openai", "small-model", "https://api.example.com/v1", {"temperature": 0})


class Instant(Backend):
    """Answers at once, after giving other rows their turn as a real one does."""

    capabilities = Capabilities(one_of=True, max_concurrency=64)

    async def complete(self, request) -> Response:
        await asyncio.sleep(0)
        return Response(
            "good", "good", usage=Usage(180, 2, cost=0.00003), model="small-model", request_id="req_1"
        )


class Batches(Instant):
    """The same, many rows at a time and not worth storing."""

    capabilities = Capabilities(one_of=True, max_concurrency=2, batch_size=512, stored=False)

    async def complete_many(self, requests):
        await asyncio.sleep(0)
        answer = Response("good", "good", {"good": 0.8, "bad": 0.1, "other": 0.1}, "similarity")
        return [answer] * len(requests)


def asks(n: int) -> Iterator[WorkItem]:
    return (
        WorkItem(i, {"text": f"Review number {i}: it arrived late, but it works well and looks good."})
        for i in range(n)
    )


def run(backend: type[Backend], n: int, store: ResponseStore | None) -> float:
    """CPU seconds of one run."""
    meter = Meter(n)
    made = backend(BackendSpec("openai", "small-model"))
    gc.collect()
    start = time.process_time()
    asyncio.run(Engine(store).run(asks(n), TASK, made, TARGET, Options(), meter.add))
    took = time.process_time() - start
    assert meter.done == n
    assert not meter.failed
    return took


def requests_only(n: int) -> float:
    """CPU seconds of making the requests, their keys and their values: what no engine can avoid."""
    start = time.process_time()
    for item in asks(n):
        request = TASK.request(item.row, TARGET)
        assert request is not None
        assert request.key
        TASK.parse(request, Response("good", "good"))
    return time.process_time() - start


def yardstick() -> float:
    """Seconds of a fixed loop."""
    start = time.process_time()
    total = 0
    for i in range(1_000_000):
        total += i & 7
    return time.process_time() - start


def best(what: Callable[[], float], times: int = 3) -> float:
    return min(what() for _ in range(times))


def stored(n: int) -> tuple[float, float, float]:
    """CPU of a first run into a new store, of the re-run from it, and the wall time of that."""
    with TemporaryDirectory() as folder:
        store = ResponseStore(Path(folder) / "r.sqlite3")
        first = run(Instant, n, store)
        start = time.perf_counter()
        again = run(Instant, n, store)
        wall = time.perf_counter() - start
        store.close()
    return first, again, wall


def peak() -> float:
    """Megabytes this process had at most (``ru_maxrss`` would count its parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory(n: int) -> float:
    """Megabytes that a run of n rows adds, in a process of its own."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import engine
engine.run(engine.Instant, 200, None)
before = engine.peak()
engine.run(engine.Instant, {n}, engine.Store.temporary())
print(engine.peak() - before)
"""
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def main(n: int) -> None:
    unit = best(yardstick)
    rows = {
        "requests, keys, parsing alone": best(lambda: requests_only(n)),
        "engine, nothing kept": best(lambda: run(Instant, n, None)),
    }
    firsts, agains, walls = zip(*(stored(n) for _ in range(3)), strict=True)
    rows |= {"engine and store": min(firsts), "again, all from the store": min(agains)}
    rows["engine, batches of 512, nothing kept"] = best(lambda: run(Batches, n, None))
    print(
        f"{n:,} rows; load {Path('/proc/loadavg').read_text().split()[0]}; yardstick {unit * 1000:.0f} ms\n"
    )
    print(f"{'':40}{'ms CPU/row':>12}{'rows/s':>10}{'normalised':>12}")
    for name, took in rows.asks():
        print(f"{name:40}{took / n * 1000:12.3f}{n / took:10,.0f}{took / n * 1000 * 0.04 / unit:12.3f}")
    print(f"\nall {n:,} rows from the store: {min(walls):.2f} s wall")
    for size in (1_000, 10_000, 100_000):
        print(f"memory a run of {size:>7,} rows adds: {memory(size):6.1f} MB")
    print(f"peak of this process: {peak():.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
