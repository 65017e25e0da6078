"""Labels that the model proposes from some of the texts, where nobody gave any."""

from __future__ import annotations

import random
from dataclasses import replace

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Choice
from llm_magics.data.templates import text_of
from llm_magics.options.common import RowOptions
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import DETERMINISTIC
from llm_magics.runs.run import Run
from llm_magics.runs.session import Session
from llm_magics.tasks.label.options import LabelOptions
from llm_magics.tasks.label.proposal_task import COLUMN, Propose, sampled

SHOWN = 60
"""Texts that labels are proposed from."""


def propose_labels(
    session: Session, given: planning.Source, most: int, options: LabelOptions
) -> tuple[Choice, ...]:
    """Labels the model proposes from a random sample of the texts; said, so that a person can edit them.

    Raises UsageError, and what the backend raises; Unsupported where it writes no text.
    """
    if options.dry_run:
        raise UsageError(
            "--propose asks the model first, a dry run sends nothing.",
            hint="Give the labels, or leave -n out.",
        )
    if most < 2:
        raise UsageError("--propose takes two or more.", hint="--propose 8")
    values = given.frame.values(planning.text_column(given))
    texts = [text for row in given.rows if (text := text_of(values[row])).strip()]
    chance = random.Random(options.random_state)  # noqa: S311 - a reproducible sample
    some = sampled(chance.sample(texts, min(SHOWN, len(texts))))
    backend = planning.backend_for(session, options, "label", "schema")
    asking = RowOptions(data=[some], on_error="raise", name="the proposal", progress=False)
    source = planning.source(asking)
    task = Propose(most, options.guidance)
    made = planning.plan(session, source, task, backend, asking, inputs=(COLUMN,), parameters=DETERMINISTIC)
    found: tuple[Choice, ...] = execute(session, replace(made, shape=_proposed), asking)
    print("Proposed labels (edit them in a cell's body):")
    print("\n".join(f"{choice.name}: {choice.description}" for choice in found))
    return found


def _proposed(run: Run) -> tuple[Choice, ...]:
    """The labels in the answer to the one question of the run."""
    return tuple(run.row_columns[run.plan.output][0])
