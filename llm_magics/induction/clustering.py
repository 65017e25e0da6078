"""Texts in groups: a neighbour graph's spectral map, read by density or cut into a given number.

The graph and its Laplacian eigenvectors are what UMAP starts from, and scikit-learn has them, so no
heavier package is needed; the figures are in docs/explanation/clustering.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

    Vectors = NDArray[float32]
    Labels = NDArray[int64]

NOISE = -1
NEIGHBOURS = 15
COMPONENTS = 48
EIGENVECTORS = 20
FEW = 24
SAMPLE = 3000
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


def cluster(
    vectors: Vectors, k: int | None = None, *, seed: int = 0, smallest: int | None = None
) -> Clustering:
    """Group vectors of shape (n, d).

    Without ``k``, HDBSCAN (Campello et al. 2013) on the spectral map finds how many groups there are,
    none smaller than ``smallest`` (default: 1 % of the rows, at least 5), and leaves noise as noise.
    With ``k``, normalised cuts (cluster QR, Damle et al. 2019) put every row in one of k groups.
    The same vectors and seed give the same groups. Zero vectors (texts without words) are noise.
    Over 3,000 rows a seeded sample is grouped and the rest follows its nearest neighbours.
    """
    import numpy as np

    known = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)
    labels = np.full(len(vectors), NOISE, dtype=np.int64)
    if len(known):
        points = reduced(vectors[known], seed)
        labels[known] = _sampled(points, lambda part: _group(part, k, seed, smallest), seed)
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


def _group(points: Vectors, k: int | None, seed: int, smallest: int | None) -> Labels:
    if len(points) <= FEW:
        return _few(points, k)
    return _cut(points, k, seed) if k else _dense(points, seed, smallest)


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
    method = SpectralClustering(
        k,
        affinity="nearest_neighbors",
        n_neighbors=min(NEIGHBOURS, len(points) - 1),
        assign_labels="cluster_qr",
        random_state=seed,
    )
    with _quiet():
        return np.asarray(method.fit_predict(points), dtype=np.int64)


def _dense(points: Vectors, seed: int, smallest: int | None) -> Labels:
    import numpy as np
    from sklearn.cluster import HDBSCAN

    size = smallest or max(5, len(points) // 100)
    method = HDBSCAN(min_cluster_size=min(size, len(points) // 2), min_samples=5, copy=True)
    with _quiet():
        return np.asarray(method.fit_predict(spectral(points, seed)), dtype=np.int64)


def spectral(points: Vectors, seed: int = 0) -> Vectors:
    """The first eigenvectors of the neighbour graph, rows of unit length: shape (n, up to 20)."""
    import numpy as np
    from sklearn.manifold import SpectralEmbedding

    method = SpectralEmbedding(
        min(EIGENVECTORS, len(points) // 3),
        affinity="nearest_neighbors",
        n_neighbors=min(NEIGHBOURS, len(points) - 1),
        random_state=seed,
    )
    with _quiet():
        found = method.fit_transform(points)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    unit: Vectors = found / np.where(norms > 0, norms, 1)
    return unit


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


def layout(vectors: Vectors, *, seed: int = 0) -> Vectors:
    """A place on a map for each row, shape (n, 2): t-SNE (van der Maaten 2008) of up to 1,500 rows.

    Further rows stand beside their nearest neighbours in that sample. Seeded.
    """
    import numpy as np

    points = reduced(vectors, seed)
    most = 1500
    chosen = np.sort(np.random.default_rng(seed).permutation(len(points))[:most])
    places = np.zeros((len(points), 2), dtype=np.float32)
    places[chosen] = _map(points[chosen], seed)
    rest = np.setdiff1d(np.arange(len(points)), chosen)
    if len(rest):
        places[rest] = _beside(points[rest], points[chosen], places[chosen], seed)
    return places


def _map(points: Vectors, seed: int) -> Any:
    import numpy as np
    from sklearn.manifold import TSNE

    if len(points) < 8:
        angles = np.linspace(0, 2 * np.pi, len(points), endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    crowd = min(30.0, (len(points) - 1) / 3)
    method = TSNE(perplexity=crowd, init="pca", max_iter=300, angle=0.7, random_state=seed, n_jobs=2)
    return method.fit_transform(points)


def _beside(points: Vectors, known: Vectors, places: Vectors, seed: int) -> Any:
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    _, near = NearestNeighbors(n_neighbors=3).fit(known).kneighbors(points)
    spread = places.std() * 0.02
    return places[near].mean(axis=1) + np.random.default_rng(seed).normal(0, spread, (len(points), 2))
