"""Several models in one cell (``-m a,b``): a column each, and their agreement."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from itertools import combinations
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.commands import Call
from llm_magics.notebook.function_call import function_call
from llm_magics.notebook.namespace import Namespace
from llm_magics.notebook.tables import Table
from llm_magics.runs.estimates import Estimate, estimate
from llm_magics.runs.execution import execute
from llm_magics.runs.run import Plan, Run
from llm_magics.tasks.extract.task import Extract
from llm_magics.tasks.judge.task import Compare, Rate
from llm_magics.tasks.label.columns import LabelColumns, LabelValue
from llm_magics.tasks.label.evaluation.agreement import agreement
from llm_magics.tasks.label.task import Label


def models(given: str | None) -> list[str]:
    """The models of ``-m a,b``; none where it names one model (a pool's members are one model)."""
    if given is None or "," not in given or given.startswith("pool::"):
        return []
    return [name.strip() for name in given.split(",") if name.strip()]


def run(cell: Cell, names: list[str]) -> Any:
    """Run the cell for each model in turn; the frame has a column (or a set of columns) per model.

    The last run's report has the usage of each and their agreement; ``--max-cost`` is for all of them.
    With ``--dry-run`` the result is an estimate each. Raises UsageError for options of one model only.
    """
    flags = cell.flags
    for alone in ("background", "inplace", "show_code"):
        if getattr(flags, alone, False):
            said = alone.replace("_", "-")
            raise UsageError(f"--{said} goes with one model.", hint=f"-m {names[0]}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"-m names {twice[0]} twice.", hint="To ask one model several times: --votes 3")
    if getattr(flags, "propose", None):
        raise UsageError(
            "--propose goes with one model: each would propose labels of its own.",
            hint="Propose with one model, edit its labels in a cell's body, then compare.",
        )
    # All plans are made before anything is sent: a name that is wrong costs nothing.
    cells = [_for_model(cell, name) for name in names]
    calls = [function_call(one) for one in cells]
    plans = [call.plan(one) for call, one in zip(calls, cells, strict=True)]
    for plan in plans:
        plan.frame.require_whole("a comparison of models")
    if flags.dry_run:
        return Estimates(estimate(plan, cell.session.store) for plan in plans)
    runs: list[Run] = []
    result: Any = None
    for one, call, first in zip(cells, calls, plans, strict=True):
        over = None if result is None else _over(one, runs[0], result)
        plan = first if over is None else function_call(over).plan(over)
        result = execute(cell.session, _within(plan, runs), call.options, footer=False)
        last = cell.session.last
        assert last is not None
        runs.append(last)
    _summarise(runs)
    return result


class Estimates(tuple[Estimate, ...]):
    """The estimates of all models, a line each."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        rows = [dict(one.facts()) for one in self]
        columns = ["model", *(name for name in rows[0] if name != "model")] if rows else []
        return Table(rows, columns=columns, caption="Dry run: nothing was sent").html()


def _within(plan: Plan, runs: list[Run]) -> Plan:
    """The plan with the rest of the budget after the earlier models."""
    most = plan.options.max_cost
    if most is None:
        return plan
    left = max(0.0, most - sum(run.usage.cost or 0.0 for run in runs))
    return replace(plan, options=replace(plan.options, max_cost=left))


def _for_model(cell: Cell, name: str) -> Cell:
    """The cell for this model only; its columns have the model's name."""
    flags = argparse.Namespace(**vars(cell.flags))
    flags.model, flags.output = name, _output(cell, name)
    return replace(cell, call=Call(cell.call.command, flags, cell.call.body))


def _output(cell: Cell, name: str) -> str:
    """The name of a model's column: ``topic_fast``; for a prefix of several columns ``fast_`` follows it."""
    command, given = cell.call.command.name, cell.flags.output
    if command == "extract" and not cell.flags.spans:
        return f"{given or ''}{_slug(name)}_"
    if command == "label" and cell.flags.wide:
        return f"{given or 'is_'}{_slug(name)}_"
    ranks = command == "judge" and cell.flags.on and "," in cell.flags.on
    return f"{given or ('best' if ranks else _DEFAULTS.get(command, command))}_{_slug(name)}"


def _over(cell: Cell, first: Run, frame: Any) -> Cell:
    """The cell over the frame that the earlier models made; its new columns may be text too."""
    column = getattr(first.plan.task, "column", None)
    if column is not None:
        cell.flags.on = column
    _, variable, _ = cell.space.data(cell.flags.data)
    return replace(cell, space=Namespace(cell.space.user, {**cell.space.local, variable: frame}))


_DEFAULTS = {
    "generate": "generation",
    "summarize": "summary",
    "translate": "translation",
    "judge": "rating",
    "extract": "spans",
    "embed": "embedding",
}


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _summarise(runs: list[Run]) -> None:
    """Adds the other runs' usage, and the agreement of all, to the notes of the last run."""
    last = runs[-1]
    last.details["compared"] = {one.plan.backend.name: one.plan.output for one in runs}
    for one in runs[:-1]:
        last.notes.setdefault(one.meter.line())
    for a, b in combinations(runs, 2):
        if said := _compared(a, b):
            last.notes.setdefault(f"{a.plan.backend.name} and {b.plan.backend.name}{said}")


def _compared(a: Run, b: Run) -> str:
    """The agreement of two runs; empty where their answers are free texts."""
    if isinstance(a.plan.task, Extract):
        return "" if a.plan.task.many else _fields_alike(a, b)
    if not isinstance(a.plan.task, Label | Rate | Compare):
        return ""
    found = agreement(_words(a), _words(b))
    if found is None:
        return ": no row has an answer of both"
    apart = _apart(a, b) if isinstance(a.plan.task, Rate) else ""
    return f" {found}{apart}"


def _words(run: Run) -> list[LabelValue | None]:
    """Labels, ratings or winners, one a row."""
    task, columns = run.plan.task, run.row_columns
    names = task.labels.names if isinstance(task, Label) else ()
    many, wide = (task.many, task.wide) if isinstance(task, Label) else (False, False)
    made = LabelColumns(run.plan.output, names, many, wide)
    rows = range(len(next(iter(columns.values()))))
    wanted = [name for name in columns if name in run.plan.columns]
    return [made.of({name: columns[name][row] for name in wanted}) for row in rows]


def _apart(a: Run, b: Run) -> str:
    """The mean distance of two ratings."""
    columns = a.row_columns[a.plan.output], b.row_columns[b.plan.output]
    gaps = [abs(x - y) for x, y in zip(*columns, strict=True) if x is not None and y is not None]
    return f", {sum(gaps) / len(gaps):.2f} apart on average"


def _fields_alike(a: Run, b: Run) -> str:
    """The share of rows in which each field is equal, nulls included, where both read the row."""
    assert isinstance(a.plan.task, Extract) and isinstance(b.plan.task, Extract)
    left, right = a.row_columns, b.row_columns
    status = f"{a.plan.output.rstrip('_')}_status", f"{b.plan.output.rstrip('_')}_status"
    read = [
        row
        for row, pair in enumerate(zip(left[status[0]], right[status[1]], strict=True))
        if all(one in ("ok", "repaired") for one in pair)
    ]
    if not read:
        return ": no row has an answer of both"
    columns = zip(a.plan.task.names, a.plan.task.columns, b.plan.task.columns, strict=True)
    shares = (
        f"{name} {sum(left[x][row] == right[y][row] for row in read) / len(read):.1%}"
        for name, x, y in columns
    )
    rows = "1 row" if len(read) == 1 else f"{len(read):,} rows"
    return f" find the same over {rows}: {', '.join(shares)}"
