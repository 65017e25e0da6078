"""What several rows in one request save, and what spoilt answers cost, beside one row a request.

    python tests/benchmarks/rows_per_request.py [--rows 1000]

A scripted server labels every row rightly, whatever it comes with, so that nothing is said here about how
good a real model's labels stay. It takes 0.2 s and 10 ms an output token for an answer, 16 requests at a
time, which is how hosted models behave; tokens are its own count (four characters of the prompt each).
With faults, a tenth of the shared answers lack an id, hold one twice or hold one that nobody gave, one in
fifty is a 429 and one in fifty breaks off.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paced import AT_ONCE, LABELS, Paced, label_of, texts

from llm_magics.testing import Chaos

TOGETHER = (1, 5, 10, 20)
FAULTS = {"left_out": 0.04, "twice": 0.03, "strange": 0.03, "rate_limited": 0.02, "length": 0.02}


def answer(request: Mapping[str, Any]) -> str:
    """The label that the text names, also when it is asked again."""
    return f'{{"label": "{label_of(request["messages"][1]["content"])}"}}'


def measure(rows: int, rows_per_request: int, chaos: Chaos | None) -> dict[str, Any]:
    """One run in a store of its own."""
    from llm_magics import label
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec
    from llm_magics.runs import session as sessions

    said = texts(rows)
    with tempfile.TemporaryDirectory() as folder, Paced(answer, chaos=chaos, record=False) as server:
        os.environ["LLM_MAGICS_HOME"] = str(Path(folder))
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        began = time.perf_counter()
        done = label(
            said, LABELS, model=model, rows_per_request=rows_per_request, concurrency=AT_ONCE, progress=False
        )
        wall = time.perf_counter() - began
        used = sessions.current().last.usage
        right = sum(got in text.split() for got, text in zip(done["label"], said, strict=True) if got)
        sessions.current().loop.run(model.close())
        sessions.end()
        return {
            "requests": server.count,
            "input": used.input_tokens,
            "output": used.output_tokens,
            "wall": wall,
            "right": right,
        }


def table(rows: int, chaos: Callable[[], Chaos | None]) -> None:
    """N beside N."""
    print("| rows per request | requests | input tokens | output tokens | wall s | right |")
    print("|---|---|---|---|---|---|")
    for together in TOGETHER:
        found = measure(rows, together, chaos())
        print(
            f"| {together} | {found['requests']:,} | {found['input']:,} | {found['output']:,} "
            f"| {found['wall']:.1f} | {found['right']:,} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    given = parser.parse_args()
    print(f"{given.rows:,} rows, every answer as it should be\n")
    table(given.rows, lambda: None)
    print(f"\n{given.rows:,} rows, with faults: {FAULTS}\n")
    table(given.rows, lambda: Chaos(FAULTS, seed=1))
