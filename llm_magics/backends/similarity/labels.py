"""Labels from any backend that embeds: the nearest choice, with calibrated probabilities."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from llm_magics.backends.pricing import split_usage, total_usage
from llm_magics.backends.similarity.calibration import calibrated, needed
from llm_magics.backends.similarity.prototypes import Prototypes, chosen, hint, unit
from llm_magics.core.errors import LLMError, Unsupported
from llm_magics.core.types import NO_USAGE, Embedding, OneOf, Request, Response, Usage

Embed = Callable[[Sequence[str]], Awaitable[Embedding]]

_REMEMBERED = 8


class SimilarityLabels:
    """Labels rows by the vectors of a backend.

    ``embed`` is the backend's own; ``name`` is how the user calls it. The labels' own texts are embedded
    once for each set of labels, and their usage counts for the row that came first.
    """

    def __init__(self, name: str, embed: Embed) -> None:
        self._name = name
        self._embed = embed
        self._ready: dict[str, Prototypes] = {}
        self._making: dict[str, asyncio.Task[tuple[Prototypes, Usage]]] = {}

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """A label (labels, with ``many``) for each request, in order; an error where text is asked for."""
        answers: list[Response | LLMError] = [self._refusal()] * len(requests)
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            if isinstance(request.response_format, OneOf):
                groups.setdefault(request.response_format.canonical, []).append(place)
        for places in groups.values():
            labelled = await self._labelled([requests[place] for place in places])
            for place, answer in zip(places, labelled, strict=True):
                answers[place] = answer
        return answers

    async def complete(self, request: Request) -> Response:
        """The label of one request. Raises Unsupported where text is asked for."""
        (answer,) = await self.complete_many([request])
        if isinstance(answer, LLMError):
            raise answer
        return answer

    async def _labelled(self, requests: Sequence[Request]) -> list[Response]:
        """The responses to requests of one format."""
        import numpy as np

        form = requests[0].response_format
        assert isinstance(form, OneOf)
        prototypes, spent = await self._prototypes(form)
        made = await self._embed([request.subject for request in requests])
        vectors = unit(np.asarray(made.vectors, np.float32))
        chances = (prototypes.each if form.many else prototypes.probabilities)(vectors)
        usages = split_usage(made.usage, [len(request.subject) for request in requests])
        usages[0] = total_usage((spent, usages[0])) if spent is not NO_USAGE else usages[0]
        notes = (
            f"{self._name} only embeds: its labels are those of nearest meaning.",
            hint(form),
            *made.notes,
        )
        like = Response(method="similarity", model=made.model, notes=tuple(filter(None, notes)))
        return [
            replace(_label(like, form, row), usage=usage)
            for row, usage in zip(chances.tolist(), usages, strict=True)
        ]

    async def _prototypes(self, form: OneOf) -> tuple[Prototypes, Usage]:
        """The model of these choices, made once, and what making it cost whoever asked first."""
        key = form.canonical
        if key in self._ready:
            return self._ready[key], NO_USAGE
        making = self._making.get(key)
        here = asyncio.get_running_loop()
        if making is not None and not making.done() and making.get_loop() is here:
            return (await asyncio.shield(making))[0], NO_USAGE
        self._making[key] = making = asyncio.create_task(self._made(form))
        try:
            # Shielded: other rows wait for it too, and one that is cancelled must not take it from them.
            return await asyncio.shield(making)
        finally:
            if making.done():
                self._making.pop(key, None)

    async def _made(self, form: OneOf) -> tuple[Prototypes, Usage]:
        made = await self._embed(needed(form.choices))
        prototypes = await asyncio.to_thread(calibrated, form.choices, made.vectors)
        while len(self._ready) >= _REMEMBERED:
            self._ready.pop(next(iter(self._ready)))
        self._ready[form.canonical] = prototypes
        return prototypes, made.usage

    def _refusal(self) -> Unsupported:
        return Unsupported(
            f"{self._name} only embeds.", hint="It can embed, label and find concepts; name a text model."
        )


def _label(like: Response, form: OneOf, chances: Sequence[float]) -> Response:
    """``like`` with the label (labels, with ``many``) that these probabilities choose."""
    scores = dict(zip(form.names, chances, strict=True))
    parsed = (
        chosen(form.names, chances, form.max_choices) if form.many else max(scores, key=scores.__getitem__)
    )
    text = parsed if isinstance(parsed, str) else json.dumps(parsed, ensure_ascii=False)
    return replace(like, text=text, parsed=parsed, scores=scores)
