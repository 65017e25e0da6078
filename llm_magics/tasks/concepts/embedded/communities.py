"""Groups as communities in a graph of nearest neighbours, as coarse or fine as half the rows agree on."""

from __future__ import annotations

from collections.abc import Sequence
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
