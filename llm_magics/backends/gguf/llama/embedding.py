"""Embeddings of many texts in one decode, with the model's own pooling."""

from __future__ import annotations

from collections.abc import Sequence

from llm_magics.backends.gguf.llama.context import Context
from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.native import library
from llm_magics.backends.gguf.llama.queue import EmbeddingItem
from llm_magics.backends.gguf.load_options import LoadOptions

LONGEST = 8192
"""The tokens of one text for a model that was made to embed."""
LONGEST_WITH_LOGITS = 512
"""The same for a model that was not: llama.cpp computes and keeps the logits of every token there."""


class Embedder:
    """A context for embeddings: generation and pooling can't share one."""

    def __init__(self, model: Model, options: LoadOptions) -> None:
        size = max(options.batch, longest_text(model))
        self._full = options.batch
        self.model = model
        self.evaluated = 0
        self.context = Context(
            model,
            cells=size,
            lanes=options.lanes,
            batch=size,
            threads=options.threads,
            kv_type=options.kv_type,
            flash=options.flash,
            pooling=pooling(model),
        )
        self.width = self.context.embedding_width

    def pack(self, waiting: Sequence[EmbeddingItem]) -> list[EmbeddingItem]:
        """The oldest item and others that fit beside it, longest first.

        One long text may fill a decode; short ones never make it larger than a decode of rows: all tokens
        of a decode attend to all others, and its buffers grow with them.
        """
        room = max(self._full, len(waiting[0].tokens))
        chosen: list[EmbeddingItem] = []
        for work in [waiting[0], *sorted(waiting[1:], key=lambda work: -len(work.tokens))]:
            if len(work.tokens) <= room and len(chosen) < self.context.lanes:
                chosen.append(work)
                room -= len(work.tokens)
        return chosen

    def run(self, works: Sequence[EmbeddingItem]) -> None:
        """Embed packed items and answer them."""
        self.context.clear()
        self.context.batch.clear()
        for lane, work in enumerate(works):
            self.context.batch.add(work.tokens, 0, lane, lane + 1, 1)
        self.context.decode()
        self.evaluated += self.context.batch.count
        for lane, work in enumerate(works):
            work.answer(self.context.embedding(lane, self.width))


def longest_text(model: Model) -> int:
    """The most tokens of one embedding: the trained context, within reason."""
    longest = LONGEST if model.pools or not model.writes else LONGEST_WITH_LOGITS
    return min(model.trained_context or longest, longest)


def pooling(model: Model) -> int:
    """The pooling that the file asks for; the mean for models that weren't made to embed."""
    llama = library()
    said = model.meta(f"{model.meta('general.architecture')}.pooling_type")
    known = {
        int(llama.LLAMA_POOLING_TYPE_MEAN),
        int(llama.LLAMA_POOLING_TYPE_CLS),
        int(llama.LLAMA_POOLING_TYPE_LAST),
    }
    return int(said) if said.isdigit() and int(said) in known else int(llama.LLAMA_POOLING_TYPE_MEAN)
