"""Splitting a concept: its matching documents are clustered, and each cluster becomes a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model.scored_concepts import ScoredConcepts

Part = tuple[str, str, tuple[int, ...]]


def split_matches(concepts: ScoredConcepts, concept: Concept, k: int) -> list[Part]:
    """Name, criterion and examples of ``k`` groups of the concept's matches, by keywords.

    Raises UsageError where fewer than ``k`` documents match.
    """
    from llm_magics.tasks.concepts.embedded.clustering import cluster
    from llm_magics.tasks.concepts.embedded.naming import described

    rows = concepts.rows(concept.id) or list(concept.examples)
    if len(rows) < max(2, k):
        raise UsageError(f"{concept.name!r} matches {len(rows)} documents, too few for {k} parts.")
    texts = [concepts.documents.texts[row] for row in rows]
    vectors = concepts.vectors[rows] if concepts.vectors is not None else word_vectors(texts)
    groups = cluster(vectors, k).groups
    taken = [c.name for c in concepts.concepts if c.id != concept.id]
    parts: list[Part] = []
    for found, group in zip(described(texts, groups, taken=taken), groups, strict=True):
        name = _free(found.name, [*taken, *(part[0] for part in parts)])
        parts.append((name, found.criterion, tuple(rows[i] for i in group[:3])))
    return parts


def _free(name: str, taken: Sequence[str]) -> str:
    n, free = 2, name
    while free in taken:
        n, free = n + 1, f"{name} ({n})"
    return free


def suggest_concept(texts: Sequence[str], rows: Sequence[int], taken: Sequence[str] = ()) -> tuple[str, str]:
    """Name and criterion of some documents, by the phrases that set them apart from the others.

    No word of the names that are ``taken`` stands in the new one.
    """
    from llm_magics.tasks.concepts.embedded.naming import described

    inside = set(rows)
    others = [row for row in range(len(texts)) if row not in inside]
    groups = [list(rows), others] if others else [list(rows)]
    found = described(texts, groups, taken=taken)[0]
    return found.name, found.criterion


def word_vectors(texts: Sequence[str], dimensions: int = 50) -> Any:
    """Latent semantic vectors (TF-IDF and truncated SVD) of unit length: shape (n, d). No model needed."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        weights = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no words at all
        return np.zeros((len(texts), 2), dtype=np.float32)
    kept = min(dimensions, *(size - 1 for size in weights.shape))
    if kept < 2:
        return weights.toarray().astype(np.float32)
    vectors = TruncatedSVD(kept, random_state=0).fit_transform(weights)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
