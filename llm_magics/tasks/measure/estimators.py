"""Prediction-powered means: a few gold rows correct what a model says about all rows.

PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv:2311.01453) for gold rows with equal chances; for unequal
chances the same estimator with design weights (Egami, Hinck, Stewart, Wei 2023, arXiv:2306.04746), ratio form
(Hájek 1971). The target is the mean of the process that the rows come from, not only of these very rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A numpy array; numpy is imported in the functions that use it."""


@dataclass(frozen=True)
class Totals:
    """The prediction over all rows of a group: their number, its sum, its sum of squares."""

    rows: int
    total: float
    squares: float


@dataclass(frozen=True)
class Mean:
    """An estimated mean, its variance, and how much the predictions count (0 not at all, 1 fully)."""

    value: float
    variance: float
    tuning: float


def prediction_powered_mean(truth: Array, predicted: Array, weights: Array, totals: Totals) -> Mean:
    """The mean of ``truth`` over all rows, of which the gold rows alone are known.

    Args:
        truth: the true value of each gold row.
        predicted: the model's value of each gold row.
        weights: the inverse of each gold row's chance of being drawn.
        totals: the model's values over all rows, the gold rows among them.

    The weight of the predictions is the one that minimises the variance, clipped to [0, 1]; at 0 only the
    gold rows count.
    """
    if equal(weights):
        return _of_equal(truth, predicted, totals)
    return _of_unequal(truth, predicted, weights, totals)


def equal(weights: Array) -> bool:
    """Whether all weights are the same."""
    return bool(weights.max() - weights.min() <= 1e-9 * weights.max())


def _of_equal(truth: Array, predicted: Array, totals: Totals) -> Mean:
    """PPI++ with the rows without gold as its unlabelled sample."""
    gold, others = len(truth), totals.rows - len(truth)
    if others <= 0:
        return Mean(float(truth.mean()), float(truth.var()) / gold, 0.0)
    spread = max(0.0, totals.squares - totals.total**2 / totals.rows) / max(1, totals.rows - 1)
    shared = float(((truth - truth.mean()) * (predicted - predicted.mean())).mean())
    tuning = _clipped(shared, (1 + gold / others) * spread)
    middle = (totals.total - float(predicted.sum())) / others
    variance = max(0.0, (totals.squares - float((predicted**2).sum())) / others - middle**2)
    errors = truth - tuning * predicted
    return Mean(
        tuning * middle + float(errors.mean()),
        tuning**2 * variance / others + float(errors.var()) / gold,
        tuning,
    )


def _of_unequal(truth: Array, predicted: Array, weights: Array, totals: Totals) -> Mean:
    """All rows' predictions, corrected by the weighted errors of the gold rows."""
    gold, whole = len(truth), float(weights.sum())
    share = weights / whole
    # What a row adds to the variance of a ratio estimator; a row that was sure to be drawn adds nothing.
    part = share**2 * (1 - 1 / weights) * gold / max(1, gold - 1)
    true_mean, predicted_mean = float((share * truth).sum()), float((share * predicted).sum())
    away, guessed = truth - true_mean, predicted - predicted_mean
    tuning = _clipped(float((part * away * guessed).sum()), float((part * guessed**2).sum()))
    of_rows = float((share * away**2).sum()) / totals.rows
    return Mean(
        tuning * totals.total / totals.rows + true_mean - tuning * predicted_mean,
        of_rows + float((part * (away - tuning * guessed) ** 2).sum()),
        tuning,
    )


def _clipped(shared: float, spread: float) -> float:
    return min(1.0, max(0.0, shared / spread)) if spread > 0 else 0.0
