"""Dask frames: one plan, executed a partition at a time wherever dask computes it.

One picklable function travels to a worker: the plan without its frame and its backend, and how to reach
the backend, with keys as references only. A process other than the notebook's has a session of its own
with its share of the limits; the processes of one machine share one response store.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

from llm_magics.backends.base import Backend
from llm_magics.core.errors import UsageError
from llm_magics.core.limits import override_limits
from llm_magics.core.types import BackendSpec, Limits
from llm_magics.data.frames import Frame, attach
from llm_magics.options.run_options import RunOptions
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session, current

Work: TypeAlias = Callable[[Session, Run], Coroutine[Any, Any, None]]


def dask_result(session: Session, plan: Plan, options: RunOptions, strategy: Work) -> Any:
    """The dask frame whose partitions have the plan's columns, once they are computed.

    A dask frame has its columns before anything runs, so that columns which are optional elsewhere
    (``_confidence``, ``_finish``) are always there. Raises UsageError for what needs all rows at once.
    """
    _refuse(session, plan, options)
    parts = plan.frame.dask_frame
    budget = plan.options.max_cost
    share = None if budget is None else budget / parts.npartitions
    plan = replace(plan, options=replace(plan.options, max_cost=share))
    meta = _meta(plan)
    return parts.map_partitions(_Partition.of(session, plan, options, strategy, meta), meta=meta)


def _refuse(session: Session, plan: Plan, options: RunOptions) -> None:
    frame = plan.frame
    deep = plan.strategy is not None and not options.too_long
    for asked, what in (
        (options.dry_run, "an estimate"),
        (plan.long or plan.shape is not None, "a result of more rows"),
        (deep, "--agree, --calibrate or --dynamic"),
    ):
        if asked:
            frame.require_whole(what)
    if options.background:
        raise UsageError(
            f"{frame.name} is computed by dask, in the background too.", hint="Leave --background out."
        )
    if not isinstance(options.model, str | None):
        raise UsageError(
            "a dask frame takes a model by its name: other processes have to find it.",
            hint="Register it: %llm_config add NAME, then -m NAME",
        )
    above = session.config.value("confirm_above")
    if above is not None and plan.is_paid and plan.options.max_cost is None and not options.yes:
        raise UsageError(
            f"what {frame.name} will cost is not known before it is read (confirm_above).",
            hint="Add --yes to go on, or --max-cost USD: each partition gets an equal part of it.",
        )


def _meta(plan: Plan) -> Any:
    """An empty frame with the result's columns and their types."""
    found = Run(replace(plan, rows=())).row_columns
    name = plan.output.rstrip("_")
    finish = [f"{name}_finish"] if plan.backend.capabilities.text else []
    columns: dict[str, list[Any]] = {column: [] for column in (*plan.columns, *found, *finish)}
    kinds = {f"{name}_confidence": "float", **plan.kinds}
    return attach(Frame(plan.frame.native), columns, plan.categories, kinds)


def _aligned(result: Any, meta: Any) -> Any:
    """The result with the columns and types of ``meta``; missing columns are null."""
    missing = dict.fromkeys(set(meta.columns) - set(result.columns))
    return result.assign(**missing)[list(meta.columns)].astype(meta.dtypes.to_dict())


@dataclass(frozen=True)
class _Setup:
    """How another process reaches the backend.

    ``typed`` is True where the backend's key was typed in the notebook, where it stays. ``key`` tells
    this set-up from others in a worker.
    """

    process: str
    settings: Mapping[str, Any]
    specs: Mapping[str, BackendSpec]
    aliases: Mapping[str, str]
    typed: bool
    key: str

    @classmethod
    def of(cls, session: Session, backend: Backend) -> _Setup:
        config, registry = session.config, session.registry
        settings = {said.name: said.value for said in config.all() if said.origin != "default"}
        if config.value("store") != "off":
            settings["store"] = str(session.store.path)
        told = (_process(), settings, registry.specs(), registry.aliases())
        return cls(*told, backend.spec.key.startswith("session:"), repr(told))

    def session(self) -> Session:
        """The notebook's session where this is its process, else an equal one. Raises UsageError."""
        if self.process == _process():
            return current()
        if self.typed:
            raise UsageError(
                "the key was typed in the notebook and stays there; dask's workers are other processes.",
                hint="Set it in their environment, and say so: %llm_config add NAME ... --key env:VARIABLE",
            )
        with _lock:
            if self.key not in _sessions:
                _sessions[self.key] = made = Session()
                made.config.update(self.settings)
                made.registry.replace(self.specs, self.aliases)
            return _sessions[self.key]

    def sharers(self) -> int:
        """The number of processes that may send requests at the same time."""
        if self.process == _process():
            return 1
        try:
            from distributed import get_client, get_worker

            get_worker()
        except (ImportError, ValueError):
            from dask import config
            from dask.system import CPU_COUNT

            return int(config.get("num_workers", None) or CPU_COUNT)
        return max(1, len(get_client().ncores()))


_sessions: dict[str, Session] = {}
_lock = threading.Lock()


def _process() -> str:
    return f"{platform.node()}:{os.getpid()}"


@dataclass(frozen=True)
class _Partition:
    """A plan that any process can execute over a part of its rows.

    ``decided`` is the plan without its frame, its rows and its backend, which ``model`` names.
    """

    decided: Mapping[str, Any]
    name: str
    model: str
    setup: _Setup
    strategy: Work
    meta: Any

    @classmethod
    def of(cls, session: Session, plan: Plan, options: RunOptions, strategy: Work, meta: Any) -> _Partition:
        left = {"frame", "rows", "backend"}
        decided = {field.name: getattr(plan, field.name) for field in fields(Plan) if field.name not in left}
        if plan.asker is not None:
            decided["asker"] = plan.asker.apart()
        model = options.model or session.config.role(plan.task.role)[0]
        return cls(decided, plan.frame.name, model, _Setup.of(session, plan.backend), strategy, meta)

    def __call__(self, part: Any) -> Any:
        """The partition with the plan's columns. Raises what stops a run."""
        if part.empty:
            return self.meta
        session = self.setup.session()
        backend = session.backend(self.model, "")
        plan = Plan(frame=Frame(part, self.name), rows=range(len(part)), backend=backend, **self.decided)
        limits = share_of_limits(override_limits(backend.limits, plan.options.limits), self.setup.sharers())
        run = Run(replace(plan, options=replace(plan.options, limits=limits)))
        try:
            session.loop.run(self.strategy(session, run))
        finally:
            run.finish()
            session.record(run)
        return _aligned(run.df, self.meta)


def share_of_limits(limits: Limits, n: int) -> Limits:
    """One of ``n`` equal parts of the limits.

    Raises UsageError where a limit is too small to be shared by so many.
    """
    window = limits.window
    named = {
        "requests a minute": limits.rpm,
        "requests in a window": window[0] if window else None,
        "requests in flight": limits.concurrency,
    }
    for what, limit in named.items():
        if limit is not None and limit < n:
            raise UsageError(
                f"{what}: {limit:g} can't be shared by {n} processes.",
                hint="Compute with fewer workers of more threads: LocalCluster(n_workers=1)",
            )
    return replace(
        limits,
        rpm=None if limits.rpm is None else limits.rpm / n,
        tpm=None if limits.tpm is None else limits.tpm / n,
        window=None if window is None else (window[0] // n, window[1]),
        concurrency=None if limits.concurrency is None else limits.concurrency // n,
    )
