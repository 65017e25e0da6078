"""Bias removal: a model's preference for some labels, whatever the text, taken off its label scores.

The bias of a label is estimated from two things: how likely the model finds it when the text is the name
of *another* label, and its log-scores over a few of the run's rows. The mean over the rows is batch
calibration (Zhou et al. 2023, arXiv 2309.17249), which takes the labels' true frequencies for bias. Here the
rows are a mixture instead: each has one unknown label, which lifts that label's score, and the labels'
frequencies are estimated with the bias (expectation maximisation; Dempster, Laird and Rubin 1977).
docs/benchmarks/quality.md has the measurements.

``Bias.removed`` gives the debiased log-scores of one row over all labels, ``Bias.decide`` the probabilities
that its label is decided on. ``BiasRemoval`` (removal.py) asks what a bias is estimated from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRIOR_ROWS = 16
"""The weight of the label names in rows: with so many rows both count equally."""
PRIOR_COUNT = 0.5
"""Rows added to each label's estimated number: Jeffreys' prior of a multinomial distribution."""
SENTENCES, SENTENCES_COUNT = 8, 2.0
"""The sentences weigh as much as 8 label names; with sentences, 2 takes the place of ``PRIOR_COUNT``."""
Named: TypeAlias = Mapping[str, Mapping[str, float]]
"""Label probabilities by the label name that was the text."""
ITERATIONS = 50
LEAST_NOISE = 0.25
"""The least noise of a label's score, in units of the lift of a row's own label."""
FLOOR = 1e-6
"""The probability that stands for zero."""
USUAL_LABELS, LABELS_POWER = 8, 0.1
"""The scale of a model that labels alone is multiplied by (its number of labels / 8) to the power of 0.1.

A lead over the next label is smaller the more labels there are; with two it is always twice the spread.
Larger powers helped label names alone and harmed labels with one sentence (docs/benchmarks/quality.md).
"""


@dataclass(frozen=True)
class Bias:
    """What is subtracted from each label's log-score, and what the difference is multiplied by.

    ``rows`` is the number of rows it was estimated from, ``named`` that of label names, ``sentences`` that
    of everyday sentences.
    """

    offsets: Mapping[str, float]
    scale: float = 1.0
    rows: int = 0
    named: int = 0
    sentences: int = 0

    def removed(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The debiased log-scores of one row from its probabilities; not normalised."""
        return {name: _log(scores[name]) - offset for name, offset in self.offsets.items()}

    def decide(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The debiased probabilities of one row."""
        return probabilities(self.removed(scores), self.scale)

    def covers(self, scores: Mapping[str, float] | None) -> bool:
        """Whether these are scores of all labels."""
        return scores is not None and scores.keys() == self.offsets.keys()

    def manifest(self) -> dict[str, Any]:
        """The record for the run's manifest."""
        made = {
            "offsets": {name: round(offset, 6) for name, offset in self.offsets.items()},
            "scale": round(self.scale, 6),
            "rows": self.rows,
            "label_names": self.named,
        }
        return made | ({"sentences": self.sentences} if self.sentences else {})


def probabilities(log_scores: Mapping[str, float], scale: float = 1.0) -> dict[str, float]:
    """The softmax of ``scale`` times the log-scores."""
    top = max(log_scores.values())
    weights = {name: math.exp(scale * (score - top)) for name, score in log_scores.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def estimate(
    names: Sequence[str],
    rows: Sequence[Mapping[str, float]],
    named: Named,
    sentences: Sequence[Mapping[str, float]] = (),
    *,
    calibrated: bool = True,
    together: bool = False,
) -> Bias:
    """The bias from the label probabilities of some rows and of texts that are label names.

    ``named`` has the probabilities by the label that the text names, ``sentences`` those of texts that no
    label is about: a chat model repeats a name that is its text, so that names alone say little about its
    bias. Without ``calibrated`` the debiased scores keep their scale, as for hosts whose probabilities are
    rounded. Scores that are added ``together`` with other labellers' have the scale that the labellers'
    weights were fitted with.
    """
    given = _log_scores(names, rows)
    prior, count = _by_names(names, named), PRIOR_COUNT
    if sentences:
        unnamed, share = _log_scores(names, sentences).mean(axis=0), len(named) / (len(named) + SENTENCES)
        prior, count = share * prior + (1 - share) * (unnamed - unnamed.mean()), SENTENCES_COUNT
    offsets = _by_rows(given, prior, count)
    scale = _scale(given - offsets) if calibrated else 1.0
    if calibrated and not together:
        scale *= (len(names) / USUAL_LABELS) ** LABELS_POWER
    pairs = zip(names, offsets.tolist(), strict=True)
    return Bias(dict(pairs), scale, len(rows), len(named), len(sentences))


def _log_scores(names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> NDArray[Any]:
    """The logarithms of the probabilities, one row a text, in the labels' order."""
    import numpy as np

    return np.array([[_log(scores[name]) for name in names] for scores in rows])


def _scale(debiased: NDArray[Any]) -> float:
    """What debiased log-scores are multiplied by, so that their softmax is calibrated; 1 for one label.

    A row's mean lead over the square of its mean spread. The lead is how far the likeliest label is above
    the next, the spread the standard deviation over the labels: where the likeliest label stands out little,
    less of the spread is meant. A constant factor before it, fitted by likelihood on labelled sets, was
    between 0.9 and 1.1, so there is none (docs/benchmarks/quality.md).
    """
    import numpy as np

    if debiased.shape[1] < 2:
        return 1.0
    spread = float(debiased.std(axis=1).mean())
    first, second = np.sort(debiased, axis=1)[:, -2:].mean(axis=0)[::-1]
    lead = float(first - second)
    return lead / spread**2 if lead > 0 and spread > 0 else 1.0


def _by_names(names: Sequence[str], named: Named) -> NDArray[Any]:
    """The labels' log-scores over the texts that are label names, centred; zeros without such texts.

    A text favours the label that it names, some labels far more than others, so that cell is left out:
    the rest is fitted as the sum of a text's and a label's part (least squares, by alternating means).
    With two labels nothing would be left, so there every cell counts.
    """
    import numpy as np

    if len(named) < 2:
        return np.zeros(len(names))
    table = _log_scores(names, list(named.values()))
    counts = np.array([[float(text != name or len(names) < 3) for name in names] for text in named])
    labels = np.zeros(len(names))
    for _ in range(ITERATIONS):
        texts = (counts * (table - labels)).sum(axis=1) / counts.sum(axis=1)
        labels = (counts * (table - texts[:, None])).sum(axis=0) / counts.sum(axis=0)
        labels -= labels.mean()
    return labels


def recognised(names: Sequence[str], named: Named) -> float:
    """How well the model recognises the label names as texts; ``named`` as in ``estimate``.

    The mean log-probability of the label that each text names, after the bias of the names is removed.
    """
    offsets = dict(zip(names, _by_names(names, named).tolist(), strict=True))
    chances = [Bias(offsets).decide(scores)[name] for name, scores in named.items()]
    return sum(map(_log, chances)) / len(chances)


def _by_rows(given: NDArray[Any], prior: NDArray[Any], count: float) -> NDArray[Any]:
    """The labels' bias, centred, from the rows' log-scores; ``prior`` counts as much as PRIOR_ROWS rows.

    ``count`` rows are added to each label's estimated number, which draws the frequencies together.
    A centred row is the bias, plus ``lift`` on its own label, plus normal noise. Which label that is, how
    frequent each label is, the lift, the noise and the bias are estimated in turn.
    """
    import numpy as np

    rows, labels = given.shape
    if labels < 2:
        return prior
    given = given - given.mean(axis=1, keepdims=True)
    own = np.eye(labels) - 1 / labels
    bias, shares = prior, np.full(labels, 1 / labels)
    lift = max(FLOOR, float((given - bias).max(axis=1).mean()) * labels / (labels - 1))
    noise = lift / 2
    for _ in range(ITERATIONS):
        rest = given - bias
        fit = rest @ own
        chances = _softmax(fit * lift / noise**2 + np.log(shares))
        shares = (chances.sum(axis=0) + count) / (rows + count * labels)
        lift = max(FLOOR, float((chances * fit).sum()) / rows * labels / (labels - 1))
        left = float((rest**2).sum() - 2 * lift * (chances * fit).sum()) + lift**2 * rows * (1 - 1 / labels)
        noise = max(LEAST_NOISE * lift, math.sqrt(max(left, 0.0) / (rows * (labels - 1))))
        found = (given - lift * chances @ own).mean(axis=0)
        bias = prior + rows / (rows + PRIOR_ROWS) * (found - prior)
    return bias


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """The softmax of each row."""
    import numpy as np

    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[Any] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _log(probability: float) -> float:
    return math.log(max(probability, FLOOR))
