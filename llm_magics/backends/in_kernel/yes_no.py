"""Several labels as one yes/no question each, for models whose token probabilities are at hand."""

from __future__ import annotations

from collections.abc import Mapping

YES = ("yes", "Yes", "YES", " yes", " Yes")
NO = ("no", "No", "NO", " no", " No")
"""The ways a yes and a no begin."""


def question(name: str) -> str:
    """What is asked about one label, behind the row's own prompt."""
    return f'\n\nDoes the label "{name}" apply to the text? Answer yes or no, and nothing else.'


def over_half(scores: Mapping[str, float], most: int | None) -> list[str]:
    """The labels that rather apply than not, in their own order; the surest ones where there are too many."""
    sure = sorted((name for name, score in scores.items() if score >= 0.5), key=lambda name: -scores[name])
    return [name for name in scores if name in sure[:most]]
