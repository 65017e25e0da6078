"""Concept scores without a language model: similarity to a criterion as a calibrated probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.backends.similarity.calibration import UNRELATED_TEXTS
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.embedded.sentences import Embed, sentences
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.edits import alternatives
from llm_magics.tasks.concepts.model.scores import Score
from llm_magics.text.cleaning import clean

FEW = 50
"""With fewer documents than this no mixture can be fitted; a fixed curve is used."""

NEAR = 0.16
STEEP = 20.0
FIXED = (9.9, -1.9)
"""Slope and offset of the fixed curve: logistic regression on the labelled sets of the benchmark."""

SPREAD = 0.095
"""The standard deviation of cosines with texts about something else for which the curves were made.

Embedding models differ in it: word vectors have 0.08, all-MiniLM-L6-v2 and the universal sentence encoder
0.07 to 0.1, others far less. What a cosine means is measured on the model itself, as for labels.
"""
STRETCH = 2.0
"""The most that cosines are stretched: of vectors of shared words nearly all cosines are zero."""

MARKED = 30
"""Best matches of a concept that get a highlight."""


def similarity_scores(
    documents: Documents, concepts: Sequence[Concept], embed: Embed, vectors: Any
) -> list[dict[int, Score]]:
    """A score for each document with text, by concept, and the nearest sentence of the best matches.

    A concept's vector is its criterion's, moved half-way to its examples. Cosines are of vectors less the
    documents' mean, less those with texts about something else. No score depends on the other concepts.
    """
    import numpy as np

    rows = [row for row in range(len(documents)) if row not in documents.blank]
    if not rows:
        return [{} for _ in concepts]
    own = np.asarray(vectors)[rows]
    mean = own.mean(axis=0) if len(rows) >= 10 else np.zeros(own.shape[1], dtype=own.dtype)
    centred = _unit(own - mean)
    level, stretch = _measured(centred @ _unit(np.asarray(embed(UNRELATED_TEXTS)) - mean).T)
    found = []
    for concept in concepts:
        points = _points(concept, documents, embed, vectors, mean)
        cosines = stretch * ((centred @ points.T).max(axis=1) - level)
        chances = probabilities(cosines)
        scores = {row: Score(round(float(p), 4)) for row, p in zip(rows, chances, strict=True)}
        _mark(scores, documents, points, mean, embed)
        found.append(scores)
    return found


def _measured(cosines: Any) -> tuple[float, float]:
    """The mean of cosines with unrelated texts, and what brings their spread to that of the curves."""
    spread = max(float(cosines.std()), SPREAD / STRETCH)
    return float(cosines.mean()), SPREAD / spread


def _unit(vectors: Any) -> Any:
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _points(concept: Concept, documents: Documents, embed: Embed, vectors: Any, mean: Any) -> Any:
    """The concept's vectors, one for each alternative of its criterion: shape (a, d)."""
    import numpy as np

    points = _unit(np.asarray(embed([content(part) for part in alternatives(concept.criterion)])) - mean)
    examples = [row for row in concept.examples if row < len(documents)]
    if examples and len(points) == 1:
        shown = _unit(np.asarray(vectors)[examples] - mean).mean(axis=0)
        points = _unit(points + shown)
    return points


_FRAME = frozenset(
    "is are does do did the a an text document author writer about mention mentions discuss discusses "  # noqa: SIM905 - a list of words reads as one
    "talk talks say says describe describes of to this that it whether any or and".split()
)


def content(criterion: str) -> str:
    """A criterion without the words that make it a question, which say nothing about the topic."""
    words = [word for word in criterion.rstrip("?").split() if word.casefold().strip(",.:;") not in _FRAME]
    return " ".join(words) or criterion


def probabilities(cosines: Any) -> Any:
    """Probabilities that a document matches, from the cosines of all documents to one concept.

    The upper part of a mixture of two normal distributions, capped by a logistic curve around a cosine of
    0.16, so that a concept which no document shows matches nothing. Figures in
    docs/explanation/clustering.md.
    """
    import numpy as np

    if len(cosines) < FEW:
        return _logistic(FIXED[0] * cosines + FIXED[1])
    capped = np.minimum(_upper(cosines), _logistic(STEEP * (cosines - NEAR)))
    return np.nan_to_num(capped)


def _logistic(value: Any) -> Any:
    import numpy as np

    return 1 / (1 + np.exp(-value))


def _upper(cosines: Any) -> Any:
    """The probability of the upper of two normal components; rising with the cosine."""
    import numpy as np
    from sklearn.mixture import GaussianMixture

    start = [[float(cosines.mean())], [float(np.quantile(cosines, 0.97))]]
    if start[1][0] - start[0][0] < 1e-6:
        return np.zeros_like(cosines)
    mixture = GaussianMixture(2, random_state=0, means_init=start).fit(cosines[:, None])
    upper = int(mixture.means_.ravel().argmax())
    chances = mixture.predict_proba(cosines[:, None])[:, upper]
    order = cosines.argsort()
    rising = chances.copy()
    # A wide upper component has a second, lower tail; a chance never falls as the cosine rises.
    low, high = sorted(mixture.means_.ravel())
    rising[cosines < low] = 0.0
    rising[order] = np.maximum.accumulate(rising[order])
    rising[cosines > high] = np.maximum(rising[cosines > high], 0.5)
    return rising


def _mark(scores: dict[int, Score], documents: Documents, points: Any, mean: Any, embed: Embed) -> None:
    """Add the nearest sentence to the best matches."""
    import numpy as np

    best = sorted((row for row, s in scores.items() if s.value > 0.5), key=lambda r: (-scores[r].value, r))
    cut = [(row, sentence) for row in best[:MARKED] for sentence in sentences(documents.texts[row])]
    # A highlight is verbatim, so that it is found in the text; what it says is judged without markup.
    parts = [(row, sentence, clean(sentence)) for row, sentence in cut]
    parts = [part for part in parts if part[2]]
    if not parts:
        return
    nearness = (_unit(np.asarray(embed([said for _, _, said in parts])) - mean) @ points.T).max(axis=1)
    nearest: dict[int, tuple[float, str]] = {}
    for (row, sentence, _), near in zip(parts, nearness.tolist(), strict=True):
        nearest[row] = max(nearest.get(row, (-2.0, "")), (near, sentence))
    for row, (_, sentence) in nearest.items():
        scores[row] = Score(scores[row].value, highlight=sentence)
