"""How a plan is carried out: in one pass over its rows, or in several steps that know the books."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeAlias

from llm_magics.core.types import Result
from llm_magics.engine.engine import Ask, Engine, Options
from llm_magics.runs.run import Run


class Books(Protocol):
    """What is needed of the session."""

    @property
    def engine(self) -> Engine:
        """The engine."""

    def enter(self, run: Run) -> None:
        """Add a run to the books."""


Work: TypeAlias = Callable[[Books, Run], Coroutine[Any, Any, None]]
"""What carries a plan out where one pass is not all of it."""


async def one_pass(
    books: Books,
    run: Run,
    asks: Iterable[Ask] | None = None,
    take: Callable[[Result], None] | None = None,
    options: Options | None = None,
) -> None:
    """Ask the plan's backend about every row of the plan, or about ``asks``.

    ``take`` gets each result in place of the run. ``options`` stand in for the plan's own.
    Raises what stops a run.
    """
    plan = run.plan
    await books.engine.run(
        plan.asks() if asks is None else asks,
        plan.task,
        plan.backend,
        plan.target,
        options or plan.options,
        take or run.deliver,
    )
