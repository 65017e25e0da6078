"""Vectors of texts: all windows of all texts into the queue at once, the means of long ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.work_items import Embedding
from llm_magics.backends.gguf.loaded_model import LocalModel

if TYPE_CHECKING:
    from numpy.typing import NDArray


async def embed(model: LocalModel, texts: Sequence[str]) -> tuple[NDArray[Any], int]:
    """Unit vectors of the texts, float32 of shape (n, d), and the tokens read.

    A text longer than the model reads is embedded in windows; its vector is their mean by length.
    """
    import numpy as np

    longest = model.scheduler.longest_text
    tokens = [model.model.document(text) for text in texts]
    windows = [
        [whole[start : start + longest] for start in range(0, max(len(whole), 1), longest)]
        for whole in tokens
    ]
    works = [[Embedding("embed", window) for window in several] for several in windows]
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
