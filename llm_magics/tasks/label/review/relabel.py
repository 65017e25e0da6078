"""Labels asked for again: a run's own model, with a person's labels as examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from llm_magics.options.common import RunOptions
from llm_magics.runs.execution import execute
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.label.cascade.task import CascadeLabel
from llm_magics.tasks.label.examples import gold
from llm_magics.tasks.label.few_shot import with_examples
from llm_magics.tasks.label.review.review import Answer, Review
from llm_magics.tasks.label.task import Label


@dataclass(frozen=True)
class Again:
    """Asks as a labelling's plan asked, row by row of its model alone: no cheap labeller, no correction."""

    session: Session
    plan: Plan

    def ask(
        self,
        review: Review,
        rows: Sequence[int],
        take: Callable[[Mapping[int, Answer]], int],
        options: Mapping[str, Any],
    ) -> Any:
        """What ``take`` makes of the answers about ``rows``; a Job or an Estimate where options ask for one.

        Raises UsageError where no gold row can be an example, or the cost is to be agreed to first.
        """
        task, order = self._taught(review), sorted(rows)

        def shape(run: Run) -> int:
            columns = run.row_columns
            return take({row: {name: values[row] for name, values in columns.items()} for row in rows})

        plan = replace(
            self.plan,
            task=task,
            columns=task.columns,
            rows=order,
            strategy=None,
            truth=None,
            evaluate=None,
            shape=shape,
        )
        return execute(self.session, plan, RunOptions(progress=False, **options))

    def _taught(self, review: Review) -> Label:
        """The task with the gold as its examples, in place of those it had."""
        task = self.plan.task
        assert isinstance(task, Label)
        bare = (
            task
            if isinstance(task, CascadeLabel)
            else Label(**{field.name: getattr(task, field.name) for field in fields(Label)})
        )
        texts, words = zip(*review.examples, strict=True)
        known = gold(texts, words, bare.labels.names, many=bare.many)
        return with_examples(bare, known, None, self.plan.backend)
