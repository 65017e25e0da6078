"""Labels by a small real model: accuracy, calibration, the list's order, rows a second.

    python tests/benchmarks/label_quality.py [--model gemma|smollm|qwen] [--labels phrase|described|keywords]
        [--sets news_topics ...] [--ways alone prior ...] [--rows 150] [--one-order] [--scikit-llm FOLDER]

The models are those of tests/real_models.py, which fetches them; the labelled sets are ``../shared/data``,
which is not shipped. The rows of ``sample(n, random_state=2)``, 60 of the bills. The ways take turns in one
process, nothing is stored. FOLDER holds scikit-llm, unpacked; its prompt is asked about the first
``--json-rows`` rows only, for it writes its answer token by token.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from llm_magics import label
from llm_magics.core.prompt_formats import Prompt
from llm_magics.runs import session as sessions
from llm_magics.settings.config import embedded_default
from llm_magics.tasks.label import calibration
from tests import real_models

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {"review_sentiment": 150, "news_topics": 150, "banking_intents": 150, "bill_summaries": 60}


def first_edition(prompt: Prompt) -> str:
    """What version 0.1.0 sent to a model without a chat template: the messages as lines, and a line end."""
    return "\n".join(turn["content"] for turn in prompt) + "\n"


MODELS: Mapping[str, Callable[[], Path]] = {
    "gemma": real_models.gemma,
    "smollm": real_models.smollm,
    "qwen": real_models.qwen,
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    "gemma": {"prompt_formatting_fn": first_edition},
    "smollm": {"prompt_format": "openai"},
    "qwen": {"prompt_format": "openai"},
}
"""What version 0.1.0 sent to each model."""
WAYS = ("alone", "raw", "first", "prior", "vectors")
"""The model alone; with its bias left in; as version 0.1.0 asked; with its default prior; the prior alone."""
LABELS = ("phrase", "described", "keywords")


def options_of(way: str, model: str) -> Mapping[str, Any]:
    """The arguments of ``label`` that make the way."""
    path = f"gguf::{MODELS[model]()}"
    return {
        "alone": {"model": path, "prior": "none"},
        "raw": {"model": path, "raw": True},
        "first": {"model": path, "raw": True, "parameters": FORMS[model]},
        "prior": {"model": path},
        "vectors": {"model": embedded_default()},
    }[way]


@dataclass(frozen=True)
class Rows:
    """One set: its texts, the true phrases, all phrases in the order of labels.json with what they mean."""

    texts: Sequence[str]
    true: Sequence[str]
    labels: Mapping[str, str]

    @property
    def reversed(self) -> Mapping[str, str]:
        """The labels, last one first."""
        return dict(reversed(self.labels.items()))


@dataclass(frozen=True)
class Found:
    """What a way made of a set."""

    labels: Sequence[str]
    accuracy: float
    error: float
    rows_per_second: float
    rows_per_cpu_second: float


def phrases(name: str) -> dict[str, str]:
    """The label phrases of a set, by the keys that its rows have."""
    told = json.loads((DATA / "labels.json").read_text("utf-8"))[name]
    return {key: each["phrase"] for key, each in told.items()}


def meaning(told: Mapping[str, Any], given: str) -> str:
    """What a label is described by: nothing, one sentence, or that and its keywords."""
    if given == "phrase":
        return ""
    words = f" {', '.join(told['keywords'])}" if given == "keywords" else ""
    return f"{told['description']}{words}"


def read(name: str, rows: int, given: str = "phrase") -> Rows:
    """The rows of a set, its labels given by their phrase, one sentence, or keywords, too."""
    told = json.loads((DATA / "labels.json").read_text("utf-8"))[name]
    named = phrases(name)
    frame = pd.read_csv(DATA / f"{name}.csv").sample(min(rows, SETS[name]), random_state=2)
    labels = {named[key]: meaning(each, given) for key, each in told.items()}
    return Rows(frame["text"].tolist(), [named[key] for key in frame["label"]], labels)


def labelled(rows: Rows, labels: Mapping[str, str], options: Mapping[str, Any]) -> Found:
    """One pass over the rows, with nothing stored."""
    began, cpu = time.perf_counter(), time.process_time()
    frame = pd.DataFrame({"text": rows.texts})
    asked: Any = dict(labels) if any(labels.values()) else list(labels)
    out = label(frame, asked, on="text", store=False, progress=False, **options)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    right = [found == true for found, true in zip(out["label"], rows.true, strict=True)]
    table = calibration.reliability(out["label_confidence"].tolist(), right)
    error = calibration.calibration_error(table)
    return Found(
        out["label"].tolist(), float(np.mean(right)), error, len(rows.texts) / seconds, len(rows.texts) / cpu
    )


def json_accuracy(rows: Rows, path: Path, folder: str, count: int) -> tuple[float, float, float]:
    """The accuracy of scikit-llm's prompt and JSON answer; an unusable one is right by chance. Both rates."""
    sys.path.insert(0, folder)
    from llama_cpp import Llama
    from skllm.prompts.builders import build_zero_shot_prompt_slc  # type: ignore[import-not-found]

    llama = Llama(str(path), n_ctx=4096, verbose=False)
    longest = max(len(llama.tokenize(json.dumps({"label": name}).encode())) for name in rows.labels)
    began, cpu, right = time.perf_counter(), time.process_time(), 0.0
    for text, true in zip(rows.texts[:count], rows.true, strict=False):
        turns = [
            {"role": "system", "content": "You are a text classifier."},
            {"role": "user", "content": build_zero_shot_prompt_slc(text, repr(list(rows.labels)))},
        ]
        said = llama.create_chat_completion(turns, temperature=0.0, max_tokens=longest + 8)
        found = _json_label(said["choices"][0]["message"]["content"] or "")
        right += float(found == true) if found in rows.labels else 1 / len(rows.labels)
    count = min(count, len(rows.texts))
    rates = count / (time.perf_counter() - began), count / (time.process_time() - cpu)
    llama.close()
    return right / count, *rates


def _json_label(text: str) -> str | None:
    start, end = text.find("{"), text.rfind("}")
    try:
        return str(json.loads(text[start : end + 1])["label"]) if start >= 0 else None
    except (ValueError, KeyError, TypeError):
        return None


def lines(rows: Rows, model: str, ways: Sequence[str], one_order: bool) -> Iterator[tuple[str, Found, str]]:
    """Each way with its result and the share of labels that change when the list is reversed."""
    chosen = {way: options_of(way, model) for way in ways}
    for options in chosen.values():  # loaded before anything is timed
        label(pd.DataFrame({"text": rows.texts[:1]}), ["a", "b"], on="text", store=False, **options)
    for way, options in chosen.items():
        forward = labelled(rows, rows.labels, options)
        if one_order:
            yield way, forward, "-"
            continue
        back = labelled(rows, rows.reversed, options)
        changed = np.mean([a != b for a, b in zip(forward.labels, back.labels, strict=True)])
        yield way, forward, f"{changed:.2f}"


def main() -> None:
    """Print one line a set and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="gemma")
    parser.add_argument("--labels", choices=LABELS, default="phrase")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--one-order", action="store_true")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--scikit-llm", default="")
    parser.add_argument("--json-rows", type=int, default=40)
    given = parser.parse_args()
    os.environ["LLM_MAGICS_HOME"] = tempfile.mkdtemp()
    print("| set | way | accuracy | calibration error | changed by order | rows/s | rows/CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in given.sets:
        rows = read(name, given.rows, given.labels)
        for way, found, changed in lines(rows, given.model, given.ways, given.one_order):
            quality = f"{found.accuracy:.3f} | {found.error:.3f} | {changed}"
            speed = f"{found.rows_per_second:.1f} | {found.rows_per_cpu_second:.1f}"
            print(f"| {name} | {way} | {quality} | {speed} |", flush=True)
        if given.scikit_llm:
            accuracy, rate, cpu = json_accuracy(
                rows, MODELS[given.model](), given.scikit_llm, given.json_rows
            )
            print(
                f"| {name} | scikit-llm's prompt, JSON | {accuracy:.3f} | - | - | {rate:.1f} | {cpu:.1f} |",
                flush=True,
            )
    sessions.end()


if __name__ == "__main__":
    main()
