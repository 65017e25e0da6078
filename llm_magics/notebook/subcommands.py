"""The subcommands of ``%llm`` and ``%%llm``: what each does with a cell."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from typing import Any

from llm_magics.core.errors import Interrupted, NotFound, UsageError
from llm_magics.data import frames
from llm_magics.engine.jobs import Job
from llm_magics.notebook import compare_models, display, findings
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.commands import COMMANDS, parse
from llm_magics.notebook.function_call import ROW_FUNCTIONS, FunctionCall, function_call
from llm_magics.notebook.namespace import check_result_name
from llm_magics.notebook.tables import Reading, Table
from llm_magics.runs.estimates import estimate
from llm_magics.runs.execution import execute, rerun
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.versions import versions
from llm_magics.tasks.label.review.open_review import open_review
from llm_magics.widgets.frontend import plotly_script


def _over_rows(cell: Cell) -> Any:
    """Run a subcommand over rows and show the frame, with the footer as the last line."""
    flags = cell.flags
    into = check_result_name(flags.into)
    if names := compare_models.models(flags.model):
        frame = compare_models.run(cell, names)
        if flags.dry_run:
            return frame
        if into is not None:
            cell.space.bind(into, frame)
        return display.frame(frame, cell.session.last, flags.format, quiet=flags.quiet)
    call = function_call(cell)
    plan = call.plan(cell)
    if cell.body:
        cell.session.bodies[cell.call.command.name] = cell.body
    if flags.show_code:
        return display.Code(call.code(into or "result"))
    result = _execute(cell, call, plan, into)
    if isinstance(result, Job):
        widgets = not flags.quiet and cell.session.config.value("widgets") != "off"
        return display.job(result, widgets=widgets)
    if flags.dry_run:
        return result
    if frames.is_partitioned(result):
        return display.dask_frame(result, plan.task.name, quiet=flags.quiet)
    return display.frame(result, cell.session.last, flags.format, quiet=flags.quiet)


def _concepts(cell: Cell) -> Any:
    """Run concept induction; a ConceptSet displays itself as the explorer, an earlier stage is a frame."""
    from llm_magics.tasks.concepts import pipeline

    flags = cell.flags
    into = check_result_name(flags.into)
    if flags.output or flags.inplace:
        raise UsageError("concepts are no column: --as and --inplace mean nothing here.", hint="Use -o NAME.")
    call = function_call(cell)
    if flags.show_code:
        return display.Code(call.code(into or "themes"))
    if cell.body:
        cell.session.bodies["concepts"] = cell.body
    plan = pipeline.plan_induction(cell.session, call.options)
    if _draws_explorer(cell) and plan.finds_concepts and not flags.dry_run:
        plotly_script.send_ahead()
    result = pipeline.run(
        cell.session,
        plan,
        call.options,
        done=None if into is None else lambda found: cell.space.bind(into, found),
        footer=False,
    )
    if flags.dry_run or flags.background:
        return result
    return _display_concepts(cell, result)


def _concepts_estimate(cell: Cell) -> Any:
    """The cost of the steps."""
    from llm_magics.tasks.concepts.pipeline import plan_induction
    from llm_magics.tasks.concepts.plan import estimates

    return estimates(plan_induction(cell.session, function_call(cell).options))


def _draws_explorer(cell: Cell) -> bool:
    """Whether the cell shows concepts as a live widget."""
    flags = cell.flags
    return not flags.quiet and (flags.format == "widget" or (flags.format is None and cell.live))


def _display_concepts(cell: Cell, result: Any) -> Any:
    """The explorer, or the form asked for with ``-f``; with ``-q`` nothing."""
    from llm_magics.tasks.concepts.concept_set import ConceptSet

    wanted, quiet = cell.flags.format, cell.flags.quiet
    if not isinstance(result, ConceptSet):
        return display.frame(result, None, wanted, quiet=quiet)
    if quiet:
        return None
    if wanted in (None, "widget"):
        result.interactive = _draws_explorer(cell)
        return result
    if wanted == "text":
        print(repr(result))
        return None
    return display.frame(result.export(), None, wanted, quiet=False)


def _chat(cell: Cell) -> Any:
    """Ask the question and show the answer."""
    flags = cell.flags
    into = check_result_name(flags.into)
    call = function_call(cell)
    plan = call.plan(cell)
    if flags.show_code:
        return display.Code(call.code(into or "answer"))
    result = _execute(cell, call, plan, into)
    if not isinstance(result, str):
        return result
    return display.answer(result, cell.session.last, flags.format, quiet=flags.quiet)


def _execute(cell: Cell, call: FunctionCall, plan: Plan, into: str | None) -> Any:
    """Execute the plan; the result is bound to ``into`` on success."""

    def bind(result: Any) -> None:
        if into is not None:
            cell.space.bind(into, result)

    return execute(cell.session, plan, call.options, footer=False, done=bind)


def _estimate(cell: Cell) -> Any:
    words = cell.flags.rest
    if not words:
        raise UsageError("estimate what?", hint="%llm estimate label reviews.text --labels a,b")
    name, bodies = words[0], cell.session.bodies
    if name not in {*ROW_FUNCTIONS, "concepts"}:
        raise NotFound.among("subcommand to estimate", name, [*ROW_FUNCTIONS, "concepts"])
    # One line has no body: the newest of the same subcommand stands in, unless flags say it all.
    flags = {"--labels", "--labels-from", "-h", "--help"}
    body = cell.call.body or (None if flags.intersection(words) else bodies.get(name))
    inner = parse(shlex.join(words), body)
    meant = Cell(cell.session, cell.space, inner, cell.line)
    if name == "concepts":
        return _concepts_estimate(meant)
    return estimate(function_call(meant).plan(meant), cell.session.store)


def _last(cell: Cell) -> Run:
    if cell.session.last is None:
        raise UsageError("nothing has run yet in this session.")
    return cell.session.last


def _last_or_methods(cell: Cell) -> Any:
    """The last run, or what a paper has to report of it."""
    what = cell.flags.what
    if what not in (None, "methods"):
        raise NotFound.among("part of the last run", what, ["methods"], hint="%llm last shows the run.")
    run = _last(cell)
    if what is None:
        return run
    findings.note_codebooks(cell.session)
    return run.methods()


def _review(cell: Cell) -> Any:
    """The labels of the last run, or of ``FRAME.COLUMN``, for a person to review."""
    flags = cell.flags
    if flags.cards and flags.grid:
        raise UsageError("--cards and --grid don't go together.", hint="Use one of them.")
    into = check_result_name(flags.into)
    data, variable, column = cell.space.data(flags.data) if flags.data else (None, "data", None)
    made = open_review(
        cell.session,
        data,
        column,
        on=flags.on,
        labels=flags.labels,
        second=flags.second,
        name=variable,
    )
    made.interactive = cell.live
    made.view = "grid" if flags.grid else "cards"
    if into is not None:
        cell.space.bind(into, made)
    return made


def _jobs(cell: Cell) -> Any:
    return display.Jobs(list(cell.session.jobs.values()))


def _stop(cell: Cell) -> Any:
    jobs, wanted = cell.session.jobs, cell.flags.job
    if wanted is not None and wanted not in jobs:
        raise NotFound.among("job", wanted, jobs, hint="%llm jobs lists them.")
    stopped = [job for job in ([jobs[wanted]] if wanted else list(jobs.values())) if job.cancel()]
    for job in stopped:
        with contextlib.suppress(Exception, Interrupted):
            job.result(timeout=_STOPPING)
    return _jobs(cell)


_STOPPING = 2.0
"""Seconds that stopped jobs get to end before the list is shown."""


def _retry(cell: Cell) -> Any:
    """Ask again for the rows that failed or were not answered."""
    run = _last(cell)
    if not run.unanswered:
        print("No row of the last run failed.")
        return None
    result = rerun(cell.session, run)
    return display.frame(result, cell.session.last, None, quiet=False)


def _usage(cell: Cell) -> Any:
    return display.usage(cell.session.usage_by_backend)


def _reset(cell: Cell) -> None:
    threads, wanted = cell.session.threads, cell.flags.thread
    if wanted is not None and wanted not in threads:
        raise NotFound.among("conversation", wanted, threads)
    for name in [wanted] if wanted else list(threads):
        threads.pop(name)


def _help(cell: Cell) -> Table:
    topic = cell.flags.topic
    if topic:
        return Reading(parse(f"{topic}").command.parser.format_help(), fixed=True)
    rows = [{"subcommand": name, "does": entry.help} for name, entry in COMMANDS.items()]
    notes = ["one of them: %llm SUB -h", "settings, backends and keys: %llm_config -h"]
    return Table(rows, caption="%llm SUBCOMMAND", heads=False, notes=notes)


def _version(cell: Cell) -> Any:
    rows = [{"package": k, "version": v} for k, v in versions().items()]
    return Table(rows, caption="Versions", heads=False)


HANDLERS: dict[str, Callable[[Cell], Any]] = {
    **dict.fromkeys(ROW_FUNCTIONS, _over_rows),
    "concepts": _concepts,
    "chat": _chat,
    "estimate": _estimate,
    "last": _last_or_methods,
    "review": _review,
    "sample": findings.sample,
    "measure": findings.measure,
    "codebook": findings.codebook,
    "agreement": findings.agreement,
    "jobs": _jobs,
    "stop": _stop,
    "retry": _retry,
    "usage": _usage,
    "reset": _reset,
    "help": _help,
    "version": _version,
}
