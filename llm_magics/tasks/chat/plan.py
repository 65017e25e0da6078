"""``chat``: one question as a run of one row, shown while it is written, with named conversations."""

from __future__ import annotations

from dataclasses import replace

from llm_magics.backends.base import LISTENER
from llm_magics.core.errors import UsageError
from llm_magics.core.types import Message
from llm_magics.data import templates
from llm_magics.options.run_options import RowOptions
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.passes import RunContext, single_pass
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.chat.options import LAST_THREAD, ChatOptions
from llm_magics.tasks.generate.task import Generate
from llm_magics.text.json_parsing import strip_thinking

_TAGS = ("<think>", "<thinking>", "<reasoning>", "<thought>")
"""How a model's thinking begins."""


@run_function(ChatOptions)
def chat(session: Session, options: ChatOptions) -> Plan:
    """Ask a question. Stateless, unless ``thread`` names a conversation to go on with.

    Returns the answer as text. Raises what the backend raises: there is no row to be null.
    """
    question, thread = options.question or "", options.thread
    if not question.strip():
        raise UsageError("the question is missing.", hint="Write it in the cell's body.")
    asked = replace(options, on_error="raise", name="the question")
    given = planning.source(RowOptions(data=[question], name=asked.name, parameters=options.parameters))
    history = session.threads.get(thread, ()) if thread else ()
    template = templates.Template((templates.Slot("text"),))
    task = Generate(template, "answer", options.system, tuple(history), name="chat", role="chat")
    backend = planning.backend_for(session, asked, "chat", "text")

    def shape(run: Run) -> str:
        return _remember(session, thread, question, str(run.row_columns[run.plan.output][0]))

    return planning.plan(
        session, given, task, backend, asked, inputs=("text",), strategy=_streamed, shape=shape
    )


chat_async = in_background(chat)


def _remember(session: Session, thread: str | None, question: str, answer: str) -> str:
    """Add a turn to its conversation and give the answer back; one without a name is the last."""
    before = session.threads.get(thread, ()) if thread else ()
    turn = (*before, Message("user", question), Message("assistant", answer))
    session.threads[LAST_THREAD] = turn
    if thread:
        session.threads[thread] = turn
    return answer


async def _streamed(context: RunContext, run: Run) -> None:
    """One pass; ``run.partial`` is the answer so far, without the model's thinking."""

    def hear(text: str) -> None:
        shown = strip_thinking(text)
        # "<thin" is about to be hidden: it is not shown first.
        run.partial = "" if any(tag.startswith(shown) for tag in _TAGS) else shown

    token = LISTENER.set(hear)
    try:
        await single_pass(context, run)
    finally:
        LISTENER.reset(token)
