"""``--calibrate``: chances corrected while a run goes on, by temperature or by the model's own bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from llm_magics.core.types import Result
from llm_magics.data import frames
from llm_magics.data.templates import is_null
from llm_magics.engine.deduplication import WorkItem
from llm_magics.runs.run import Run
from llm_magics.runs.strategy import RunContext, Strategy, single_pass
from llm_magics.tasks.label import calibration
from llm_magics.tasks.label.task import Label

Correct = Callable[[Mapping[str, float]], dict[str, float]]


def calibrated(task: Label, truth: str | None) -> Strategy:
    """How a plan of labels with chances is carried out so that every row's chances are corrected.

    With a column of true labels, their rows come first and the temperature is fitted on them; else the
    model is asked about texts that say nothing, and its bias is divided out.
    """

    async def carry_out(context: RunContext, run: Run) -> None:
        if truth is None:
            correct, done = await _by_bias(context, run, task), frozenset[int]()
        else:
            correct, done = await _by_temperature(context, run, task, truth)
        rest = (item for item in run.plan.work_items() if item.index not in done)
        await single_pass(context, run, rest, lambda result: run.deliver(_corrected(task, result, correct)))

    return carry_out


async def _by_bias(context: RunContext, run: Run, task: Label) -> Correct:
    """Divide by the chances of texts that say nothing; what they cost goes into the books."""
    plan = run.plan
    frame, _ = frames.read(list(calibration.CONTENT_FREE), "texts that say nothing")
    asked = Run(
        replace(
            plan, frame=frame, rows=range(len(frame)), samples=1, strategy=None, truth=None, evaluate=None
        )
    )
    found: list[Mapping[str, float]] = []

    def take(result: Result) -> None:
        asked.meter.add(result)
        if result.response is not None and result.response.scores:
            found.append(result.response.scores)

    items = (WorkItem(i, {task.column: text}) for i, text in enumerate(calibration.CONTENT_FREE))
    await single_pass(context, run, items, take)
    asked.finish()
    context.record(asked)
    if not found:
        run.notes.setdefault(f"--calibrate: {plan.backend.name} gives no chances to correct")
        return dict
    bias = calibration.prior(found, task.labels.names)
    run.details["calibration"] = {"bias": bias}
    said = ", ".join(f"{name} {chance:.2f}" for name, chance in bias.items())
    run.notes.setdefault(f"--calibrate: chances divided by those of texts that say nothing ({said})")
    return lambda scores: calibration.without_bias(scores, bias)


async def _by_temperature(
    context: RunContext, run: Run, task: Label, truth: str
) -> tuple[Correct, frozenset[int]]:
    """Fit the temperature on the rows with a true label, and deliver those."""
    plan = run.plan
    values = plan.frame.values(truth)
    known = {i: str(values[p]) for i, p in enumerate(plan.rows) if not is_null(values[p])}
    held: list[Result] = []
    await single_pass(context, run, (item for item in plan.work_items() if item.index in known), held.append)
    scored = [(r.response.scores, known[r.index]) for r in held if r.response and r.response.scores]
    temperature = calibration.fit_temperature([s for s, _ in scored], [t for _, t in scored])
    run.details["calibration"] = {"temperature": temperature, "rows": len(scored)}
    said = f"chances at temperature {temperature:.2f}, fitted on {len(scored):,} true labels"
    run.notes.setdefault(f"--calibrate: {said}")

    def correct(scores: Mapping[str, float]) -> dict[str, float]:
        return calibration.tempered(scores, temperature)

    for result in held:
        run.deliver(_corrected(task, result, correct))
    return correct, frozenset(known)


def _corrected(task: Label, result: Result, correct: Correct) -> Result:
    """The result with corrected chances, and the label that they favour."""
    scores = result.response.scores if result.response is not None else None
    if not scores or result.status not in ("ok", "repaired"):
        return result
    return replace(result, values={**result.values, **task.scored(correct(scores))})
