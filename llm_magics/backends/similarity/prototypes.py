"""Labels by similarity: choices are points in a vector space, nearness becomes a probability.

How a choice becomes a point
    A bare name is split into words and expanded by the vocabulary's words nearest to it (Rocchio's
    query expansion: Manning, Raghavan, Schütze, Introduction to Information Retrieval, 9.2). A name
    with a description is the two texts together. In a space of sentences it is the mean direction of
    several texts (``sentence_views``, ``word_views``).
How examples count
    Multinomial logistic regression with the points as the mean of a Gaussian prior: a few examples
    move a choice a little, many decide; a counterexample lowers the probability of its choice.
How nearness becomes probability
    Softmax of the cosines over one temperature, which belongs to the space. 0.066 keeps the expected
    calibration error of word vectors at or under 0.08 on four labelled sets with 2 to 21 choices, short
    texts and long, names and descriptions (``tests/benchmarks/embedded.py``); no other number was tuned
    on a set of its own.
A choice that means "none of these"
    It has the similarity that the best of so many unrelated choices reaches by chance, whatever its
    own words are near to.
Several choices at once
    Each choice competes with that level and with half of the others' weight. A choice is taken from
    0.3 on: with calibrated probabilities F1 is greatest at half the F1 that can be had, here 0.55
    (Lipton, Elkan, Naryanaswamy 2014, arXiv:1402.1892).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from llm_magics.core.types import Choice, OneOf

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[float32]


Views: TypeAlias = tuple[tuple[str, ...], ...]
"""Groups of texts: a choice is the mean direction of its groups, a group that of its texts."""


def unit(vectors: NDArray[float32]) -> NDArray[float32]:
    """Each row scaled to length 1; zeros stay zeros. Shape (n, d)."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled


NEIGHBOURS = 50
PRIOR = 0.02
OTHERS = 0.5
MANY_CUT = 0.3
_STEPS = 200
_ONE_THREAD = 2**18
_NONE_NAMES = frozenset({"none", "other", "others", "neither", "none of the above", "none of these"})
_NONE_MEANS = re.compile(r"\bnone of (the|these|those|them)\b", re.IGNORECASE)


class Space(Protocol):
    """A vector space of texts: unit vectors, and what their cosines mean."""

    @property
    def temperature(self) -> float:
        """What cosines are divided by before the softmax makes them probabilities."""

    @property
    def level(self) -> float:
        """The mean cosine of unrelated texts."""

    @property
    def spread(self) -> float:
        """The standard deviation of the cosines of unrelated texts."""

    @property
    def views(self) -> Callable[[Choice], Views] | None:
        """The texts that stand for a choice where texts are read as sentences; None: all its text is one."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (n, d); zeros for a text without words."""

    def evidence(self, texts: Sequence[str]) -> Vectors:
        """The same vectors with a length of at most 1, which tells how much of each text is known."""

    def neighbours(self, points: Vectors, n: int) -> Vectors:
        """Unit vectors, one a point: the direction of the n words nearest to it, or zeros."""


def words(name: str) -> str:
    """A label's name as words: ``card_arrival``, ``cardArrival`` and ``card-arrival`` are equal."""
    apart = re.sub(r"(?<=[^\W\d_])(?<![A-Z])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[_/\\\-.:|&]+", " ", apart).split()) or name


def sentence_views(choice: Choice) -> Views:
    """All of a choice's own text, its name, and each sentence of its description, all counting equally.

    For a bare name also a sentence that holds it. For the universal sentence encoder their mean direction is
    better than any one of them on the four sets of ``docs/explanation/how_a_label_is_decided.md``.
    """
    name = words(choice.name)
    if not choice.description:
        return ((name, f"This is about {name}."),)
    parts = [part for part in _SENTENCE_END.split(choice.description) if part.strip()]
    return (tuple(dict.fromkeys((_whole(choice), name, *parts))),)


_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|\n+")


def _whole(choice: Choice) -> str:
    name = words(choice.name)
    return f"{name}. {choice.description}" if choice.description else name


def texts_of(choices: Sequence[Choice], views: Callable[[Choice], Views]) -> tuple[str, ...]:
    """Every text that ``Prototypes.of`` embeds in a space with these views, each once."""
    shown = (text for choice in choices for text in (*choice.examples, *choice.counterexamples))
    seen = (text for choice in choices for group in views(choice) for text in group)
    return tuple(dict.fromkeys((*seen, *shown)))


def means_none(choice: Choice) -> bool:
    """Whether the choice means that no other one fits."""
    if choice.description:
        return bool(_NONE_MEANS.search(choice.description))
    return words(choice.name).lower() in _NONE_NAMES


def hint(response_format: OneOf) -> str:
    """What would improve the labels where only bare names were given; empty otherwise."""
    if any(choice.description or choice.examples for choice in response_format.choices):
        return ""
    return (
        "Only label names were given. A description after each (`name: what it means, typical words`) "
        "is worth about +.15 accuracy here."
    )


@dataclass(frozen=True)
class Prototypes:
    """A linear model over unit vectors: ``slopes`` (d, k) and ``levels`` (k,) give a logit a choice."""

    names: tuple[str, ...]
    slopes: Vectors
    levels: Vectors
    none_level: float

    @classmethod
    def of(cls, choices: Sequence[Choice], space: Space) -> Prototypes:
        """The model for these choices; it does not depend on the texts."""
        import numpy as np

        none = np.array([means_none(choice) for choice in choices])
        own = np.where(none[:, None], 0, points(choices, space)) / space.temperature
        none_level = _greatest_by_chance(len(choices), space) / space.temperature
        levels = np.where(none, none_level, 0).astype(np.float32)
        learnt = _learn(own.astype(np.float32), levels, _lessons(choices, space))
        return cls(tuple(choice.name for choice in choices), learnt.T.copy(), levels, none_level)

    def logits(self, vectors: Vectors) -> Vectors:
        """Shape (n, k); their softmax are probabilities."""
        logits: Vectors = _product(vectors, self.slopes) + self.levels
        return logits

    def probabilities(self, vectors: Vectors) -> Vectors:
        """Shape (n, k), each row adding up to one."""
        return softmax(self.logits(vectors))

    def each(self, vectors: Vectors) -> Vectors:
        """Shape (n, k), the probability of each choice where several may hold, or none."""
        return each_alone(self.logits(vectors), self.none_level)


def each_alone(logits: Vectors, none_level: float) -> Vectors:
    """The probability of each choice where several may hold, or none; ``none_level`` is a logit too."""
    import numpy as np

    top = np.maximum(logits.max(axis=1, keepdims=True), none_level)
    weights = np.exp(logits - top)
    others = weights.sum(axis=1, keepdims=True) - weights
    chances: Vectors = weights / (weights + OTHERS * others + np.exp(none_level - top))
    return chances


def chosen(names: Sequence[str], chances: Sequence[float], most: int | None) -> list[str]:
    """The names of choices that are likely enough where several may hold, likeliest first."""
    likely = sorted((-chance, place) for place, chance in enumerate(chances) if chance >= MANY_CUT)
    return [names[place] for _, place in likely[:most]]


def _greatest_by_chance(k: int, space: Space) -> float:
    """About how near a text is to the nearest of k unrelated choices (extremes of a Gaussian)."""
    return space.level + space.spread * math.sqrt(2 * math.log(max(2, k)))


def points(choices: Sequence[Choice], space: Space) -> Vectors:
    """Unit vectors of the choices' own words, shape (k, d)."""
    import numpy as np

    if space.views is not None:
        groups = [space.views(choice) for choice in choices]
        directions = _mean_directions(
            space.embed([t for views in groups for g in views for t in g]),
            [len(g) for views in groups for g in views],
        )
        return _mean_directions(directions, [len(views) for views in groups])
    bare = np.array([not choice.description for choice in choices])
    made = space.embed([_whole(choice) for choice in choices])
    if bare.any():
        made[bare] = unit(made[bare] + space.neighbours(made[bare], NEIGHBOURS))
    return made


def _mean_directions(vectors: Vectors, sizes: Sequence[int]) -> Vectors:
    """The unit vector of each group's sum; the groups follow each other and have these sizes."""
    import numpy as np

    return unit(np.add.reduceat(vectors, np.cumsum([0, *sizes])[:-1], axis=0))


@dataclass(frozen=True)
class _Lessons:
    """Example vectors (m, d), their choice (m,), and whether they are examples or counterexamples (m,)."""

    vectors: Vectors
    choices: NDArray[float32]
    positive: NDArray[float32]


def _lessons(choices: Sequence[Choice], space: Space) -> _Lessons | None:
    """All examples and counterexamples of all choices, or None."""
    import numpy as np

    told = [
        (text, place, positive)
        for place, choice in enumerate(choices)
        for positive, texts in ((True, choice.examples), (False, choice.counterexamples))
        for text in texts
    ]
    if not told:
        return None
    texts, places, signs = zip(*told, strict=True)
    return _Lessons(space.embed(texts), np.array(places), np.array(signs))


def _learn(prior: Vectors, levels: Vectors, lessons: _Lessons | None) -> Vectors:
    """The slopes (k, d) that best explain the examples while staying near ``prior``.

    Gradient descent on the negative log-likelihood plus ``PRIOR / 2`` times the squared distance from the
    prior, with the step that the curvature's bound allows. Deterministic.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    if lessons is None:
        return prior
    vectors = lessons.vectors
    target = np.eye(len(prior), dtype=np.float32)[lessons.choices]
    slopes = prior.copy()
    # Hundreds of thin products: threads would spend five times the work on waiting for each other.
    with threadpool_limits(limits=1):
        step = 1 / (float(np.linalg.eigvalsh(vectors.T @ vectors)[-1]) + PRIOR)
        for _ in range(_STEPS):
            chances = softmax(vectors @ slopes.T + levels)
            pull = np.where(lessons.positive[:, None], chances - target, _away(chances, target))
            slopes -= step * (pull.T @ vectors + PRIOR * (slopes - prior))
    return slopes


def _away(chances: Vectors, target: Vectors) -> Vectors:
    """The gradient of ``-log(1 - p)`` for the choice of a counterexample."""
    import numpy as np

    own = (chances * target).sum(axis=1, keepdims=True)
    others = chances * (1 - target)
    left = np.maximum(others.sum(axis=1, keepdims=True), 1e-6)
    gradient: Vectors = own * (target - others / left)
    return gradient


def _product(vectors: Vectors, slopes: Vectors) -> Vectors:
    """``vectors @ slopes``, a few rows at a time.

    OpenBLAS starts its threads for products of more than 2^18 multiplications; for products as small as
    these that takes two to three times the processor time, above all on a busy machine.
    """
    import numpy as np

    rows = max(1, _ONE_THREAD // max(1, slopes.size))
    parts = [vectors[start : start + rows] @ slopes for start in range(0, len(vectors), rows)]
    return np.concatenate(parts) if parts else vectors @ slopes


def softmax(logits: Vectors) -> Vectors:
    """Each row's probabilities, shape (n, k)."""
    import numpy as np

    logits = logits - logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits
