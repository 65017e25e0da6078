"""``-m a,b``: one cell, several models, a column each, and how far they agree."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

from llm_magics.api.calibration import kappa
from llm_magics.api.execution import execute
from llm_magics.api.run import Run
from llm_magics.arguments import Call
from llm_magics.errors import UsageError
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.namespace import Namespace
from llm_magics.notebook.row_cells import Asked
from llm_magics.tasks.label import Label


def models(given: str | None) -> list[str]:
    """The models of ``-m a,b``; none where one alone is meant (a pool's members are one model)."""
    if given is None or "," not in given or given.startswith("pool::"):
        return []
    return [name.strip() for name in given.split(",") if name.strip()]


def run(cell: Cell, names: list[str], build: Callable[[Cell], Asked]) -> Any:
    """Run the cell for each model in turn; the frame has a column (or a set of columns) per model.

    The last run's report says what each took and how far labels agree. Raises UsageError for what goes
    with one model alone.
    """
    flags = cell.flags
    for alone in ("background", "inplace", "dry_run", "show_code"):
        if getattr(flags, alone, False):
            said = alone.replace("_", "-")
            raise UsageError(f"--{said} goes with one model.", hint=f"-m {names[0]}")
    runs: list[Run] = []
    result: Any = None
    for name in names:
        asked = build(_for_model(cell, name, runs, result))
        asked.plan.frame.require_whole("a comparison of models")
        result = execute(cell.session, asked.plan, cell.common(), footer=False)  # type: ignore[arg-type]
        last = cell.session.last
        assert last is not None
        runs.append(last)
    _summarise(runs)
    return result


def _for_model(cell: Cell, name: str, runs: list[Run], frame: Any) -> Cell:
    """The cell as typed for this model alone, over the frame that the models before it made."""
    flags = argparse.Namespace(**vars(cell.flags))
    flags.model = name
    flags.output = (
        f"{cell.flags.output or _DEFAULTS.get(cell.call.command.name, cell.call.command.name)}_{_slug(name)}"
    )
    call = Call(cell.call.command, flags, cell.call.body)
    if frame is None:
        return replace(cell, call=call)
    # The new columns may be text too: the column of the first run is meant again.
    column = getattr(runs[0].plan.task, "column", None)
    if column is not None:
        flags.on = column
    _, variable, _ = cell.space.data(cell.flags.data)
    space = Namespace(cell.space.user, {**cell.space.local, variable: frame})
    return replace(cell, call=call, space=space)


_DEFAULTS = {"generate": "generation", "summarize": "summary", "translate": "translation", "judge": "rating"}


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _summarise(runs: list[Run]) -> None:
    """What the other runs took, and how far labels agree, in the notes of the last."""
    last = runs[-1]
    for one in runs[:-1]:
        last.notes.setdefault(one.meter.line())
    for a, b in combinations(runs, 2):
        if isinstance(a.plan.task, Label) and not (a.plan.task.many or a.plan.task.wide):
            last.notes.setdefault(_agreement(a, b))


def _agreement(a: Run, b: Run) -> str:
    columns = a.row_columns[a.plan.output], b.row_columns[b.plan.output]
    pairs = [(x, y) for x, y in zip(*columns, strict=True) if x is not None and y is not None]
    names = f"{a.plan.backend.name} and {b.plan.backend.name}"
    if not pairs:
        return f"{names}: no row has a label of both"
    same = sum(x == y for x, y in pairs) / len(pairs)
    measured = kappa([x for x, _ in pairs], [y for _, y in pairs])
    return f"{names} agree on {same:.1%} of {len(pairs):,} rows (Cohen's kappa {measured:.2f})"
