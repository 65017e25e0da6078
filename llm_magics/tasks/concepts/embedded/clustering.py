"""Texts in groups: how many there are is found, or given; what belongs to none is noise.

Figures of this and of other ways are in docs/explanation/clustering.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_magics.tasks.concepts.embedded.communities import NOISE, communities, neighbour_graph

if TYPE_CHECKING:
    from llm_magics.tasks.concepts.embedded.communities import Labels, Vectors

COMPONENTS = 48
FEW = 24
SAMPLE = 1500
SAME = 0.35
"""Cosine distance (of centred vectors) up to which a handful of texts count as one group."""


@dataclass(frozen=True)
class Clustering:
    """``labels`` number the groups from 0 by size, largest first; ``NOISE`` belongs to none."""

    labels: Labels

    @property
    def groups(self) -> list[list[int]]:
        """The members of each group, in row order."""
        return [[int(i) for i in (self.labels == k).nonzero()[0]] for k in range(self.count)]

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.labels.max(initial=NOISE)) + 1

    @property
    def noise(self) -> list[int]:
        """The rows that belong to no group."""
        return [int(i) for i in (self.labels == NOISE).nonzero()[0]]


def cluster(vectors: Vectors, k: int | None = None, *, seed: int = 0) -> Clustering:
    """Group vectors of shape (n, d).

    Without ``k`` the number of groups is found (see ``communities``), and noise stays noise. With ``k``,
    normalised cuts (cluster QR, Damle et al. 2019) put every row in one of k groups. The same vectors
    and seed give the same groups. Zero vectors (texts without words) are noise. Over 1,500 rows a seeded
    sample is grouped and the rest follows its nearest neighbours.
    """
    import numpy as np

    known = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)
    labels = np.full(len(vectors), NOISE, dtype=np.int64)
    if len(known):
        points = reduced(vectors[known], seed)
        labels[known] = _sampled(points, lambda part: _group(part, k, seed), seed)
    return Clustering(_by_size(labels))


def reduced(vectors: Vectors, seed: int = 0) -> Vectors:
    """Centred, projected on the first principal components, of unit length: shape (n, up to 48)."""
    import numpy as np
    from sklearn.decomposition import PCA

    centred = vectors - vectors.mean(axis=0)
    kept = min(COMPONENTS, *vectors.shape)
    if kept > 2 and len(vectors) > FEW:
        centred = PCA(kept, random_state=seed).fit_transform(centred)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = centred / np.where(norms > 0, norms, 1)
    return unit


def _group(points: Vectors, k: int | None, seed: int) -> Labels:
    if len(points) <= FEW:
        return _few(points, k)
    return _cut(points, k, seed) if k else communities(points, seed)


def _few(points: Vectors, k: int | None) -> Labels:
    """A handful of texts: average linkage; alone means noise, unless a number of groups was asked for."""
    import numpy as np
    from sklearn.cluster import AgglomerativeClustering

    if len(points) == 1:
        return np.zeros(1, dtype=np.int64) if k else np.full(1, NOISE)
    distances = np.clip(1 - points @ points.T, 0, 2)
    rule: dict[str, Any] = (
        {"n_clusters": min(k, len(points))}
        if k
        else {
            "n_clusters": None,
            "distance_threshold": 2 * SAME,
        }
    )
    found = AgglomerativeClustering(metric="precomputed", linkage="average", **rule).fit_predict(distances)
    labels: Labels = np.asarray(found, dtype=np.int64)
    if k is None:
        labels[np.bincount(labels)[labels] < 2] = NOISE
    return labels


def _cut(points: Vectors, k: int, seed: int) -> Labels:
    """Exactly k groups, or as many as there are rows."""
    import numpy as np
    from sklearn.cluster import SpectralClustering

    if k >= len(points) or k == 1:
        return np.arange(len(points)) % k
    method = SpectralClustering(k, affinity="precomputed", assign_labels="cluster_qr", random_state=seed)
    with _quiet():
        return np.asarray(method.fit_predict(neighbour_graph(points)), dtype=np.int64)


def _quiet() -> warnings.catch_warnings[None]:
    """Without the warning that the graph is in pieces: pieces are groups."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _sampled(points: Vectors, group: Callable[[Vectors], Labels], seed: int) -> Labels:
    """Groups of a sample, and every other row by vote of its nearest five in it."""
    import numpy as np
    from sklearn.neighbors import KNeighborsClassifier

    if len(points) <= SAMPLE:
        return group(points)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(points))[:SAMPLE])
    labels = group(points[chosen])
    vote = KNeighborsClassifier(min(5, len(chosen))).fit(points[chosen], labels)
    found: Labels = np.asarray(vote.predict(points), dtype=np.int64)
    found[chosen] = labels
    return found


def _by_size(labels: Labels) -> Labels:
    """Numbered from the largest group down; ties by first member."""
    import numpy as np

    found, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = sorted(range(len(found)), key=lambda i: (-counts[i], first[i]))
    renumbered = {int(found[old]): new for new, old in enumerate(order)}
    return np.array([renumbered.get(int(label), NOISE) for label in labels], dtype=np.int64)
