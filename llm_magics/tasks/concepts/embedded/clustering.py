"""Clustering of texts by graph communities, and their layout on a map.

The number of groups is found, or given; texts that belong to none are noise. Figures of this and of other
methods are in docs/explanation/clustering.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray

    Vectors = NDArray[float32]
    Labels = NDArray[int64]


NOISE = -1
NEIGHBOURS = 4, 15
"""Fewest and most that a row is tied to; between them a twentieth of the rows."""
RESOLUTIONS = (0.5, 1.0, 2.0)
"""Modularity's own resolution, one with fewer groups, one with more."""
HALVES = 8
ENOUGH = 200
"""Rows from which halves tell anything."""
TRIES = 3
FEWEST = 3


def communities(points: Vectors, seed: int) -> Labels:
    """Group rows of unit length. A row most of whose neighbours are in other groups is noise.

    Louvain's method (Blondel et al. 2008) on the graph of nearest neighbours. The resolution is the one
    whose groups come out most alike in random halves of the rows (Lange et al. 2004).
    """
    import networkx as nx
    import numpy as np

    graph = neighbour_graph(points)
    network = nx.from_scipy_sparse_array(graph)
    resolution = settled(graph, seed)
    labels = max(
        (louvain(network, resolution, seed + attempt) for attempt in range(TRIES)),
        key=lambda found: modularity(graph, found, resolution),
    )
    labels[shares(graph, labels) < 0.5] = NOISE
    labels[np.bincount(labels + 1)[labels + 1] < FEWEST] = NOISE
    return labels


def neighbour_graph(points: Vectors) -> Any:
    """Rows tied to their nearest, and to those that have them among theirs: sparse, shape (n, n)."""
    from sklearn.neighbors import kneighbors_graph

    fewest, most = NEIGHBOURS
    near = kneighbors_graph(points, min(max(fewest, len(points) // 20), most, len(points) - 1))
    return ((near + near.T) / 2).tocsr()


def louvain(network: Any, resolution: float, seed: int) -> Labels:
    """Communities of high modularity, a number a node."""
    import networkx as nx
    import numpy as np

    labels = np.zeros(len(network), dtype=np.int64)
    found = nx.community.louvain_communities(network, resolution=resolution, seed=seed)
    for number, members in enumerate(found):
        labels[list(members)] = number
    return labels


def modularity(graph: Any, labels: Labels, resolution: float) -> float:
    """How much more of the graph lies inside the groups than chance would put there."""
    import numpy as np

    degrees = np.asarray(graph.sum(axis=1)).ravel()
    inside = (shares(graph, labels) * degrees).sum() / degrees.sum()
    weights = np.bincount(labels, weights=degrees) / degrees.sum()
    return float(inside - resolution * (weights**2).sum())


def shares(graph: Any, labels: Labels) -> Any:
    """The share of each row's neighbours that is in the row's own group, shape (n,)."""
    import numpy as np

    ties = graph.tocoo()
    same = labels[ties.row] == labels[ties.col]
    own = np.bincount(ties.row, weights=ties.data * same, minlength=graph.shape[0])
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    return own / np.maximum(degrees, 1)


def settled(graph: Any, seed: int) -> float:
    """The resolution whose groups agree best between random halves of the rows."""
    import networkx as nx
    import numpy as np

    n = graph.shape[0]
    if n < ENOUGH:
        return 1.0
    draw = np.random.default_rng(seed)
    rows = [np.sort(draw.permutation(n)[: n // 2]) for _ in range(HALVES)]
    halves = [(half, nx.from_scipy_sparse_array(graph[half][:, half])) for half in rows]
    return max(RESOLUTIONS, key=lambda resolution: agreement(halves, resolution, n))


def agreement(halves: Sequence[tuple[Any, Any]], resolution: float, n: int) -> float:
    """Mean adjusted Rand index of the groups of every two halves, over the rows that both have."""
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    grouped = np.full((len(halves), n), NOISE)
    for number, (rows, network) in enumerate(halves):
        grouped[number, rows] = louvain(network, resolution, number)
    pairs = [(one, other, (one >= 0) & (other >= 0)) for one, other in combinations(grouped, 2)]
    return float(np.mean([adjusted_rand_score(one[both], other[both]) for one, other, both in pairs]))


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


MOST = 1500
"""Rows that are laid out; further ones stand beside their neighbours."""


def layout(vectors: Vectors, *, seed: int = 0) -> Vectors:
    """A place on a map for each row, shape (n, 2): t-SNE (van der Maaten 2008) of up to 1,500 rows.

    Further rows stand beside their nearest neighbours in that sample. Seeded.
    """
    import numpy as np

    points = reduced(vectors, seed)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(points))[:MOST])
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
