"""How long until 50,000 labelled rows can serve as examples, and what a row's look-up costs.

    python tests/benchmarks/few_shot.py [--gold 50000] [--rows 2000]

Texts are made of words of two topics, so that nothing needs to be downloaded. The embedding model is the
one in the wheel; time runs from the call to the first request that the model sees.
"""

from __future__ import annotations

import argparse
import random
import tempfile
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


def measure(gold: int, rows: int) -> None:
    from llm_magics import label
    from llm_magics.api import session as sessions
    from llm_magics.backends.registry import create
    from llm_magics.testing import Server
    from llm_magics.types import BackendSpec

    known = pd.DataFrame({"text": texts(gold, 1), "label": ["a", "b"] * (gold // 2)})
    first: list[float] = []

    def answer(request: dict[str, object]) -> str:
        first.append(time.perf_counter())
        return '{"label": "a"}'

    with Server(answer=answer, record=False) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        began = time.perf_counter()
        label(
            texts(rows, 2),
            ["a", "b"],
            examples=(known, "text", "label"),
            dynamic=True,
            cheap="embedded::wordllama",
            model=model,
            progress=False,
        )
        done = time.perf_counter()
    print(
        f"{gold:,} gold rows, {rows:,} rows: first request after {first[0] - began:.1f} s, done after {done - began:.1f} s"
    )
    sessions.end()


if __name__ == "__main__":
    import os

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gold", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_MAGICS_HOME"] = str(Path(folder))
        measure(given.gold, given.rows)
