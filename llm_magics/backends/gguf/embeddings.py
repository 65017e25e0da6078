"""Embeddings of a GGUF model, and labels by similarity from a model that only embeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.queue import EmbeddingItem
from llm_magics.backends.gguf.loaded_model import LocalModel
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.core.types import Embedding, Request, Response, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray


async def embed(model: LocalModel, texts: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Unit vectors of the texts, float32 of shape (n, d), and the number of tokens.

    A text longer than the model's context is embedded in windows; its vector is their mean by length.
    """
    import numpy as np

    longest = model.scheduler.longest_text
    tokens = [model.model.document(text) for text in texts]
    windows = [
        [whole[start : start + longest] for start in range(0, max(len(whole), 1), longest)]
        for whole in tokens
    ]
    works = [[EmbeddingItem("embed", window) for window in several] for several in windows]
    flat = [work for several in works for work in several]
    for work in flat:
        model.scheduler.submit(work)
    try:
        found = iter(await asyncio.gather(*(asyncio.wrap_future(work.future) for work in flat)))
    except BaseException:
        for work in flat:
            work.future.cancel()
        raise
    vectors = [
        np.average([next(found) for _ in several], axis=0, weights=[len(window) for window in several])
        for several in windows
    ]
    return unit(np.asarray(vectors, np.float32)), sum(map(len, tokens))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """The vectors at length one; zeros stay zeros."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[Any] = vectors / np.where(norms > 0, norms, 1)
    return unit


async def label(model: LocalModel, request: Request) -> Response:
    """The nearest choice (with ``many``, all near enough), with probabilities by similarity."""
    if _LABELS not in model.tries:

        async def vectors(texts: Sequence[str]) -> Embedding:
            made, tokens = await embed(model, texts)
            return Embedding(made, Usage(tokens, cost=0.0), model.path.name)

        model.tries[_LABELS] = SimilarityLabels(model.path.name, vectors)
    labels: SimilarityLabels = model.tries[_LABELS]
    return await labels.complete(request)


_LABELS = "labels by similarity"
