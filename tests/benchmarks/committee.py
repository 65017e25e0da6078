"""Labels by several labellers together: accuracy, calibration and speed on the labelled sets.

Run: ``python tests/benchmarks/committee.py [desc|kw] [WAY ...]``. 150 rows a set (bills 60), chosen by seed 2; label
phrases with one-sentence descriptions (``desc``), or with keywords behind them (``kw``). The sets
(``../shared/data``) are not shipped. gemma-3-270m, MiniLM and mpnet are fetched as ``tests/real_models.py`` does.
Prints a markdown table; rows a second are of one run, model loaded, nothing stored.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SETS = ("banking_intents", "bill_summaries", "news_topics", "review_sentiment")
sys.path.insert(0, str(ROOT))


def ways() -> dict[str, Any]:
    """Way -> what ``label`` is given."""
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec
    from tests import real_models

    default, minilm = "embedded::wordllama+use", f"transformers::{real_models.minilm()}"
    mpnet, gemma = f"transformers::{real_models.mpnet()}", f"gguf::{real_models.gemma()}"

    def committee(*members: str) -> dict[str, Any]:
        return {"model": create(BackendSpec("committee", "best", options={"members": members}), None)}

    return {
        "words": {"model": "embedded::wordllama"},
        "sentences": {"model": "embedded::use"},
        "default": {"model": default},
        "minilm": {"model": minilm},
        "mpnet": {"model": mpnet},
        "gemma": {"model": gemma, "prior": "none"},
        "minilm+default": {"model": minilm, "prior": default},
        "mpnet+default": {"model": mpnet, "prior": default},
        "gemma+default": {"model": gemma},
        "default+minilm+gemma": committee(default, minilm, gemma),
        "default+mpnet+gemma": committee(default, mpnet, gemma),
        "default+minilm+mpnet": committee(default, minilm, mpnet),
        "default+minilm+mpnet+gemma": committee(default, minilm, mpnet, gemma),
    }


def read(name: str) -> tuple[list[str], list[str], Mapping[str, Any]]:
    """Texts, their gold phrases, and what labels.json says of each label."""
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((DATA / "labels.json").read_text(encoding="utf-8"))[name]
    some = np.random.default_rng(2).permutation(len(rows))[: 60 if name == "bill_summaries" else 150]
    texts = [". ".join(filter(None, [rows[i].get("title"), rows[i]["text"]])) for i in some]
    return texts, [told[rows[i]["label"]]["phrase"] for i in some], told


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean gap of confidence and accuracy over ten equally wide bins, weighted by their rows."""
    place = np.minimum((confidence * 10).astype(int), 9)
    bins = [place == number for number in set(place.tolist())]
    return float(sum(b.mean() * abs(confidence[b].mean() - right[b].mean()) for b in bins))


def measure(given: Mapping[str, Any], name: str, form: str) -> tuple[float, float, float]:
    """Accuracy, calibration error, rows a second."""
    from llm_magics import label

    texts, gold, told = read(name)
    keywords = {key: f" {' '.join(t['keywords'])}" if form == "kw" else "" for key, t in told.items()}
    labels = {told[key]["phrase"]: told[key]["description"] + keywords[key] for key in sorted(told)}
    label(texts[:1], labels, store=False, progress=False, **given)
    began = time.perf_counter()
    made = label(pd.DataFrame({"t": texts}), labels, on="t", store=False, progress=False, **given)
    seconds = time.perf_counter() - began
    right = (made["label"].to_numpy() == np.array(gold)).astype(float)
    confidence = made["label_confidence"].to_numpy(float)
    return right.mean(), calibration_error(confidence, right), len(texts) / seconds


def main(form: str = "kw", *chosen: str) -> None:
    print(f"| {form} | {' | '.join(SETS)} | mean | ECE | rows/s |\n|{'---|' * (len(SETS) + 4)}", flush=True)
    for way, given in ways().items():
        if chosen and way not in chosen:
            continue
        found = np.array([measure(given, name, form) for name in SETS])
        cells = " | ".join(f"{accuracy:.3f}" for accuracy in found[:, 0])
        speed = " / ".join(f"{rows:,.0f}" for rows in found[:, 2])
        print(
            f"| {way} | {cells} | {found[:, 0].mean():.3f} | {found[:, 1].mean():.3f} | {speed} |", flush=True
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
