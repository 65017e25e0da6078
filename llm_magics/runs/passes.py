"""One pass over the rows of a plan, and what a strategy that makes several of them is given."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeAlias

from llm_magics.backends.base import Backend
from llm_magics.core.types import Result
from llm_magics.engine.engine import Engine
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.worker_pool import Options
from llm_magics.runs.run import Run


class RunContext(Protocol):
    """What a strategy needs of the session."""

    @property
    def engine(self) -> Engine:
        """The engine that executes requests."""

    def record(self, run: Run) -> None:
        """Add a finished run to the session's usage."""

    def backend(self, name: str | Backend | None, role: str) -> Backend:
        """The backend of this name."""


Strategy: TypeAlias = Callable[[RunContext, Run], Coroutine[Any, Any, None]]
"""Executes a plan that takes more than one pass over its rows."""


async def single_pass(
    context: RunContext,
    run: Run,
    work_items: Iterable[WorkItem] | None = None,
    take: Callable[[Result], None] | None = None,
    options: Options | None = None,
) -> None:
    """Ask the plan's backend, or its ``asker``, about every row of the plan, or about ``work_items``.

    ``take`` gets each result in place of the run. ``options`` replace the plan's own. Raises what stops a
    run.
    """
    plan = run.plan
    items: Iterable[WorkItem] = plan.work_items() if work_items is None else work_items
    options, take = options or plan.options, take or run.deliver
    if plan.asker is not None:
        run.asker = run.asker or plan.asker(context, run)
        await run.asker(items, take, options)
        return
    if plan.prepare is not None:
        run.preparation = run.preparation or await plan.prepare(context, run)
        await run.preparation.execute(context.engine, run.plan, items, take, options)
        return
    await context.engine.run(items, plan.task, plan.backend, plan.target, options, take)
