"""The subcommands that turn labels into findings: ``measure``."""

from __future__ import annotations

from typing import Any

from llm_magics.notebook.cell import Cell
from llm_magics.notebook.namespace import check_result_name
from llm_magics.options.option import given
from llm_magics.tasks.measure.measure import measured
from llm_magics.tasks.measure.options import MeasureOptions


def measure(cell: Cell) -> Any:
    """The corrected shares of ``FRAME.COLUMN``; ``attrs["figure"]`` has their picture."""
    into = check_result_name(cell.flags.into)
    data, variable, column = cell.space.data(cell.flags.data)
    asked = dict(given(MeasureOptions, vars(cell.flags)))
    found = measured(MeasureOptions(data=data, column=column, name=variable, **asked))
    found.attrs["figure"] = found.plot()
    if into is not None:
        cell.space.bind(into, found)
    return found
