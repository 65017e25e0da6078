"""Estimating equations over a few gold rows and all rows' predictions, for linear and logistic models.

The coefficients solve ``weight * mean of the predicted scores + mean of the gold rows' errors = 0`` (PPI++
for generalized linear models, Angelopoulos, Duchi, Zrnic 2023; with design weights Egami et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.tasks.measure.estimators import Array, equal

_STEPS = 60
_HALVINGS = 20
_EXACT = 1e-10
"""Newton's steps, how often one is halved, and the relative length of a step that ends them."""


@dataclass(frozen=True)
class Equations:
    """The rows of a regression.

    ``all_x`` and ``all_y`` hold the model's labels over all rows; ``gold_x`` and ``gold_y`` the gold labels
    of the rows ``gold`` (positions), which ``weights`` weigh by the inverse of their chances.
    """

    all_x: Array
    all_y: Array
    gold_x: Array
    gold_y: Array
    gold: Array
    weights: Array
    logistic: bool

    def scores(self, x: Array, y: Array, at: Array) -> Array:
        """The gradient of each row's loss at these coefficients."""
        return x * (self.mean(x @ at) - y)[:, None]

    def mean(self, linear: Array) -> Array:
        """The expected outcome."""
        from scipy.special import expit

        return expit(linear) if self.logistic else linear

    def curvature(self, x: Array, at: Array, weights: Array) -> Array:
        """The weighted mean of the rows' second derivatives; the weights add up to 1."""
        if self.logistic:
            p = self.mean(x @ at)
            weights = weights * p * (1 - p)
        return (x * weights[:, None]).T @ x


@dataclass(frozen=True)
class Solution:
    """Coefficients, their covariance, and the weight of the predictions."""

    values: Array
    covariance: Array
    tuning: float


def solve(rows: Equations, tuning: float | None = None) -> Solution:
    """The coefficients; without ``tuning`` the weight of the predictions is the one with the least variance.

    The variances of the coefficients are added up, each in units of what the gold rows alone would give.
    Raises UsageError where the equations have no solution.
    """
    import numpy as np

    shares = rows.weights / rows.weights.sum()
    start = _root(rows, 0.0, shares, np.zeros(rows.all_x.shape[1]))
    if tuning is None:
        tuning = _best(rows, shares, start)
    values = start if tuning == 0 else _root(rows, tuning, shares, start)
    return Solution(values, _covariance(rows, tuning, shares, values), tuning)


def naive(rows: Equations) -> Array:
    """The coefficients that the model's labels alone give, the gold rows ignored."""
    import numpy as np

    many = len(rows.all_y)
    plain = Equations(
        rows.all_x, rows.all_y, rows.all_x, rows.all_y, np.arange(many), np.ones(many), rows.logistic
    )
    return _root(plain, 0.0, np.full(many, 1 / many), np.zeros(rows.all_x.shape[1]))


def _others(rows: Equations) -> Array:
    """The rows whose predictions stand for all: those without gold where chances are equal, else all."""
    import numpy as np

    kept = np.ones(len(rows.all_y), dtype=bool)
    if equal(rows.weights) and len(rows.gold) < len(rows.all_y):
        kept[rows.gold] = False
    return kept


def _root(rows: Equations, tuning: float, shares: Array, start: Array) -> Array:
    """The coefficients that solve the equations; raises UsageError where nothing does."""
    import numpy as np

    kept = _others(rows)
    x, y = rows.all_x[kept], rows.all_y[kept]
    guessed_x, guessed_y = rows.all_x[rows.gold], rows.all_y[rows.gold]
    even = np.full(len(y), 1 / len(y))

    def value(at: Array) -> Array:
        errors = rows.scores(rows.gold_x, rows.gold_y, at)
        if not tuning:
            return shares @ errors
        return tuning * (even @ rows.scores(x, y, at)) + shares @ (
            errors - tuning * rows.scores(guessed_x, guessed_y, at)
        )

    def slope(at: Array) -> Array:
        gold = rows.curvature(rows.gold_x, at, shares)
        if not tuning:
            return gold
        guessed = rows.curvature(guessed_x, at, shares)
        return gold + tuning * (rows.curvature(x, at, even) - guessed)

    found = _newton(value, slope, start)
    if found is None:
        raise UsageError(
            "the regression has no solution: a column repeats another, "
            "or a label occurs in too few gold rows.",
            hint="Leave a covariate out, or draw more gold rows.",
        )
    return found


def _newton(value: Callable[[Array], Array], slope: Callable[[Array], Array], start: Array) -> Array | None:
    """A root of ``value`` by Newton's method with halved steps; None where it finds none."""
    import numpy as np

    at, off = start, value(start)
    for _ in range(_STEPS):
        try:
            step = np.linalg.solve(slope(at), off)
        except np.linalg.LinAlgError:
            return None
        for _ in range(_HALVINGS):
            following = value(at - step)
            if np.linalg.norm(following) <= np.linalg.norm(off) or np.linalg.norm(step) < _EXACT:
                break
            step = step / 2
        at, off = at - step, following
        if np.linalg.norm(step) <= _EXACT * (1 + np.linalg.norm(at)):
            return at
    return None


def _parts(
    rows: Equations, shares: Array, at: Array, *, alone: bool = False
) -> tuple[Array, Array, Array, Array]:
    """The gold rows' scores, their predicted ones, the other rows' predicted ones, the inverse curvature.

    The curvature is that of all rows, with the gold rows' correction; ``alone``, that of the gold rows.
    """
    import numpy as np

    kept = _others(rows)
    many = len(rows.all_y)
    curve = rows.curvature(rows.gold_x, at, shares)
    if not alone:
        curve = curve - rows.curvature(rows.all_x[rows.gold], at, shares)
        curve = curve + rows.curvature(rows.all_x, at, np.full(many, 1 / many))
    return (
        rows.scores(rows.gold_x, rows.gold_y, at),
        rows.scores(rows.all_x[rows.gold], rows.all_y[rows.gold], at),
        rows.scores(rows.all_x[kept], rows.all_y[kept], at),
        np.linalg.pinv(curve),
    )


def _covariance(rows: Equations, tuning: float, shares: Array, at: Array) -> Array:
    import numpy as np

    true, guessed, others, inverse = _parts(rows, shares, at, alone=tuning == 0)
    if equal(rows.weights):
        middle = tuning**2 * np.cov(others.T) / len(others) + np.cov((true - tuning * guessed).T) / len(true)
    else:
        middle = _within_rows(true, shares) / len(rows.all_y)
        middle = middle + _between(true - tuning * guessed, true - tuning * guessed, rows.weights)
    return inverse @ np.atleast_2d(middle) @ inverse


def _within_rows(scores: Array, shares: Array) -> Array:
    away = scores - shares @ scores
    return (away * shares[:, None]).T @ away


def _between(one: Array, other: Array, weights: Array) -> Array:
    """The covariance that the drawing of the gold rows adds to two weighted means."""
    shares, many = weights / weights.sum(), len(weights)
    part = shares**2 * (1 - 1 / weights) * many / max(1, many - 1)
    return ((one - shares @ one) * part[:, None]).T @ (other - shares @ other)


def _best(rows: Equations, shares: Array, at: Array) -> float:
    """The weight of the predictions with the least variance of the coefficients."""
    import numpy as np

    true, guessed, others, inverse = _parts(rows, shares, at)
    if equal(rows.weights):
        gold = len(true)
        shared = np.atleast_2d(np.cov(true.T, guessed.T)[: true.shape[1], true.shape[1] :]) / gold
        spread = np.atleast_2d(np.cov(np.concatenate([guessed, others]).T)) * (1 / gold + 1 / len(others))
    else:
        shared = _between(true, guessed, rows.weights)
        spread = _between(guessed, guessed, rows.weights)
    alone = np.diag(_covariance(rows, 0.0, shares, at))
    saved = np.diag(inverse @ (shared + shared.T) @ inverse) / 2
    added = np.diag(inverse @ spread @ inverse)
    used = alone > 0
    below = float((added[used] / alone[used]).sum())
    return min(1.0, max(0.0, float((saved[used] / alone[used]).sum()) / below)) if below > 0 else 0.0


def standard_errors(solution: Solution) -> Any:
    """The square roots of the covariance's diagonal."""
    import numpy as np

    return np.sqrt(np.maximum(np.diag(solution.covariance), 0.0))
