"""Drawing gold rows: at random, equally many of each group, or more of them where the model is unsure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llm_magics.core.errors import UsageError
from llm_magics.tasks.measure.intervals import quantile

Array: TypeAlias = Any

STRATA = 5
"""The number of strata of confidence of a lean sample."""
LEAST = 0.3
"""In a lean sample no row's chance is below this share of the average: errors that a model is sure of are
found too, and no gold row weighs more than about three times the average."""
FEWEST = 2
"""Rows of a stratum that are drawn at least, so that its variance is known."""


@dataclass(frozen=True)
class Draw:
    """Positions of the drawn rows, in random order, and the chance that each of them had."""

    rows: Array
    chances: Array


def draw(groups: Array, rows: int, seed: int, unsure: Array | None = None) -> Draw:
    """Draw about ``rows`` rows without replacement.

    Args:
        groups: the number of each row's group, -1 for rows that can't be drawn; groups get equally many
            rows, a small one all that it has.
        rows: how many to draw.
        seed: equal seeds draw equal rows.
        unsure: how unsure the model is of each row, from 0 to 1; rows of a group are then drawn by strata of
            it, in proportion to the spread of errors to expect (Neyman 1934).
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    counts = np.bincount(groups[groups >= 0])
    chosen, chances = [], []
    for group, wanted in enumerate(_shared_out(counts, rows)):
        members = np.flatnonzero(groups == group)
        for stratum, taken in _strata(members, int(wanted), unsure):
            drawn = chance.choice(stratum, taken, replace=False)
            chosen.append(drawn)
            chances.append(np.full(taken, taken / len(stratum)))
    order = chance.permutation(sum(map(len, chosen)))
    return Draw(np.concatenate(chosen)[order], np.concatenate(chances)[order])


def _shared_out(counts: Array, rows: int) -> Array:
    """The rows of each group: equally many, and what small groups leave goes to the others.

    Raises UsageError where there are more groups than rows.
    """
    import numpy as np

    groups = int((counts > 0).sum())
    if rows < groups:
        raise UsageError(
            f"{rows:,} rows can't be shared out to {groups:,} groups.", hint="Draw more, or by fewer groups."
        )
    given = np.zeros(len(counts), dtype=int)
    while given.sum() < min(rows, counts.sum()):
        room = np.flatnonzero(counts > given)
        part, rest = divmod(min(rows, int(counts.sum())) - int(given.sum()), len(room))
        more = np.full(len(room), part)
        more[:rest] += 1
        given[room] = np.minimum(counts[room], given[room] + more)
    return given


def _strata(members: Array, wanted: int, unsure: Array | None) -> Sequence[tuple[Array, int]]:
    """The strata of a group, each with the number of rows to draw."""
    import numpy as np

    if unsure is None or wanted >= len(members):
        return [(members, min(wanted, len(members)))]
    doubt = unsure[members]
    ends = np.quantile(doubt, np.arange(1, STRATA) / STRATA)
    places = np.searchsorted(ends, doubt, side="left")
    strata = [members[places == place] for place in range(STRATA)]
    strata = [stratum for stratum in strata if len(stratum)]
    spread = np.array([np.sqrt(unsure[stratum] * (1 - unsure[stratum])).mean() for stratum in strata])
    sizes = np.array([len(stratum) for stratum in strata])
    average = float((spread * sizes).sum() / sizes.sum())
    rates = np.maximum(spread, LEAST * average) if average > 0 else np.ones(len(strata))
    taken = np.round(wanted * rates * sizes / (rates * sizes).sum()).astype(int)
    taken = np.clip(taken, np.minimum(FEWEST, sizes), sizes)
    return list(zip(strata, map(int, taken), strict=True))


def rows_needed(width: float, errors: Mapping[str, float], shares: Mapping[str, float], rows: int) -> int:
    """The gold rows that give 95% intervals of this width for every label's share.

    ``errors`` has for each label the variance of what the model leaves to be explained, ``shares`` the
    model's own shares. All rows where no sample is enough.
    """
    reach = (width / 2 / quantile(0.95)) ** 2
    needed = 0
    for name, left in errors.items():
        of_rows = max(0.0, shares[name] * (1 - shares[name]) - left) / rows
        if reach <= of_rows:
            return rows
        needed = max(needed, math.ceil(left / (reach - of_rows)))
    return min(rows, max(needed, FEWEST))
