"""The label scores of several labellers as one: weighted log-scores, added.

A product of experts (Hinton 2002): each member's log-probabilities, centred over the labels, are multiplied
by the member's weight and added; the softmax of the sum are the committee's probabilities. Members make some
of their errors together, so that the sum is flattened by how much weight was added (``OVERLAP``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

SURE = 0.8
"""The probability from which a row is decided without asking the next, slower member.

On four labelled sets the labels are then as good as with every member for every row (within 0.002), and the
second member sees about half of the rows; see ``docs/explanation/how_a_label_is_decided.md``.
"""

OVERLAP = 0.67
"""The power of the weights' sum that the added log-scores are divided by.

0 would be right for members whose errors have nothing in common, 1 for members that always agree. Fitted
with the weights (``weights.py``); leaving out one set at a time, 0.61 to 0.70.
"""

_FLOOR = 1e-6


def combined(members: Sequence[tuple[float, Mapping[str, float]]], names: Sequence[str]) -> dict[str, float]:
    """The committee's probability of each label, from (weight, probabilities) of each member.

    A member whose probabilities miss some labels counts those as less likely than any that it gave.
    """
    whole = sum(weight for weight, _ in members)
    flat = max(whole, 1e-9) ** OVERLAP if len(members) > 1 else whole or 1.0
    total = dict.fromkeys(names, 0.0)
    for weight, scores in members:
        for name, score in log_scores(scores, names).items():
            total[name] += weight * score / flat
    return softmax(total)


def log_scores(scores: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """The logarithms of probabilities, with a mean of zero over the labels."""
    given = [max(scores[name], _FLOOR) for name in names if name in scores]
    missing = len(names) - len(given)
    rest = max(_FLOOR, 1 - sum(given)) / max(1, missing)
    low = min([rest, *given]) if missing else _FLOOR
    logs = {name: math.log(max(scores.get(name, low), _FLOOR)) for name in names}
    mean = sum(logs.values()) / len(logs)
    return {name: value - mean for name, value in logs.items()}


def softmax(logits: Mapping[str, float]) -> dict[str, float]:
    """Probabilities that are proportional to the exponentials."""
    top = max(logits.values())
    weights = {name: math.exp(value - top) for name, value in logits.items()}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def best(probabilities: Mapping[str, float]) -> str:
    """The likeliest label; of equally likely ones the first."""
    return max(probabilities, key=probabilities.__getitem__)


def is_sure(probabilities: Mapping[str, float]) -> bool:
    """Whether no further member needs to be asked."""
    return max(probabilities.values()) >= SURE
