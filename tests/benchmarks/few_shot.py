"""How long until many labelled rows can serve as examples, and whether more rows cost more than in line.

    python tests/benchmarks/few_shot.py [--gold 50000] [--rows 2000 50000 100000]

Texts are made of sixteen words and a number, so that nothing needs to be downloaded. The embedding model is
the one in the wheel; time runs from the call to the first request that the model sees: by then gold rows
and rows are embedded, the index is built, and every row has its eight nearest. Each run has a store of its
own, so that no vector is there before.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd

WORDS = [
    "team",
    "match",
    "coach",
    "goal",
    "bank",
    "market",
    "loan",
    "profit",
    "soup",
    "bread",
    "oven",
    "garlic",
    "road",
    "train",
    "ticket",
    "delay",
]


def texts(n: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=12)) + f" {i}" for i in range(n)]


def measure(gold: int, rows: int) -> tuple[float, float]:
    """Seconds of wall and of CPU until the first request."""
    from llm_magics import label
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec
    from llm_magics.runs import session as sessions
    from llm_magics.testing import Server

    known = pd.DataFrame({"text": texts(gold, 1), "label": ["a", "b"] * (gold // 2)})
    asked = texts(rows, 2)
    first = threading.Event()

    def answer(request: dict[str, object]) -> str:
        first.set()
        return '{"label": "a"}'

    with Server(answer=answer, record=False, latency=0.5) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        began, used = time.perf_counter(), time.process_time()
        job = label(
            asked,
            ["a", "b"],
            examples=(known, "text", "label"),
            dynamic=True,
            cheap="embedded::wordllama",
            model=model,
            background=True,
        )
        first.wait(600)
        taken = time.perf_counter() - began, time.process_time() - used
        job.cancel()
        sessions.current().loop.run(model.close())
    sessions.end()
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gold", type=int, default=50_000)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 25_000, 50_000, 100_000])
    given = parser.parse_args()
    print("| gold rows | rows | s to the first request | CPU s |")
    print("|---|---|---|---|")
    for count in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LLM_MAGICS_HOME"] = str(Path(folder))
            wall, cpu = measure(given.gold, count)
        print(f"| {given.gold:,} | {count:,} | {wall:.1f} | {cpu:.1f} |", flush=True)
