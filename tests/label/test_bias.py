"""Bias removal: what is estimated from a few rows, and that a run's labels don't depend on how it went."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import llm_magics
from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs import session as sessions
from llm_magics.runs.preparation import first_by_hash
from llm_magics.tasks.label.bias import Bias, estimate, probabilities
from llm_magics.testing import Server
from llm_magics.testing.gguf import build

NAMES = ("a", "b", "c")
TOWARDS = np.array([2.0, -0.5, -1.5])
"""The bias of the simulated model, in log-scores."""


def simulated(truth: np.ndarray, seed: int = 0, noise: float = 0.5) -> list[dict[str, float]]:
    """Probabilities of a biased, noisy model about rows with these labels."""
    chance = np.random.default_rng(seed)
    scores = TOWARDS + 1.5 * np.eye(3)[truth] + chance.normal(0, noise, (len(truth), 3))
    return [probabilities(dict(zip(NAMES, row, strict=True))) for row in scores.tolist()]


def named() -> dict[str, dict[str, float]]:
    """What the model says to the label names themselves: less noise than in rows."""
    return dict(zip(NAMES, simulated(np.arange(3), seed=9, noise=0.2), strict=True))


def accuracy(scores: list[dict[str, float]], truth: np.ndarray, bias: Bias | None) -> float:
    chosen = [max(s, key=s.__getitem__) if bias is None else _best(bias.decide(s)) for s in scores]
    return float(np.mean([NAMES.index(name) == label for name, label in zip(chosen, truth, strict=True)]))


def _best(scores: dict[str, float]) -> str:
    return max(scores, key=scores.__getitem__)


@pytest.mark.checklist("Q2")
@pytest.mark.parametrize("rows", [10, 32])
def test_a_preference_for_one_label_is_taken_off(rows: int) -> None:
    """Even labels: most rows had the favoured label, and get their own."""
    truth = np.random.default_rng(1).permutation(np.arange(300) % 3)
    scores = simulated(truth)
    bias = estimate(NAMES, scores[:rows], named())
    assert accuracy(scores, truth, None) < 0.75
    assert accuracy(scores, truth, bias) > 0.9
    assert bias.rows == rows
    assert sum(bias.offsets.values()) == pytest.approx(0, abs=1e-9)


@pytest.mark.checklist("Q2")
@pytest.mark.parametrize("common", [0, 1, 2])
@pytest.mark.parametrize("rows", [10, 32])
def test_skewed_labels_are_not_taken_for_bias(common: int, rows: int) -> None:
    """95% of the rows have one label: they keep it. A plain mean over the rows would take it away."""
    chance = np.random.default_rng(2)
    truth = np.where(chance.random(300) < 0.95, common, (common + 1) % 3)
    scores = simulated(truth, seed=3)
    assert accuracy(scores, truth, estimate(NAMES, scores[:rows], named())) > 0.9
    logs = np.log([[s[name] for name in NAMES] for s in scores[:rows]])
    plain = Bias(dict(zip(NAMES, logs.mean(axis=0).tolist(), strict=True)))
    assert accuracy(scores, truth, plain) < 0.8


def test_a_confident_model_keeps_its_labels() -> None:
    """Where each row's label is certain, nothing is close enough to change."""
    rows = [{"a": 0.9999, "b": 0.0001}] * 30 + [{"a": 0.01, "b": 0.99}] * 2
    bias = estimate(("a", "b"), rows, {}, calibrated=False)
    assert [_best(bias.decide(row)) for row in rows] == ["a"] * 30 + ["b"] * 2
    assert bias.scale == 1.0
    assert bias.decide({"a": 1.0, "b": 0.0})["a"] > 0.999


def test_one_row_and_one_label_are_no_error() -> None:
    assert estimate(("a", "b"), [{"a": 0.5, "b": 0.5}], {}).decide({"a": 0.5, "b": 0.5}) == {
        "a": 0.5,
        "b": 0.5,
    }
    assert estimate(("a",), [{"a": 1.0}], {"a": {"a": 1.0}}).decide({"a": 1.0}) == {"a": 1.0}


def test_the_rows_are_chosen_by_content_and_seed() -> None:
    """Not by their place; equal texts count once, empty ones never."""
    items = [WorkItem(i, {"t": f"text {i % 50}"}) for i in range(200)] + [WorkItem(200, {"t": " "})]

    def chosen(some: list[WorkItem], seed: int = 0) -> list[object]:
        return [item.row["t"] for item in first_by_hash(some, lambda row: str(row["t"]), 8, seed)]

    assert chosen(items) == chosen(items[::-1])
    assert len(set(chosen(items))) == 8
    assert chosen(items) != chosen(items, seed=1)


TEXTS = [f"{word} number {i}" for i in range(20) for word in ("red apple", "green pear", "blue plum")]


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"gguf::{build(tmp_path_factory.mktemp('gguf') / 'base.gguf', precision='float32', template=None)}"


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    yield
    sessions.end()


def labelled(texts: list[str], model: str, **options: object) -> dict[str, tuple[str, float]]:
    out = llm_magics.label(
        pd.DataFrame({"t": texts}), ["red", "green", "blue"], model=model, on="t", prior="none", **options
    )
    return {
        text: (label, round(confidence, 3))
        for text, label, confidence in zip(out["t"], out["label"], out["label_confidence"], strict=True)
    }


@pytest.mark.checklist("Q2")
def test_labels_do_not_depend_on_how_the_run_went(base_model: str) -> None:
    """Again, in another order, in the background, and with nothing stored: the same labels."""
    first = labelled(TEXTS, base_model)
    run = sessions.current().last
    assert "bias removed (32 rows)" in run.report()
    assert run.manifest()["bias"]["rows"] == 32
    assert set(run.manifest()["bias"]["offsets"]) == {"red", "green", "blue"}
    assert labelled(TEXTS, base_model) == first
    assert sessions.current().last.counts == {"ok": 60}
    assert "60 cached" in sessions.current().last.report()
    assert labelled(TEXTS[::-1], base_model) == first
    assert {
        text: label for text, (label, _) in labelled(TEXTS[7:] + TEXTS[:7], base_model, store=False).items()
    } == {text: label for text, (label, _) in first.items()}
    job = llm_magics.label(
        pd.DataFrame({"t": TEXTS}), ["red", "green", "blue"], model=base_model, prior="none", background=True
    )
    assert job.result(60)["label"].tolist() == [first[text][0] for text in TEXTS]


def test_raw_leaves_the_bias_in(base_model: str) -> None:
    """The labels are the model's own, and nothing is said of a bias."""
    labelled(TEXTS, base_model, raw=True)
    run = sessions.current().last
    assert "bias" not in run.manifest()
    assert "bias removed" not in run.report()
    assert run.row_columns["label"] == run.texts


def test_each_row_is_asked_about_once(base_model: str) -> None:
    """The rows that the bias was estimated from are not asked about again, stored or not."""
    labelled(TEXTS, base_model, store=False)
    run = sessions.current().last
    assert run.counts == {"ok": 60}
    assert run.meter.cached == 0
    assert run.usage.input_tokens > 0


def test_long_rows_examples_and_truth_go_with_it(base_model: str) -> None:
    """Parts of a long row are debiased before they are merged; gold rows fit a temperature after it."""
    frame = pd.DataFrame({"t": [*TEXTS[:10], " ".join(TEXTS)], "gold": ["red"] * 11})
    llm_magics.label(
        frame, ["red", "green"], on="t", model=base_model, prior="none", too_long="split", room=60
    )
    assert "bias removed (11 rows)" in sessions.current().last.report()
    gold = [("a red thing", "red"), ("a green thing", "green")]
    llm_magics.label(frame, ["red", "green"], on="t", model=base_model, prior="none", examples=gold)
    assert "bias removed (11 rows)" in sessions.current().last.report()
    llm_magics.label(
        frame, ["red", "green"], on="t", model=base_model, prior="none", truth="gold", calibrate=True
    )
    assert {"bias", "calibration"} <= set(sessions.current().last.manifest())


def test_a_paid_host_is_asked_nothing_beyond_its_rows() -> None:
    """Where ``scores`` asked for probabilities of all labels, they are debiased from the rows alone."""

    def chances(request: dict[str, Any]) -> dict[str, float]:
        red = 0.9 if "red" in request["messages"][-1]["content"] else 0.2
        return {"red": red, "green": 1 - red}

    def answer(request: dict[str, Any]) -> str:
        return json.dumps({"label": max(chances(request), key=chances(request).__getitem__)})

    with Server(answer=answer, chances=chances) as server:
        model = create(BackendSpec("custom_url", "m", base_url=server.url), None)
        frame = pd.DataFrame({"t": TEXTS})
        out = llm_magics.label(
            frame, ["red", "green"], model=model, prior="none", scores=True, progress=False
        )
        assert server.count == len(TEXTS)
        assert "bias removed (32 rows)" in sessions.current().last.report()
        assert (out["label"] == "red").tolist() == ["red" in text for text in TEXTS]
        llm_magics.label(frame, ["red", "green"], model=model, prior="none", progress=False)
        assert "bias" not in sessions.current().last.manifest()
