"""Generate, ready made: ``summarize`` and ``translate``."""

from __future__ import annotations

from typing import Any, Unpack

from llm_magics.core.errors import UsageError
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current
from llm_magics.tasks.generate.preset_tasks import summary, translation
from llm_magics.tasks.generate.task import Generate


def summarize(data: Any, *, max_words: int | None = None, focus: str = "", **options: Unpack[Common]) -> Any:
    """A summary of each row's text in the column ``summary``.

    Args:
        data: a DataFrame, a Series or a list of texts.
        max_words: a longer summary is asked to be shortened, once; still longer it is ``repaired``.
        focus: what to attend to above all.
        options: see ``plans.Common``.

    Raises UsageError before anything is sent.
    """
    session = current()
    return execute(
        session, plan_summarize(session, data, max_words=max_words, focus=focus, **options), options
    )


def plan_summarize(
    session: Session, data: Any, *, max_words: int | None = None, focus: str = "", **options: Any
) -> Plan:
    """The plan of ``summarize``."""
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    output = planning.output_name(given.frame, common, "summary")
    return _plan(session, given, summary(planning.text_column(given), output, max_words, focus), common)


def translate(data: Any, to: str, **options: Unpack[Common]) -> Any:
    """A translation of each row's text into the language ``to``, in the column ``translation``.

    ``options``: see ``plans.Common``. Raises UsageError before anything is sent.
    """
    session = current()
    return execute(session, plan_translate(session, data, to, **options), options)


def plan_translate(session: Session, data: Any, to: str | None, **options: Any) -> Plan:
    """The plan of ``translate``."""
    common: Common = options  # type: ignore[assignment]
    if not (to or "").strip():
        raise UsageError("into which language?", hint="%llm translate reviews.text --to German")
    given = planning.source(data, common)
    output = planning.output_name(given.frame, common, "translation")
    return _plan(session, given, translation(planning.text_column(given), output, str(to).strip()), common)


def _plan(session: Session, given: planning.Source, task: Generate, common: Common) -> Plan:
    backend = planning.backend_for(session, common, "generate", "text")
    return planning.plan(session, given, task, backend, common, inputs=task.template.columns)


async def summarize_async(data: Any, **arguments: Any) -> Any:
    """``summarize`` for a running event loop."""
    return await summarize(data, **arguments, background=True)


async def translate_async(data: Any, to: str, **arguments: Any) -> Any:
    """``translate`` for a running event loop."""
    return await translate(data, to, **arguments, background=True)
