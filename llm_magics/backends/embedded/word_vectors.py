"""The vectors of the embedded default: word vectors of the wordllama wheel, else TF-IDF.

The wheel's files are read without importing its package.
"""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.backends.similarity.prototypes import unit
from llm_magics.core.errors import MissingPackage, ModelLoadError

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


DIMENSIONS = 1024
UNRELATED = 0.05
"""The standard deviation of cosines between a text and unrelated choices."""

SPREAD = 0.54
"""Softmax of the cosines over ``SPREAD / sqrt(words of the labels)`` is calibrated.

Cosines of unrelated texts spread as one over the root of the number of terms, so that few words tell
less than many. The factor is what each three of the four sets in ``tests/benchmarks/embedded.py`` choose
for the fourth, whose calibration error is then 0.07 at most, names alone or described.
"""

_NEVER_EMPTY = "label"  # scikit-learn refuses a vocabulary of nothing, as labels of emoji would give


class HashedVectors:
    """Words counted in 1,024 hashed dimensions, so that a text always has the same vector."""

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
    """TF-IDF over the words and the 3- to 5-character n-grams of the labels' own texts.

    Fitted on the labels only, never on rows, so that a row's label depends on no other row.
    """

    level, spread, views = 0.0, UNRELATED, None

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
        """Unit vectors, float32 of shape (n, terms); zeros where a text shares nothing with a label."""
        import numpy as np

        vectors = np.hstack([part.transform(texts).toarray() for part in self._parts]).astype(np.float32)
        return unit(vectors)

    def evidence(self, texts: Sequence[str]) -> NDArray[float32]:
        """The same vectors, as long as the fourth root of the share of each text's terms that labels use.

        So a product with a label is the geometric mean of two cosines: among the terms that labels use,
        and among all terms. A text has as many words as it has, and about three n-grams a letter.
        """
        import numpy as np

        vectors = self.embed(texts)
        terms = np.array([len(text.split()) + 3 * len(text) for text in texts], np.float32)
        share = np.minimum(1, np.count_nonzero(vectors, axis=1) / np.maximum(1, terms))
        known: NDArray[float32] = vectors * np.sqrt(np.sqrt(share))[:, None]
        return known

    def neighbours(self, points: NDArray[float32], n: int) -> NDArray[float32]:
        """Zeros: these terms have no neighbours of similar meaning."""
        import numpy as np

        del n
        return np.zeros_like(points)


WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
TEMPERATURE = 0.066
"""The temperature of the softmax of cosines, calibrated on the benchmark's sets
(``tests/benchmarks/embedded.py``).
"""
_KNOWN_WORDS = 100_000
_LONG_WORD = 64
_WORD_START = "▁"
_PAST_LATIN = "\u0250"
_ENOUGH_KNOWN = 0.5
_LEAST_KNOWN = 0.2
_ENGLISH = frozenset(
    "the and of to is are was were my i it you we they this that with for not have has had be been what how "  # noqa: SIM905
    "when where which who from by at an would can could will your our their its his her there".split()
)
_FOREIGN = frozenset(
    "der das und ist nicht ein eine einen dem den mit von zu auf für wir ich sie es im zum zur hat "  # noqa: SIM905
    "el los las que una por para con del al se su es más no lo como está fue "
    "le les des est et une dans pour pas sur avec du ce nous il elle au aux a été je ont sont "
    "il di che è non della del sono gli alla nel da um uma não com os na ao foi het een van niet".split()
) - {"no"}
"""Frequent words of English, and of German, Spanish, French, Italian, Portuguese and Dutch."""


def package_folder() -> Path | None:
    """The folder of wordllama's files, or None; none of its code is executed."""
    found = importlib.util.find_spec("wordllama")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / WEIGHTS).is_file() and (Path(folder) / TOKENIZER).is_file():
            return Path(folder)
    return None


class StaticVectors:
    """Texts to vectors: the mean of their tokens' vectors, whatever their length.

    The same vectors as wordllama's own pooling (mean over the token rows, no special tokens; its
    ``inference.py``), except for white space, which carries no meaning here. No token of this vocabulary
    crosses a word, so each word is tokenised once and cached, and nothing is padded. Safe to call from
    several threads.
    """

    temperature = TEMPERATURE
    level, spread, views = 0.0, UNRELATED, None

    def __init__(self, tokenizer: Any, weights: NDArray[float32]) -> None:
        self._tokenizer = tokenizer
        self._weights = weights
        self._known: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls) -> StaticVectors:
        """Load weights and tokeniser, 0.1 s. Raises MissingPackage, ModelLoadError."""
        folder = package_folder()
        if folder is None:
            raise MissingPackage(
                "embedded::wordllama needs the package 'wordllama' with its weights.",
                hint="%llm_config use embedded::use   or embedded::tfidf   works without it",
            )
        try:
            return cls(*_read(folder))
        except Exception as error:  # both readers raise bare Exception at a broken file
            raise ModelLoadError(
                f"the weights in {folder} can't be read: {error}",
                hint="%pip install --force-reinstall wordllama",
            ) from error

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._weights.shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """Unit vectors, float32 of shape (n, d); zeros where a text has no words."""
        return unit(self._counts([text.split() for text in texts]) @ self._weights)

    def evidence(self, texts: Sequence[str]) -> NDArray[float32]:
        """The same vectors, shorter where less than half of a text's words are in scripts known here.

        The weights were trained on English: a text in another script or language has a vector, but it means
        little.
        """
        import numpy as np

        rows = [text.split() for text in texts]
        counts = self._counts(rows)
        words = np.maximum(np.fromiter(map(len, rows), np.float32, len(rows)), 1)
        known = np.clip(counts @ self._openings / words / _ENOUGH_KNOWN, _LEAST_KNOWN, 1)
        known[[row for row, text in enumerate(rows) if _is_foreign(text)]] = _LEAST_KNOWN
        vectors: NDArray[float32] = unit(counts @ self._weights) * known[:, None]
        return vectors

    def neighbours(self, points: NDArray[float32], n: int) -> NDArray[float32]:
        """The mean direction of the n whole words nearest to each point, shape of ``points``."""
        import numpy as np

        norms = np.linalg.norm(self._weights, axis=1)
        cosines = (points @ self._weights.T) / norms
        cosines[:, self._openings == 0] = -2
        nearest = np.argpartition(-cosines, n, axis=1)[:, :n]
        means = np.stack([(self._weights[ids] / norms[ids, None]).sum(axis=0) for ids in nearest])
        means[~points.any(axis=1)] = 0
        return unit(means)

    @cached_property
    def _openings(self) -> NDArray[float32]:
        """1 for the tokens that begin a word in Latin script, else 0; shape (tokens,)."""
        import numpy as np

        opens = np.zeros(len(self._weights), np.float32)
        for token, place in self._tokenizer.get_vocab().items():
            opens[place] = token[0] == _WORD_START and token[1:].isalpha() and max(token[1:]) < _PAST_LATIN
        return opens

    def _tokens(self, rows: list[list[str]]) -> list[bytes]:
        """Each row's token ids, as the bytes of uint16 numbers: quick to join, small to cache."""
        with self._lock:
            fresh = set(chain.from_iterable(rows)).difference(self._known)
            if len(self._known) + len(fresh) > _KNOWN_WORDS:
                self._known.clear()
                fresh = set(chain.from_iterable(rows))
            self._known.update(zip(fresh, map(self._spell, fresh), strict=True))
            tokens = [b"".join(map(self._known.__getitem__, words)) for words in rows]
            for word in fresh:
                if len(word) > _LONG_WORD:
                    del self._known[word]
        return tokens

    def _spell(self, word: str) -> bytes:
        # One at a time: a batch starts the tokeniser's thread pool, which a later fork complains about.
        import numpy as np

        valid = word.encode("utf-8", "replace").decode()
        return np.asarray(self._tokenizer.encode(valid, add_special_tokens=False).ids, np.uint16).tobytes()

    def _counts(self, rows: list[list[str]]) -> Any:
        """How often each token occurs in each text: a sparse matrix of shape (n, tokens).

        Its product with the weights sums the token vectors ten times as fast as gathering them
        (``np.add.reduceat``), without their memory; the mean has the same direction.
        """
        import numpy as np
        from scipy.sparse import csr_array

        tokens = self._tokens(rows)
        ids = np.frombuffer(b"".join(tokens), np.uint16).astype(np.int64)
        ends = np.cumsum([0, *map(len, tokens)]) // 2
        ones = np.ones(len(ids), np.float32)
        return csr_array((ones, ids, ends), shape=(len(rows), len(self._weights)))


def _is_foreign(words: list[str]) -> bool:
    """Whether more of the words are frequent in other languages than in English, at least a tenth of all."""
    small = [word.strip(".,;:!?\"'()").lower() for word in words]
    foreign = sum(word in _FOREIGN for word in small)
    return 10 * foreign >= len(small) > 0 and foreign > 2 * sum(word in _ENGLISH for word in small)


def _read(folder: Path) -> tuple[Any, NDArray[float32]]:
    """The tokeniser and the weights, converted to float32 once."""
    import numpy as np
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    weights = next(iter(load_file(folder / WEIGHTS).values())).astype(np.float32)
    return tokenizer, weights
