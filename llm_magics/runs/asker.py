"""What is asked about the rows of a run where that is not one backend alone, such as a committee."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from llm_magics.core.types import Result
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.worker_pool import Options


class Asker(Protocol):
    """Asks about rows. A run has one for all of its passes; it remembers what it found out in the first."""

    async def __call__(
        self, items: Iterable[WorkItem], take: Callable[[Result], None], options: Options
    ) -> None:
        """Ask about these rows; ``take`` gets one result for each. Raises what stops a run."""


class AskerOfRun(Protocol):
    """The ``asker`` of a plan: makes the asker of one run."""

    def __call__(self, context: Any, run: Any) -> Asker:
        """The asker of this run of the session ``context``."""

    def plans(self, plan: Any) -> Sequence[Any]:
        """The plans of all who may be asked about a row of this plan, to estimate what they cost."""

    def apart(self) -> AskerOfRun:
        """The same for another process, which finds the backends by their names."""
