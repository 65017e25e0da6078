"""Embeddings of a GGUF model, and labels by similarity from a model that only embeds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from llm_magics.backends.gguf.llama.queue import EmbeddingItem
from llm_magics.backends.gguf.loaded_model import LocalModel
from llm_magics.backends.similarity.prototypes import MANY_CUT, Prototypes
from llm_magics.core.types import OneOf, Request, Response, Usage

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray
from typing import TYPE_CHECKING, Any

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


TEMPERATURE = 0.05
"""The usual scale of cosines in contrastively trained embedding models (SimCSE, E5, BGE)."""


class ModelSpace:
    """A model's embeddings as the space of the choices; its calls block, so not for the loop thread."""

    temperature, level, spread, several_views = TEMPERATURE, 0.0, 0.05, True

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    def embed(self, texts: Sequence[str]) -> NDArray[float32]:
        """Unit vectors of shape (n, d)."""
        import numpy as np

        longest = self._model.scheduler.longest_text
        works = [EmbeddingItem("embed", self._model.model.document(text)[:longest]) for text in texts]
        for work in works:
            self._model.scheduler.submit(work)
        return unit(np.asarray([work.future.result() for work in works], np.float32))

    def evidence(self, texts: Sequence[str]) -> NDArray[float32]:
        """The same vectors: a language model knows every word."""
        return self.embed(texts)

    def neighbours(self, points: NDArray[float32], n: int) -> NDArray[float32]:
        """Zeros: there is no list of words to search."""
        import numpy as np

        return np.zeros_like(points)


async def label(model: LocalModel, request: Request, wanted: OneOf) -> Response:
    """The nearest choice (with ``many``, all near enough), with probabilities by similarity."""
    prototypes = await _prototypes(model, wanted)
    vectors, tokens = await embed(model, [request.subject])
    chances = (prototypes.each if wanted.many else prototypes.probabilities)(vectors)[0].tolist()
    scores = dict(zip(prototypes.names, chances, strict=True))
    best = sorted(scores, key=lambda name: -scores[name])
    near = [name for name in best if scores[name] >= MANY_CUT][: wanted.max_choices]
    parsed = [name for name in prototypes.names if name in near] if wanted.many else best[0]
    text = parsed if isinstance(parsed, str) else json.dumps(parsed, ensure_ascii=False)
    said = (f"{model.path.name} only embeds: its labels are those of nearest meaning.",)
    return Response(text, parsed, scores, "similarity", usage=Usage(tokens, cost=0.0), notes=said)


async def _prototypes(model: LocalModel, wanted: OneOf) -> Prototypes:
    """The model for these choices, made once; rows that arrive meanwhile wait for it."""
    key = ("nearness", wanted.canonical)
    if key not in model.tries:
        made: Future[Prototypes] = Future()
        model.tries[key] = made
        threading.Thread(target=_make, args=(model, wanted, key, made), daemon=True).start()
    found: Prototypes = await asyncio.shield(asyncio.wrap_future(model.tries[key]))
    return found


def _make(model: LocalModel, wanted: OneOf, key: object, made: Future[Prototypes]) -> None:
    try:
        made.set_result(Prototypes.of(wanted.choices, ModelSpace(model)))
    except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
        model.tries.pop(key, None)
        made.set_exception(error)
