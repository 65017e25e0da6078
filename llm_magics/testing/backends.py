"""Backends without a model: answers from a queue, or an echo."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from llm_magics.backends.base import Backend, Secrets
from llm_magics.core.errors import LLMError
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Embedding,
    Message,
    OneOf,
    Request,
    Response,
    Schema,
    Usage,
)
from llm_magics.testing import answers

Queued: TypeAlias = "str | Response | Exception | Callable[[Request], str | Response]"


class FakeBackend(Backend):
    """Gives the answers that were queued, in order, then ``default``; ``history`` has every request.

        backend = FakeBackend("yes", RateLimited("wait", retry_after=1), "no")

    An answer is a text, a whole Response, an exception to raise, or a function of the request.
    ``latency`` in seconds; ``peak`` is the most requests that were in flight at once. ``requests`` counts
    answers given per request key.
    """

    capabilities = Capabilities(embed=True)

    def __init__(
        self,
        *queued: Queued,
        default: Queued | None = None,
        latency: float = 0.0,
        spec: BackendSpec | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        super().__init__(spec or BackendSpec("fake", "fake-model"))
        self.queue: deque[Queued] = deque(queued)
        self.default = default
        self.latency = latency
        self.history: list[Request] = []
        self.in_flight = 0
        self.peak = 0
        self.closed = 0
        self.capabilities = capabilities or self.capabilities

    def enqueue(self, *queued: Queued) -> FakeBackend:
        """Add answers; returns the backend."""
        self.queue.extend(queued)
        return self

    async def complete(self, request: Request) -> Response:
        """The next answer. Raises a queued exception, or LLMError where the queue is empty."""
        self.history.append(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            return self._said(request, self._next())
        finally:
            self.in_flight -= 1

    def _next(self) -> Queued:
        if self.queue:
            return self.queue.popleft()
        if self.default is None:
            raise LLMError("the fake backend has no answer left.", hint="backend.enqueue(...)")
        return self.default

    def _said(self, request: Request, queued: Queued) -> Response:
        if isinstance(queued, Exception):
            raise queued
        said = queued(request) if callable(queued) else queued
        if isinstance(said, Response):
            return replace(said, model=said.model or self.model)
        length = sum(len(message.content) for message in request.messages)
        usage = Usage(max(1, length // 4), max(1, len(said) // 4), estimated=True)
        return Response(text=said, usage=usage, model=self.model)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors that depend on every character of each text."""
        import numpy as np

        return Embedding(
            np.asarray([answers.text_vector(text, 8) for text in texts], np.float32), model=self.model
        )

    async def close(self) -> None:
        """Counted in ``closed``."""
        self.closed += 1


class EchoBackend(Backend):
    """Answers with what it was asked, offline and free: ``echo::any``.

    A text is echoed; a label is the first choice whose name occurs in the row's text, else the first; a
    schema is filled with words of the text. For trying templates and for tests of one's own notebooks.
    """

    capabilities = Capabilities(one_of=True, schema=True, embed=True, stored=False)

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.price = spec.price or FREE

    @property
    def announcement(self) -> str:
        """A warning that the answers are echoes."""
        return "an echo: no model was asked"

    async def complete(self, request: Request) -> Response:
        """The echo, in the format asked for."""
        asked = request.subject or _last_user_message(request.messages)
        value = _echo_value(request, asked)
        text = asked if value is None else _as_text(value)
        usage = Usage(max(1, len(asked) // 4), max(1, len(text) // 4), cost=0.0, estimated=True)
        return Response(text=text, parsed=value, usage=usage, model=self.model)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors that depend on every character of each text."""
        import numpy as np

        return Embedding(
            np.asarray([answers.text_vector(text, 32) for text in texts], np.float32), model=self.model
        )


def _last_user_message(messages: Sequence[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _echo_value(request: Request, asked: str) -> Any:
    """The echo as a label, labels or a JSON value; None for plain text."""
    form = request.response_format
    if isinstance(form, Schema):
        return answers.schema_instance(form.schema, asked)
    if not isinstance(form, OneOf):
        return None
    enum: Mapping[str, Any] = {"type": "string", "enum": list(form.names)}
    if form.many:
        return answers.schema_instance({"type": "array", "items": enum, "maxItems": form.max_choices}, asked)
    return answers.schema_instance(enum, asked)


def _as_text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
