"""Labels by several labellers together: ``--prior``, and a registered committee.

The quick members are asked about every row, the slow ones about the rows that are still unsure. Each
member's answers are stored under its own keys, as if it had been asked alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.backends.committee.client import CommitteeBackend
from llm_magics.backends.committee.combination import best, combined, is_sure
from llm_magics.backends.committee.weights import LOCAL, is_small, slowness, weight
from llm_magics.backends.pricing import total_usage
from llm_magics.core.errors import UsageError
from llm_magics.core.types import Result
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Parsed, Target
from llm_magics.runs.planning import with_text_format
from llm_magics.runs.run import Plan, Run, RunContext, Strategy, single_pass
from llm_magics.tasks.label.bias import BiasRemoval
from llm_magics.tasks.label.task import Label

NO_PRIOR = "none"
"""The ``--prior`` that leaves a small local model alone."""


@dataclass(frozen=True)
class CommitteeLabel(Label):
    """``Label`` with the column ``{output}_by``: the names of the members that decided the row."""

    @property
    def by(self) -> str:
        """The column that names the members."""
        return f"{self.output.rstrip('_')}_by"

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (*super().columns, self.by)

    def default(self, request: Any) -> Parsed | None:
        """The default label: nobody's."""
        made = super().default(request)
        return None if made is None else replace(made, values={**made.values, self.by: "default"})


def as_committee_label(task: Label) -> CommitteeLabel:
    """The task with the column of who decided."""
    return CommitteeLabel(**{each.name: getattr(task, each.name) for each in fields(Label)})


@dataclass(frozen=True)
class CommitteeMember:
    """A labeller, its own form of the task, and where its requests go (by default where the run's go).

    ``required`` marks the model that the user named: a row that it was asked about and failed has failed.
    ``prepare`` takes the member's bias off its scores.
    """

    backend: Backend
    task: Label
    target: Target | None = None
    required: bool = False
    prepare: BiasRemoval | None = None

    @property
    def weight(self) -> float:
        """By the kind of labeller."""
        return weight(self.backend)


def has_default_prior(backend: Backend) -> bool:
    """Whether the backend is a small local model, which labels better together with the embedded default."""
    return backend.namespace in LOCAL and backend.capabilities.text and is_small(backend)


def committee_strategy(members: Sequence[CommitteeMember]) -> Strategy:
    """The strategy that asks members in the order of their speed, each about the rows left unsure."""
    ordered = sorted(members, key=lambda member: slowness(member.backend))

    async def execute(context: RunContext, run: Run) -> None:
        await _Committee(context, run, ordered).decide()

    return execute


def require_scores(backend: Backend) -> None:
    """Raises UsageError for a backend that can give no label probabilities."""
    can = backend.capabilities
    if isinstance(backend, CommitteeBackend) or (
        can.text and not can.logprobs and backend.namespace != "custom"
    ):
        raise UsageError(
            f"{backend.name} gives no label probabilities to add to others.",
            hint="Name the embedded default, a model that embeds, or one with log-probabilities.",
        )


@dataclass
class _Row:
    """What the members said about one row."""

    item: WorkItem
    given: list[tuple[CommitteeMember, Mapping[str, float]]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    scores: Mapping[str, float] | None = None
    failed: Result | None = None


class _Committee:
    """One run's rows on their way through the members."""

    def __init__(self, context: RunContext, run: Run, members: Sequence[CommitteeMember]) -> None:
        assert isinstance(run.plan.task, CommitteeLabel)
        self.context, self.run, self.members = context, run, members
        self.task = run.plan.task
        self.names = self.task.labels.names
        self.deciders: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()
        self.biases: dict[str, Any] = {}

    async def decide(self) -> None:
        """Ask member after member; deliver each row as soon as it is sure, or nobody is left to ask."""
        unsure: list[_Row] | None = None
        for place, member in enumerate(self.members):
            rows = self._rows() if unsure is None else unsure
            unsure = await self._ask(member, rows, last=place == len(self.members) - 1)
            if not unsure:
                break
        self._tell()

    def _rows(self) -> Iterable[_Row]:
        return (_Row(item) for item in self.run.plan.work_items())

    async def _ask(self, member: CommitteeMember, rows: Iterable[_Row], *, last: bool) -> list[_Row]:
        """Ask one member about the rows; returns those that the next one has to see."""
        waiting: dict[int, _Row] = {}
        unsure: list[_Row] = []

        def items() -> Iterable[WorkItem]:
            for row in rows:
                waiting[row.item.index] = row
                yield row.item

        def take(result: Result) -> None:
            row = waiting.pop(result.index)
            self._take(row, member, result)
            if not last and not self._settled(row):
                unsure.append(row)
            else:
                self._deliver(row)

        if self.run.plan.text_format and member.backend.completes is None:
            await member.backend.load()
        run = Run(with_text_format(self._plan(member)))
        options = run.plan.options
        if options.max_cost is not None:
            options = replace(options, max_cost=max(0.0, options.max_cost - self.run.meter.cost))
        await single_pass(self.context, run, items(), take, options)
        self.run.notes.update(run.notes)
        if member.required and "bias" in run.details:
            self.run.details["bias"] = run.details["bias"]
        elif "bias" in run.details:
            self.biases[member.backend.name] = run.details["bias"]
        self.run.meter.remarks += [each for each in run.meter.remarks if each not in self.run.meter.remarks]
        return sorted(unsure, key=lambda row: row.item.index)

    def _plan(self, member: CommitteeMember) -> Plan:
        """The plan of a member's own run."""
        task = member.task
        return replace(
            self.run.plan,
            task=task,
            backend=member.backend,
            target=member.target or self.run.plan.target,
            columns=task.columns,
            strategy=None,
            prepare=member.prepare,
            truth=None,
            evaluate=None,
        )

    def _take(self, row: _Row, member: CommitteeMember, result: Result) -> None:
        """Add a member's result to the row."""
        row.results.append(result)
        scores = result.response.scores if result.response is not None else None
        if result.status in ("ok", "repaired") and scores:
            row.given.append((member, scores))
            row.scores = combined([(each.weight, given) for each, given in row.given], self.names)
        elif result.status in ("ok", "repaired"):
            self.silent[member.backend.name] += 1
        elif member.required or row.failed is None:
            row.failed = result

    def _settled(self, row: _Row) -> bool:
        skipped = bool(row.results) and row.results[-1].status == "skipped"
        return skipped or (row.scores is not None and is_sure(row.scores))

    def _deliver(self, row: _Row) -> None:
        """Deliver the committee's label, or the result of the row that has none."""
        last = row.results[-1]
        failed = row.failed
        required = any(member.required for member in self.members)
        if row.scores is None or (failed is not None and required and failed is last):
            self.run.deliver(replace(self._unlabelled(row), usage=total_usage(r.usage for r in row.results)))
            return
        by = " + ".join(member.backend.name for member, _ in row.given)
        self.deciders[by] += 1
        values = {**self.task.scored(row.scores), self.task.by: by}
        response = last.response or next(r.response for r in row.results[::-1] if r.response is not None)
        assert response is not None
        label = best(row.scores)
        made = replace(response, text=label, parsed=label, scores=row.scores, method="committee")
        self.run.deliver(
            replace(
                last,
                status="ok",
                values=values,
                response=made,
                error=None,
                usage=total_usage(result.usage for result in row.results),
            )
        )

    def _unlabelled(self, row: _Row) -> Result:
        """The result of a row that no member labelled with probabilities."""
        shown = row.failed or row.results[-1]
        if shown.status in ("ok", "repaired", "defaulted"):
            name = "default" if shown.status == "defaulted" else self.members[-1].backend.name
            self.deciders[name] += 1
            return replace(shown, values={**shown.values, self.task.by: name})
        return shown

    def _tell(self) -> None:
        """Say in the run who decided how many rows, and with which weights."""
        counts = [f"{count:,} by {name}" for name, count in self.deciders.most_common()]
        if counts:
            self.run.notes.setdefault(f"{self.task.by}: {', '.join(counts)}")
        for name, count in self.silent.items():
            self.run.notes.setdefault(
                f"{name} gave no probabilities for {count:,} rows; they count without it."
            )
        self.run.details["committee"] = {
            "weights": {member.backend.name: member.weight for member in self.members},
            "rows": dict(self.deciders),
            **({"bias": self.biases} if self.biases else {}),
        }
