"""Which documents the map draws, and to which concept each of them belongs."""

from __future__ import annotations

from typing import Any

from llm_magics.tasks.concepts.model.concept_model import ConceptModel

MAX_POINTS = 20_000
FLOOR = 50
"""Documents that every concept keeps on a map that can't show all."""


def best(concepts: ConceptModel) -> Any:
    """The number of each document's best matching ticked concept, -1 where none matches: shape (n,)."""
    import numpy as np

    if not concepts.selected or not len(concepts.documents):
        return np.full(len(concepts.documents), -1, dtype=np.int16)
    scores = np.array([concepts.column(c.id).array for c in concepts.selected], dtype=np.float32)
    scores = np.where(np.isnan(scores) | (scores <= concepts.threshold), -1, scores)
    return np.where(scores.max(axis=0) < 0, -1, scores.argmax(axis=0)).astype(np.int16)


def sampled(owners: Any, most: int, seed: int = 0) -> Any:
    """At most ``most`` rows, in order, drawn by group: every concept keeps at least 50 where it has them."""
    import numpy as np

    if len(owners) <= most:
        return np.arange(len(owners))
    draw = np.random.default_rng(seed)
    groups = [np.flatnonzero(owners == value) for value in np.unique(owners)]
    share = most / len(owners)
    wanted = [min(len(group), max(FLOOR, int(len(group) * share))) for group in groups]
    # What the floors take, and what rounding leaves, is the largest group's.
    largest = int(np.argmax([len(group) for group in groups]))
    wanted[largest] = min(len(groups[largest]), wanted[largest] + most - sum(wanted))
    kept = [draw.choice(group, max(0, n), replace=False) for group, n in zip(groups, wanted, strict=True)]
    return np.sort(np.concatenate(kept))
