"""Labels that the model proposes from some of the texts, where nobody gave any."""

from __future__ import annotations

import random

from llm_magics.api import plans
from llm_magics.api.execution import execute
from llm_magics.api.plans import DETERMINISTIC, Common
from llm_magics.api.run import Run
from llm_magics.api.session import Session
from llm_magics.errors import UsageError
from llm_magics.prompts import text_of
from llm_magics.tasks.propose import COLUMN, Propose, sampled
from llm_magics.types import Choice

SHOWN = 60
"""Texts that labels are proposed from."""


def propose_labels(
    session: Session, given: plans.Source, most: int, guidance: str, common: Common
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
    values = given.frame.values(plans.text_column(given))
    texts = [text for row in given.rows if (text := text_of(values[row])).strip()]
    chance = random.Random(common.get("random_state", 0))  # noqa: S311 - a reproducible sample
    some = sampled(chance.sample(texts, min(SHOWN, len(texts))))
    backend = plans.backend_for(session, common, "label", "schema")
    asking: Common = {"on_error": "raise", "name": "the proposal"}
    source = plans.source([some], asking)
    task = Propose(most, guidance)
    made = plans.plan(session, source, task, backend, asking, inputs=(COLUMN,), parameters=DETERMINISTIC)
    run: Run = execute(session, made, {"progress": False}, shape=lambda run: run)
    found: tuple[Choice, ...] = tuple(run.row_columns[task.output][0])
    print("Proposed labels (edit them in a cell's body):")
    print("\n".join(f"{choice.name}: {choice.description}" for choice in found))
    return found
