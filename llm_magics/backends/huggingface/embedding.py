"""Embeddings by sentence-transformers; long texts are embedded in windows, never truncated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.backends.huggingface.loading import Embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPECIAL = 2
"""Tokens of a window that the tokenizer adds around the text."""


def embed(embedder: Embedder, texts: Sequence[str], batch: int) -> tuple[NDArray[Any], int, bool]:
    """``(unit vectors, tokens, whether any text needed windows)``, float32 of shape (n, d).

    A text longer than the model's context is embedded in windows; its vector is their mean by length.
    """
    import numpy as np

    whole = [text.encode("utf-8", "replace").decode() for text in texts]  # no half of a surrogate pair
    pieces = [windows(embedder.model, text) for text in whole]
    flat = [text for several in pieces for text, _ in several]
    made = embedder.model.encode(flat, batch_size=batch, show_progress_bar=False, convert_to_numpy=True)
    found = iter(np.asarray(made, np.float32))
    vectors = [
        np.average([next(found) for _ in several], axis=0, weights=[max(size, 1) for _, size in several])
        for several in pieces
    ]
    tokens = sum(size for several in pieces for _, size in several)
    return unit(np.asarray(vectors, np.float32)), tokens, any(len(several) > 1 for several in pieces)


def windows(model: Any, text: str) -> list[tuple[str, int]]:
    """The text in parts that fit the model, each with its number of tokens."""
    room = (model.max_seq_length or 512) - SPECIAL
    read = {
        "add_special_tokens": False,
        "return_offsets_mapping": True,
        "truncation": False,
        "verbose": False,
    }
    spans = model.tokenizer(text, **read)["offset_mapping"]
    if len(spans) <= room:
        return [(text, len(spans))]
    cuts = [spans[at : at + room] for at in range(0, len(spans), room)]
    return [(text[part[0][0] : part[-1][1]], len(part)) for part in cuts]


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Rows of length one; zeros stay."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    made: NDArray[Any] = vectors / np.where(norms > 0, norms, 1)
    return made
