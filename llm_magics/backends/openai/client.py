"""The backend for hosts that speak OpenAI's format: openai, azure, custom_url, vllm, ollama, hf_endpoint."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from llm_magics.backends import error_mapping, pricing
from llm_magics.backends.base import Backend, Secrets, listener
from llm_magics.backends.format_probe import FormatProbe
from llm_magics.backends.http import Channel, Reply
from llm_magics.backends.openai import parsing, wire
from llm_magics.backends.openai.authentication import Authentication
from llm_magics.backends.openai.capabilities import LearnedCapabilities, not_sent
from llm_magics.backends.openai.presets import PRESETS, Endpoint, endpoint, endpoint_of
from llm_magics.backends.openai.rate_limit_headers import rate_limits
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.backends.streaming import CompletionPieces
from llm_magics.core.errors import BadRequest, LLMError
from llm_magics.core.prompt_formats import prompt_of
from llm_magics.core.types import (
    EMPTY,
    NO_USAGE,
    TEXT,
    BackendSpec,
    Capabilities,
    Embedding,
    Message,
    Request,
    Response,
    ResponseFormat,
    Usage,
    Vector,
)

LESSONS = 10
"""Refusals that one request may learn from before the last one is its error."""

_EMBEDS = re.compile(r"embed|(^|[/_-])(bge|gte|e5|mxbai|minilm)(?=[-_.:]|$)", re.IGNORECASE)
_TEXT = Capabilities(one_of=True, schema=True, logprobs=True, embed=True, max_concurrency=256)


class OpenAIBackend(Backend):
    """One model on one host of the OpenAI format.

    Options: ``api_version``, ``deployment``, ``organization``, ``project``; ``token`` (a reference, or a
    function that returns a bearer token: Entra sign-in); ``batch_size`` (texts an embedding request);
    ``embeddings`` (True for a model that only embeds, where its name doesn't tell); ``client`` (a
    configured ``openai`` client whose URL, key and headers are used). Raises UsageError for an invalid
    URL, MissingKey at the first call without a key.
    """

    keeps_time = True

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.endpoint = place(spec)
        self.base_url = self.endpoint.base
        self.access = Authentication(spec, self.endpoint, secrets)
        self.channel = Channel(self.endpoint.host, spec.limits.timeout)
        self.habits = LearnedCapabilities(self.endpoint.preset.max_tokens)
        self.bodies = wire.Bodies(spec.model, self.endpoint.preset.words, self.habits)
        self.probe = FormatProbe(self.name, self.bodies)
        self.price = spec.price or pricing.price(spec.namespace, spec.model)
        self.batch = int(spec.options.get("batch_size") or self.endpoint.preset.batch)
        self.embeds = bool(spec.options.get("embeddings", _EMBEDS.search(spec.model)))
        self.capabilities = (
            Capabilities(text=False, one_of=True, embed=True, batch_size=self.batch) if self.embeds else _TEXT
        )
        self._labels = SimilarityLabels(self.name, self.embed)
        self._headers: Mapping[str, str] = EMPTY
        self._facts: Mapping[str, float] | None = EMPTY
        self._unsupported: tuple[Mapping[str, Any], int, tuple[str, ...]] = (EMPTY, -1, ())

    async def open(self) -> None:
        """Find the key and open the session. Raises MissingKey."""
        await self.access.headers()
        await self.channel.open()

    async def complete(self, request: Request) -> Response:
        """The model's answer to ``request``; raises MissingKey and every kind of BackendError."""
        if isinstance(request.response_format, Vector):
            return await self._vector(request)
        if self.embeds:
            return await self._labels.complete(request)
        if request.rows_per_request > 1:  # a model that can't answer by ids fits no format
            return (await self._complete(request))[0]
        return await self.probe.ask(request.response_format, partial(self._complete, request))

    async def _complete(self, request: Request) -> tuple[Response, str]:
        """The answer, and the dialect in which its format was asked for."""
        started, form = time.perf_counter(), request.response_format
        prompt = prompt_of(request)
        heard = listener(request)
        pieces = CompletionPieces(heard, self.endpoint.host) if heard is not None else None
        streamed = pieces is not None
        raw = isinstance(prompt, str)
        dialect = ""

        def body() -> bytes:
            nonlocal dialect
            dialect = "" if self.probe.settled else self.bodies.dialect(form)
            if isinstance(prompt, str):
                return self.bodies.text(request, prompt, streamed=streamed)
            return self.bodies.chat(request, prompt, streamed=streamed)

        fields = partial(self.bodies.fields, request, streamed=streamed)
        route = "/completions" if raw else "/chat/completions"
        reply, learnt = await self._ask(route, body, fields, form, pieces)
        notes = tuple(dict.fromkeys(learnt + self.unsupported(request.parameters)))
        return self._read(request, reply, time.perf_counter() - started, notes), dialect

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Responses in order; the labels of an embedding model come from few requests to the host."""
        if self.embeds:
            return await self._labels.complete_many(requests)
        return await super().complete_many(requests)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors of the texts, each in full, in as few requests as ``batch_size`` allows."""
        return await self._embed(texts, None)

    async def models(self) -> list[str]:
        """The model names that the host lists."""
        headers = await self.access.headers()
        reply = await self.channel.get(self.endpoint.url("/models"), headers)
        if reply.status != 200:
            raise self._failure(reply)
        return parsing.model_names(self._json(reply))

    def unsupported(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """A note for each parameter that is not sent to the model."""
        version = self.habits.version
        if self._unsupported[0] is not parameters or self._unsupported[1] != version:
            names = self.bodies.unsupported(parameters)
            notes = tuple(f"{self.name}: {not_sent(name)}" for name in names)
            self._unsupported = (parameters, version, notes)
        return self._unsupported[2]

    def observe(self) -> Mapping[str, float]:
        """The rate limits in the newest response headers."""
        if self._facts is None:
            self._facts = rate_limits(self._headers)
        return self._facts

    async def close(self) -> None:
        """Close the connections; learned capabilities are kept."""
        await self.channel.close()

    # -- asking

    async def _ask(
        self,
        route: str,
        body: Callable[[], bytes],
        fields: Callable[[], dict[str, Any]],
        form: ResponseFormat = TEXT,
        pieces: CompletionPieces | None = None,
    ) -> tuple[Reply, tuple[str, ...]]:
        """Send, and send again in a form that the host takes, as long as its refusals teach something.

        ``body`` and ``fields`` are made anew for each attempt, from the capabilities learned so far.
        """
        url = self.endpoint.url(route)
        notes: tuple[str, ...] = ()
        for _ in range(LESSONS):
            sent = self.habits.version
            reply = await self.channel.post(url, body(), await self.access.headers(), pieces)
            self._note_headers(reply)
            if reply.status == 200:
                return reply, notes
            if self.habits.version == sent:
                told = error_mapping.said(reply.body)
                lessons = self.habits.learn(reply.status, told, fields(), form)
                if not lessons:
                    break
                notes += tuple(f"{self.name}: {lesson}" for lesson in lessons if lesson)
        raise self._failure(reply)

    def _note_headers(self, reply: Reply) -> None:
        """Keep the newest headers; they are parsed only when needed."""
        self._headers = reply.headers
        self._facts = None

    def _failure(self, reply: Reply) -> LLMError:
        """The error of a response that is no success."""
        if 300 <= reply.status < 400:
            return redirected(reply, self.endpoint.host)
        if reply.status == 401:
            self.access.forget()
        return error_mapping.error_from_status(
            reply.status,
            reply.headers,
            reply.body,
            host=self.endpoint.host,
            model=self.model,
        )

    def _json(self, reply: Reply) -> Any:
        """The body of a success; raises MalformedAnswer where it is no JSON object."""
        try:
            whole = json.loads(reply.body.decode())
        except ValueError:
            whole = None
        if not isinstance(whole, dict):
            raise parsing.malformed(reply, self.endpoint.host)
        return whole

    # -- reading

    def _read(self, request: Request, reply: Reply, latency: float, notes: tuple[str, ...]) -> Response:
        whole = self._json(reply)
        told = error_mapping.request_id(reply.headers) or str(whole.get("id") or "")
        if whole.get("error") and not whole.get("choices"):
            raise self._inner_failure(whole, reply)
        return self.read(request, whole, told, latency, notes)

    def read(
        self,
        request: Request,
        whole: Mapping[str, Any],
        told: str = "",
        latency: float = 0.0,
        notes: tuple[str, ...] = (),
    ) -> Response:
        """A completion, from a response or from a batch file; ``told`` is the host's name for the model.

        Raises ContentFiltered, MalformedAnswer.
        """
        answer = parsing.answer(whole, self.endpoint.host, told, request.response_format)
        parsed = parsing.parsed(request.response_format, answer.text)
        scores = parsing.scores(request.response_format, answer, parsed)
        return Response(
            text=answer.text,
            parsed=parsed,
            scores=scores,
            method="logprobs" if scores else "",
            finish_reason=answer.finish_reason,
            usage=self.usage(whole.get("usage"), request.messages, answer.text),
            model=str(whole.get("model") or self.model),
            request_id=told,
            latency=latency,
            notes=notes,
        )

    def _inner_failure(self, whole: Mapping[str, Any], reply: Reply) -> LLMError:
        """An error inside a 200 response, as routers send it when the host behind them failed."""
        error = whole["error"]
        code = error.get("code") if isinstance(error, Mapping) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        return self._failure(Reply(status, reply.headers, reply.body))

    def usage(self, said: Any, messages: Sequence[Message], text: str) -> Usage:
        """Tokens and cost of one answer; estimated, and marked so, where the host reports none."""
        usage = parsing.usage(said) if isinstance(said, Mapping) else NO_USAGE
        if not usage.input_tokens and not usage.output_tokens:
            usage = parsing.estimated(messages, text, self.model)
        return pricing.priced(usage, self.price)

    # -- vectors

    async def _vector(self, request: Request) -> Response:
        form = request.response_format
        assert isinstance(form, Vector)
        embedding = await self._embed([request.subject], form.dimensions)
        return Response(vector=embedding.vectors[0], usage=embedding.usage, model=embedding.model)

    async def _embed(self, texts: Sequence[str], dimensions: int | None) -> Embedding:
        import numpy as np

        parts, used, model = [], [], self.model
        notes: tuple[str, ...] = ()
        size = dimensions or self.parameters.get("dimensions")
        for start in range(0, len(texts), self.batch):
            batch = list(texts[start : start + self.batch])
            fields = partial(self.bodies.vectors, batch, size, self.endpoint.preset.vectors)
            reply, learnt = await self._ask("/embeddings", partial(wire.made, fields), fields)
            whole = self._json(reply)
            parts.append(parsing.vectors(whole, len(batch), self.endpoint.host))
            used.append(self.usage(whole.get("usage"), [Message("user", text) for text in batch], ""))
            model, notes = str(whole.get("model") or model), notes + learnt
        vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
        return Embedding(vectors, pricing.total_usage(used), model, notes)


def place(spec: BackendSpec) -> Endpoint:
    """The endpoint of the spec: its client's, its URL, or the namespace's own."""
    client = spec.options.get("client")
    if client is None:
        return endpoint(spec)
    return endpoint_of(client, spec.model, PRESETS.get(spec.namespace, PRESETS["custom_url"]))


def redirected(reply: Reply, host: str) -> BadRequest:
    """The error for a redirect: the key is not sent to another host."""
    place = reply.headers.get("location", "").partition("?")[0]
    return BadRequest(
        f"{host} answered {reply.status}: it moved to {error_mapping.short(place) or 'an unnamed place'}.",
        hint="A key goes to the host it was given for only. If the new place is right, set its URL.",
        status=reply.status,
    )
