"""Bias removal: a model's preference for some labels, whatever the text, taken off its label scores.

The bias of a label is estimated from two things: how likely the model finds it when the text is the name
of *another* label, and its log-scores over a few of the run's rows. The mean over the rows is batch
calibration (Zhou et al. 2023, arXiv 2309.17249), which takes the labels' true frequencies for bias. Here the
rows are a mixture instead: each has one unknown label, which lifts that label's score, and the labels'
frequencies are estimated with the bias (expectation maximisation; Dempster, Laird and Rubin 1977).
docs/benchmarks/quality.md has the measurements.

``BiasRemoval`` is the ``prepare`` of a label plan. ``Bias.removed`` gives the debiased log-scores of one
row over all labels, ``Bias.decide`` the probabilities that its label is decided on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_magics.core.errors import LLMError
from llm_magics.core.types import FREE, Result
from llm_magics.data.templates import cell_text
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs.preparation import Preparation, first_by_hash
from llm_magics.runs.run import Run, RunContext
from llm_magics.tasks.label.task import Label

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 32
"""Rows of the run that the bias is estimated from: 30 were as good as 150."""
ALONE = 16
"""Rows that are needed where the label names are not asked about."""
NAMED = 64
"""Label names that are asked about as texts, at most."""
PRIOR_ROWS = 16
"""The weight of the label names in rows: with so many rows both count equally."""
PRIOR_COUNT = 0.5
"""Rows added to each label's estimated number: Jeffreys' prior of a multinomial distribution."""
SPREAD = 1.3
"""The spread of log-scores over a row's labels at which their softmax is calibrated.

Likeliest on four labelled sets, each with its labels in three to six orders; 1.1 to 1.9 would have been
best for one of them alone.
"""
ITERATIONS = 50
LEAST_NOISE = 0.25
"""The least noise of a label's score, in units of the lift of a row's own label."""
FLOOR = 1e-6
"""The probability that stands for zero."""


@dataclass(frozen=True)
class Bias:
    """What is subtracted from each label's log-score, and what the difference is multiplied by.

    ``rows`` is the number of rows it was estimated from, ``named`` that of label names.
    """

    offsets: Mapping[str, float]
    scale: float = 1.0
    rows: int = 0
    named: int = 0

    def removed(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The debiased log-scores of one row from its probabilities; not normalised."""
        return {name: _log(scores[name]) - offset for name, offset in self.offsets.items()}

    def decide(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The debiased probabilities of one row."""
        return probabilities(self.removed(scores), self.scale)

    def covers(self, scores: Mapping[str, float] | None) -> bool:
        """Whether these are scores of all labels."""
        return scores is not None and scores.keys() == self.offsets.keys()

    def manifest(self) -> dict[str, Any]:
        """The record for the run's manifest."""
        return {
            "offsets": {name: round(offset, 6) for name, offset in self.offsets.items()},
            "scale": round(self.scale, 6),
            "rows": self.rows,
            "label_names": self.named,
        }


def probabilities(log_scores: Mapping[str, float], scale: float = 1.0) -> dict[str, float]:
    """The softmax of ``scale`` times the log-scores."""
    top = max(log_scores.values())
    weights = {name: math.exp(scale * (score - top)) for name, score in log_scores.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def estimate(
    names: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    named: Mapping[str, Mapping[str, float]],
    *,
    calibrated: bool = True,
) -> Bias:
    """The bias from the label probabilities of some rows and of texts that are label names.

    ``named`` has the probabilities by the label that the text names. Without ``calibrated`` the
    debiased scores keep their scale, as for hosts whose probabilities are rounded.
    """
    import numpy as np

    given = np.array([[_log(scores[name]) for name in names] for scores in rows])
    offsets = _by_rows(given, _by_names(names, named))
    spread = float((given - offsets).std(axis=1).mean())
    scale = SPREAD / spread if calibrated and spread > 0 else 1.0
    pairs = zip(names, offsets.tolist(), strict=True)
    return Bias(dict(pairs), scale, len(rows), len(named))


def _by_names(names: Sequence[str], named: Mapping[str, Mapping[str, float]]) -> NDArray[Any]:
    """The labels' log-scores over the texts that are label names, centred; zeros without such texts.

    A text favours the label that it names, some labels far more than others, so that cell is left out:
    the rest is fitted as the sum of a text's and a label's part (least squares, by alternating means).
    With two labels nothing would be left, so there every cell counts.
    """
    import numpy as np

    if len(named) < 2:
        return np.zeros(len(names))
    table = np.array([[_log(scores[name]) for name in names] for scores in named.values()])
    counts = np.array([[float(text != name or len(names) < 3) for name in names] for text in named])
    labels = np.zeros(len(names))
    for _ in range(ITERATIONS):
        texts = (counts * (table - labels)).sum(axis=1) / counts.sum(axis=1)
        labels = (counts * (table - texts[:, None])).sum(axis=0) / counts.sum(axis=0)
        labels -= labels.mean()
    return labels


def _by_rows(given: NDArray[Any], prior: NDArray[Any]) -> NDArray[Any]:
    """The labels' bias, centred, from the rows' log-scores; ``prior`` counts as much as PRIOR_ROWS rows.

    A centred row is the bias, plus ``lift`` on its own label, plus normal noise. Which label that is, how
    frequent each label is, the lift, the noise and the bias are estimated in turn.
    """
    import numpy as np

    rows, labels = given.shape
    if labels < 2:
        return prior
    given = given - given.mean(axis=1, keepdims=True)
    own = np.eye(labels) - 1 / labels
    bias, shares = prior, np.full(labels, 1 / labels)
    lift = max(FLOOR, float((given - bias).max(axis=1).mean()) * labels / (labels - 1))
    noise = lift / 2
    for _ in range(ITERATIONS):
        rest = given - bias
        fit = rest @ own
        chances = _softmax(fit * lift / noise**2 + np.log(shares))
        shares = (chances.sum(axis=0) + PRIOR_COUNT) / (rows + PRIOR_COUNT * labels)
        lift = max(FLOOR, float((chances * fit).sum()) / rows * labels / (labels - 1))
        left = float((rest**2).sum() - 2 * lift * (chances * fit).sum()) + lift**2 * rows * (1 - 1 / labels)
        noise = max(LEAST_NOISE * lift, math.sqrt(max(left, 0.0) / (rows * (labels - 1))))
        found = (given - lift * chances @ own).mean(axis=0)
        bias = prior + rows / (rows + PRIOR_ROWS) * (found - prior)
    return bias


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """The softmax of each row."""
    import numpy as np

    weights: NDArray[Any] = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _log(probability: float) -> float:
    return math.log(max(probability, FLOOR))


@dataclass(frozen=True)
class BiasRemoval:
    """The ``prepare`` of a label plan: estimates the bias from a few rows, which are asked about first.

    ``texts`` are asked about in place of rows, where a run sees only a part of the whole frame.
    """

    task: Label
    texts: tuple[str, ...] = ()

    async def __call__(self, context: RunContext, run: Run) -> Preparation:
        """Ask about the rows and the label names; say in the run what was found."""
        rows = await asyncio.to_thread(self._rows, run)
        names = self._names(run) if run.plan.backend.price == FREE else []
        results, missing = await self._results(context, run, rows, names)
        held = {item.index: (item, results[item.index]) for item in rows if item.index in results}
        bias = self._estimated(run, [results[i] for i in held], [results.get(item.index) for item in names])
        if bias is None or missing:
            return Preparation(lambda result: result, held)
        run.details["bias"] = bias.manifest()
        run.meter.remarks.append(f"bias removed ({bias.rows} {'row' if bias.rows == 1 else 'rows'})")
        return Preparation(lambda result: decided(self.task, result, bias), held)

    def _rows(self, run: Run) -> list[WorkItem]:
        """The rows that the bias is estimated from."""
        plan = run.plan
        if self.texts:
            behind = len(plan) + len(self.task.labels.names)
            return [WorkItem(behind + i, {self.task.column: text}) for i, text in enumerate(self.texts)]
        items = plan.work_items() if run.sample is None else run.sample
        return first_by_hash(items, lambda row: cell_text(row[self.task.column]), ROWS, plan.seed)

    def _names(self, run: Run) -> list[WorkItem]:
        """Label names as rows, behind the run's own; a host that is paid is not asked about them."""
        names, own = self.task.labels.names, len(run.plan)
        items = (WorkItem(own + i, {self.task.column: name}) for i, name in enumerate(names))
        return first_by_hash(items, lambda row: cell_text(row[self.task.column]), NAMED, run.plan.seed)

    async def _results(
        self, context: RunContext, run: Run, rows: Sequence[WorkItem], names: Sequence[WorkItem]
    ) -> tuple[dict[int, Result], bool]:
        """The model's own results by index, and whether those of the names could not be had.

        Where all rows are stored and the model is gone, its own labels stay.
        """
        try:
            return await self._ask(context, run, [*rows, *names]), False
        except LLMError as error:
            found = await self._ask(context, run, rows) if names else None
            if found is None:
                raise
            run.notes.setdefault(f"The model's bias was not removed: {error.message}")
            return found, True

    def _estimated(self, run: Run, rows: Sequence[Result], names: Sequence[Result | None]) -> Bias | None:
        """The bias; None without scores over all labels, or with too few to tell it by the rows alone."""
        scores = [each for each in map(self._scores, rows) if each is not None]
        told = {self._said(run, each): self._scores(each) for each in names if each is not None}
        named = {name: each for name, each in sorted(told.items()) if each is not None}
        if not scores or (not named and len(scores) < ALONE):
            return None
        exact = run.plan.backend.capabilities.exact_scores
        return estimate(self.task.labels.names, scores, named, calibrated=exact)

    def _said(self, run: Run, result: Result) -> str:
        """The label name that a result is about."""
        return self.task.labels.names[result.index - len(run.plan)]

    async def _ask(self, context: RunContext, run: Run, items: Sequence[WorkItem]) -> dict[int, Result]:
        """The model's own results, by index in the items' order."""
        plan, found = run.plan, dict[int, Result]()

        def take(result: Result) -> None:
            found[result.index] = result

        await context.engine.run(items, plan.task, plan.backend, plan.target, plan.options, take)
        if plan.backend.announcement:  # of a load in this pass; the next one would forget it
            run.notes.setdefault(plan.backend.announcement)
        return {item.index: found[item.index] for item in items if item.index in found}

    def _scores(self, result: Result) -> Mapping[str, float] | None:
        """A language model's probabilities of all labels."""
        response = result.response
        if response is None or not response.scores or response.method == "similarity":
            return None
        return response.scores if response.scores.keys() == set(self.task.labels.names) else None


def decided(task: Label, result: Result, bias: Bias) -> Result:
    """The result with debiased probabilities and the label that is now the likeliest."""
    response = result.response
    if response is None or not bias.covers(response.scores) or result.status not in ("ok", "repaired"):
        return result
    scores = bias.decide(response.scores or {})
    response = replace(response, scores=scores)
    return replace(result, response=response, values={**result.values, **task.scored(scores)})
