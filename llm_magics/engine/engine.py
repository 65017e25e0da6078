"""The engine: rows in, results out, with one limiter a backend and one worker pool a run.

Nothing here knows a task or a backend by name.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable

from llm_magics.backends.base import Backend
from llm_magics.core.limits import INITIAL_CONCURRENCY, RateLimiter, override_limits
from llm_magics.core.types import FREE, Result
from llm_magics.engine.batched_requests import BatchedRetrier
from llm_magics.engine.budget import Budget
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.retries import Retrier
from llm_magics.engine.task import Target, Task
from llm_magics.engine.worker_pool import Options, WorkerPool
from llm_magics.store.responses import ResponseStore


class Engine:
    """Runs tasks over rows and holds the limiter of each backend. Used on one event loop only.

    Without a ``store`` nothing is stored.
    """

    def __init__(self, store: ResponseStore | None = None) -> None:
        self.store = store
        self._limiters: dict[tuple[str, str, str], RateLimiter] = {}

    def limiter(self, backend: Backend) -> RateLimiter:
        """The backend's limiter, the same one for all runs."""
        name = (backend.namespace, backend.base_url, backend.name)
        if name not in self._limiters:
            cap = backend.capabilities.max_concurrency
            # What runs on somebody's own machine queues by itself; there is no quota to feel for.
            self._limiters[name] = RateLimiter(
                cap, start=cap if backend.price == FREE else INITIAL_CONCURRENCY
            )
        return self._limiters[name]

    async def run(
        self,
        work_items: Iterable[WorkItem],
        task: Task,
        backend: Backend,
        target: Target,
        options: Options,
        deliver: Callable[[Result], None],
    ) -> None:
        """Deliver one Result for each work item, in any order, on this loop.

        A row that fails is a Result with its error. Raises what stops a run: a fatal error, the first
        rows all failing in the same way, with ``on_error="raise"`` the first failure, and errors in the
        task.
        """
        limits = override_limits(backend.limits, options.limits)
        if options.retries is not None:
            limits = dataclasses.replace(limits, retries=options.retries)
        limiter = self.limiter(backend)
        budget = Budget(options.max_cost, backend.price)
        kind = BatchedRetrier if target.rows_per_request > 1 else Retrier
        attempts = kind(backend, limiter, limits, budget)
        # Without the store, equal rows far apart must still be one call: a store of the run's own.
        store = self.store if options.use_store or self.store is None else ResponseStore.temporary()
        backend.share(self.limiter)
        try:
            await backend.open()
            with limiter.applied(limits):
                await WorkerPool(store, task, target, options, deliver, attempts).run(work_items)
        finally:
            if store is not None and store is not self.store:
                store.close()

    async def stream(
        self, work_items: Iterable[WorkItem], task: Task, backend: Backend, target: Target, options: Options
    ) -> AsyncIterator[Result]:
        """The results of ``run`` one by one; leaving the loop early ends the run."""
        results: asyncio.Queue[Result | None] = asyncio.Queue()
        run = asyncio.create_task(self.run(work_items, task, backend, target, options, results.put_nowait))
        run.add_done_callback(lambda _: results.put_nowait(None))
        try:
            while (result := await results.get()) is not None:
                yield result
            await run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
