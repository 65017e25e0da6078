"""``measure``: shares and means over model labels, corrected by a random gold sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from llm_magics.core.errors import UsageError
from llm_magics.runs.functions import OptionFunction, option_function
from llm_magics.runs.session import current
from llm_magics.tasks.measure import result, shares
from llm_magics.tasks.measure.intervals import weighted_share
from llm_magics.tasks.measure.label_data import (
    Asked,
    Labelled,
    labels_column,
    numbers,
    read,
    read_frame,
    with_texts,
)
from llm_magics.tasks.measure.options import MeasureOptions
from llm_magics.tasks.measure.regression import regression

P = ParamSpec("P")


class MeasureFunction(OptionFunction[P], Protocol[P]):
    """``measure``, with ``measure.regression`` for regressions on labels."""

    regression: Callable[..., Any]


def measured(options: MeasureOptions) -> Any:
    """The result of ``measure`` for a record of options."""
    if not 0 < options.confidence < 1:
        raise UsageError("confidence is between 0 and 1.", hint="confidence=0.95")
    whole = read_frame(options.data, options.name)
    column = labels_column(whole, options.column)
    frame = with_texts(whole, column)
    values = None if options.mean is None else numbers(frame, options.mean)
    if values is not None:
        frame, values = _with_values(frame, values)
    asked = Asked(column, options.truth, options.by, options.weights, options.random)
    data = read(frame, asked)
    lines = (
        shares.shares(data, options.confidence)
        if values is None
        else shares.means(data, values, options.confidence)
    )
    value = "share" if values is None else "mean"
    about = _about(data, options, len(frame))
    made = result.table(list(lines), data.column, data.by, value, about)
    current().note(whole, column, "measured" if values is None else "measured_means", about)
    return made


def _with_values(frame: Any, values: Any) -> tuple[Any, Any]:
    """The rows that have a number, and their numbers."""
    import numpy as np

    from llm_magics.data.frames import repeat_rows

    known = ~np.isnan(values)
    if known.all():
        return frame, values
    return repeat_rows(frame, np.flatnonzero(known).tolist()), values[known]


def _about(data: Labelled, options: MeasureOptions, rows: int) -> dict[str, Any]:
    """How the result was measured, for its caption and for ``methods()``."""
    right = weighted_share(data.correct(), data.sample.weights, 0.0, options.confidence)
    return {
        "accuracy": {"accuracy": right.value, "low": right.low, "high": right.high},
        "confidence": options.confidence,
        "gold": int(data.sample.rows.sum()),
        "rows": rows,
        "design": data.sample.design,
        "probabilities": bool(data.scores),
        "mean": options.mean,
        "notes": list(data.sample.notes),
    }


@option_function(MeasureOptions)
def _measure(options: MeasureOptions) -> Any:
    """Measure the share of each label, corrected by gold rows, with intervals that hold.

    A share that is counted from model labels inherits the model's errors. A small random sample of gold
    labels corrects it (prediction-powered inference, PPI++). Returns a pandas frame with the label, the
    columns of ``by``, ``share`` (with ``mean``: ``mean``), ``low``, ``high``, ``uncorrected`` (the model's
    own count), ``rows`` and ``gold``; ``plot()`` is its figure, ``differences()`` compare the groups. The
    intervals are about the process that the rows come from. Labels may be one a row or lists; probabilities
    in the columns ``{column}_score_{label}`` are used where there are some. Raises UsageError where the gold
    rows were not drawn at random, NotFound for a column that there isn't.
    """
    return measured(options)


_measure.__name__ = _measure.__qualname__ = "measure"  # type: ignore[attr-defined]
_with_regression = cast("Any", _measure)
_with_regression.regression = regression
measure: MeasureFunction[...] = _with_regression
