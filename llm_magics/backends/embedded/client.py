"""The backend that needs no key, no download and no network: approximate labels by similarity."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from llm_magics.backends.base import BatchBackend, Secrets
from llm_magics.backends.embedded.word_vectors import HashedVectors, LabelTerms, StaticVectors
from llm_magics.backends.similarity import MANY_CUT, Prototypes, Space, hint, words
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

MODELS = ("wordllama", "tfidf")
_BATCH = 1024
_KEPT_LABELLERS = 8


class EmbeddedBackend(BatchBackend):
    """Labels by similarity of vectors, and vectors; never text.

    ``wordllama``: word vectors from the wheel of that name; ``tfidf``: scikit-learn, where no such
    wheel exists. Loads on first use, works in a thread, row by row: no label depends on a
    neighbouring row. Raises NotFound for another model.
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
        self._hashed = HashedVectors()
        self._labellers: OrderedDict[str, _Labeller] = OrderedDict()

    @property
    def announcement(self) -> str:
        """That the result is approximate, and what it was made of."""
        means = "word vectors" if self.model == "wordllama" else "shared words (TF-IDF)"
        return f"embedded::{self.model}: approximate: {means}, no language model"

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
            self._vectors = None
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
        """Responses in order; raises for what needs a language model."""
        if isinstance(response_format, OneOf):
            return self._labels(self._labeller(response_format), subjects)
        if isinstance(response_format, Vector):
            return (Response(vector=vector, model=self.model) for vector in self._embed(subjects))
        return iter(())

    def _labels(self, labeller: _Labeller, subjects: list[str]) -> Iterator[Response]:
        names = labeller.prototypes.names
        for parsed, row in labeller.label(subjects):
            yield Response(
                text=parsed if isinstance(parsed, str) else json.dumps(parsed, ensure_ascii=False),
                parsed=parsed,
                scores=dict(zip(names, row, strict=True)),
                method="similarity",
                model=self.model,
                notes=labeller.notes,
            )

    def _labeller(self, response_format: OneOf) -> _Labeller:
        """The labeller for these choices, made once a run; the newest few are kept."""
        key = response_format.canonical
        with self._lock:
            labeller = self._labellers.pop(key, None)
        if labeller is None:
            space = self._loaded() if self.model == "wordllama" else LabelTerms(_said(response_format))
            labeller = _Labeller(response_format, space)
        with self._lock:
            self._labellers[key] = labeller
            while len(self._labellers) > _KEPT_LABELLERS:
                self._labellers.popitem(last=False)
        return labeller

    def _loaded(self) -> StaticVectors:
        with self._loading:
            if self._vectors is None:
                self._vectors = StaticVectors.load()
            return self._vectors

    def _embed(self, texts: Sequence[str]) -> Any:
        return (self._loaded() if self.model == "wordllama" else self._hashed).embed(texts)

    def _refusal(self) -> Unsupported:
        return Unsupported(
            f"{self.name} gives labels and vectors, no text: that needs a language model.",
            hint="An API key:           %llm_config key set openai   then   %llm_config use openai::MODEL\n"
            "A local GGUF file:    %llm_config add NAME --gguf PATH\n"
            "A server:             %llm_config add NAME --openai URL --id MODEL",
        )


class _Labeller:
    """Labels texts with one set of choices."""

    def __init__(self, response_format: OneOf, space: Space) -> None:
        self.format = response_format
        self.space = space
        self.prototypes = Prototypes.of(response_format.choices, space)
        self.notes = tuple(filter(None, [hint(response_format)]))

    def label(self, texts: Sequence[str]) -> Iterator[tuple[str | list[str], list[float]]]:
        """Each text's label (labels, with ``many``) and the probability of every choice."""
        vectors = self.space.evidence(texts)
        if self.format.many:
            chances = self.prototypes.each(vectors).tolist()
            return ((self._chosen(row), row) for row in chances)
        chances = self.prototypes.probabilities(vectors)
        best = [self.prototypes.names[place] for place in chances.argmax(axis=1).tolist()]
        return zip(best, chances.tolist(), strict=True)

    def _chosen(self, row: list[float]) -> list[str]:
        """The names over the threshold, likeliest first, no more than allowed."""
        likely = sorted((-chance, place) for place, chance in enumerate(row) if chance >= MANY_CUT)
        return [self.prototypes.names[place] for _, place in likely[: self.format.max_choices]]


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
