"""The labeller of ``improve``: a model of this session, asked through runs whose answers are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.types import Choice
from llm_magics.options.run_options import RowOptions
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import DETERMINISTIC
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.codebook.rewording import COLUMN, Reword
from llm_magics.tasks.label.columns import LabelColumns, LabelValue
from llm_magics.tasks.label.options import LabelOptions
from llm_magics.tasks.label.plan import label
from llm_magics.tasks.label.task import Label


@dataclass(frozen=True)
class ModelLabeller:
    """Labels as the run of ``plan`` did, without its examples, votes and cascade; ``proposer`` rewords."""

    session: Session
    plan: Plan
    proposer: Any = None
    yes: bool = False

    @property
    def name(self) -> str:
        """The name of the model that labels."""
        return self.plan.backend.name

    def label(self, texts: Sequence[str], labels: Sequence[Choice]) -> list[LabelValue | None]:
        """A label, or labels, for each text."""
        task = self.plan.task
        assert isinstance(task, Label)
        options = LabelOptions(
            data=list(texts),
            labels=list(labels),
            multi=task.many,
            max_labels=task.max_choices,
            none=task.none,
            explain="after" if task.explain == "after" else bool(task.explain),
            guidance=task.guidance,
            output=task.output,
            model=self.plan.backend,
            parameters=self._parameters(),
            progress=False,
            yes=self.yes,
            name="the gold rows",
        )
        plan = label.plan(self.session, options)
        made = LabelColumns(task.output, tuple(plan.labels), task.many)
        found: list[LabelValue | None] = self._result(
            replace(plan, shape=lambda run: _words(run, made)), options
        )
        return found

    def reword(self, labels: Sequence[Choice], prompts: Sequence[str]) -> list[tuple[Choice, ...]]:
        """New definitions for each prompt. Raises what the backend raises."""
        asking = RowOptions(
            data=list(prompts), on_error="raise", name="the codebook", progress=False, yes=self.yes
        )
        backend = planning.backend_for(
            self.session, replace(asking, model=self.proposer or self.plan.backend), "label", "schema"
        )
        plan = planning.plan(
            self.session,
            planning.source(asking),
            Reword(tuple(labels)),
            backend,
            asking,
            inputs=(COLUMN,),
            parameters=DETERMINISTIC,
        )
        shaped = replace(plan, shape=lambda run: list(run.row_columns[run.plan.output]))
        found: list[tuple[Choice, ...]] = self._result(shaped, asking)
        return found

    def _parameters(self) -> dict[str, Any] | None:
        """The parameters that the run's caller gave beyond the backend's own and the task's."""
        own = {**DETERMINISTIC, **self.plan.backend.parameters}
        return {k: v for k, v in self.plan.target.parameters.items() if own.get(k, ...) != v} or None

    def _result(self, plan: Plan, options: Any) -> Any:
        """What a plan gives; the user's own last run stays the last."""
        before = list(self.session.runs)
        try:
            return execute(self.session, plan, options, footer=False)
        finally:
            self.session.runs.clear()
            self.session.runs.extend(before)


def _words(run: Run, made: LabelColumns) -> list[LabelValue | None]:
    return [made.word(cell) for cell in run.row_columns[run.plan.output]]
