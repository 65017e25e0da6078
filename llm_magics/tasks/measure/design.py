"""The design of a gold sample: which gold rows were drawn, each with which chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.tasks.measure.estimators import Array

SUFFIX = "_design"
"""What follows the label column's name in the name of its design column."""

UNLIKELY = 1e-4
"""Gold rows as different from the others as one random sample in ten thousand were not drawn at random."""

_HOW = "Draw them: %llm sample {name}.{column} -N 200. If you did draw them at random, add --random."
_FEW = 5
_COMPARED = 20_000


@dataclass(frozen=True)
class GoldSample:
    """The gold rows that count: a mask over the frame's rows, a weight each, and what is said of them."""

    rows: Array
    weights: Array
    design: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What the gold rows are compared with: the model's label as a number, its confidence, names."""

    labels: Array
    confidence: Array | None
    name: str
    column: str


def drawn_by(chances: Array, gold: Array, around: Surroundings, *, random: bool) -> GoldSample:
    """The sample that a design column describes.

    ``chances`` has for each row that was drawn its probability (at most 1), or its design weight (at least
    1); nan for the others, or what they would have had. Gold rows that were not drawn are left out. Raises
    UsageError where there is none that was drawn, where drawn rows have no gold label yet, or where the
    column holds neither.
    """
    import numpy as np

    drawn = ~np.isnan(chances)
    if drawn.all() and not (chances == 1).all():
        drawn = gold  # the chances of all rows are known, and the drawn ones are those with a gold label
    rows = gold & drawn
    if not drawn.any():
        raise UsageError(
            f"no gold row of {around.name} was drawn by its design column.",
            hint=_HOW.format(name=around.name, column=around.column),
        )
    weights = _weights(chances[drawn])
    left, missing = int((gold & ~drawn).sum()), int((drawn & ~gold).sum())
    if missing and not (random and rows.any()):
        raise UsageError(
            f"{missing:,} of {int(drawn.sum()):,} drawn rows have no gold label yet; those that have one are "
            "no random sample, because a review shows the least certain first.",
            hint="Finish the review, or add --random where those without are missing by chance.",
        )
    notes = []
    if left:
        notes.append(f"{left:,} gold rows that were not drawn at random are left out")
    if missing:
        notes.append(f"{missing:,} drawn rows without a gold label are taken as missing by chance")
    kept = weights[rows[drawn]]
    even = bool(np.ptp(kept) <= 1e-9 * kept.max())
    return GoldSample(rows, kept, "equal chances" if even else "unequal chances", tuple(notes))


def _weights(values: Array) -> Array:
    """Design weights, from probabilities or weights."""
    if (values > 0).all() and (values <= 1).all():
        return 1 / values
    if (values >= 1).all():
        return values
    raise UsageError(
        "the design column holds neither probabilities (above 0, at most 1) nor their inverses (1 or more).",
        hint="A gold row's number is its chance of being drawn, or 1 divided by that.",
    )


def taken_as_random(gold: Array, around: Surroundings, *, random: bool) -> GoldSample:
    """Gold rows without a design column, as a sample with equal chances.

    Raises UsageError where there is no gold row, or the gold rows differ from the others in confidence or in
    the model's labels by more than chance explains.
    """
    import numpy as np

    if not gold.any():
        raise UsageError(
            f"no row of {around.name} has a gold label.",
            hint=_HOW.format(name=around.name, column=around.column),
        )
    count = int(gold.sum())
    weights = np.full(count, len(gold) / count)
    if count == len(gold):
        return GoldSample(gold, weights, "every row")
    reason = None if random else _difference(gold, around)
    if reason is not None:
        raise UsageError(
            f"the gold rows were not drawn at random: {reason}.",
            hint=_HOW.format(name=around.name, column=around.column),
        )
    note = "no design column: the gold rows are taken as drawn at random"
    return GoldSample(gold, weights, "taken as random", (note,))


def _difference(gold: Array, around: Surroundings) -> str | None:
    """How the gold rows differ from the others, where chance doesn't explain it."""
    return _of_confidence(gold, around.confidence) or _of_labels(gold, around.labels)


def _of_confidence(gold: Array, confidence: Array | None) -> str | None:
    import numpy as np
    from scipy.stats import mannwhitneyu

    if confidence is None:
        return None
    known = ~np.isnan(confidence)
    ours, others = confidence[gold & known], confidence[~gold & known]
    if len(ours) < _FEW or len(others) < _FEW:
        return None
    some = others[:: max(1, len(others) // _COMPARED)]
    if mannwhitneyu(ours, some, method="asymptotic").pvalue >= UNLIKELY:
        return None
    return (
        f"the model's mean confidence is {ours.mean():.2f} on them and {others.mean():.2f} on the other rows"
    )


def _of_labels(gold: Array, labels: Array) -> str | None:
    import numpy as np
    from scipy.stats import chi2_contingency

    many = int(labels.max(initial=-1)) + 2
    table = np.stack([np.bincount(labels[rows] + 1, minlength=many) for rows in (gold, ~gold)])
    expected = table.sum(axis=0) * gold.sum() / len(gold)
    often = expected >= _FEW
    kept = np.column_stack([table[:, often], table[:, ~often].sum(axis=1)])
    kept = kept[:, kept.sum(axis=0) > 0]
    if kept.shape[1] < 2 or chi2_contingency(kept).pvalue >= UNLIKELY:
        return None
    return "the model's labels are spread otherwise over them than over the other rows"


def column_of(columns: Any, label: str, asked: str | None) -> str | None:
    """The name of the design column: the one asked for, else ``{label}_design`` where there is one."""
    if asked is not None:
        return asked
    return label + SUFFIX if label + SUFFIX in columns else None
