"""Concept induction measured: groups against people's classes, scores against labels, time, the explorer.

Run by hand:  python tests/benchmarks/concepts.py [FOLDER of the labelled sets]
Each row of a table is measured in the same run on the same vectors.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SETS = ("banking_intents", "bill_summaries", "news_topics")
HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared" / "data"


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def groupings(vectors: Any, k: int) -> dict[str, Callable[[], Any]]:
    """Ways to group, ours last."""
    from sklearn.cluster import HDBSCAN, KMeans
    from sklearn.decomposition import PCA

    from llm_magics.tasks.concepts.embedded.clustering import cluster

    points = PCA(32, random_state=0).fit_transform(vectors - vectors.mean(axis=0))
    smallest = max(3, len(points) // 100)
    ways = {
        "PCA + KMeans, k given": lambda: KMeans(k, n_init=10, random_state=0).fit_predict(points),
        "PCA + HDBSCAN": lambda: HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(points),
        "neighbour graph, cut, k given (ours)": lambda: cluster(vectors, k).labels,
        "neighbour graph, communities (ours, default)": lambda: cluster(vectors).labels,
    }
    try:
        import umap
    except ImportError:
        return ways

    def by_umap() -> Any:
        low = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=0)
        return HDBSCAN(min_cluster_size=smallest, copy=True).fit_predict(low.fit_transform(vectors))

    return {**ways, "UMAP-5 + HDBSCAN": by_umap}


def groups(folder: Path) -> None:
    """NMI against the true classes, over all rows (noise as one class more) and over the grouped ones."""
    from sklearn.metrics import normalized_mutual_info_score as nmi

    from llm_magics.backends.embedded.word_vectors import StaticVectors

    embedder = StaticVectors.load()
    print(
        "| set | method | groups | noise | NMI, all rows | NMI, grouped rows | seconds |\n|---|---|---|---|---|---|---|"
    )
    for name in SETS:
        data = pd.read_csv(folder / f"{name}.csv")
        vectors = embedder.embed(data["text"].tolist())
        for method, work in groupings(vectors, data["label"].nunique()).items():
            labels, seconds = timed(work)
            kept = labels >= 0
            print(
                f"| {name} | {method} | {labels.max() + 1} | {np.mean(~kept):.0%} | {nmi(data['label'], labels):.3f} "
                f"| {nmi(data['label'][kept], labels[kept]):.3f} | {seconds:.2f} |"
            )


def scores(folder: Path) -> None:
    """Scores without a model: criteria from the labels' descriptions, matches against the true classes."""
    from sklearn.metrics import f1_score, roc_auc_score

    from llm_magics.tasks.concepts.pipeline import concepts

    described = json.loads((folder / "labels.json").read_text())
    print("\n| set | AUC | F1 of score > 0.5 | matches a document |\n|---|---|---|---|")
    for name in SETS:
        data = pd.read_csv(folder / f"{name}.csv")
        criteria = {
            label: f"{said['description']} {' '.join(said['keywords'])}"
            for label, said in described[name].items()
            if label in set(data["label"])
        }
        made = concepts(data, on="text", concepts=criteria, progress=False)
        truth = np.array([data["label"] == label for label in criteria]).T
        given = made.scores.to_numpy()
        print(
            f"| {name} | {roc_auc_score(truth.ravel(), given.ravel()):.3f} "
            f"| {f1_score(truth.ravel(), given.ravel() > 0.5):.2f} | {np.mean((given > 0.5).sum(axis=1)):.2f} |"
        )


def pipeline(folder: Path) -> None:
    """2,000 texts of 1,000 characters from text to explorer, embedded default."""
    from llm_magics.tasks.concepts.pipeline import concepts

    texts = pd.read_csv(folder / "bill_summaries.csv")["text"].tolist()
    long = [(texts[i % len(texts)] + " " + texts[(i * 7 + 1) % len(texts)])[:1000] for i in range(2000)]

    def work() -> Any:
        explorer = concepts(long, progress=False).explore()
        return explorer.widget

    print(f"\n2,000 texts of 1,000 characters, text to explorer: {timed(work)[1]:.1f} s")


def explorer() -> None:
    """A scored set of 5,000 documents x 20 concepts x 5 slices: time to build, bytes, click to detail."""
    sys.path.insert(0, str(HERE.parents[2]))
    from tests.widgets.test_explorer import payload, press, ready, scored

    scored(50, 2).explore().widget  # noqa: B018 - imports out of the way
    themes = scored(5000, 20, 5, "a document of some length, " * 20)
    made, build = timed(lambda: themes.explore(slice="slice0"))
    _, drawn = timed(lambda: ready(made))
    size = payload(made)
    _, click = timed(lambda: press(made, "look", row=17))
    _, pick = timed(lambda: press(made, "choose", keys=[themes.concepts[3].id]))
    _, matrix = timed(lambda: press(made, "show", view="Matrix"))
    page, html = timed(made.to_html)
    print(f"\nexplorer of 5,000 x 20 x 5: built in {build + drawn:.2f} s, {size / 1e6:.2f} MB with Plotly")
    print(
        f"click to detail {click * 1000:.0f} ms, concept {pick * 1000:.0f} ms, matrix {matrix * 1000:.0f} ms"
    )
    print(f"to_html {html:.2f} s, {len(page) / 1e6:.2f} MB")


def main() -> None:
    """All of it."""
    import os

    warnings.filterwarnings("ignore")
    os.environ["LLM_MAGICS_HOME"] = tempfile.mkdtemp()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    groups(folder)
    scores(folder)
    pipeline(folder)
    explorer()


if __name__ == "__main__":
    main()
