"""Labels by several labellers together: ``--prior``, and a registered committee.

The quick members are asked about every row, the slow ones about the rows that are still unsure. Each
member's answers are stored under its own keys, as if it had been asked alone. A committee is the ``asker`` of
a plan, so that whatever takes several passes (a cascade, rows in parts, calibration) asks it as it asks one
model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, cast

from llm_magics.backends.base import Backend
from llm_magics.backends.committee.client import CommitteeBackend
from llm_magics.backends.committee.combination import best, combined, is_sure
from llm_magics.backends.committee.weights import LOCAL, inner, is_small, slowness, weight
from llm_magics.backends.pricing import total_usage
from llm_magics.core.errors import UsageError
from llm_magics.core.types import FREE, Result
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Part, Target
from llm_magics.engine.worker_pool import Options
from llm_magics.runs.asker import Asker
from llm_magics.runs.passes import RunContext, single_pass
from llm_magics.runs.planning import loaded_with_format, with_text_format
from llm_magics.runs.preparation import Preparation
from llm_magics.runs.run import Plan, Run
from llm_magics.tasks.label.task import Label, NearestLabel

NO_PRIOR = "none"
"""The ``--prior`` that leaves a small local model alone."""
TOGETHER = " + "
"""What stands between the names of members that decided a row together."""
Prepare: TypeAlias = Callable[[Any, Run], Coroutine[Any, Any, Preparation]]
"""The ``prepare`` of a member's own plan."""


def by_column(output: str) -> str:
    """The column that names the members which decided a row."""
    return f"{output.rstrip('_')}_by"


@dataclass(frozen=True)
class CommitteeLabel(Label):
    """``Label`` with the column ``{output}_by``: the names of the members that decided the row."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (*super().columns, by_column(self.output))

    def merge(self, parts: Sequence[Part]) -> Mapping[str, Any]:
        """The label of the parts' probabilities, and all who decided one of them."""
        by = by_column(self.output)
        names = [name for part in parts for name in str(part.result.values.get(by) or "").split(TOGETHER)]
        return {**super().merge(parts), by: TOGETHER.join(dict.fromkeys(filter(None, names)))}


@dataclass(frozen=True)
class CommitteeNearestLabel(CommitteeLabel, NearestLabel):
    """``CommitteeLabel`` whose examples are looked up by the row's text."""


def as_committee_label(task: Label) -> Label:
    """The task with the column of who decided."""
    kind: type[Label] = CommitteeNearestLabel if isinstance(task, NearestLabel) else CommitteeLabel
    return kind(**{each.name: getattr(task, each.name) for each in fields(task)})


@dataclass(frozen=True)
class CommitteeMember:
    """A labeller, its own form of the task, and where its requests go (by default where the run's go).

    ``required`` marks the model that the user named: a row that it was asked about and failed has failed.
    ``prepare`` corrects the member's scores, such as for its bias. ``name`` finds the backend in another
    process (a committee's member by its place); None is the run's own backend.
    """

    backend: Backend
    task: Label
    target: Target | None = None
    required: bool = False
    prepare: Prepare | None = None
    name: str | int | None = None

    def apart(self) -> CommitteeMember:
        """The member without its backend: connections and models stay in their process."""
        return replace(self, backend=cast("Backend", None))

    def here(self, context: RunContext, own: Backend) -> CommitteeMember:
        """The member with its backend, in whatever process this is; ``own`` is the run's."""
        if cast("Backend | None", self.backend) is not None:
            return self
        if isinstance(self.name, int):
            assert isinstance(own, CommitteeBackend)
            return replace(self, backend=own.backends[self.name])
        return replace(self, backend=own if self.name is None else context.backend(self.name, "label"))

    @property
    def weight(self) -> float:
        """By the kind of labeller."""
        return weight(self.backend)

    def plan(self, whole: Plan) -> Plan:
        """The plan of the member's own run over the rows of the committee's."""
        return replace(
            whole,
            task=self.task,
            backend=self.backend,
            target=self.target or whole.target,
            columns=self.task.columns,
            strategy=None,
            asker=None,
            prepare=self.prepare,
            truth=None,
            evaluate=None,
            notes=(),
            outlook=(),
        )


def has_default_prior(backend: Backend) -> bool:
    """Whether the backend is a small local model, which labels better together with the embedded default."""
    backend = inner(backend)
    return backend.namespace in LOCAL and backend.capabilities.text and is_small(backend)


@dataclass(frozen=True)
class Committee:
    """The ``asker`` of a plan: its members, asked in the order of their speed about the rows left unsure."""

    members: tuple[CommitteeMember, ...]

    def apart(self) -> Committee:
        """The committee for another process."""
        return Committee(tuple(member.apart() for member in self.members))

    def plans(self, plan: Plan) -> list[Plan]:
        """The members' own plans, in the order of asking."""
        members = sorted(self.members, key=lambda member: slowness(member.backend))
        return [with_text_format(member.plan(plan)) for member in members]

    def __call__(self, context: RunContext, run: Run) -> Asker:
        """The committee of one run."""
        found = [member.here(context, run.plan.backend) for member in self.members]
        return _Committee(context, run, sorted(found, key=lambda member: slowness(member.backend)))


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
    """One run's rows on their way through the members; one for all passes of the run."""

    def __init__(self, context: RunContext, run: Run, members: Sequence[CommitteeMember]) -> None:
        assert isinstance(run.plan.task, Label)
        self.context, self.run, self.members = context, run, members
        self.task = run.plan.task
        self.by = by_column(self.task.output)
        self.names = self.task.labels.names
        self.runs: dict[int, Run] = {}
        self.deciders: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()
        self.told: list[str] = []
        self.cost = 0.0

    async def __call__(
        self, items: Iterable[WorkItem], take: Callable[[Result], None], options: Options
    ) -> None:
        """Ask member after member; a row is taken as soon as it is sure, or nobody is left to ask."""
        unsure: Iterable[_Row] = (_Row(item) for item in items)
        budget = None if options.max_cost is None else options.max_cost + self.cost
        for place in range(len(self.members)):
            if budget is not None:
                options = replace(options, max_cost=max(0.0, budget - self.cost))
            unsure = await self._ask(place, unsure, take, options)
            if not unsure:
                break
        self._tell()

    async def _ask(
        self, place: int, rows: Iterable[_Row], deliver: Callable[[Result], None], options: Options
    ) -> list[_Row]:
        """Ask one member about the rows; returns those that the next one has to see."""
        member, last = self.members[place], place == len(self.members) - 1
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
                deliver(self._decided(row))

        run = await self._run(place)
        if run.sample is None:
            run.sample = self._sample(member, rows)
        await single_pass(self.context, run, items(), take, options)
        if member.required:
            self._settle(cast("Label", run.plan.task))
        self.run.notes.update(run.notes)
        self.run.meter.remarks += [each for each in run.meter.remarks if each not in self.run.meter.remarks]
        return sorted(unsure, key=lambda row: row.item.index)

    def _settle(self, asked: Label) -> None:
        """Show the prompts of the run as the user's model was asked: with its labels in this order."""
        task = cast("Label", self.run.plan.task)
        if task.choices != asked.choices:
            task = replace(task, choices=asked.choices, without=asked.without)
            self.run.plan = replace(self.run.plan, task=task)

    def _sample(self, member: CommitteeMember, rows: Iterable[_Row]) -> Sequence[WorkItem] | None:
        """The rows that a member's bias may be estimated from: a paid one is asked about no row in vain."""
        paid = member.backend.price != FREE and isinstance(rows, list)
        return [row.item for row in rows] if paid else self.run.sample

    async def _run(self, place: int) -> Run:
        """The member's own run; it keeps what was found out about its bias."""
        if place not in self.runs:
            self.runs[place] = Run(await loaded_with_format(self.members[place].plan(self.run.plan)))
        return self.runs[place]

    def _take(self, row: _Row, member: CommitteeMember, result: Result) -> None:
        """Add a member's result to the row."""
        row.results.append(result)
        self.cost += result.usage.cost or 0.0
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

    def _decided(self, row: _Row) -> Result:
        """The committee's label, or the result of the row that has none."""
        last, failed = row.results[-1], row.failed
        usage = total_usage(result.usage for result in row.results)
        required = any(member.required for member in self.members)
        if row.scores is None or (failed is not None and required and failed is last):
            return replace(self._unlabelled(row), usage=usage)
        by = TOGETHER.join(member.backend.name for member, _ in row.given)
        self.deciders[by] += 1
        values = {**self.task.scored(row.scores), self.by: by}
        response = last.response or next(r.response for r in row.results[::-1] if r.response is not None)
        assert response is not None
        label = best(row.scores)
        made = replace(response, text=label, parsed=label, scores=row.scores, method="committee")
        return replace(last, status="ok", values=values, response=made, error=None, usage=usage)

    def _unlabelled(self, row: _Row) -> Result:
        """The result of a row that no member labelled with probabilities."""
        shown = row.failed or row.results[-1]
        if shown.status in ("ok", "repaired", "defaulted"):
            name = "default" if shown.status == "defaulted" else self.members[-1].backend.name
            self.deciders[name] += 1
            return replace(shown, values={**shown.values, self.by: name})
        return shown

    def _tell(self) -> None:
        """Say in the run who decided how many rows, and with which weights; a later pass says it anew."""
        for said in self.told:
            self.run.notes.pop(said, None)
        counts = [f"{count:,} by {name}" for name, count in self.deciders.most_common()]
        self.told = [f"{self.by}: {', '.join(counts)}"] if counts else []
        self.told += [
            f"{name} gave no probabilities for {count:,} rows; they count without it."
            for name, count in self.silent.items()
        ]
        self.run.notes.update(dict.fromkeys(self.told))
        found = [(self.members[place], run.details) for place, run in self.runs.items()]
        own = next((details for member, details in found if member.required), {})
        others = {
            member.backend.name: details["bias"]
            for member, details in found
            if "bias" in details and not member.required
        }
        self.run.details.update(own)
        self.run.details["committee"] = {
            "weights": {member.backend.name: member.weight for member in self.members},
            "rows": dict(self.deciders),
            **({"bias": others} if others else {}),
        }
