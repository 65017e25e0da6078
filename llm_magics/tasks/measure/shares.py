"""Corrected shares, and means by label, of every group of a labelled frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_magics.tasks.measure.estimators import Array, Totals, prediction_powered_mean
from llm_magics.tasks.measure.intervals import GoldCell, Interval, corrected_share
from llm_magics.tasks.measure.label_data import Labelled

_UNKNOWN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Line:
    """One label of one group: the corrected estimate, the model's own, the numbers of rows and gold rows."""

    name: str
    key: tuple[Any, ...]
    estimate: Interval
    uncorrected: float
    rows: int
    gold: int


@dataclass(frozen=True)
class _Groups:
    """Sums over the rows of each group, and the gold rows of each."""

    numbers: Array
    count: int
    rows: Array
    gold: tuple[Array, ...]

    def sums(self, values: Array) -> Array:
        """The sum of a value over each group's rows."""
        import numpy as np

        return np.bincount(self.numbers, values, minlength=self.count)

    def totals(self, values: Array) -> list[Totals]:
        """The totals of a prediction in each group."""
        sums, squares = self.sums(values), self.sums(values**2)
        return [Totals(int(n), float(a), float(b)) for n, a, b in zip(self.rows, sums, squares, strict=True)]


def _grouped(data: Labelled) -> _Groups:
    import numpy as np

    count = len(data.keys)
    of_gold = data.groups[data.sample.rows]
    gold = tuple(np.flatnonzero(of_gold == group) for group in range(count))
    return _Groups(data.groups, count, np.bincount(data.groups, minlength=count), gold)


def shares(data: Labelled, confidence: float) -> Iterator[Line]:
    """The corrected share of each label in each group.

    A group without a gold row has no share, and every share in its interval.
    """
    groups, sample = _grouped(data), data.sample
    answered = groups.sums(data.given.answered.astype(float))
    for name in data.names:
        label, truth = data.given.has(name), data.gold.has(name)
        predicted = data.predicted(name, label)
        labelled = groups.totals(label)
        predictions = labelled if predicted is label else groups.totals(predicted)
        label_of_gold = label[sample.rows]
        predicted_of_gold = label_of_gold if predicted is label else predicted[sample.rows]
        for group, gold in enumerate(groups.gold):
            estimate = Interval(math.nan, 0.0, 1.0)
            if len(gold):
                said = label_of_gold[gold]
                cell = GoldCell(
                    truth=truth[gold],
                    label=said,
                    predicted=said if predicted is label else predicted_of_gold[gold],
                    weights=sample.weights[gold],
                    labelled=labelled[group],
                    predictions=predictions[group],
                )
                estimate = corrected_share(cell, confidence)
            there = answered[group]
            uncorrected = labelled[group].total / there if there else math.nan
            rows = labelled[group].rows
            yield Line(name, data.keys[group], estimate, uncorrected, rows, len(gold))


def means(data: Labelled, values: Array, confidence: float) -> Iterator[Line]:
    """The corrected mean of a number among the rows of each label, in each group; values are never nan.

    The ratio of two prediction-powered means with one weight for the predictions, its variance by
    linearization, its interval by Student's t at the number of gold rows of the label less one.
    """
    groups, sample = _grouped(data), data.sample
    of_gold = values[sample.rows]
    for name in data.names:
        label, truth = data.given.has(name), data.gold.has(name)
        predicted = data.predicted(name, label)
        sums = [groups.sums(each) for each in _moments(predicted, values)]
        said, own = groups.sums(label), groups.sums(label * values)
        for group, gold in enumerate(groups.gold):
            totals = [float(each[group]) for each in sums]
            rows = int(groups.rows[group])
            cell = _Ratio(of_gold[gold], truth[gold], predicted[sample.rows][gold], sample.weights[gold])
            uncorrected = own[group] / said[group] if said[group] else math.nan
            estimate = _mean(cell, totals, rows, confidence)
            yield Line(name, data.keys[group], estimate, float(uncorrected), rows, int(truth[gold].sum()))


def _moments(predicted: Array, values: Array) -> tuple[Array, ...]:
    """What the totals of ``(values - c) * predicted`` and of its square are made of, for any c."""
    squared = predicted**2
    return predicted, values * predicted, squared, values * squared, values**2 * squared


@dataclass(frozen=True)
class _Ratio:
    """The gold rows of one group for one label: a number, the truth, the prediction, the weight."""

    values: Array
    truth: Array
    predicted: Array
    weights: Array


def _mean(cell: _Ratio, totals: list[float], rows: int, confidence: float) -> Interval:
    from scipy.stats import t

    found = int(cell.truth.sum())
    if found < 2:
        return _UNKNOWN
    labels, sums, squares, cross, high = totals
    middle = float((cell.weights * cell.truth * cell.values).sum() / (cell.weights * cell.truth).sum())
    # Two steps: the weight of the predictions depends a little on the mean it is used for.
    for _ in range(2):
        whole = Totals(rows, sums - middle * labels, high - 2 * middle * cross + middle**2 * squares)
        away = cell.values - middle
        powered = prediction_powered_mean(away * cell.truth, away * cell.predicted, cell.weights, whole)
        share = _share(cell, powered.tuning, labels, rows)
        if share <= 0:
            return _UNKNOWN
        middle += powered.value / share
    reach = float(t.ppf((1 + confidence) / 2, found - 1)) * math.sqrt(powered.variance) / share
    return Interval(middle, middle - reach, middle + reach)


def _share(cell: _Ratio, tuning: float, labels: float, rows: int) -> float:
    """The label's share with this weight of the predictions."""
    import numpy as np

    errors = float(np.average(cell.truth - tuning * cell.predicted, weights=cell.weights))
    return tuning * labels / rows + errors
