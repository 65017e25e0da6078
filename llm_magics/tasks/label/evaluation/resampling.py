"""Bootstrap intervals of F1 scores: of each label, of their mean, of all answers taken together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

RESAMPLES = 1000
"""Resamples of a bootstrap interval; the seed is fixed, so that one result has one interval."""
_FEW = 10

Interval: TypeAlias = tuple[float, float]
Pair: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""One row's true labels and those it was given."""


@dataclass(frozen=True)
class F1Intervals:
    """95% intervals, percentiles over resampled rows (Efron 1979); nan-nan for a label without rows.

    ``macro`` is the mean over the labels that a resample holds among its true ones, ``micro`` counts every
    label of every row alike, ``by_label`` is in the order of the labels.
    """

    macro: Interval
    micro: Interval
    by_label: tuple[Interval, ...]


def f1_intervals(pairs: Sequence[Pair], labels: Sequence[str]) -> F1Intervals:
    """The intervals of the F1 scores of these rows. A name that is not in ``labels`` is no answer."""
    import numpy as np

    rows = Counter(pairs)
    found = list(rows)
    place = {name: i for i, name in enumerate(labels)}
    true, given = (_held([pair[side] for pair in found], place) for side in (0, 1))
    both = _held([tuple(name for name in t if name in g) for t, g in found], place)
    macro, micro, each = np.empty(RESAMPLES), np.empty(RESAMPLES), np.full((RESAMPLES, len(labels)), np.nan)
    for i, weights in enumerate(_drawn(rows, len(pairs))):
        support, chosen, hits = (
            np.bincount(names, weights[which], minlength=len(labels)) for which, names in (true, given, both)
        )
        f1 = 2 * hits / np.maximum(support + chosen, 1)
        there = support > 0
        each[i, there] = f1[there]
        macro[i] = f1[there].mean() if there.any() else 0.0
        micro[i] = 2 * hits.sum() / max(1.0, support.sum() + chosen.sum())
    seen = [column[~np.isnan(column)] for column in each.T]
    return F1Intervals(_middle(macro), _middle(micro), tuple(map(_middle, seen)))


def _held(names: Sequence[tuple[str, ...]], place: dict[str, int]) -> tuple[Any, Any]:
    """Which pair holds which label: two arrays of equal length."""
    import numpy as np

    held = [(i, place[name]) for i, some in enumerate(names) for name in some if name in place]
    table = np.array(held, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _drawn(rows: Counter[Pair], n: int) -> Any:
    """How often each pair is drawn, once a resample."""
    import numpy as np

    chance = np.random.default_rng(0)
    often = np.fromiter(rows.values(), dtype=np.int64)
    of_row = None if _FEW * len(often) < n else np.repeat(np.arange(len(often)), often)
    for _ in range(RESAMPLES):
        # Few different pairs: their numbers are drawn at once; many: row by row is faster.
        if of_row is None:
            yield chance.multinomial(n, often / n).astype(float)
        else:
            yield np.bincount(of_row[chance.integers(0, n, n)], minlength=len(often)).astype(float)


def _middle(values: Any) -> Interval:
    """Where the middle 95% lie."""
    import numpy as np

    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
