"""Bias removal: what is estimated from a few rows, and that a run's labels don't depend on how it went."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import llm_magics
from llm_magics.backends.registry import create
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs import session as sessions
from llm_magics.runs.preparation import first_by_hash
from llm_magics.tasks.label.bias.estimation import Bias, estimate, probabilities, recognised
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


def test_the_number_of_labels_changes_confidences_and_no_label() -> None:
    """More labels, more is meant by the same lead; scores that others are added to keep their scale."""
    chance = np.random.default_rng(4)
    for count, sharper in ((2, False), (4, False), (20, True)):
        names = [f"label {number}" for number in range(count)]
        logs = chance.normal(size=(40, count))
        rows = [dict(zip(names, row.tolist(), strict=True)) for row in _normalised(logs)]
        alone, added = (estimate(names, rows[:32], {}, together=together) for together in (False, True))
        assert alone.offsets == added.offsets
        assert (alone.scale > added.scale) is sharper
        assert alone.scale / added.scale == pytest.approx((count / 8) ** 0.1)
        assert [_best(alone.decide(row)) for row in rows] == [_best(added.decide(row)) for row in rows]


def _normalised(logs: np.ndarray) -> np.ndarray:
    weights = np.exp(logs)
    return weights / weights.sum(axis=1, keepdims=True)


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


def test_the_rows_find_what_the_label_names_hide() -> None:
    """Names that show half of the bias count as much as sixteen rows: many rows find the other half."""
    shown = 0.5 * TOWARDS + 1.5 * np.eye(3)
    half = {
        name: probabilities(dict(zip(NAMES, shown[i].tolist(), strict=True))) for i, name in enumerate(NAMES)
    }
    scores = simulated(np.arange(320) % 3, seed=5)
    few, many = (list(estimate(NAMES, scores[:n], half).offsets.values()) for n in (16, 320))
    assert np.allclose(many, TOWARDS, atol=0.2)
    assert np.allclose(few, 0.75 * TOWARDS, atol=0.3)


@pytest.mark.checklist("Q1")
def test_the_order_is_used_in_which_the_label_names_are_recognised(base_model: str) -> None:
    """Typed in reverse the prompts are the same byte for byte, and so are labels and confidences."""
    frame, names = pd.DataFrame({"t": TEXTS}), ["red", "green", "blue"]
    prompts, labels, reversed_ones = [], [], []
    for some in (names, names[::-1]):
        out = llm_magics.label(frame, some, on="t", model=base_model, prior="none", scores=True)
        run = sessions.current().last
        prompts.append(list(run.prompts()))
        labels.append(
            out.set_index("t")
            .drop(columns=["label"])
            .sort_index(axis=1)
            .join(out.set_index("t")["label"].astype(str))
        )
        reversed_ones.append(run.manifest()["bias"].get("labels") == "reversed")
        assert list(out["label"].cat.categories) == some
    assert prompts[0] == prompts[1]
    assert sum(reversed_ones) == 1
    pd.testing.assert_frame_equal(labels[0], labels[1])
    assert "in this order or in reverse" in repr(
        llm_magics.label(frame, names, on="t", model=base_model, prior="none", dry_run=True, store=False)
    )


def test_a_list_and_its_reverse_are_one_conversation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A chat model whose answer is begun sees the labels in the order in which it knows their names."""
    model = f"gguf::{build(tmp_path_factory.mktemp('gguf') / 'chat.gguf', precision='float32')}"
    seen = set()
    for names in (["red", "green"], ["green", "red"]):
        llm_magics.label(pd.DataFrame({"t": TEXTS[:4]}), names, on="t", model=model, prior="none")
        prompt = next(sessions.current().last.prompts())
        assert prompt[-1] == {"role": "assistant", "content": "Category:"}
        seen.add(str(prompt[0]["content"]))
        assert sessions.current().last.manifest()["bias"]["sentences"] == 24
    assert len(seen) == 1


def test_sentences_correct_what_repeated_names_say() -> None:
    """A chat model that repeats any name it is shown tells nothing of its bias by the names."""
    truth = np.random.default_rng(5).integers(0, 3, 300)
    scores = simulated(truth, noise=1.0)
    repeated = {n: probabilities({m: 4.0 * (m == n) - 3.0 * (m == "a") for m in NAMES}) for n in NAMES}
    about_nothing = simulated(np.arange(24) % 3, seed=6, noise=1.0)
    by_names = estimate(NAMES, scores[:10], repeated)
    by_both = estimate(NAMES, scores[:10], repeated, about_nothing)
    assert (by_names.sentences, by_both.sentences) == (0, 24)
    assert "sentences" not in by_names.manifest()
    assert accuracy(scores, truth, by_both) > accuracy(scores, truth, by_names) + 0.05


def test_a_recognised_name_is_likely_beyond_the_bias() -> None:
    clear = named()
    blurred = {text: {name: 0.2 * scores[name] + 0.8 / 3 for name in NAMES} for text, scores in clear.items()}
    assert (
        recognised(NAMES, clear)
        > recognised(NAMES, blurred)
        > recognised(NAMES, {n: dict.fromkeys(NAMES, 1 / 3) for n in NAMES}) - 1e-9
    )


def test_both_orders_are_averaged_where_a_row_is_unsure(base_model: str) -> None:
    """Each unsure row is asked about twice, the others once; the labels are the same on a re-run."""
    one = labelled(TEXTS, base_model)
    both = labelled(TEXTS, base_model, both_orders=True)
    run = sessions.current().last
    told = run.manifest()["bias"]
    assert "both orders of the labels below" in run.report()
    assert set(told["other_order"]["offsets"]) == {"red", "green", "blue"}
    assert run.counts == {"ok": 60}
    held = [
        item.index for item in run.plan.work_items() if both[str(item.row["t"])] != one[str(item.row["t"])]
    ]
    assert 32 - 2 <= len(held) < 60  # the rows of the bias, and a fifth of the others
    assert labelled(TEXTS[::-1], base_model, both_orders=True) == both
    assert labelled(TEXTS, base_model, both_orders=True, store=False).keys() == both.keys()
    job = llm_magics.label(
        pd.DataFrame({"t": TEXTS}),
        ["red", "green", "blue"],
        model=base_model,
        prior="none",
        both_orders=True,
        background=True,
    )
    assert job.result(60)["label"].tolist() == [both[text][0] for text in TEXTS]


@pytest.mark.checklist("Q2")
def test_both_orders_of_all_rows_make_the_order_irrelevant(base_model: str) -> None:
    """Ten rows are all rows of the bias: typed in reverse, the labels and confidences are the same."""
    frame = pd.DataFrame({"t": TEXTS[:10]})
    names = ["red", "green", "blue"]
    first, then = (
        llm_magics.label(frame, some, on="t", model=base_model, prior="none", both_orders=True)
        for some in (names, names[::-1])
    )
    assert first["label"].tolist() == then["label"].tolist()
    assert np.allclose(first["label_confidence"], then["label_confidence"], atol=1e-6)


def test_both_orders_are_refused_where_nothing_has_probabilities(base_model: str) -> None:
    with pytest.raises(UsageError, match="both-orders averages"):
        labelled(TEXTS, base_model, both_orders=True, raw=True)


def test_both_orders_count_what_both_passes_cost() -> None:
    """A row that is asked about twice costs twice, and no more than may be spent is spent."""

    def chances(request: dict[str, Any]) -> dict[str, float]:
        red = 0.55 + len(request["messages"][-1]["content"]) % 7 / 20
        return {"red": red, "green": 1 - red}

    def answer(request: dict[str, Any]) -> str:
        return json.dumps({"label": max(chances(request), key=chances(request).__getitem__)})

    with Server(answer=answer, chances=chances) as server:
        model = create(BackendSpec("custom_url", "m", base_url=server.url), None)
        frame = pd.DataFrame({"t": [f"{text} {'x' * i}" for i, text in enumerate(TEXTS)]})
        llm_magics.label(
            frame, ["red", "green"], model=model, prior="none", scores=True, both_orders=True, progress=False
        )
        run = sessions.current().last
        assert 60 + 32 <= server.count < 60 + 60
        assert run.usage.input_tokens > 0
        assert run.counts == {"ok": 60}
