"""``measure.regression``: linear and logistic regressions, a model's label as outcome or covariate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data.frames import Frame, repeat_rows
from llm_magics.tasks.measure.estimators import Array
from llm_magics.tasks.measure.intervals import quantile
from llm_magics.tasks.measure.label_data import (
    Asked,
    Labelled,
    labels_column,
    numbers,
    read,
    read_frame,
    series,
    with_texts,
)
from llm_magics.tasks.measure.moments import Equations, naive, solve, standard_errors


@dataclass(frozen=True)
class _Terms:
    """Covariates as columns of numbers, with a name each."""

    names: tuple[str, ...]
    columns: tuple[Array, ...]


def regression(
    data: Any,
    column: str | None = None,
    *,
    truth: str | None = None,
    outcome: str | None = None,
    covariates: str | Sequence[str] = (),
    label: str | None = None,
    reference: str | None = None,
    kind: Literal["linear", "logistic"] | None = None,
    weights: str | None = None,
    confidence: float = 0.95,
    random: bool = False,
    name: str = "data",
) -> Any:
    """Regress on, or explain, labels that a model gave; a random gold sample corrects its errors.

    Args:
        data: a labelled DataFrame.
        column: its column of model labels, one a row.
        truth: the column of gold labels, null where nobody looked.
        outcome: a numeric column that the labels explain; without it the label itself is the outcome, each
            against all others.
        covariates: further columns; texts and categories become a yes or no for each value but the first.
        label: as the outcome, only this label; by default every one has its own regression.
        reference: as a covariate, the label that the others are compared with; by default the first one.
        kind: ``logistic`` (the default for a label as outcome; coefficients are log-odds) or ``linear``.
        weights: the gold rows' sampling probabilities or design weights, as in ``measure``.
        confidence: the level of the intervals.
        random: the gold rows were drawn at random, whatever they look like.
        name: what messages call the data.

    Returns a pandas frame: ``label`` (of the outcome), ``term``, ``estimate``, ``low``, ``high``,
    ``uncorrected`` (what the model's labels alone give), ``rows``, ``gold``. Rows without a covariate or
    outcome are left out. Raises UsageError where the gold rows were not drawn at random or the regression has
    no solution, NotFound for a column or label that there isn't.
    """
    import pandas as pd

    frame, wanted = read_frame(data, name), [covariates] if isinstance(covariates, str) else list(covariates)
    column = labels_column(frame, column)
    frame = with_texts(frame, column)
    for each in [*wanted, *([outcome] if outcome else [])]:
        frame.require(each)
    frame = _complete(frame, [*wanted, *([outcome] if outcome else [])])
    rows = read(frame, Asked(column, truth, None, weights, random))
    if rows.given.sets is not None:
        raise UsageError("a regression takes one label a row.", hint="measure(...) takes several.")
    terms = _terms(frame, wanted)
    models = (
        _explained(rows, terms, label, kind != "linear")
        if outcome is None
        else _explaining(frame, rows, terms, outcome, reference, kind == "logistic")
    )
    made = [line for of, names, equations in models for line in _lines(of, names, equations, confidence)]
    columns = ("label", "term", "estimate", "low", "high", "uncorrected", "rows", "gold")
    result = pd.DataFrame(made, columns=columns)
    return result if outcome is None else result.drop(columns="label")


def _complete(frame: Frame, columns: Sequence[str]) -> Frame:
    """The rows that have a value in each of the columns."""
    import numpy as np

    known = np.ones(len(frame), dtype=bool)
    for column in columns:
        known &= series(frame, column).notna().to_numpy(dtype=bool)
    if known.all():
        return frame
    return replace(repeat_rows(frame, np.flatnonzero(known).tolist()), name=frame.name)


def _terms(frame: Frame, covariates: Sequence[str]) -> _Terms:
    """The intercept, numbers as they are, a yes or no for each further value of the rest."""
    import numpy as np
    import pandas as pd

    names, columns = ["(intercept)"], [np.ones(len(frame))]
    for name in covariates:
        values = series(frame, name)
        if pd.api.types.is_numeric_dtype(values.dtype):
            names.append(name)
            columns.append(numbers(frame, name))
            continue
        codes, found = pd.factorize(values, sort=True)
        for place, value in enumerate(found[1:], 1):
            names.append(f"{name}: {value}")
            columns.append((codes == place).astype(float))
    return _Terms(tuple(names), tuple(columns))


def _explained(
    rows: Labelled, terms: _Terms, label: str | None, logistic: bool
) -> Iterator[tuple[str, Sequence[str], Equations]]:
    """The label as outcome: an equation a label."""
    import numpy as np

    if label is not None and label not in rows.names:
        raise NotFound.among("label", label, rows.names)
    x = np.column_stack(terms.columns)
    gold = np.flatnonzero(rows.sample.rows)
    for name in rows.names if label is None else (label,):
        predicted = rows.predicted(name, rows.given.has(name))
        equations = Equations(x, predicted, x[gold], rows.gold.has(name), gold, rows.sample.weights, logistic)
        yield name, terms.names, equations


def _explaining(
    frame: Frame, rows: Labelled, terms: _Terms, outcome: str, reference: str | None, logistic: bool
) -> Iterator[tuple[str, Sequence[str], Equations]]:
    """The label as covariate: one equation."""
    import numpy as np

    first = rows.names[0] if reference is None else reference
    if first not in rows.names:
        raise NotFound.among("label", first, rows.names)
    others = [name for name in rows.names if name != first]
    gold = np.flatnonzero(rows.sample.rows)
    plain = np.column_stack(terms.columns)
    guessed = np.column_stack([rows.predicted(name, rows.given.has(name)) for name in others])
    true = np.column_stack([rows.gold.has(name) for name in others])
    y = numbers(frame, outcome)
    names = [*terms.names, *(f"{rows.column}: {name}" for name in others)]
    yield (
        outcome,
        names,
        Equations(
            np.column_stack([plain, guessed]),
            y,
            np.column_stack([plain[gold], true]),
            y[gold],
            gold,
            rows.sample.weights,
            logistic,
        ),
    )


def _lines(
    of: str, names: Sequence[str], equations: Equations, confidence: float
) -> Iterator[tuple[Any, ...]]:
    solution, plain = solve(equations), naive(equations)
    reach = quantile(confidence) * standard_errors(solution)
    counts = len(equations.all_y), len(equations.gold)
    for place, name in enumerate(names):
        value, away = float(solution.values[place]), float(reach[place])
        yield (of, name, value, value - away, value + away, float(plain[place]), *counts)
