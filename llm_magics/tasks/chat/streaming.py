"""A chat's answer, shown while it is written."""

from __future__ import annotations

from llm_magics.backends.listening import LISTENER
from llm_magics.runs.run import Run
from llm_magics.runs.strategy import RunContext, single_pass
from llm_magics.text.loose_json import without_thinking

_TAGS = ("<think>", "<thinking>", "<reasoning>", "<thought>")


async def listened(context: RunContext, run: Run) -> None:
    """Carry a plan of one text out; ``run.partial`` is what it is so far, without the model's thinking."""

    def hear(text: str) -> None:
        shown = without_thinking(text)
        # "<thin" is about to be hidden: it is not shown first.
        run.partial = "" if any(tag.startswith(shown) for tag in _TAGS) else shown

    token = LISTENER.set(hear)
    try:
        await single_pass(context, run)
    finally:
        LISTENER.reset(token)


def answer_of(run: Run) -> str:
    """The answer of a plan of one text, without the model's thinking."""
    return str(run.row_columns[run.plan.output][0])
