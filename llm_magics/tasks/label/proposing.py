"""Labels that the model proposes from some of the texts, where nobody gave any."""

from __future__ import annotations

import random

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Choice
from llm_magics.data.templates import text_of
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import DETERMINISTIC, Common
from llm_magics.runs.run import Run
from llm_magics.runs.session import Session
from llm_magics.tasks.label.proposal_task import COLUMN, Propose, sampled

SHOWN = 60
"""Texts that labels are proposed from."""


def propose_labels(
    session: Session, given: planning.Source, most: int, guidance: str, common: Common
) -> tuple[Choice, ...]:
    """Labels the model proposes from a random sample of the texts; said, so that a person can edit them.

    Raises UsageError, and what the backend raises; Unsupported where it writes no text.
    """
    if common.get("dry_run"):
        raise UsageError(
            "--propose asks the model first, a dry run sends nothing.",
            hint="Give the labels, or leave -n out.",
        )
    if most < 2:
        raise UsageError("--propose takes two or more.", hint="--propose 8")
    values = given.frame.values(planning.text_column(given))
    texts = [text for row in given.rows if (text := text_of(values[row])).strip()]
    chance = random.Random(common.get("random_state", 0))  # noqa: S311 - a reproducible sample
    some = sampled(chance.sample(texts, min(SHOWN, len(texts))))
    backend = planning.backend_for(session, common, "label", "schema")
    asking: Common = {"on_error": "raise", "name": "the proposal"}
    source = planning.source([some], asking)
    task = Propose(most, guidance)
    made = planning.plan(session, source, task, backend, asking, inputs=(COLUMN,), parameters=DETERMINISTIC)
    run: Run = execute(session, made, {"progress": False}, shape=lambda run: run)
    found: tuple[Choice, ...] = tuple(run.row_columns[task.output][0])
    print("Proposed labels (edit them in a cell's body):")
    print("\n".join(f"{choice.name}: {choice.description}" for choice in found))
    return found
