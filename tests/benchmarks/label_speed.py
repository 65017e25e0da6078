"""Rows a second of a real 270M model's labels, beside llama-cpp-python one row at a time.

    python tests/benchmarks/label_speed.py [--rows 400] [--rounds 2]

gemma-3-270m (tests/real_models.py fetches it) labels rows of the news set (``../shared/data``, not shipped),
label phrases alone, nothing stored. The ways take turns in one process. llama-cpp-python gets the same prompt
and writes exactly as many tokens as the longest label has; it keeps the longest prompt prefix by itself.
Processor time is the fair measure where other programs share the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from llm_magics import label
from llm_magics.runs import session as sessions
from tests import real_models
from tests.benchmarks.label_quality import DATA, phrases

WAYS: Mapping[str, Mapping[str, Any]] = {
    "llm_magics": {},
    "--raw": {"raw": True},
    "--both-orders": {"both_orders": True},
}
ALONE = "llama-cpp-python, one row"


def by_llm_magics(texts: Sequence[str], labels: Sequence[str], options: Mapping[str, Any]) -> None:
    """One pass of ``label`` without a prior."""
    frame = pd.DataFrame({"text": texts})
    model = f"gguf::{real_models.gemma()}"
    label(frame, list(labels), on="text", model=model, store=False, progress=False, prior="none", **options)


def one_row_at_a_time(labels: Sequence[str]) -> Callable[[Sequence[str]], None]:
    """llama-cpp-python with the prompt that ``label`` sends to a base model."""
    from llama_cpp import Llama

    llama = Llama(str(real_models.gemma()), n_ctx=4096, flash_attn=True, verbose=False)
    longest = max(len(llama.tokenize(f" {name}".encode(), add_bos=False)) for name in labels)
    head = f"Categories: {', '.join(labels)}.\nText: "

    def run(texts: Sequence[str]) -> None:
        for text in texts:
            llama.create_completion(f"{head}{text}\nCategory:", max_tokens=longest, temperature=0)

    return run


def main() -> None:
    """Print one line a way: medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    os.environ["LLM_MAGICS_HOME"] = tempfile.mkdtemp()
    texts = pd.read_csv(DATA / "news_topics.csv")["text"].tolist()[: given.rows]
    labels = list(phrases("news_topics").values())
    ways: dict[str, Callable[[Sequence[str]], None]] = {ALONE: one_row_at_a_time(labels)}
    for name, options in WAYS.items():
        ways[name] = lambda some, options=options: by_llm_magics(some, labels, options)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for run in ways.values():
        run(texts[:2])
    for _ in range(given.rounds):
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(texts)
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print("| way | rows/s | rows/CPU s | times one row |\n|---|---|---|---|")
    medians = {
        name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in found.items()
    }
    for name, (wall, cpu) in medians.items():
        ratio = medians[ALONE][1] / cpu
        print(f"| {name} | {len(texts) / wall:.1f} | {len(texts) / cpu:.2f} | {ratio:.2f}x |", flush=True)
    sessions.end()


if __name__ == "__main__":
    main()
