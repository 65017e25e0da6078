"""Texts on a map: a place for each, near to those that are like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.tasks.concepts.embedded.clustering import reduced

if TYPE_CHECKING:
    from llm_magics.tasks.concepts.embedded.communities import Vectors

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
