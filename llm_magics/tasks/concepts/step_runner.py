"""Runs the steps of concept induction with a backend by role, one budget and one progress line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from llm_magics.backends.base import Backend
from llm_magics.core.errors import BudgetExceeded
from llm_magics.core.types import Result
from llm_magics.data.frames import Frame
from llm_magics.engine.jobs import Job
from llm_magics.engine.progress import Meter
from llm_magics.engine.task import Task
from llm_magics.options.run_options import RunOptions
from llm_magics.runs.estimates import Estimate, estimate
from llm_magics.runs.planning import embedder, engine_options, target
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.embed.task import Embed

T = TypeVar("T")

DETERMINISTIC: Mapping[str, Any] = {"temperature": 0}


class StepProgress:
    """The meter of the step under way, as one meter of them all."""

    def __init__(self) -> None:
        self.step = ""
        self.current = Meter(0)

    @property
    def done(self) -> int:
        """Rows of this step that are through."""
        return self.current.done

    @property
    def total(self) -> int:
        """Rows of this step."""
        return self.current.total

    def line(self) -> str:
        """The step and its count."""
        return self.current.line() if self.current.total else self.step


@dataclass
class StepRunner:
    """Asks the session's backends for the steps. ``models`` names a backend by role, over the session's.

    Each step's run is kept in ``runs`` by step, for its cost and failures.
    """

    session: Session
    options: RunOptions
    models: Mapping[str, str]

    def __post_init__(self) -> None:
        self.runs: list[tuple[str, Run]] = []
        self.meter = StepProgress()
        self.announced: dict[str, None] = {}

    @property
    def df(self) -> Any:
        """The costs so far."""
        return self.costs

    def backend(self, role: str) -> Backend:
        """The backend for a role: this call's, else the session's.

        Embeddings come from ``planning.embedder`` where none is named.
        """
        named = self.models.get(role) or (self.options.model if role != "embed" else None)
        if named is None and role == "embed":
            return embedder(self.session)
        return self.session.backend(named, role)

    def writes(self, role: str) -> bool:
        """Whether the backend of this role is a language model."""
        return self.backend(role).capabilities.text

    @property
    def embeds_for_free(self) -> bool:
        """Whether vectors come from this machine's own default, at no cost."""
        return not self.backend("embed").capabilities.stored

    def plan(self, task: Task, rows: Sequence[Mapping[str, Any]]) -> Plan:
        """The plan of a step over these rows, within the rest of the budget."""
        import pandas as pd

        backend = self.backend(task.role)
        options = engine_options(self.session.config, self.options, task.role, backend)
        if options.max_cost is not None:
            options = replace(options, max_cost=max(0.0, options.max_cost - self.spent))
        given = RunOptions() if task.role == "embed" else self.options
        return Plan(
            task=task,
            columns=getattr(task, "columns", ()),
            output=task.name,
            frame=Frame(pd.DataFrame(list(rows), dtype=object)),
            rows=range(len(rows)),
            inputs=list(rows[0]) if rows else [],
            backend=backend,
            target=target(backend, given, DETERMINISTIC),
            options=options,
            seed=self.options.random_state,
        )

    async def ask(self, step: str, task: Task, rows: Sequence[Mapping[str, Any]]) -> list[Result | None]:
        """One result a row; a row that failed has its error. Raises what stops a run."""
        found: list[Result | None] = [None] * len(rows)
        self.meter.step = step
        if not rows:
            return found
        plan = self.plan(task, rows)
        run = Run(plan)
        self.meter.current = run.meter
        self.runs.append((step, run))

        def deliver(result: Result) -> None:
            run.deliver(result)
            found[result.index] = result

        error: BaseException | None = None
        try:
            await self.session.engine.run(
                plan.work_items(), plan.task, plan.backend, plan.target, plan.options, deliver
            )
        except BaseException as fault:
            error = fault
            raise
        finally:
            run.finish(error)
            self.session.record(run)
            self.session.remember(run)
        self._raise_if_over_budget(found)
        return found

    def _raise_if_over_budget(self, found: Sequence[Result | None]) -> None:
        """Raise BudgetExceeded where a row has it: the next steps would build on a part of the answers."""
        for result in found:
            if result is not None and isinstance(result.error, BudgetExceeded):
                raise result.error

    async def embed(self, texts: Sequence[str]) -> Any:
        """Vectors of texts, float32 of shape (n, d), unit length; zeros for blank ones."""
        import numpy as np

        backend = self.backend("embed")
        if not backend.capabilities.stored:
            self.announced.setdefault(backend.announcement)
            return (await backend.embed(texts)).vectors
        distinct = list(dict.fromkeys(text for text in texts if text.strip()))
        results = await self.ask("embed", Embed("text"), [{"text": text} for text in distinct])
        known: dict[str, Any] = {}
        for text, result in zip(distinct, results, strict=True):
            if result is None or result.error is not None:
                raise result.error if result and result.error else RuntimeError("an embedding is missing")
            known[text] = np.asarray(result.values["embedding"], dtype=np.float32)
        if not known:
            return np.zeros((len(texts), 2), dtype=np.float32)
        zero = np.zeros(len(next(iter(known.values()))), dtype=np.float32)
        vectors = np.stack([known.get(text, zero) for text in texts])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms > 0, norms, 1)

    def estimate(self, step: str, task: Task, rows: Sequence[Mapping[str, Any]]) -> StepEstimate:
        """What a step would send and cost."""
        if not rows:
            return StepEstimate(step, None)
        made = estimate(self.plan(task, rows), self.session.store)
        return StepEstimate(step, made, "", made.calls, made.input_tokens, made.dollars)

    @property
    def spent(self) -> float:
        """US dollars so far, of known price."""
        return sum(run.usage.cost or 0.0 for _, run in self.runs)

    @property
    def costs(self) -> Any:
        """The ledger: a row a step with backend, rows, answers from the store, failed, tokens, dollars."""
        import pandas as pd

        table: dict[tuple[str, str], dict[str, Any]] = {}
        for step, run in self.runs:
            meter, used = run.meter, run.usage
            row = table.setdefault((step, run.plan.backend.name), dict.fromkeys(_LEDGER, 0))
            seconds = (run.finished or 0) - run.started if run.finished else meter.elapsed
            added = (
                meter.done,
                meter.cached,
                meter.failed,
                used.input_tokens,
                used.output_tokens,
                used.cost,
                seconds,
            )
            for name, more in zip(_LEDGER, added, strict=True):
                row[name] = None if more is None or row[name] is None else row[name] + more
        rows = [{"step": step, "backend": backend, **row} for (step, backend), row in table.items()]
        return pd.DataFrame(rows, columns=["step", "backend", *_LEDGER])

    def said(self) -> str:
        """The lines under a result: the backends' announcements, notes, answers asked for, cost, failures."""
        words = self.announced | dict.fromkeys(run.plan.backend.announcement for _, run in self.runs)
        notes = dict.fromkeys(note for _, run in self.runs for note in run.notes)
        failed = sum(run.meter.failed for _, run in self.runs)
        calls = sum(run.meter.done - run.meter.cached - run.meter.skipped for _, run in self.runs)
        cost = f", ${self.spent:.4g}" if self.spent else ""
        missing = f", {failed:,} failed (NaN)" if failed else ""
        total = [f"{calls:,} answers asked for{missing}{cost}"] if self.runs else []
        return "\n".join([*filter(None, words), *notes, *total])

    async def in_thread(self, work: Callable[[Callable[[Sequence[str]], Any]], T]) -> T:
        """Run ``work`` in a thread, so that the loop stays free; its argument is a blocking ``embed``."""
        loop = asyncio.get_running_loop()

        def embed(texts: Sequence[str]) -> Any:
            return asyncio.run_coroutine_threadsafe(self.embed(texts), loop).result()

        return await asyncio.to_thread(work, embed)

    def submit(self, work: Coroutine[Any, Any, Any]) -> Job:
        """Run ``work`` in the background, as the session's next numbered job."""
        session = self.session
        job = session.loop.submit(work, str(len(session.jobs) + 1), self)
        session.jobs[job.id] = job
        return job


_LEDGER = ["rows", "stored", "failed", "input_tokens", "output_tokens", "cost_usd", "seconds"]


@dataclass(frozen=True)
class StepEstimate:
    """What one step would send: calls, input tokens, dollars low and high (None: price unknown)."""

    step: str
    estimate: Estimate | None
    said: str = ""
    calls: int = 0
    input_tokens: int = 0
    dollars: tuple[float, float] | None = (0.0, 0.0)

    @classmethod
    def total(cls, step: str, parts: Sequence[StepEstimate]) -> StepEstimate:
        """The sum of the estimates of several batches."""
        known = [part.dollars for part in parts if part.dollars is not None]
        dollars = (sum(low for low, _ in known), sum(high for _, high in known))
        calls, tokens = sum(part.calls for part in parts), sum(part.input_tokens for part in parts)
        first = parts[0].estimate if parts else None
        whole = len(known) == len(parts)
        return cls(step, first, "", calls, tokens, dollars if whole else None)

    def __str__(self) -> str:
        if self.said:
            return f"{self.step}: {self.said}"
        money = "price unknown" if self.dollars is None else f"${self.dollars[0]:.4f}-{self.dollars[1]:.4f}"
        backend = f", {self.estimate.backend}" if self.estimate else ""
        return f"{self.step}: {self.calls:,} calls, ~{self.input_tokens:,} in tokens, {money}{backend}"
