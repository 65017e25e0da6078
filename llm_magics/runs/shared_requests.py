"""``--rows-per-request``: a plan whose rows share requests, several in each."""

from __future__ import annotations

from dataclasses import replace

from llm_magics.core.errors import Unsupported, UsageError
from llm_magics.core.types import OneOf, Vector
from llm_magics.runs.run import Plan

FLAG = "--rows-per-request"


def sharing(plan: Plan, rows: int) -> Plan:
    """The plan with ``rows`` rows in one request. Raises UsageError for one that needs each row's own."""
    if rows < 1:
        raise UsageError("rows_per_request must be 1 or more.")
    if rows == 1:
        return plan
    if not plan.backend.capabilities.text:
        raise Unsupported(
            f"{plan.backend.name} reads no prompts that rows could share.",
            hint=f"Leave out {FLAG}, or name a language model with -m.",
        )
    if plan.strategy is not None or plan.samples > 1:
        raise UsageError(
            f"{FLAG} goes with one plain answer a row.",
            hint=f"Leave out {FLAG}, or what asks more: --dynamic, --agree, --votes, several generations.",
        )
    target = replace(plan.target, rows_per_request=rows)
    asked = plan.task.request(dict.fromkeys(plan.inputs, "."), target)
    form = asked.response_format if asked is not None else None
    if isinstance(form, Vector):
        raise UsageError(f"{FLAG} is for texts; embeddings go in batches by themselves.")
    if isinstance(form, OneOf) and form.scores:
        raise UsageError(
            f"{FLAG} has no probabilities: those are of one answer a request.",
            hint=f"Leave out {FLAG}, or --scores and --calibrate.",
        )
    if target.parameters.get("stop"):
        raise UsageError(
            f"{FLAG}: a stop text would end the answer to all rows of a request.",
            hint="Leave out one of them.",
        )
    return replace(plan, target=target)
