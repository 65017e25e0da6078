"""How a plan is carried out: in one pass over its rows, or in several steps that know the books."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeAlias

from llm_magics.core.types import Result
from llm_magics.engine.deduplication import WorkItem
from llm_magics.engine.engine import Engine
from llm_magics.engine.worker_pool import Options
from llm_magics.runs.run import Run


class RunContext(Protocol):
    """What is needed of the session."""

    @property
    def engine(self) -> Engine:
        """The engine."""

    def record(self, run: Run) -> None:
        """Add a run to the books."""


Strategy: TypeAlias = Callable[[RunContext, Run], Coroutine[Any, Any, None]]
"""What carries a plan out where one pass is not all of it."""


async def single_pass(
    context: RunContext,
    run: Run,
    work_items: Iterable[WorkItem] | None = None,
    take: Callable[[Result], None] | None = None,
    options: Options | None = None,
) -> None:
    """Ask the plan's backend about every row of the plan, or about ``asks``.

    ``take`` gets each result in place of the run. ``options`` stand in for the plan's own.
    Raises what stops a run.
    """
    plan = run.plan
    await context.engine.run(
        plan.work_items() if work_items is None else work_items,
        plan.task,
        plan.backend,
        plan.target,
        options or plan.options,
        take or run.deliver,
    )
