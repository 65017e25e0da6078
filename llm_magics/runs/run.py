"""A plan of a run, and the run itself: one task over a frame's rows, with its results, usage and failures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import shorten
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.errors import AnswerError
from llm_magics.core.prompt_formats import join_prompts, prompt_form, prompt_of
from llm_magics.core.types import CUT, Request, Result, Status, Usage
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.data.templates import has_unsendable
from llm_magics.engine.batched_requests import BatchedRequest
from llm_magics.engine.progress import Meter
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Row, Target, Task
from llm_magics.engine.worker_pool import Options
from llm_magics.runs.asker import Asker, AskerOfRun
from llm_magics.runs.methods import Methods, methods
from llm_magics.runs.preparation import Preparation
from llm_magics.runs.results import Failure, ResultColumns
from llm_magics.runs.versions import versions
from llm_magics.runs.views import run_html


@dataclass(frozen=True)
class Plan:
    """Everything a run needs, decided and checked before anything is sent.

    ``rows`` are positions in the frame, ``samples`` generations a row, ``inputs`` the columns that the
    task reads, ``columns`` those it writes, ``output`` their common name, ``kinds`` column types that the
    values alone don't tell, ``originals`` by column the values that its texts stand for in the result (labels
    that were given as numbers). ``strategy(session, run)`` executes a plan that takes more than one pass over
    the rows; ``parts`` are then the work items that one row becomes (its text truncated, in parts, or not
    sent at all). ``gather`` merges the generations' values (by column, a list a row) into one value a
    row; ``shape`` makes the result from the run, ``df`` by default; ``evaluate`` compares a finished run
    with the column ``truth``. ``text_format`` is the prompt format for a model without a chat template,
    ``chat_format`` that for a chat model which continues an answer.
    ``prepare(session, run)`` is awaited before the first pass over the rows: it says how every result is
    decided, and may settle the run's task. ``asker(session, run)`` makes what is asked in every pass in
    place of the backend alone, such as a committee. ``notes`` are sentences that the estimate and the footer
    show; ``outlook`` are sentences of the estimate alone.
    """

    task: Task
    frame: Frame
    rows: Sequence[int]
    inputs: Sequence[str]
    backend: Backend
    target: Target
    options: Options
    columns: Sequence[str] = ()
    output: str = ""
    samples: int = 1
    long: bool = False
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    truth: str | None = None
    labels: Sequence[str] = ()
    seed: int = 0
    text_format: str = ""
    chat_format: str = ""
    strategy: Callable[[Any, Run], Coroutine[Any, Any, None]] | None = None
    prepare: Callable[[Any, Run], Coroutine[Any, Any, Preparation]] | None = None
    asker: AskerOfRun | None = None
    parts: Callable[[WorkItem], Sequence[WorkItem]] | None = None
    notes: Sequence[str] = ()
    outlook: Sequence[str] = ()
    gather: Callable[[dict[str, list[Any]]], dict[str, list[Any]]] | None = None
    shape: Callable[[Run], Any] | None = None
    evaluate: Callable[[Run], Any] | None = None

    def __len__(self) -> int:
        return len(self.rows) * self.samples

    def work_items(self) -> Iterator[WorkItem]:
        """One work item per row and generation, lazily; the columns are read once, at the call."""
        columns = {name: self.frame.values(name) for name in self.inputs}
        return self._asks(columns)

    @property
    def is_paid(self) -> bool:
        """Whether a request has a price, to the plan's own backend or to another one that its asker asks."""
        asked = (self,) if self.asker is None else self.asker.plans(self)
        prices = [each.backend.price for each in asked]
        return any(price is not None and price.input + price.output > 0 for price in prices)

    @cached_property
    def replaced(self) -> int:
        """The number of chosen rows with characters in their inputs that can't be sent."""
        columns = [self.frame.values(name) for name in self.inputs]
        return sum(any(has_unsendable(values[row]) for values in columns) for row in self.rows)

    def requests(self, item: WorkItem) -> list[Request]:
        """The requests about a row: one, one a part of its text, or none."""
        parts = (item,) if self.parts is None else self.parts(item)
        made = (self.task.request(part.row, self.target, part.sample) for part in parts)
        return [request for request in made if request is not None]

    def _asks(self, columns: Mapping[str, Sequence[Any]]) -> Iterator[WorkItem]:
        index = 0
        for position in self.rows:
            row: Row = {name: values[position] for name, values in columns.items()}
            for sample in range(self.samples):
                yield WorkItem(index, row, sample)
                index += 1


def original(cell: Any, values: Mapping[str, Any]) -> Any:
    """A text, or a list of texts, as the values that they stand for; what stands for itself stays."""
    if isinstance(cell, list):
        return [values.get(item, item) for item in cell]
    return values.get(cell, cell) if isinstance(cell, str) else cell


CUT_SHORT = (*CUT, "prompt_cut")
"""Finish reasons of an incomplete answer or a truncated text, which the frame has to show."""


class Run:
    """The results of a plan as they arrive. ``df`` is correct at any moment, finished or not.

    ``partial`` is a chat's answer while it is written. ``sample`` are the rows that a correction may be
    estimated from, where not all of them are asked about; a strategy sets it. Only the loop thread writes,
    one ``deliver`` a result; any thread may read.
    """

    def __init__(self, plan: Plan) -> None:
        n = len(plan)
        self.plan = plan
        self.meter = Meter(n, plan.task.name, plan.backend.name, samples=plan.samples)
        self.started = time.time()
        self.finished: float | None = None
        self.error: BaseException | None = None
        self.partial = ""
        self.details: dict[str, Any] = {}
        self.evaluation: Any = None
        self.inplace = False
        self.preparation: Preparation | None = None
        self.asker: Asker | None = None
        self.sample: Sequence[WorkItem] | None = None
        self.done: Callable[[Any], None] | None = None
        self._answers = ResultColumns(n, plan.columns)
        self.notes.update(dict.fromkeys(plan.notes))

    def deliver(self, result: Result) -> None:
        """Add one result."""
        self._answers.take(result)
        self.meter.add(result)

    def finish(self, error: BaseException | None = None) -> None:
        """End the run; ``error`` is what stopped it early."""
        self.finished = time.time()
        self.meter.stop()
        self.error = error

    @property
    def notes(self) -> dict[str, None]:
        """Sentences that are shown once, in order."""
        return self._answers.notes

    @property
    def texts(self) -> list[str]:
        """The raw answers, one a work item; empty where there is none."""
        return [text or "" for text in self._answers.texts]

    def report(self) -> str:
        """The lines under the result: score, notes, announcement, why rows failed, the footer."""
        score = [str(self.evaluation)] if self.evaluation is not None else []
        return "\n".join(filter(None, [*score, *self._remarks, self._why(), self.meter.line()]))

    def footer(self) -> str:
        """The lines under a view that shows score and failures itself: notes, announcement, the footer."""
        return "\n".join([*self._remarks, self.meter.line()])

    @property
    def _remarks(self) -> list[str]:
        cut = "" if self.plan.labels else self._answers.cut_note
        said = (*self.notes, self._replaced(), cut, self.plan.backend.announcement)
        return [line for line in said if line]

    def _replaced(self) -> str:
        """What was done about characters that can't be sent."""
        n = self.plan.replaced
        rows = "1 row" if n == 1 else f"{n:,} rows"
        what = "with characters that can't be sent (NUL, unpaired surrogates): sent as U+FFFD"
        return f"{rows} {what}" if n else ""

    def _why(self) -> str:
        """The most frequent reason of failure, and what helps against it."""
        failure = self._answers.frequent_failure()
        if failure is None:
            return ""
        said = shorten(failure.text, 200, placeholder=" ...")
        more = "; llm.last.failures has them all" if failure.reasons > 1 else ""
        hint = self._hint(failure)
        return f"{failure.rows:,} failed: {said}{more}" + (f"\n  {hint}" if hint else "")

    @property
    def hint(self) -> str:
        """What helps against the most frequent reason of failure; empty where no row failed."""
        return self._hint(self._answers.frequent_failure())

    def _hint(self, failure: Failure | None) -> str:
        """What helps against it; an error that ended the run tells its own."""
        return "" if failure is None or self.error is not None else failure.hint

    def __repr__(self) -> str:
        return f"{self.report()}\n.df .outputs .failures .usage .prompts() .manifest() .methods() .evaluation"

    def _repr_html_(self) -> str:
        return run_html(self._name or self.plan.task.name, self.report().splitlines())

    @property
    def usage(self) -> Usage:
        """Tokens and cost of what this run paid for; stored responses cost nothing."""
        return self.meter.usage

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status; ``waiting`` are those without a result yet."""
        return self._answers.counts

    @property
    def status(self) -> list[Status | None]:
        """The status of each work item, None where it has no result yet."""
        return self._answers.statuses

    @property
    def new_columns(self) -> dict[str, list[Any]]:
        """The output columns, one value a work item, with status, error and finish reason."""
        name = self._name
        columns: dict[str, list[Any]] = dict(self._answers.values)
        confidence = f"{name}_confidence"
        if confidence in columns and not any(value is not None for value in columns[confidence]):
            del columns[confidence]
        columns[f"{name}_status"] = self.status
        columns[f"{name}_error"] = [self._answers.error_text(i) for i in range(len(self.plan))]
        if any(reason in CUT_SHORT for reason in self._answers.finish):
            columns[f"{name}_finish"] = list(self._answers.finish)
        return columns

    @property
    def _name(self) -> str:
        return self.plan.output.rstrip("_")

    @property
    def df(self) -> Any:
        """The user's frame with the new columns, in the library it came in; partial while running."""
        frame, columns = self._shaped()
        for name, values in self.plan.originals.items():
            columns[name] = [original(value, values) for value in columns[name]]
        texts = dict.fromkeys((f"{self._name}_status", f"{self._name}_error"), "str")
        native = frames.attach(frame, columns, self.plan.categories, {**texts, **self.plan.kinds})
        if hasattr(native, "attrs"):
            native.attrs["llm_magics"] = self.manifest()
        return native

    @property
    def row_columns(self) -> dict[str, list[Any]]:
        """The new columns as ``df`` has them, one value a row of its frame."""
        return self._shaped()[1]

    def _shaped(self) -> tuple[Frame, dict[str, list[Any]]]:
        plan, columns = self.plan, self.new_columns
        if plan.long:
            rows = [position for position in plan.rows for _ in range(plan.samples)]
            number = list(range(plan.samples)) * len(plan.rows)
            return frames.repeat_rows(plan.frame, rows), {"generation_number": number, **columns}
        if plan.samples > 1:
            columns = {name: _grouped(values, plan.samples) for name, values in columns.items()}
            columns[f"{self._name}_status"] = [_worst(group) for group in columns[f"{self._name}_status"]]
            columns[f"{self._name}_error"] = [_first(group) for group in columns[f"{self._name}_error"]]
            if plan.gather is not None:
                columns = plan.gather(columns)
            else:
                columns |= self._without_skipped(columns)
        return plan.frame, {name: self._spread(values) for name, values in columns.items()}

    def _without_skipped(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Null in place of a list of nulls for a row that was not asked about."""
        skipped = [status == "skipped" for status in columns[f"{self._name}_status"]]
        return {
            name: [None if none else value for value, none in zip(columns[name], skipped, strict=True)]
            for name in self.plan.columns
        }

    def _spread(self, values: Sequence[Any]) -> list[Any]:
        """Values of the chosen rows over all rows of the frame; the other rows are null."""
        if len(self.plan.rows) == len(self.plan.frame):
            return list(values)
        whole: list[Any] = [None] * len(self.plan.frame)
        for position, value in zip(self.plan.rows, values, strict=True):
            whole[position] = value
        return whole

    @property
    def outputs(self) -> Any:
        """One row a work item with distilabel's LLMOutput keys and more.

        ``model_name prompt_used raw_output parsed_output``, then tokens, latency in seconds,
        finish_reason, status, error, attempts. Prompts are rendered again, not stored.
        """
        return self._told(range(len(self.plan)))

    def _told(self, places: Sequence[int]) -> Any:
        """The rows of ``outputs`` for these work items."""
        import pandas as pd

        plan, columns = self.plan, self._answers.told(places)
        return pd.DataFrame(
            {
                "row": [plan.rows[i // plan.samples] for i in places],
                "model_name": [name or plan.backend.model for name in columns.pop("model")],
                "prompt_used": list(self._prompts(places)),
                **columns,
            }
        )

    def prompts(self) -> Iterator[list[dict[str, str]] | str | None]:
        """The messages of each work item as they were sent, rendered again; None where nothing was sent.

        The prompt is a text where a prompt format or a formatting function made one. A row that was read
        in parts has the messages of all parts in order. A row that shared its request with others is
        shown as if it had been the only one.
        """
        return self._prompts(range(len(self.plan)))

    def _prompts(self, places: Sequence[int]) -> Iterator[list[dict[str, str]] | str | None]:
        """``prompts`` of these work items, which are in order."""
        shared, wanted = self.plan.target.rows_per_request > 1, iter(places)
        place = next(wanted, None)
        for item in self.plan.work_items():
            if place is None:
                return
            if item.index != place:
                continue
            place = next(wanted, None)
            requests = self.plan.requests(item)
            sent = [BatchedRequest((request,)).request for request in requests] if shared else requests
            yield join_prompts([prompt_of(request) for request in sent]) if sent else None

    @property
    def failures(self) -> Any:
        """The work items that failed or got the default, as rows of ``outputs``."""
        return self._told(self._answers.places("failed", "defaulted")).drop(columns=["parsed_output"])

    @property
    def unanswered(self) -> list[int]:
        """Positions of the rows that failed or have no result yet."""
        missing = {i // self.plan.samples for i in self._answers.places("failed", None)}
        return [self.plan.rows[i] for i in sorted(missing)]

    @property
    def unusable(self) -> list[str]:
        """The keys of stored responses that could not be used, even when asked again."""
        errors = self._answers.errors_of("failed")
        bad = {i for i, error in errors.items() if isinstance(error, AnswerError)}
        return [
            r.key for item in self.plan.work_items() if item.index in bad for r in self.plan.requests(item)
        ]

    def plot(self, kind: str = "labels", **look: Any) -> Any:
        """A plotly figure to publish: ``labels`` (share of each, 95% intervals) or ``confidence``.

        ``look``: ``size`` (notebook, column, page, slide), ``theme`` (light, dark), ``title``, ``source``.
        Raises UsageError where the answers have no labels or no confidence.
        """
        from llm_magics.runs.figures import Answers, answers_figure

        plan, backend = self.plan, self.plan.backend
        model = backend.name if backend.name.endswith(backend.model) else f"{backend.name} ({backend.model})"
        answers = Answers(plan.output, plan.columns, self.row_columns, plan.rows, model)
        return answers_figure(answers, kind, **look)

    def manifest(self) -> dict[str, Any]:
        """What is needed to reproduce the run: backend, model, parameters, prompt hash, versions, times."""
        plan, usage = self.plan, self.usage
        return {
            "task": plan.task.name,
            "backend": plan.backend.name,
            "namespace": plan.backend.namespace,
            "model": plan.backend.model,
            "answered_by": list(self._answers.models),
            "base_url": plan.backend.base_url,
            "parameters": dict(plan.target.parameters),
            "prompt_form": prompt_form(plan.target.parameters),
            "prompt_sha256": _prompt_hash(plan),
            "seed": plan.seed,
            "rows": len(plan.rows),
            "generations": plan.samples,
            "rows_per_request": plan.target.rows_per_request,
            "counts": self.counts,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost,
            "started": _stamp(self.started),
            "finished": None if self.finished is None else _stamp(self.finished),
            "versions": versions(),
            **self.details,
        }

    def methods(self) -> Methods:
        """The paragraphs that a paper has to report of this run, as Markdown and LaTeX.

        Model, host, date, parameters, rows, failures, cost; and, where they are known of these rows, the
        codebook's version, the gold sample, the accuracy, the correction and the agreement. The prompt, with
        ``{name}`` in place of a row's text, is its appendix.
        """
        return methods(self.manifest(), self.evaluation, _prompt_shown(self.plan))


def _prompt_shown(plan: Plan) -> str:
    """The prompt of a row whose texts are the names of their columns; empty where the backend reads none."""
    if not plan.backend.capabilities.text:
        return ""
    request = plan.task.request({name: f"{{{name}}}" for name in plan.inputs}, plan.target)
    prompt = None if request is None else join_prompts([prompt_of(request)])
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in prompt)


def _prompt_hash(plan: Plan) -> str:
    """SHA-256 of the task: equal for equal instructions, whatever the rows."""
    return hashlib.sha256(repr(plan.task).encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _grouped(values: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(values[i : i + size]) for i in range(0, len(values), size)]


_WORST: tuple[str | None, ...] = ("failed", None, "defaulted", "repaired", "ok", "skipped")


def _worst(group: Sequence[str | None]) -> str | None:
    return min(group, key=_WORST.index)


def _first(group: Sequence[str | None]) -> str | None:
    return next((error for error in group if error is not None), None)
