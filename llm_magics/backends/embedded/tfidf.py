"""TF-IDF vectors by scikit-learn: what stands in where no wheel with word vectors exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llm_magics.backends.unit_vectors import unit

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

DIMENSIONS = 1024
SPREAD = 0.54
"""Softmax of the cosines over ``SPREAD / sqrt(words of the labels)`` is calibrated.

Cosines of unrelated texts spread as one over the root of the number of terms, so that few words tell
less than many. The factor is what each three of the four sets in ``tests/benchmarks/embedded.py`` choose
for the fourth, whose calibration error is then 0.07 at most, names alone or described.
"""

_NEVER_EMPTY = "label"  # scikit-learn refuses a vocabulary of nothing, as labels of emoji would give


class HashedVectors:
    """Words counted in 1,024 hashed places: no vocabulary, so every text has the same vector always."""

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=DIMENSIONS, stop_words="english")

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """Unit vectors, float32 of shape (n, 1024); zeros where a text has no words."""
        import numpy as np

        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        return np.asarray(self._vectorizer.transform(texts).toarray(), np.float32)


class LabelTerms:
    """TF-IDF over the words and the 3- to 5-character pieces that the labels' own texts use.

    Fitted on the labels alone, never on rows, so a row's label depends on no other row.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._parts = [
            TfidfVectorizer(sublinear_tf=True),
            TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5)),
        ]
        for part in self._parts:
            part.fit([*texts, _NEVER_EMPTY])
        self.temperature = SPREAD / math.sqrt(len(self._parts[0].vocabulary_))

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """Unit vectors, float32 of shape (n, terms); zeros where nothing is shared with a label."""
        import numpy as np

        vectors = np.hstack([part.transform(texts).toarray() for part in self._parts]).astype(np.float32)
        return unit(vectors)

    def evidence(self, texts: Sequence[str]) -> NDArray[float32]:
        """The same vectors, as long as the fourth root of the share of each text's terms that labels use.

        So a product with a label is the geometric mean of two cosines: among the terms that labels use,
        and among all terms. A text has as many words as it has, and about three pieces a letter.
        """
        import numpy as np

        vectors = self.embed(texts)
        terms = np.array([len(text.split()) + 3 * len(text) for text in texts], np.float32)
        share = np.minimum(1, np.count_nonzero(vectors, axis=1) / np.maximum(1, terms))
        known: NDArray[float32] = vectors * np.sqrt(np.sqrt(share))[:, None]
        return known

    def neighbours(self, points: NDArray[float32], n: int) -> NDArray[float32]:
        """Nothing: these terms have no neighbours of like meaning."""
        import numpy as np

        del n
        return np.zeros_like(points)
