"""The session of one kernel: settings, keys, backends, response store, engine and loop thread."""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.backends.namespaces import nested_backend
from llm_magics.backends.registry import Registry
from llm_magics.core.types import Message
from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text
from llm_magics.engine.engine import Engine
from llm_magics.engine.jobs import Job
from llm_magics.engine.loop import LoopThread
from llm_magics.runs.run import Run
from llm_magics.settings.config import Config, home_folder
from llm_magics.settings.keys import Keys
from llm_magics.store.responses import LIMIT, ResponseStore

REMEMBERED = 2_000_000
"""Results of earlier runs that are kept in memory, besides those of the last two runs."""


_COMPARED = 500
"""Rows of a frame that are compared with those of a run."""


class Session:
    """What the cells of one kernel share. Each part is made on first use; ``close`` ends them all."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.config = Config(environ)
        self.keys = Keys(environ)
        self.runs: deque[Run] = deque(maxlen=20)
        self.jobs: dict[str, Job] = {}
        self.threads: dict[str, tuple[Message, ...]] = {}
        self.bodies: dict[str, str] = {}
        self._store: ResponseStore | None = None
        self._engine = Engine()
        self.ledger: dict[str, dict[str, Any]] = {}
        self._given: weakref.WeakValueDictionary[int, Backend] = weakref.WeakValueDictionary()

    @cached_property
    def registry(self) -> Registry:
        """The named backends."""
        return Registry(self.config, self.keys, retire=self._retire)

    @property
    def store(self) -> ResponseStore:
        """The response store where the settings place it; another file once the settings change."""
        place, limit = self.config.value("store"), self.config.value("store_limit") or LIMIT
        path = home_folder() / "responses.sqlite3" if place in ("on", "off") else Path(place).expanduser()
        if self._store is None or (self._store.path, self._store.limit) != (path, limit):
            if self._store is not None:
                self._store.close()
            self._store = ResponseStore(path, limit=limit)
        return self._store

    @cached_property
    def loop(self) -> LoopThread:
        """The loop thread."""
        loop = LoopThread()
        atexit.register(self.close)
        return loop

    @property
    def engine(self) -> Engine:
        """The engine with the store, and the limiters of all cells."""
        self._engine.store = self.store
        return self._engine

    @property
    def last(self) -> Run | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None

    def backend(self, model: Any, role: str) -> Backend:
        """The backend for a model as typed, for an object that is or makes one, or the role's own.

        Whichever it is, ``close`` closes it.
        """
        if model is not None and not isinstance(model, str):
            given = nested_backend(model, self.keys)
            self._given[id(given)] = given
            return given
        text = model or self.config.role(role)[0]
        return self.registry.backend(text, self.keys)

    def _retire(self, backend: Backend) -> None:
        """Close a backend that was replaced or removed, on the loop thread."""
        if "loop" in self.__dict__:
            self.loop.submit(backend.close())

    def record(self, run: Run) -> None:
        """Add a run's tokens and cost to the session's usage."""
        _enter(self.ledger, run)

    @property
    def usage_by_backend(self) -> dict[str, dict[str, Any]]:
        """Usage by backend: of the finished runs, and of the running jobs so far."""
        books = {name: dict(row) for name, row in self.ledger.items()}
        for job in list(self.jobs.values()):
            if job.status == "running" and isinstance(job.run, Run):
                _enter(books, job.run)
        return books

    def remember(self, run: Run) -> None:
        """Make it the last run, and forget the oldest ones beyond ``REMEMBERED`` results."""
        self.runs.append(run)
        while len(self.runs) > 2 and sum(len(each.plan) for each in self.runs) > REMEMBERED:
            self.runs.popleft()

    def run_of(self, frame: Frame, column: str) -> Run | None:
        """The newest run that made this column of this very frame, as far as its texts tell."""
        for run in reversed(self.runs):
            plan = run.plan
            if plan.output != column or not plan.inputs or plan.frame.dask_frame is not None:
                continue
            if len(plan.frame) != len(frame) or not set(plan.inputs) <= set(frame.columns):
                continue
            some = range(0, len(frame), max(1, len(frame) // _COMPARED))
            ours, theirs = (one.values(plan.inputs[0]) for one in (frame, plan.frame))
            if all(cell_text(ours[row]) == cell_text(theirs[row]) for row in some):
                return run
        return None

    def note(self, frame: Frame, column: str, name: str, found: Mapping[str, Any]) -> None:
        """Add what was found out about the labels of a frame to the manifest of the run that made them."""
        run = self.run_of(frame, column)
        if run is not None:
            run.details[name] = dict(found)

    def submit(self, run: Run, work: Coroutine[Any, Any, Any]) -> Job:
        """Run ``work`` in the background as the next numbered job."""
        self.remember(run)
        job = self.loop.submit(work, str(len(self.jobs) + 1), run)
        self.jobs[job.id] = job
        return job

    def close(self) -> None:
        """Stop the jobs, close connections and models, end the loop thread."""
        for job in self.jobs.values():
            job.cancel()
        atexit.unregister(self.close)
        made: dict[str, Any] = self.__dict__
        if "loop" in made:
            registered = self.registry.live().values() if "registry" in made else ()
            self.loop.run(_close_all([*registered, *self._given.values()]))
            self.loop.close()
        if self._store is not None:
            self._store.close()
        cache().clear(force=True)


def _enter(ledger: dict[str, dict[str, Any]], run: Run) -> None:
    """Add a run's rows, tokens and cost to its backend's entry."""
    used, name = run.usage, run.plan.backend.name
    row = ledger.setdefault(
        name, {"runs": 0, "rows": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    )
    row["runs"] += 1
    row["rows"] += run.meter.done // run.plan.samples
    row["input_tokens"] += used.input_tokens
    row["output_tokens"] += used.output_tokens
    row["cost_usd"] = None if used.cost is None or row["cost_usd"] is None else row["cost_usd"] + used.cost


async def _close_all(backends: list[Backend]) -> None:
    """Close the backends side by side; an error of one does not stop the others."""
    await asyncio.gather(*(backend.close() for backend in backends), return_exceptions=True)


_lock = threading.Lock()
_current: list[Session] = []


def current() -> Session:
    """The session of this process, made on first use."""
    with _lock:
        if not _current:
            _current.append(Session())
        return _current[0]


def end() -> None:
    """Close the session; the next ``current`` starts a fresh one."""
    with _lock:
        if _current:
            _current.pop().close()
