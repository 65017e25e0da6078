"""The plan of ``generate``, and the function itself."""

from __future__ import annotations

from typing import Any, Unpack

from llm_magics.core.errors import UsageError
from llm_magics.data import templates
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current
from llm_magics.tasks.generate.task import Generate


def generate(
    data: Any,
    template: str,
    *,
    num_generations: int = 1,
    long: bool = False,
    system: str = "",
    **options: Unpack[Common],
) -> Any:
    """Generate text for each row from a template over its columns.

    Args:
        data: a DataFrame, a Series or a list of texts (whose column is ``text``).
        template: ``{column}`` is the row's value, ``{@name}`` an entry of ``variables``.
        num_generations: texts a row; a list a row, or with ``long`` a row each.
        system: the system message.
        options: see ``planning.Common``.

    Returns the frame with ``generation``, ``generation_status`` and ``generation_error``.
    Raises UsageError before anything is sent.
    """
    session = current()
    plan = plan_generate(
        session, data, template, num_generations=num_generations, long=long, system=system, **options
    )
    return execute(session, plan, options)


def plan_generate(
    session: Session,
    data: Any,
    template: str | None,
    *,
    num_generations: int = 1,
    long: bool = False,
    system: str = "",
    **options: Any,
) -> Plan:
    """The plan of ``generate``; takes what it takes."""
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    if not (template or "").strip():
        raise UsageError("the template is missing.", hint="Write it in the cell's body: Summarise {text}")
    if num_generations < 1:
        raise UsageError("num_generations must be 1 or more.")
    compiled = templates.compile_template(
        str(template).strip(), given.frame.columns, common.get("variables") or {}
    )
    templates.require_columns(compiled, given.frame.columns)
    task = Generate(compiled, planning.output_name(given.frame, common, "generation"), system)
    backend = planning.backend_for(session, common, "generate", "text")
    return planning.plan(
        session, given, task, backend, common, inputs=compiled.columns, samples=num_generations, long=long
    )


async def generate_async(data: Any, template: str, **arguments: Any) -> Any:
    """``generate`` for a running event loop."""
    return await generate(data, template, **arguments, background=True)
