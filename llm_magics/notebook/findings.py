"""The subcommands that turn labels into findings: ``sample``, ``measure``, ``agreement``."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.namespace import check_result_name
from llm_magics.options.option import given
from llm_magics.options.values import names
from llm_magics.tasks.agreement.agreement import agreed
from llm_magics.tasks.agreement.options import AgreementOptions
from llm_magics.tasks.measure.measure import measured
from llm_magics.tasks.measure.options import MeasureOptions
from llm_magics.tasks.sample.options import SampleOptions
from llm_magics.tasks.sample.sample import drawn


def sample(cell: Cell) -> Any:
    """The review of the drawn rows; ``-o`` binds the frame, whose gold labels follow the review."""
    into = check_result_name(cell.flags.into)
    data, variable, column = cell.space.data(cell.flags.data)
    asked = dict(given(SampleOptions, vars(cell.flags)))
    made = drawn(cell.session, SampleOptions(data=data, column=column, name=variable, **asked))
    off = cell.session.config.value("widgets") == "off"
    made.review.interactive = not (cell.flags.static or off)
    if into is not None:
        cell.space.bind(into, made.df)
        made.changed = lambda frame: cell.space.bind(into, frame)
    return made


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


def agreement(cell: Cell) -> Any:
    """How far the columns of a frame agree."""
    into = check_result_name(cell.flags.into)
    if not cell.flags.columns:
        raise UsageError("agreement of which columns?", hint="%llm agreement DATA topic,anna,ben")
    data, variable, _ = cell.space.data(cell.flags.data)
    asked = dict(given(AgreementOptions, vars(cell.flags)))
    columns = names(cell.flags.columns)
    found = agreed(AgreementOptions(data=data, columns=columns, name=variable, **asked))
    if into is not None:
        cell.space.bind(into, found)
    return found
