"""``agreement``: how far several annotators, people and a model, give the same labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data.frames import Frame
from llm_magics.runs.functions import option_function
from llm_magics.runs.session import current
from llm_magics.tasks.agreement import coefficients
from llm_magics.tasks.agreement.coefficients import Coefficient, Counted, mean_of_pairs, resampled
from llm_magics.tasks.agreement.options import AgreementOptions
from llm_magics.tasks.agreement.ratings import (
    Array,
    Ratings,
    each_label,
    holds_several,
    one_label,
    order_of,
    read_columns,
)
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.rows import Column, column, rows_html

ATTRIBUTE = "llm_magics_agreement"
"""The key of the frame's ``attrs`` under which it is written what was compared."""


@option_function(AgreementOptions)
def agreement(options: AgreementOptions) -> Any:
    """Measure how far two or more columns of labels agree, with bootstrap intervals.

    Returns a pandas frame: ``among``, ``coefficient``, ``value``, ``low``, ``high``, ``rows`` (with two
    labels and more). The coefficients are percent agreement, Cohen's kappa (of more than two columns the
    mean over pairs), Fleiss' kappa, Krippendorff's alpha and Gwet's AC1. With several people and a model the
    means over pairs of people, and over the model with each of them, stand beside those of all. With several
    labels a row each label is taken as a yes or no: a column ``label``, the mean of all first. A coefficient
    that is not defined, for lack of different labels, is nan. Raises UsageError for fewer than two columns,
    an order that is not known, or rows that nobody labelled twice; NotFound for a column that there isn't.
    """
    return agreed(options)


def agreed(options: AgreementOptions) -> Any:
    """The result of ``agreement`` for a record of options."""
    import pandas as pd

    if not 0 < options.confidence < 1:
        raise UsageError("confidence is between 0 and 1.", hint="confidence=0.95")
    columns = [options.columns] if isinstance(options.columns, str) else list(dict.fromkeys(options.columns))
    frame, cells = read_columns(options.data, columns, options.name)
    among = _among(columns, _model(frame, columns, options.model))
    ordinal = options.ordinal is not False and options.ordinal is not None
    if holds_several(cells):
        if ordinal:
            raise UsageError("several labels a row have no order.", hint="Leave out --ordinal.")
        lines = _lines_of_several(each_label(cells), among, options)
    else:
        order = order_of(frame, columns, options.ordinal) if ordinal else None
        lines = _lines_of_one(one_label(cells, order), among, options, ordinal=ordinal)
    result = agreed_class()(pd.DataFrame(list(lines)))
    model = _model(frame, columns, options.model)
    about = {
        "columns": columns,
        "model": model,
        "ordinal": ordinal,
        "resamples": options.resamples,
        "confidence": options.confidence,
    }
    result.attrs[ATTRIBUTE] = about
    if model is not None:
        current().note(frame, model, "agreement", {**about, "values": _of_all(result)})
    return result


@cache
def agreed_class() -> type[Any]:
    """The class of the result, a frame with a table of its own; made on first use, as pandas is late."""
    import pandas as pd

    class Agreed(pd.DataFrame):
        """Coefficients of agreement, one a row."""

        @property
        def _constructor(self) -> type[Any]:
            return pd.DataFrame

        def _repr_html_(self) -> str:
            return _page(self)

    return Agreed


def _page(frame: Any) -> str:
    """The coefficients as a table of words and numbers."""
    made = frame.attrs.get(ATTRIBUTE, {})
    said = f"Agreement of {', '.join(made.get('columns', ()))}"
    columns = [
        Column(name, "number", ["–" if value != value else f"{value:.3f}" for value in frame[name]])
        if name in ("value", "low", "high")
        else column(name, frame[name].tolist())
        for name in frame.columns
    ]
    level, resamples = made.get("confidence", 0.95), made.get("resamples", 0)
    head = f'<p class="llmx-head"><b>{escape(cut(said, 120))}</b></p>'
    foot = f'<p class="llmx-small llmx-dim">{level:.0%} bootstrap intervals, {resamples:,} resamples</p>'
    return output_block(head, rows_html(columns, escape(said)), foot, name="agreement", kind="llmx-table")


def _of_all(result: Any) -> list[dict[str, Any]]:
    """The coefficients of all annotators together, with several labels a row their means."""
    lines = result[result["among"] == "all"].to_dict("records")
    return [line for line in lines if line.get("label") in (None, "(mean)")]


def _model(frame: Frame, columns: Sequence[str], asked: str | None) -> str | None:
    """The column of a model: the one asked for, or the only one that labelling made."""
    if asked is not None:
        if asked not in columns:
            raise UsageError(f"{asked} is none of the columns compared.", hint=f"Those: {', '.join(columns)}")
        return asked
    made = [column for column in columns if f"{column}_status" in frame.columns]
    return made[0] if len(made) == 1 else None


_Pairs = Sequence[tuple[int, int]]


def _among(columns: Sequence[str], model: str | None) -> Mapping[str, _Pairs | None]:
    """Who is compared: None for all at once, else the pairs whose mean is taken."""
    if model is None or len(columns) < 3:
        return {"all": None}
    place = columns.index(model)
    people = [number for number in range(len(columns)) if number != place]
    return {
        "all": None,
        "people": [(one, other) for at, one in enumerate(people) for other in people[at + 1 :]],
        f"{model} with people": [(place, person) for person in people],
    }


def _coefficients(*, ordinal: bool) -> Mapping[str, Coefficient]:
    return {
        "percent": coefficients.percent,
        "Cohen's kappa": coefficients.cohen,
        "Fleiss' kappa": coefficients.fleiss,
        "Krippendorff's alpha": coefficients.krippendorff,
        f"Gwet's AC{2 if ordinal else 1}": coefficients.gwet,
    }


def _values(counted: Counted, coefficient: Coefficient, pairs: _Pairs | None) -> Array:
    if pairs is not None:
        return mean_of_pairs(coefficient, counted, pairs)
    return coefficient(counted, range(counted.ratings.patterns.shape[1]))


def _line(among: str, name: str, values: Array, rows: int, confidence: float) -> dict[str, Any]:
    """A line of the result; the first value is the observed one, the others are resampled."""
    import numpy as np

    drawn = values[1:][~np.isnan(values[1:])]
    ends = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(drawn) else [np.nan] * 2
    value = float(values[0])
    return {
        "among": among,
        "coefficient": name,
        "value": value,
        "low": float(ends[0]),
        "high": float(ends[1]),
        "rows": rows,
    }


def _lines_of_one(
    ratings: Ratings, among: Mapping[str, _Pairs | None], options: AgreementOptions, *, ordinal: bool
) -> Iterator[dict[str, Any]]:
    rows = _rows(ratings)
    times = resampled(ratings.counts, options.resamples, options.random_state)
    counted = Counted(ratings, times, ordinal)
    for who, pairs in among.items():
        for name, coefficient in _coefficients(ordinal=ordinal).items():
            yield _line(who, name, _values(counted, coefficient, pairs), rows, options.confidence)


def _lines_of_several(
    by_label: Mapping[str, Ratings], among: Mapping[str, _Pairs | None], options: AgreementOptions
) -> Iterator[dict[str, Any]]:
    """The mean over the labels, then each label."""
    import numpy as np

    if not by_label:
        raise UsageError("no row has a label.", hint="Look at the columns.")
    rows = max(map(_rows, by_label.values()))
    counts = next(iter(by_label.values())).counts
    times = resampled(counts, options.resamples, options.random_state)
    counted = {name: Counted(ratings, times) for name, ratings in by_label.items()}
    for who, pairs in among.items():
        for name, coefficient in _coefficients(ordinal=False).items():
            values = {label: _values(one, coefficient, pairs) for label, one in counted.items()}
            stacked = np.stack(list(values.values()))
            known = ~np.isnan(stacked)
            whole = np.where(known, stacked, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
            whole[~known.any(axis=0)] = np.nan
            for label, each in {"(mean)": whole, **values}.items():
                yield {"label": label, **_line(who, name, each, rows, options.confidence)}


def _rows(ratings: Ratings) -> int:
    """The rows with two labels and more. Raises UsageError where there is none."""
    rows = int(ratings.counts[(ratings.patterns >= 0).sum(axis=1) >= 2].sum())
    if not rows:
        raise UsageError("no row has labels in two of the columns.", hint="Look at the columns named.")
    return rows
