"""Coefficients of agreement as functions of counted rows, for many resamples at once.

Percent agreement, Fleiss' kappa and Gwet's AC1 with missing labels as Gwet (2014) defines them, Cohen's kappa
(1960), Krippendorff's alpha (2011, computed from coincidences). For ordered labels percent, kappas and AC1
(then AC2) count near labels in part, by Gwet's ordinal weights; alpha has Krippendorff's ordinal metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from llm_magics.tasks.agreement.ratings import Array, Ratings


@dataclass(frozen=True)
class Counted:
    """Distinct rows of labels, and how often each of them occurs in every resample.

    ``times`` has a row a resample and a column a distinct row; its first row are the counts as observed.
    """

    ratings: Ratings
    times: Array
    ordinal: bool = False

    @property
    def size(self) -> int:
        """The number of labels."""
        return len(self.ratings.labels)

    @cached_property
    def closeness(self) -> Array:
        """How much two labels agree, from 0 to 1: 1 on the diagonal, else 0, or Gwet's ordinal weights."""
        import numpy as np

        if not self.ordinal:
            return np.eye(self.size)
        apart = np.abs(np.subtract.outer(np.arange(self.size), np.arange(self.size)))
        return 1 - apart * (apart + 1) / 2 / max(1, self.size * (self.size - 1) / 2)

    def sums(self, values: Array) -> Array:
        """The sum of a value a distinct row (or of several), for each resample."""
        return self.times @ values


def resampled(counts: Array, resamples: int, seed: int) -> Array:
    """The observed counts, and under them those of rows drawn with replacement, a line a resample."""
    import numpy as np

    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, size=resamples)
    return np.vstack([counts, drawn]).astype(float)


def _votes(counted: Counted, who: Sequence[int]) -> Array:
    """How many of these annotators gave each label, a row a distinct row."""
    import numpy as np

    patterns = counted.ratings.patterns[:, list(who)]
    return np.stack([(patterns == label).sum(axis=1) for label in range(counted.size)], axis=1).astype(float)


def _observed(counted: Counted, votes: Array) -> Array:
    """The mean share of pairs of annotators that agree, over rows with two labels and more."""
    import numpy as np

    many = votes.sum(axis=1)
    pairs = many * (many - 1)
    agreeing = (votes * (votes @ counted.closeness - 1)).sum(axis=1)
    share = np.divide(agreeing, pairs, out=np.zeros_like(agreeing), where=pairs > 0)
    return _ratio(counted.sums(share), counted.sums((many >= 2).astype(float)))


def _spread(counted: Counted, votes: Array) -> Array:
    """The mean share of each label, every row alike; a row a resample."""
    import numpy as np

    many = votes.sum(axis=1)
    share = np.divide(votes, many[:, None], out=np.zeros_like(votes), where=many[:, None] > 0)
    return _ratio(counted.sums(share), counted.sums((many > 0).astype(float))[:, None])


def percent(counted: Counted, who: Sequence[int]) -> Array:
    """The share of agreeing pairs."""
    return _observed(counted, _votes(counted, who))


def fleiss(counted: Counted, who: Sequence[int]) -> Array:
    """Fleiss' kappa; nan where chance alone explains everything."""
    votes = _votes(counted, who)
    spread = _spread(counted, votes)
    return _beyond(_observed(counted, votes), ((spread @ counted.closeness) * spread).sum(axis=1))


def gwet(counted: Counted, who: Sequence[int]) -> Array:
    """Gwet's AC1; with ordered labels AC2. nan for a single label."""
    votes, size = _votes(counted, who), counted.size
    spread = _spread(counted, votes)
    scale = counted.closeness.sum() / (size * (size - 1)) if size > 1 else 1.0
    chance = scale * (spread * (1 - spread)).sum(axis=1) if size > 1 else spread.sum(axis=1)
    return _beyond(_observed(counted, votes), chance)


def cohen(counted: Counted, who: Sequence[int]) -> Array:
    """Cohen's kappa; of more than two annotators the mean over their pairs."""
    return mean_of_pairs(_cohen, counted, _pairs(who))


def _cohen(counted: Counted, who: Sequence[int]) -> Array:
    import numpy as np

    one, other = counted.ratings.patterns[:, list(who)].T
    both = (one >= 0) & (other >= 0)
    agreeing = np.where(both, counted.closeness[one, other], 0.0)
    number = counted.sums(both.astype(float))
    left, right = (
        _ratio(counted.sums((codes[:, None] == np.arange(counted.size)) & both[:, None]), number[:, None])
        for codes in (one, other)
    )
    return _beyond(_ratio(counted.sums(agreeing), number), ((left @ counted.closeness) * right).sum(axis=1))


def krippendorff(counted: Counted, who: Sequence[int]) -> Array:
    """Krippendorff's alpha, nominal or ordinal; nan where all labels are the same."""
    import numpy as np

    votes = _votes(counted, who)
    many = votes.sum(axis=1)
    paired = np.where((many >= 2)[:, None], votes, 0.0)
    number = counted.sums(paired)
    total = number.sum(axis=1)
    part = np.divide(1.0, many - 1, out=np.zeros_like(many), where=many >= 2)
    if not counted.ordinal:
        apart = total - counted.sums((paired * (paired - 1)).sum(axis=1) * part)
        expected = total**2 - (number**2).sum(axis=1)
        return 1 - _ratio((total - 1) * apart, expected)
    middle = np.cumsum(number, axis=1) - number / 2
    distance = (middle[:, :, None] - middle[:, None, :]) ** 2
    # A label's pairs with itself have no distance, so that they need not be taken out.
    pairs = np.einsum("ua,ub->uab", paired, paired * part[:, None]).reshape(len(paired), -1)
    apart = (counted.sums(pairs) * distance.reshape(len(distance), -1)).sum(axis=1)
    expected = np.einsum("ba,bc,bac->b", number, number, distance)
    return 1 - _ratio((total - 1) * apart, expected)


Coefficient = Callable[[Counted, Sequence[int]], Array]


def mean_of_pairs(coefficient: Coefficient, counted: Counted, pairs: Sequence[tuple[int, int]]) -> Array:
    """The mean of a coefficient over pairs of annotators, those left out where it is undefined."""
    import numpy as np

    values = np.stack([coefficient(counted, pair) for pair in pairs])
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))


def _pairs(who: Sequence[int]) -> list[tuple[int, int]]:
    return [(one, other) for place, one in enumerate(who) for other in who[place + 1 :]]


def _beyond(observed: Array, chance: Array) -> Array:
    """Agreement beyond chance, as a share of what chance leaves."""
    import numpy as np

    left = 1 - chance
    return _ratio(observed - chance, np.where(np.abs(left) < 1e-12, 0.0, left))


def _ratio(above: Array, below: Array) -> Array:
    """A quotient; nan where there is nothing to divide by."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, above / below)
