"""Bias removal in a run: what is asked beforehand, and how every result is then decided.

``BiasRemoval`` is the ``prepare`` of a label plan. estimation.py has what is estimated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llm_magics.backends.pricing import total_usage
from llm_magics.backends.similarity.calibration import UNRELATED_TEXTS
from llm_magics.core.errors import LLMError
from llm_magics.core.prompt_formats import is_before_label, is_begun
from llm_magics.core.types import FREE, Result
from llm_magics.data.templates import cell_text
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs.passes import RunContext
from llm_magics.runs.preparation import Preparation, SecondPass, first_by_hash
from llm_magics.runs.run import Run
from llm_magics.tasks.label.bias.estimation import Bias, Named, estimate, probabilities, recognised
from llm_magics.tasks.label.task import Label

ROWS = 32
"""Rows of the run that the bias is estimated from: 30 were as good as 150."""
ALONE = 16
"""Rows that are needed where the label names are not asked about."""
NAMED = 64
"""Label names that are asked about as texts, at most."""
UNSURE = 0.2
"""The share of rows that are asked about with both orders of the labels: the least sure ones."""


@dataclass(frozen=True)
class BiasRemoval:
    """The ``prepare`` of a label plan: estimates the bias from a few rows, which are asked about first.

    The label names are asked about as texts, too; so are everyday sentences where a chat model's answer is
    begun.

    A text to continue, or a conversation whose answer is begun, lists the labels as they were given or in
    reverse, whichever makes the model recognise the labels' own names better; so a list and its reverse
    give the same labels. Other conversations list them as given. With ``both_orders`` the rows that are
    least sure are asked about again with the labels in reverse, and the debiased log-scores of both are
    averaged. ``texts`` are asked about in place of rows, where a run sees only a part of the whole frame.
    ``together`` says that other labellers' scores are added to the debiased ones.
    """

    task: Label
    texts: tuple[str, ...] = ()
    both_orders: bool = False
    together: bool = False

    async def __call__(self, context: RunContext, run: Run) -> Preparation:
        """Ask about the rows and the label names; say in the run what was found."""
        rows = await asyncio.to_thread(self._rows, run)
        names, first = self._names(run) if run.plan.backend.price == FREE else [], _asked(run)
        try:
            forms = [(task, await self._told(context, run, task, names)) for task in self._forms(run, names)]
        except LLMError as error:  # where all rows are stored and the model is gone, its own labels stay
            own = await self._ask(context, run, first, list(rows.values()))
            run.notes.setdefault(f"The model's bias was not removed: {error.message}")
            return _undecided(rows, own)
        task, named = max(forms, key=lambda form: (_recognised(*form), form[0].labels.names))
        run.plan = replace(run.plan, task=task)
        held = await self._ask(context, run, task, list(rows.values()))
        bias = self._estimated(run, held, named, await self._of_sentences(context, run, task, names))
        if bias is None:
            return _undecided(rows, held)
        run.details["bias"] = bias.manifest() | ({"labels": "reversed"} if task is not first else {})
        run.meter.remarks.append(f"bias removed ({bias.rows} {'row' if bias.rows == 1 else 'rows'})")
        preparation = _undecided(rows, held)
        preparation.decide = lambda result: decided(self.task, result, bias)
        if self.both_orders:
            other = next((form for form in forms if form[0] is not task), None)
            preparation.second = await self._second(context, run, bias, held, rows, other, names)
        return preparation

    async def _second(
        self,
        context: RunContext,
        run: Run,
        bias: Bias,
        held: Mapping[int, Result],
        rows: Mapping[int, WorkItem],
        form: tuple[Label, Named] | None,
        names: Sequence[WorkItem],
    ) -> SecondPass | None:
        """The second pass, with the labels in reverse, over rows less sure than most of ``held``."""
        if form is None:
            task = reversed_labels(_asked(run))
            form = task, await self._told(context, run, task, names)
        task = form[0]
        twice = await self._ask(context, run, task, list(rows.values()))
        other = self._estimated(run, twice, form[1], await self._of_sentences(context, run, task, names))
        if other is None:
            return None
        sure = sorted(_confidence(decided(self.task, result, bias)) for result in held.values())
        least = sure[round(UNSURE * len(sure))]
        run.details["bias"] |= {"other_order": other.manifest(), "other_order_below": round(least, 6)}
        run.meter.remarks.append(f"both orders of the labels below {least:.2f}")
        return SecondPass(
            task,
            lambda result: _confidence(result) < least,
            lambda first, then: averaged(self.task, (first, bias), (then, other)),
            twice,
        )

    def _forms(self, run: Run, names: Sequence[WorkItem]) -> list[Label]:
        """The orders of the labels between which the label names decide."""
        chosen = is_before_label(run.plan.target.parameters) and len(names) > 1
        task = _asked(run)
        return [task, reversed_labels(task)] if chosen else [task]

    def _rows(self, run: Run) -> dict[int, WorkItem]:
        """The rows that the bias is estimated from, by index."""
        plan, text = run.plan, self.task.column
        if self.texts:
            behind = len(plan) + len(self.task.labels.names)
            return {behind + i: WorkItem(behind + i, {text: each}) for i, each in enumerate(self.texts)}
        items = plan.work_items() if run.sample is None else run.sample
        found = first_by_hash(items, lambda row: cell_text(row[text]), ROWS, plan.seed)
        return {item.index: item for item in found}

    def _names(self, run: Run) -> list[WorkItem]:
        """Label names as rows, behind the run's own; a host that is paid is not asked about them."""
        names, own = sorted(self.task.labels.names), len(run.plan)
        items = (WorkItem(own + i, {self.task.column: name}) for i, name in enumerate(names))
        return first_by_hash(items, lambda row: cell_text(row[self.task.column]), NAMED, run.plan.seed)

    async def _told(self, context: RunContext, run: Run, task: Label, names: Sequence[WorkItem]) -> Named:
        """The model's probabilities about texts that are label names, by name."""
        found = await self._ask(context, run, task, names) if names else {}
        told = {cell_text(item.row[self.task.column]): found.get(item.index) for item in names}
        scores = {name: self._scores(result) for name, result in sorted(told.items()) if result is not None}
        return {name: each for name, each in scores.items() if each is not None}

    async def _of_sentences(
        self, context: RunContext, run: Run, task: Label, names: Sequence[WorkItem]
    ) -> list[Mapping[str, float]]:
        """A free chat model's probabilities about everyday sentences, which no label is about."""
        if not names or self.texts or not is_begun(run.plan.target.parameters):
            return []
        behind = len(run.plan) + len(self.task.labels.names)
        texts = enumerate(UNRELATED_TEXTS, behind)
        items = [WorkItem(index, {self.task.column: text}) for index, text in texts]
        try:
            found = await self._ask(context, run, task, items)
        except LLMError:  # rows and names are stored, by a version that asked about these only
            return []
        scores = map(self._scores, found.values())
        return [each for each in scores if each is not None]

    def _estimated(
        self,
        run: Run,
        held: Mapping[int, Result],
        named: Named,
        sentences: Sequence[Mapping[str, float]],
    ) -> Bias | None:
        """The bias; None without scores over all labels, or with too few to tell it by the rows alone."""
        scores = [each for each in map(self._scores, held.values()) if each is not None]
        if not scores or (not named and len(scores) < ALONE):
            return None
        exact = run.plan.backend.capabilities.exact_scores
        names, together = self.task.labels.names, self.together
        return estimate(names, scores, named, sentences, calibrated=exact, together=together)

    async def _ask(
        self, context: RunContext, run: Run, task: Label, items: Sequence[WorkItem]
    ) -> dict[int, Result]:
        """The model's own results, by index in the items' order."""
        plan, found = run.plan, dict[int, Result]()

        def take(result: Result) -> None:
            found[result.index] = result

        await context.engine.run(items, task, plan.backend, plan.target, plan.options, take)
        if plan.backend.announcement:  # of a load in this pass; the next one would forget it
            run.notes.setdefault(plan.backend.announcement)
        return {item.index: found[item.index] for item in items if item.index in found}

    def _scores(self, result: Result) -> Mapping[str, float] | None:
        """A language model's probabilities of all labels."""
        response = result.response
        if response is None or not response.scores or response.method == "similarity":
            return None
        return response.scores if response.scores.keys() == set(self.task.labels.names) else None


def _undecided(rows: Mapping[int, WorkItem], held: Mapping[int, Result]) -> Preparation:
    """A preparation that leaves the model's own labels."""
    return Preparation(lambda result: result, {index: (rows[index], held[index]) for index in held})


def _asked(run: Run) -> Label:
    """The task as the run asks it; a strategy may have given it other examples."""
    task = run.plan.task
    assert isinstance(task, Label)
    return task


def _recognised(task: Label, named: Named) -> float:
    return recognised(task.labels.names, named) if named else 0.0


def reversed_labels(task: Label) -> Label:
    """The task with its labels listed in reverse; a label for "none of these" that was added stays last."""
    without = {text: choices[::-1] for text, choices in task.without.items()}
    return replace(task, choices=task.choices[::-1], without=without)


def decided(task: Label, result: Result, bias: Bias) -> Result:
    """The result with debiased probabilities and the label that is now the likeliest."""
    if not _has_scores(result, bias):
        return result
    assert result.response is not None
    return _scored(task, result, bias.decide(result.response.scores or {}))


def averaged(task: Label, first: tuple[Result, Bias], then: tuple[Result, Bias]) -> Result:
    """The first result with the debiased log-scores of both averaged; alone where the other has none."""
    results, usable = (first[0], then[0]), [pair for pair in (first, then) if _has_scores(*pair)]
    made = first[0]
    if first in usable:
        logs = [
            {name: bias.scale * score for name, score in bias.removed(_scores_of(result)).items()}
            for result, bias in usable
        ]
        mean = {name: sum(each[name] for each in logs) / len(logs) for name in logs[0]}
        made = _scored(task, made, probabilities(mean))
    return replace(made, usage=total_usage(result.usage for result in results))


def _has_scores(result: Result, bias: Bias) -> bool:
    return result.status in ("ok", "repaired") and bias.covers(_scores_of(result))


def _scores_of(result: Result) -> Mapping[str, float]:
    return (result.response.scores if result.response is not None else None) or {}


def _confidence(result: Result) -> float:
    """The largest probability of a label; 1 for a result without any."""
    return max(_scores_of(result).values(), default=1.0)


def _scored(task: Label, result: Result, scores: Mapping[str, float]) -> Result:
    assert result.response is not None
    response = replace(result.response, scores=scores)
    return replace(result, response=response, values={**result.values, **task.scored(scores)})
