"""Display of results in a cell: frames with their footer, code, chat answers, jobs, usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display

from llm_magics.engine.jobs import Job
from llm_magics.notebook.tables import Table
from llm_magics.notebook.views.results import ResultView
from llm_magics.runs.run import Run
from llm_magics.tasks.extract.task import Entities
from llm_magics.text.markdown_html import NO_MATH, markdown_bundle
from llm_magics.text.spans import SpansView
from llm_magics.widgets.output.states import Level
from llm_magics.widgets.output.style import output_block


class Footer:
    """The lines under a result, in plain text and escaped HTML; ``shown`` are fewer, for HTML alone."""

    def __init__(self, text: str, shown: str | None = None) -> None:
        self.text = text
        self.shown = text if shown is None else shown

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        lines = "<br>".join(escape(line) for line in self.shown.splitlines())
        look = "font-size:12px;line-height:1.5;opacity:.78;padding:2px 4px"
        return f'<div class="{NO_MATH}" style="{look}">{lines}</div>'


class Code:
    """Python source that does what the magic would do."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return self.source

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return output_block(f"<pre>{escape(self.source)}</pre>", name="Python code", kind="llmx-table")


def frame(result: Any, run: Run | None, wanted: str | None, *, quiet: bool) -> Any:
    """The value of a cell: the frame itself, displayed once, with the footer as the last line.

    The display is a view of the result, or the plain frame with ``-f table``; ``_`` and ``x = %llm ...``
    are the plain frame, since the hook that displays it is removed after the first time.
    """
    text = run.report() if run is not None else ""
    asked = run.plan.rows if run is not None and wanted in _TABLES else None
    if run is not None and (run.plan.long or run.plan.shape is not None):
        asked = None  # the result has rows of its own, several for one that was asked
    seen, said = (result, "") if asked is None else _asked_of(result, asked)
    if wanted in ("json", "text"):
        seen, said = _first_of(result)

    def show() -> None:
        if run is not None and wanted in (None, "widget"):
            display(ResultView(seen, run, note=said, places=asked if said else None))
            _beside(run)
            display(Footer("\n".join(filter(None, (said, text))), run.footer()))
            return
        _show(seen, wanted)
        if run is not None and wanted == "table":
            _beside(run)
        display(Footer("\n".join(filter(None, (said, text)))))

    _silence(result) if quiet else _hook(result, show)
    return result


_TABLES = (None, "table", "df", "widget")


def _asked_of(result: Any, rows: Sequence[int]) -> tuple[Any, str]:
    """The rows that were asked about, where these are not all, and a line that says so."""
    import narwhals as nw

    whole = nw.from_native(result, eager_only=True)
    if not 0 < len(rows) < len(whole):
        return result, ""
    said = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return whole[list(rows)].to_native(), f"shown: the {said} asked, of {len(whole):,}; the others are null"


PRINTED = 1_000
"""The most rows printed as text or JSON, so that the notebook's page stays usable."""


def _first_of(result: Any) -> tuple[Any, str]:
    """The rows that are printed, and a line that says so where they are not all."""
    import narwhals as nw

    whole = nw.from_native(result, eager_only=True)
    if len(whole) <= PRINTED:
        return result, ""
    said = f"shown: the first {PRINTED:,} of {len(whole):,} rows; -o NAME keeps them all"
    return whole.head(PRINTED).to_native(), said


MARKED = 5
"""The number of texts shown with their entities marked."""


def _beside(run: Run) -> None:
    """What a table can't show: entities in the first texts that have some."""
    plan, task = run.plan, run.plan.task
    if not isinstance(task, Entities):
        return
    pairs = zip(plan.frame.values(task.column), run.row_columns[task.output], strict=True)
    found = [pair for pair in pairs if pair[1]]
    if found:
        texts, spans = zip(*found, strict=True)
        display(SpansView(texts, spans, task.labels.names, MARKED))


def job(running: Job, *, widgets: bool) -> Job:
    """A job as the value of a cell; where there are widgets, its first display follows it and can stop it."""
    shell = get_ipython()
    if widgets and getattr(shell, "kernel", None) is not None:
        from llm_magics.widgets.job import show

        _hook(running, lambda: show(running))
    return running


def dask_frame(result: Any, task: str, *, quiet: bool) -> Any:
    """A dask frame as the value of a cell: nothing of it is computed for display."""
    said = (
        f"{task}: {result.npartitions:,} partitions, asked as they are computed (.compute(), .to_parquet())"
    )

    def show() -> None:
        display(result)
        display(Footer(said))

    _silence(result) if quiet else _hook(result, show)
    return result


def _hook(result: Any, show: Callable[[], None]) -> None:
    """Replace the value's next display, and only that, by ``show``."""

    def once() -> None:
        object.__delattr__(result, "_ipython_display_")
        show()

    try:
        object.__setattr__(result, "_ipython_display_", once)
    except AttributeError:  # pyarrow's tables take no attributes
        _Hook(result, show)


def _silence(result: Any) -> None:
    """Display nothing for this value in this cell; a later display is not affected."""
    if _ends_its_cell():
        _hook(result, lambda: None)


def _ends_its_cell() -> bool:
    """Whether the running cell displays our magic's value: the magic is the cell, or its last line."""
    history = getattr(get_ipython(), "history_manager", None)
    if history is None or not history.input_hist_raw:
        return True
    cell = history.input_hist_raw[-1].strip()
    lines = [line for line in cell.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return cell.startswith("%%") or bool(lines and lines[-1].startswith("%"))


class _Hook:
    """The next display of one value, registered with IPython's formatter for its type."""

    def __init__(self, value: Any, show: Callable[[], None]) -> None:
        self.value, self.show = value, show
        shell: Any = get_ipython()
        self.formatter = shell.display_formatter.ipython_display_formatter
        before = self.formatter.pop(type(value), None)
        self.before: Any = before.before if isinstance(before, _Hook) else before
        self.formatter.for_type(type(value), self)

    def __call__(self, value: Any) -> None:
        self.formatter.pop(type(value), None)
        if self.before is not None:
            self.formatter.for_type(type(value), self.before)
        self.show() if value is self.value else display(value)


def _show(result: Any, wanted: str | None) -> None:
    if wanted == "json":
        print(_pandas(result).to_json(orient="records", force_ascii=False, default_handler=str))
    elif wanted == "text":
        print(_pandas(result).to_string())
    elif wanted == "md":
        display(markdown_bundle(markdown_table(_pandas(result))), raw=True)
    else:
        display(result)


def _pandas(result: Any) -> Any:
    import narwhals as nw

    return nw.from_native(result, eager_only=True).to_pandas()


def markdown_table(table: Any, rows: int = 50) -> str:
    """The first rows of a pandas frame as a Markdown table, pipes and markup escaped."""
    head = table.head(rows)
    lines = [_md_row(head.columns), "|" + " --- |" * len(head.columns)]
    lines += [_md_row(values) for values in head.itertuples(index=False, name=None)]
    more = f"\n\n... {len(table) - rows:,} more rows" if len(table) > rows else ""
    return "\n".join(lines) + more


def _md_row(values: Any) -> str:
    return "| " + " | ".join(map(_md_cell, values)) + " |"


def _md_cell(value: Any) -> str:
    """A value on one line, without HTML, images and pipes, in whatever Markdown the table is pasted."""
    text = escape(" ".join(str(value).split()), quote=False)
    return text.replace("![", "!\\[").replace("|", "\\|")


class Answer(str):
    """A chat's answer: a text in code, Markdown with the footer in a cell."""

    footer = ""
    wanted: str | None = None

    def _ipython_display_(self) -> None:
        if self.wanted == "text":
            print(str(self))
        elif self.wanted == "json":
            print(json.dumps(str(self), ensure_ascii=False))
        else:
            display(markdown_bundle(str(self)), raw=True)
        if self.footer:
            display(Footer(self.footer))


def answer(text: str, run: Run | None, wanted: str | None, *, quiet: bool) -> Answer:
    """A chat's answer as the value of its cell."""
    shown = Answer(text)
    if quiet:
        _silence(shown)
        return shown
    shown.wanted, shown.footer = wanted, run.report() if run is not None else ""
    return shown


_JOB_STATES: Mapping[str, Mapping[str, Level]] = {
    "status": {"running": "plain", "done": "good", "failed": "bad", "cancelled": "warn"}
}


class Jobs(Table):
    """The background jobs, a line each."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        rows = [{"job": job.id, "status": job.status, "progress": _progress(job)} for job in jobs]
        super().__init__(
            rows,
            caption="Background jobs" if rows else "",
            columns=["job", "status", "progress"],
            heads=False,
            empty="No background jobs.",
            states=_JOB_STATES,
        )


def _progress(job: Job) -> str:
    """A job's progress, and its error."""
    return job.progress if job.error is None else f"{job.progress}: {str(job.error).splitlines()[0]}"


def usage(ledger: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tokens and cost of the session, by backend."""
    rows = [{"backend": name, **row} for name, row in ledger.items()]
    return Table(rows, caption="Used in this session" if rows else "", empty="Nothing has run yet.")
