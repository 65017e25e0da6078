"""The embedded default on the labelled sets: accuracy, macro-F1, calibration, speed, memory.

Run: ``python tests/benchmarks/embedded.py [wordllama+use|wordllama|use|tfidf]``. Prints two markdown tables. The sets
(``../shared/data``) are not shipped; their README gives the baselines that stand in the last column.
"""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import f1_score

from llm_magics.backends.embedded.client import MODELS, EmbeddedBackend
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EXAMPLES = (1, 5, 10)
BASELINES = {
    "news_topics": (0.59, 0.82),
    "review_sentiment": (0.72, 0.79),
    "banking_intents": (0.77, 0.91),
    "bill_summaries": (0.42, 0.60),
}
FIRST = """
import time; start = time.perf_counter()
import numpy, pandas
from llm_magics.backends.embedded.client import MODELS, EmbeddedBackend
from llm_magics.core.types import *
import asyncio, psutil
model = {model!r}
def ask(text):
    return Request("embedded", model, (), OneOf((Choice("good"), Choice("bad"))), subject=text)
before = psutil.Process().memory_info().rss
backend = EmbeddedBackend(BackendSpec("embedded", model))
start = time.perf_counter(); cpu = time.process_time()
asyncio.run(backend.complete(ask("what a film")))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
print(seconds, cpu, (psutil.Process().memory_info().rss - before) / 1e6)
"""


class Set(NamedTuple):
    """One labelled set: texts, their gold labels, and what labels.json says of each label."""

    name: str
    texts: list[str]
    gold: list[str]
    told: dict[str, Any]


class Score(NamedTuple):
    """What one variant reached."""

    accuracy: float
    macro_f1: float
    ece: float
    rows_per_second: float
    rows_per_cpu_second: float


def read(name: str) -> Set:
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [". ".join(filter(None, [row.get("title"), row["text"]])) for row in rows]
    told = json.loads((DATA / "labels.json").read_text(encoding="utf-8"))[name]
    return Set(name, texts, [row["label"] for row in rows], told)


def choices(data: Set, variant: str) -> dict[str, Choice]:
    """Label -> choice: its name, its phrase with description and keywords (the README's label text)."""
    described = variant.startswith("description")
    made = {}
    for label, told in sorted(data.told.items()):
        words = f"{told['description']} {' '.join(told['keywords'])}" if described else ""
        made[label] = Choice(told["phrase"] if variant == "description, phrase" else label, words)
    return made


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Mean gap of confidence and accuracy over equally wide bins, weighted by their rows."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    groups = [place == bin_ for bin_ in range(bins)]
    return sum(g.mean() * abs(confidence[g].mean() - right[g].mean()) for g in groups if g.any())


def label(backend: EmbeddedBackend, texts: list[str], form: OneOf) -> list[Any]:
    asks = [Request("embedded", backend.model, (Message("user", t),), form, subject=t) for t in texts]
    return asyncio.run(backend.complete_many(asks))


def score(backend: EmbeddedBackend, texts: list[str], gold: list[str], made: dict[str, Choice]) -> Score:
    form = OneOf(tuple(made.values()), scores=True)
    asks = [Request("embedded", backend.model, (Message("user", t),), form, subject=t) for t in texts]
    label(backend, texts[:50], form)
    seconds, cpu, answers = [], [], []
    for _ in range(3):
        start, spent = time.perf_counter(), time.process_time()
        answers = asyncio.run(backend.complete_many(asks * 5))[: len(asks)]
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - spent)
    names = {choice.name: key for key, choice in made.items()}
    said = [names[answer.parsed] for answer in answers]
    right = np.array([a == b for a, b in zip(said, gold, strict=True)])
    confidence = np.array([answer.scores[answer.parsed] for answer in answers])
    ece = expected_calibration_error(confidence, right)
    macro = f1_score(gold, said, average="macro", zero_division=0)
    return Score(right.mean(), macro, ece, 5 * len(asks) / min(seconds), 5 * len(asks) / min(cpu))


def with_examples(
    data: Set, made: dict[str, Choice], n: int, seed: int
) -> tuple[dict[str, Choice], list[int]]:
    """The choices with n rows each as examples, and the rows that are left."""
    order = np.random.default_rng(seed).permutation(len(data.texts))
    taken: dict[str, list[int]] = {key: [] for key in made}
    for row in order:
        if len(taken[data.gold[row]]) < n:
            taken[data.gold[row]].append(int(row))
    used = {row for rows in taken.values() for row in rows}
    told = {
        key: Choice(c.name, c.description, tuple(data.texts[row] for row in taken[key]))
        for key, c in made.items()
    }
    return told, [row for row in range(len(data.texts)) if row not in used]


def scores(backend: EmbeddedBackend, data: Set) -> Iterator[tuple[str, Score]]:
    for variant in ("name", "description", "description, phrase"):
        yield variant, score(backend, data.texts, data.gold, choices(data, variant))
    for variant in ("name", "description"):
        for n in EXAMPLES:
            runs = []
            for seed in range(3):
                told, rest = with_examples(data, choices(data, variant), n, seed)
                texts, gold = [data.texts[row] for row in rest], [data.gold[row] for row in rest]
                runs.append(score(backend, texts, gold, told))
            yield f"{variant} + {n} examples", Score(*np.mean(runs, axis=0))


def main(model: str = MODELS[0]) -> None:
    backend = EmbeddedBackend(BackendSpec("embedded", model))
    print("| set | told | accuracy | macro-F1 | ECE | rows/s | rows/CPU s | baseline |")
    print("|---|---|---|---|---|---|---|---|")
    for name, baseline in BASELINES.items():
        for variant, got in scores(backend, read(name)):
            known = {"name": baseline[0], "description, phrase": baseline[1]}.get(variant)
            print(
                f"| {name} | {variant} | {got.accuracy:.3f} | {got.macro_f1:.3f} | {got.ece:.3f} "
                f"| {got.rows_per_second:,.0f} | {got.rows_per_cpu_second:,.0f} | {'' if known is None else known} |",
                flush=True,
            )
    print("\n| first label, pandas loaded | CPU s | memory MB |\n|---|---|---|")
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", FIRST.format(model=model)], capture_output=True, text=True, check=True
        )
        wall, cpu, megabytes = map(float, out.stdout.split())
        print(f"| {wall:.2f} s | {cpu:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
