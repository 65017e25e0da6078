"""Confidence that means something: bias taken off, temperature fitted, reliability shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

CONTENT_FREE = ("N/A", "[text]", "...")
"""Texts that say nothing: what a model answers to them is its bias (Zhao et al. 2021, arXiv 2102.09690)."""
_FLOOR = 1e-6


def prior(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """The mean chance of each label over content-free texts."""
    return {name: sum(s.get(name, 0.0) for s in scores) / len(scores) for name in names}


def without_bias(scores: Mapping[str, float], bias: Mapping[str, float]) -> dict[str, float]:
    """Chances divided by the model's bias and made to sum to one (contextual calibration)."""
    weights = {name: chance / max(bias.get(name, 0.0), _FLOOR) for name, chance in scores.items()}
    return _normal(weights)


def tempered(scores: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Chances as a softmax at ``temperature`` gives them: above 1 flatter, below 1 sharper."""
    top = max(scores.values(), default=1.0)
    flat = {name: (max(chance, 1e-12) / top) ** (1 / temperature) for name, chance in scores.items()}
    return _normal(flat)


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()} if whole > 0 else dict(weights)


def fit_temperature(scores: Sequence[Mapping[str, float]], truth: Sequence[str]) -> float:
    """The temperature under which the true labels are likeliest (Guo et al. 2017, arXiv 1706.04599).

    Searched between 0.05 and 20; 1.0 where no row has scores and a true label among them.
    """
    rows = [(dict(s), t) for s, t in zip(scores, truth, strict=True) if s and t in s]
    if not rows:
        return 1.0
    low, high = math.log(0.05), math.log(20.0)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(rows, math.exp(a)) < _loss(rows, math.exp(b)):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


def _loss(rows: Sequence[tuple[dict[str, float], str]], temperature: float) -> float:
    return -sum(math.log(max(tempered(scores, temperature)[label], 1e-12)) for scores, label in rows)


def reliability(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> Any:
    """A frame of equally wide bins of confidence: rows, mean confidence, share right; no empty bins."""
    import pandas as pd

    table = pd.DataFrame({"confidence": confidence, "right": right}, dtype=float)
    table["bin"] = (table["confidence"] * bins).clip(upper=bins - 1e-9).astype(int)
    grouped = table.groupby("bin")
    return pd.DataFrame(
        {
            "rows": grouped.size(),
            "confidence": grouped["confidence"].mean(),
            "accuracy": grouped["right"].mean(),
        }
    )


def calibration_error(table: Any) -> float:
    """Expected calibration error of a reliability table: the mean gap, weighted by rows."""
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["rows"]
    return float(gaps.sum() / table["rows"].sum())
