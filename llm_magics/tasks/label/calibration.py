"""Calibration of label probabilities.

The model's bias removed, the temperature fitted, reliability measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.types import Result
from llm_magics.data import frames
from llm_magics.data.templates import is_null
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs.passes import RunContext, Strategy, single_pass
from llm_magics.runs.preparation import Preparation
from llm_magics.runs.run import Run
from llm_magics.tasks.label.task import Label
from llm_magics.text.label_names import label_name

CONTENT_FREE = ("N/A", "[text]", "...")
"""Texts without content: the model's answers to them show its bias (Zhao et al. 2021, arXiv 2102.09690)."""
_FLOOR = 1e-6


def prior(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mean probability of each label over content-free texts."""
    return {name: sum(s.get(name, 0.0) for s in scores) / len(scores) for name in names}


def without_bias(scores: Mapping[str, float], bias: Mapping[str, float]) -> dict[str, float]:
    """Probabilities divided by the model's bias and normalised (contextual calibration)."""
    weights = {name: chance / max(bias.get(name, 0.0), _FLOOR) for name, chance in scores.items()}
    return _normal(weights)


def tempered(scores: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Probabilities with a softmax temperature applied: above 1 flatter, below 1 sharper."""
    top = max(scores.values(), default=1.0)
    flat = {name: (max(chance, 1e-12) / top) ** (1 / temperature) for name, chance in scores.items()}
    return _normal(flat)


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()} if whole > 0 else dict(weights)


def fit_temperature(scores: Sequence[Mapping[str, float]], truth: Sequence[str]) -> float:
    """The temperature under which the true labels are most likely (Guo et al. 2017, arXiv 1706.04599).

    Searched between 0.05 and 20; 1.0 where no row has scores and a true label among them.
    """
    rows = [(dict(s), t) for s, t in zip(scores, truth, strict=True) if s and t in s]
    if not rows:
        return 1.0
    low, high = math.log(0.05), math.log(20.0)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(rows, math.exp(a)) < _loss(rows, math.exp(b)):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def _loss(rows: Sequence[tuple[dict[str, float], str]], temperature: float) -> float:
    return -sum(math.log(max(tempered(scores, temperature)[label], 1e-12)) for scores, label in rows)


def reliability(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> Any:
    """A frame of equally wide bins of confidence: rows, mean confidence, accuracy; without empty bins."""
    import pandas as pd

    table = pd.DataFrame({"confidence": confidence, "right": right}, dtype=float)
    table["bin"] = (table["confidence"] * bins).clip(upper=bins - 1e-9).astype(int)
    grouped = table.groupby("bin")
    return pd.DataFrame(
        {
            "rows": grouped.size(),
            "confidence": grouped["confidence"].mean(),
            "accuracy": grouped["right"].mean(),
        }
    )


def calibration_error(table: Any) -> float:
    """The expected calibration error of a reliability table: the mean gap, weighted by rows."""
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["rows"]
    return float(gaps.sum() / table["rows"].sum())


Correct = Callable[[Mapping[str, float]], dict[str, float]]


def calibration_strategy(task: Label, truth: str) -> Strategy:
    """The strategy that corrects every row's label probabilities by a temperature.

    The rows with a true label are asked about first, and the temperature is fitted on them.
    """

    async def carry_out(context: RunContext, run: Run) -> None:
        correct, done = await _by_temperature(context, run, task, truth)
        rest = (item for item in run.plan.work_items() if item.index not in done)
        await single_pass(context, run, rest, lambda result: run.deliver(_corrected(task, result, correct)))

    return carry_out


@dataclass(frozen=True)
class ContentFree:
    """The ``prepare`` of a label plan: divides by the probabilities of texts without content."""

    task: Label

    async def __call__(self, context: RunContext, run: Run) -> Preparation:
        """Ask about the texts; their cost is added to the session's usage."""
        plan = run.plan
        frame, _ = frames.read(list(CONTENT_FREE), "texts that say nothing")
        asked = Run(
            replace(
                plan,
                frame=frame,
                rows=range(len(frame)),
                samples=1,
                strategy=None,
                prepare=None,
                truth=None,
                evaluate=None,
            )
        )
        found: list[Mapping[str, float]] = []

        def take(result: Result) -> None:
            asked.meter.add(result)
            if result.response is not None and result.response.scores:
                found.append(result.response.scores)

        items = (WorkItem(i, {self.task.column: text}) for i, text in enumerate(CONTENT_FREE))
        await single_pass(context, asked, items, take)
        asked.finish()
        context.record(asked)
        if not found:
            run.notes.setdefault(f"--calibrate: {plan.backend.name} gives no probabilities to correct")
            return Preparation(lambda result: result)
        bias = prior(found, self.task.labels.names)
        run.details["calibration"] = {"bias": bias}
        said = ", ".join(f"{name} {chance:.2f}" for name, chance in bias.items())
        run.notes.setdefault(f"--calibrate: probabilities divided by those of texts without content ({said})")
        return Preparation(
            lambda result: _corrected(self.task, result, lambda scores: without_bias(scores, bias))
        )


async def _by_temperature(
    context: RunContext, run: Run, task: Label, truth: str
) -> tuple[Correct, frozenset[int]]:
    """Fit the temperature on the rows with a true label, and deliver those rows."""
    plan = run.plan
    values = plan.frame.values(truth)
    known = {
        i: label_name(values[p], task.labels.names) for i, p in enumerate(plan.rows) if not is_null(values[p])
    }
    held: list[Result] = []
    await single_pass(context, run, (item for item in plan.work_items() if item.index in known), held.append)
    scored = [(r.response.scores, known[r.index]) for r in held if r.response and r.response.scores]
    temperature = fit_temperature([s for s, _ in scored], [t for _, t in scored])
    run.details["calibration"] = {"temperature": temperature, "rows": len(scored)}
    said = f"probabilities at temperature {temperature:.2f}, fitted on {len(scored):,} true labels"
    run.notes.setdefault(f"--calibrate: {said}")

    def correct(scores: Mapping[str, float]) -> dict[str, float]:
        return tempered(scores, temperature)

    for result in held:
        run.deliver(_corrected(task, result, correct))
    return correct, frozenset(known)


def _corrected(task: Label, result: Result, correct: Correct) -> Result:
    """The result with corrected probabilities, and the label that is now the most likely."""
    response = result.response
    if response is None or not response.scores or result.status not in ("ok", "repaired"):
        return result
    scores = correct(response.scores)
    made = replace(response, scores=scores)
    return replace(result, response=made, values={**result.values, **task.scored(scores)})
