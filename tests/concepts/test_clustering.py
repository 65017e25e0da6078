"""Groups of texts: seeded, from two rows up, noise kept as noise, as good as the figures say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llm_magics.tasks.concepts.embedded.clustering import NOISE, cluster, layout
from llm_magics.tasks.concepts.embedded.keywords import keyword_criterion, keywords
from llm_magics.tasks.concepts.embedded.sentences import sentences


def blobs(sizes: list[int], d: int = 30) -> np.ndarray:
    """Unit vectors around orthogonal directions."""
    draw = np.random.default_rng(1)
    parts = [np.eye(d)[k] + draw.normal(0, 0.06, (n, d)) for k, n in enumerate(sizes)]
    points = np.vstack(parts).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.checklist("N3")
def test_groups_are_pure_seeded_and_numbered_by_size() -> None:
    """No group mixes two directions; the same seed gives the same; what is in no group is noise."""
    sizes = [90, 60, 40, 30]
    truth = np.repeat(np.arange(4), sizes)
    found = cluster(blobs(sizes), seed=3)
    assert all(len(set(truth[group])) == 1 for group in found.groups)
    assert [len(group) for group in found.groups[:3]] == [90, 60, 40]
    assert sorted([*found.noise, *(row for group in found.groups for row in group)]) == list(range(220))
    assert (found.labels == cluster(blobs(sizes), seed=3).labels).all()


@pytest.mark.checklist("N3")
@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 24, 25, 26, 40])
def test_small_sets_work(n: int) -> None:
    """From one row up, with and without a number of groups; the map too."""
    points = blobs([n - n // 2, n // 2] if n > 1 else [1])
    assert len(cluster(points).labels) == n
    assert cluster(points, 2).count == min(2, n)
    assert layout(points).shape == (n, 2) and np.isfinite(layout(points)).all()


def test_two_equal_texts_are_a_group_and_blank_ones_are_noise() -> None:
    """Zero vectors (no words) belong to nothing."""
    points = np.vstack([blobs([2, 2]), np.zeros((3, 30))]).astype(np.float32)
    assert cluster(points).labels.tolist()[4:] == [NOISE] * 3


def test_over_the_sample_the_rest_follows() -> None:
    """4,000 rows: grouped by 3,000 of them, each of the others as its neighbours."""
    points = blobs([2000, 1200, 800])
    found = cluster(points, seed=0)
    assert found.count == 3 and [len(group) for group in found.groups] == [2000, 1200, 800]


@pytest.mark.checklist("N3", "X1")
@pytest.mark.parametrize(
    ("name", "least"), [("banking_intents", 0.89), ("bill_summaries", 0.47), ("news_topics", 0.49)]
)
@pytest.mark.parametrize("given", [True, False], ids=["number given", "number found"])
def test_groups_agree_with_people(shared_data: Path, name: str, least: float, given: bool) -> None:
    """NMI against the true classes, embedded default: at or above KMeans' figures for the true number.

    Noise counts as one class more.
    """
    from sklearn.metrics import normalized_mutual_info_score

    from llm_magics.backends.embedded.word_vectors import StaticVectors

    data = pd.read_csv(shared_data / f"{name}.csv")
    vectors = StaticVectors.load().embed(data.text.tolist())
    found = cluster(vectors, data.label.nunique() if given else None)
    assert normalized_mutual_info_score(data.label, found.labels) >= least
    assert len(found.noise) <= 0.2 * len(data)


def test_keywords_are_what_sets_a_group_apart() -> None:
    """Words of all groups are none's; a long document doesn't outvote short ones; inflections count once."""
    texts = (
        ["the parcel came late, parcels come late here"] * 5
        + ["the price is high here"] * 5
        + ["here " * 500]
    )
    found = keywords(texts, [range(5), range(5, 10)])
    assert "parcel" in found[0][0] and "price" in found[1][0]
    assert not any(
        "parcels" in word and "parcel" in other for word in found[0] for other in found[0] if word != other
    )
    assert keyword_criterion(()).endswith("?") and keywords(["the of"], [[0]]) == [()]


def test_sentences_are_verbatim() -> None:
    """Joined by their white space they are the text."""
    text = 'He said "no." Then he left. Version 2.5 came out!\nNew line\n寿司が好き。本当です。'
    found = sentences(text)
    assert found[-2:] == ["寿司が好き。", "本当です。"] and "Version 2.5 came out!" in found
    assert all(part in text for part in found)
    assert all(len(part) <= 400 for part in sentences("word " * 500))
