"""A bounded pool of workers runs a task over rows: each request is answered once, stored, parsed, delivered.

A row's answer comes from the store or from one request (equal rows share it). It is committed to disk
before it is parsed and delivered; an unusable answer is asked for once more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from llm_magics.backends.pricing import total_usage
from llm_magics.core.errors import AnswerError, BudgetExceeded, ContentFiltered, ContextOverflow
from llm_magics.core.types import EMPTY, NO_USAGE, Limits, Request, Response, Result, Status, Usage
from llm_magics.engine.persistence import CommitQueue
from llm_magics.engine.request_queue import CHUNK, PendingRequest, RequestQueue, RequestSource, WorkItem
from llm_magics.engine.retries import Reply, Retrier
from llm_magics.engine.task import Target, Task
from llm_magics.engine.unusable_answers import explain_unusable
from llm_magics.store.responses import ResponseStore

ALIKE = 5
"""A run stops when this many first rows fail in the same way and none was answered."""


@dataclass(frozen=True)
class Options:
    """The options of a run for the engine.

    ``limits`` are the flags' and override the backend's where they differ from the defaults; ``max_cost``
    is in US dollars; ``refresh`` ignores responses stored before the run; ``on_error="raise"`` stops the
    run at the first row that fails.
    """

    retries: int | None = None
    refresh: bool = False
    max_cost: float | None = None
    on_error: Literal["null", "raise"] = "null"
    limits: Limits | None = None
    use_store: bool = True
    """False neither reads the store nor writes to it (``--no-store``)."""
    batch: int | None = None
    """Requests handed over at once, in place of the backend's own number."""


class ActiveRequest:
    """A pending request while it is answered: its newest response or error, its usage, why it is unusable.

    ``partial`` is the newest reason that came with a valid part of an answer, ``notes`` are those of an
    earlier answer.
    """

    __slots__ = (
        "attempts",
        "fault",
        "notes",
        "partial",
        "pending",
        "request",
        "response",
        "unusable",
        "usage",
    )

    def __init__(self, pending: PendingRequest) -> None:
        self.pending = pending
        self.request = pending.request
        self.response: Response | None = pending.stored
        self.fault: Exception | None = None
        self.unusable: AnswerError | None = None
        self.partial: AnswerError | None = None
        self.notes: tuple[str, ...] = ()
        self.attempts = 0
        self.usage = NO_USAGE

    def take(self, reply: Reply) -> None:
        """Take in the outcome of sending."""
        self.attempts += reply.attempts
        self._pay(reply.usage)
        if isinstance(reply.outcome, Response):
            self.response = reply.outcome
            self._pay(self.response.usage)
        else:
            self.fault = reply.outcome

    def _pay(self, used: Usage) -> None:
        if used is not NO_USAGE:
            self.usage = used if self.usage is NO_USAGE else total_usage((self.usage, used))


class WorkerPool:
    """Runs one task over rows with one backend. Without a ``store``, nothing is stored."""

    def __init__(
        self,
        store: ResponseStore | None,
        task: Task,
        target: Target,
        options: Options,
        deliver: Callable[[Result], None],
        attempts: Retrier,
    ) -> None:
        capabilities = attempts.backend.capabilities
        self.store = store if capabilities.stored else None
        self.task = task
        self.target = target
        self.options = options
        self.deliver = deliver
        self.attempts = attempts
        self.batch = (
            target.rows_per_request
            if target.rows_per_request > 1
            else options.batch or capabilities.batch_size
        )
        self.workers = max(1, attempts.limits.concurrency or capabilities.max_concurrency)
        self.newer_than = time.time() if options.refresh else None
        self.early_failures = EarlyFailures()
        self.note = ""
        self.commits = CommitQueue(self.store)
        if options.max_cost is not None and attempts.backend.price is None:
            name = attempts.backend.name
            self.note = f"--max-cost: the price of {name} is unknown; only costs it reports itself count."

    async def run(self, work_items: Iterable[WorkItem]) -> None:
        """Work through all rows; whatever stops it early leaves no task behind."""
        keyed = self.store is not None or self.batch == 1
        chunk, outgrown = max(CHUNK, self.batch), self.attempts.backend.outgrown
        draw = RequestSource(self.task, self.target, self.store, self.newer_than, keyed, chunk, outgrown)
        self.queue = RequestQueue(work_items, draw, self.deliver)
        workers = [asyncio.create_task(self._work()) for _ in range(self.workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self.commits.commit()
        self.commits.raise_errors()

    async def _work(self) -> None:
        while taken := await self.queue.take(self.batch):
            asking, unusable = [], []
            for active in map(ActiveRequest, taken):
                if active.response is None:
                    asking.append(active)
                elif not self._usable(active):
                    unusable.append(active)
            if asking:
                unusable += await self._ask(asking)
            if unusable:
                await self._ask_again(unusable)

    async def _ask(self, active_requests: Sequence[ActiveRequest]) -> list[ActiveRequest]:
        """Send the requests and deliver their rows; returns those with an unusable answer."""
        replies = await self.attempts.ask([active.request for active in active_requests], self._keep)
        for active, reply in zip(active_requests, replies, strict=True):
            active.take(reply)
        unusable = [active for active in active_requests if active.fault is None and not self._usable(active)]
        for active in active_requests:
            if active.fault is not None:
                self._fail(active, active.fault)
        return unusable

    def _keep(self, requests: Sequence[Request], outcomes: Sequence[Response | Exception]) -> None:
        """Queue the responses for the store; a store that fails does not stop the run."""
        pairs = zip(requests, outcomes, strict=True)
        answered = [(request, outcome) for request, outcome in pairs if isinstance(outcome, Response)]
        if answered:
            self.early_failures.answered = True
            self.commits.add(answered)

    def _usable(self, active: ActiveRequest) -> bool:
        """Parse and deliver a response; False where it is unusable."""
        assert active.response is not None
        try:
            parsed = self.task.parse(active.request, active.response)
        except AnswerError as error:
            active.unusable = explain_unusable(active.request, active.response, error)
            active.partial = active.partial if error.valid_part is None else error
            return False
        mended = active.request is not active.pending.request and parsed.status == "ok"
        self._finish(active, "repaired" if mended else parsed.status, parsed.values)
        return True

    async def _ask_again(self, active_requests: Sequence[ActiveRequest]) -> None:
        """Ask once more for unusable answers; what stays unusable gets the task's default."""
        asking = []
        for active in active_requests:
            assert active.response is not None
            assert active.unusable is not None
            active.notes = active.response.notes
            final = active.unusable.final
            again = None if final else self.task.reask(active.request, active.response, active.unusable)
            if again is None:
                self._give_up(active)
            else:
                active.request = again
                asking.append(active)
        self._look_up_again(asking)
        missing = [active for active in asking if active.response is None]
        unusable = [active for active in asking if active.response is not None and not self._usable(active)]
        for active in unusable + (await self._ask(missing) if missing else []):
            self._give_up(active)

    def _look_up_again(self, active_requests: Sequence[ActiveRequest]) -> None:
        """Look up the corrected requests in the store."""
        found: Mapping[str, Response] = EMPTY
        if self.store is not None and active_requests:
            found = self.store.get_many([active.request.key for active in active_requests], self.newer_than)
        for active in active_requests:
            active.response = found.get(active.request.key) if found else None

    def _give_up(self, active: ActiveRequest) -> None:
        """Deliver the valid part of an unusable answer, or else the task's default, or else a failed row."""
        assert active.unusable is not None
        if active.partial is not None and active.partial.valid_part is not None:
            self._finish(active, "repaired", active.partial.valid_part, error=active.partial)
            return
        default = self.task.default(active.pending.request)
        if default is None:
            self._finish(active, "failed", error=active.unusable)
        else:
            self._finish(active, "defaulted", default.values, error=active.unusable)
        if default is None and self.options.on_error == "raise":
            raise active.unusable

    def _fail(self, active: ActiveRequest, error: BaseException) -> None:
        """Deliver a failed row. Raises where the failure stops the run.

        A row that was asked again in vain keeps the valid part of its first answer.
        """
        if active.partial is None:
            self._finish(active, "failed", error=error)
        else:
            self._give_up(active)
        if isinstance(error, BudgetExceeded) and self.options.on_error == "null":
            return
        if (
            self.options.on_error == "raise"
            or getattr(error, "fatal", False)
            or self.early_failures.should_stop(error)
        ):
            raise error

    def _finish(
        self,
        active: ActiveRequest,
        status: Status,
        values: Mapping[str, Any] = EMPTY,
        error: BaseException | None = None,
    ) -> None:
        """Deliver once the response is on disk; the worker goes on meanwhile."""
        self.commits.after_commit(partial(self._deliver_result, active, status, values, error))

    def _deliver_result(
        self, active: ActiveRequest, status: Status, values: Mapping[str, Any], error: BaseException | None
    ) -> None:
        """Deliver to the row that asked, and to the equal rows that waited, at no further cost."""
        pending, response = active.pending, active.response
        self.queue.done(pending)
        self.note = self.note or self.commits.problem()
        more = (*active.notes, self.note) if self.note else active.notes
        if more and response is not None:
            notes = dict.fromkeys((*response.notes, *more))
            response, self.note = dataclasses.replace(response, notes=tuple(notes)), ""
        key = pending.request.key if self.store is not None else ""
        self.deliver(
            Result(pending.index, status, values, response, key, error, active.attempts, active.usage)
        )
        if pending.followers:
            shared = response and dataclasses.replace(response, cached=True)
            for index in pending.followers:
                self.deliver(Result(index, status, values, shared, key, error))
            pending.followers.clear()


class EarlyFailures:
    """Tells a run to stop where the first rows all fail in the same way and none was answered."""

    def __init__(self) -> None:
        self.answered = False
        self._first: tuple[type, str] | None = None
        self._count = 0

    def should_stop(self, error: BaseException) -> bool:
        """Count a failure; True where the run should stop."""
        if self.answered or isinstance(error, ContextOverflow | ContentFiltered):
            return False
        kind = (type(error), str(error))
        self._first = self._first or kind
        self._count = self._count + 1 if kind == self._first else -UNLIKE
        return self._count >= ALIKE


UNLIKE = 1 << 30
"""The count after two different failures: it never reaches the limit."""
