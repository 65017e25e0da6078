"""The plan of ``chat``, its conversations, and the function itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Message
from llm_magics.data import templates
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current
from llm_magics.tasks.chat.streaming import answer_of, listened
from llm_magics.tasks.generate.task import Generate

LAST_THREAD = "last"
"""The conversation that ``--continue`` goes on with."""


def chat(
    question: str,
    *,
    thread: str | None = None,
    system: str = "",
    **options: Unpack[Common],
) -> Any:
    """Ask a question. Stateless, unless ``thread`` names a conversation to go on with.

    Returns the answer as text. Raises what the backend raises: there is no row to be null.
    """
    session = current()
    plan = plan_chat(session, question, thread=thread, system=system, **options)
    return execute(
        session, plan, options, shape=lambda run: keep_turn(session, thread, question, answer_of(run))
    )


def plan_chat(
    session: Session, question: str | None, *, thread: str | None = None, system: str = "", **options: Any
) -> Plan:
    """The plan of ``chat``: one row, whose text is the question."""
    common: Common = {**options, "on_error": "raise", "name": "the question"}  # type: ignore[typeddict-item]
    if not (question or "").strip():
        raise UsageError("the question is missing.", hint="Write it in the cell's body.")
    given = planning.source([question], common)
    template = templates.Template((templates.Slot("text"),))
    history: Sequence[Message] = session.threads.get(thread, ()) if thread else ()
    task = Generate(template, "answer", system, tuple(history), name="chat", role="chat")
    backend = planning.backend_for(session, common, "chat", "text")
    return planning.plan(session, given, task, backend, common, inputs=("text",), strategy=listened)


def keep_turn(session: Session, thread: str | None, question: str, answer: str) -> str:
    """Remember a turn of a conversation; an unnamed one is the last."""
    before = session.threads.get(thread, ()) if thread else ()
    turn = (*before, Message("user", question), Message("assistant", answer))
    session.threads[LAST_THREAD] = turn
    if thread:
        session.threads[thread] = turn
    return answer


async def chat_async(question: str, **arguments: Any) -> Any:
    """``chat`` for a running event loop."""
    return await chat(question, **arguments, background=True)
