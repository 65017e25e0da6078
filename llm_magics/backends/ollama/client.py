"""Ollama's own API: options such as ``num_ctx``, schemas by ``format``, ``keep_alive``, pulls."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from llm_magics.backends.base import Backend, Secrets, listener
from llm_magics.backends.error_mapping import error_from_status, said
from llm_magics.backends.format_probe import FormatProbe
from llm_magics.backends.http import Channel, Reply
from llm_magics.backends.ollama import wire
from llm_magics.backends.openai.authentication import Authentication
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.openai.presets import endpoint
from llm_magics.backends.openai.wire import encode
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.backends.streaming import OllamaPieces
from llm_magics.core.errors import (
    BadRequest,
    ConnectionLost,
    LLMError,
    MalformedAnswer,
    ModelLoadError,
    ModelNotFound,
)
from llm_magics.core.prompt_formats import prompt_of
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Embedding,
    OneOf,
    Request,
    Response,
    ResponseFormat,
    Schema,
    Usage,
)

EMBED_BATCH = 64
"""Texts an embedding request carries."""

_EMBEDDERS = ("embed", "bge-", "minilm", "e5-", "gte-")


def ollama_backend(spec: BackendSpec, secrets: Secrets | None = None) -> Backend:
    """The native API, or the OpenAI format where the URL given ends in ``/v1``."""
    if spec.base_url.rstrip("/").endswith("/v1"):
        return OpenAIBackend(spec, secrets)
    return OllamaBackend(spec, secrets)


class OllamaBackend(Backend):
    """One model of an Ollama server (``OLLAMA_HOST``, else this machine's port 11434).

    Parameters go into ``options`` under Ollama's names (``max_new_tokens`` is ``num_predict``), any
    option of Ollama can be set (``-p num_ctx=8192``); ``keep_alive`` and ``think`` are fields beside
    them. Labels and schemas are enforced by ``format``; label probabilities come from log-probabilities
    where the server is new enough. A prompt is never truncated: one longer than ``num_ctx`` is an error
    of its row.

    ``spec.options``: ``pull`` (True pulls a missing model; the footer shows the progress), ``batch_size``
    (texts an embedding request).
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.endpoint = endpoint(spec)
        self.base_url = self.endpoint.base.removesuffix("/v1")
        self.access = Authentication(spec, self.endpoint, secrets)
        self.channel = Channel(self.endpoint.host, spec.limits.timeout)
        self.price = spec.price or FREE
        self.batch = int(spec.options.get("batch_size") or EMBED_BATCH)
        self.capabilities = _capabilities(spec.model, self.batch)
        self._labels = SimilarityLabels(self.name, self.embed)
        self._dialect = wire.FORMAT
        self._is_confirmed = False
        self.probe = FormatProbe(self.name, self)
        self._pulling: asyncio.Task[None] | None = None
        self._progress = ""

    @property
    def announcement(self) -> str:
        """The progress of a pull, while there is one."""
        return self._progress

    async def open(self) -> None:
        """Find the key, where one is needed, and open the session."""
        await self.access.headers()
        await self.channel.open()

    async def complete(self, request: Request) -> Response:
        """One response; raises ModelNotFound with the pull command where the server lacks the model."""
        if not self.capabilities.text:
            return await self._labels.complete(request)
        if request.rows_per_request > 1:
            return (await self._complete(request))[0]
        return await self.probe.ask(request.response_format, partial(self._complete, request))

    async def _complete(self, request: Request) -> tuple[Response, str]:
        """The response, and the dialect in which its format was asked for."""
        raw = isinstance(prompt_of(request), str)  # text to continue has no tools
        dialect = "" if raw else self.dialect(request.response_format)
        try:
            return await self._answer(request), dialect
        except BadRequest:
            if dialect != wire.TOOL_CALL or self._is_confirmed:
                raise
        self._dialect = wire.PLAIN  # a model without tools
        return await self._answer(request), ""

    async def _answer(self, request: Request) -> Response:
        """One response, its format asked for in the dialect in use."""
        began = time.perf_counter()
        route, body, notes = wire.body(request, self.model, self.name, self._dialect)
        heard = listener(request)
        pieces = OllamaPieces(heard, self.endpoint.host) if heard is not None else None
        whole = await self._post(route, {**body, "stream": pieces is not None}, pieces)
        return wire.response(request, whole, self.endpoint.host, time.perf_counter() - began, notes)

    def dialect(self, form: ResponseFormat) -> str:
        """The dialect in which a format is asked for; empty where no other one is to be tried."""
        asked = isinstance(form, OneOf | Schema) and self._dialect != wire.PLAIN
        return self._dialect if asked else ""

    def move_on(self, form: ResponseFormat) -> bool:
        """After ``format``, which some models of the server ignore, a tool that they may call."""
        is_first = self._dialect == wire.FORMAT
        self._dialect = wire.TOOL_CALL if is_first else wire.PLAIN
        return is_first

    def settle(self, dialect: str) -> None:
        """Ask for formats in this dialect from now on."""
        self._dialect, self._is_confirmed = dialect, True

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Responses in order; the labels of an embedding model come from few requests to the server."""
        if not self.capabilities.text:
            return await self._labels.complete_many(requests)
        return await super().complete_many(requests)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """The vectors; a text that is too long is refused, not truncated."""
        import numpy as np

        rows: list[Any] = []
        tokens = 0
        for at in range(0, len(texts), self.batch):
            part = list(texts[at : at + self.batch])
            body = wire.embed_body(self.model, part, self.parameters)
            whole = await self._post("/api/embed", body)
            found = whole.get("embeddings")
            if not isinstance(found, list) or len(found) != len(part):
                raise MalformedAnswer(f"{self.endpoint.host} gave no vector for each of {len(part)} texts.")
            rows += found
            tokens += int(whole.get("prompt_eval_count") or 0)
        return Embedding(np.asarray(rows, dtype=np.float32), Usage(tokens), self.model)

    async def models(self) -> list[str]:
        """The models that the server has."""
        reply = await self.channel.get(f"{self.base_url}/api/tags", await self.access.headers())
        return [str(each["name"]) for each in self._json(reply).get("models") or ()]

    async def pull(self) -> None:
        """Download the model to the server; ``announcement`` shows the progress."""
        import aiohttp

        headers = await self.access.headers()
        body = encode({"model": self.model, "stream": True})
        waits = aiohttp.ClientTimeout(total=None, sock_read=self.limits.timeout)
        async with (
            aiohttp.ClientSession(timeout=waits) as session,
            session.post(f"{self.base_url}/api/pull", data=body, headers=headers) as answer,
        ):
            async for line in answer.content:
                self._note_pull(json.loads(line) if line.strip() else {})
        self._progress = ""

    def _note_pull(self, step: Mapping[str, Any]) -> None:
        """One line of a pull's progress. Raises ModelNotFound where the library lacks the model."""
        if step.get("error"):
            self._progress = ""
            raise ModelNotFound(
                f"{self.endpoint.host} can't pull {self.model!r}: {step['error']}",
                hint="The models are listed at https://ollama.com/library",
            )
        total, done = step.get("total"), step.get("completed")
        share = f" {100 * done // total} % of {total / 1e9:.1f} GB" if total and done is not None else ""
        self._progress = f"pulling {self.model}{share} ({step.get('status', '')})"

    async def _post(
        self, route: str, body: Mapping[str, Any], pieces: OllamaPieces | None = None
    ) -> Mapping[str, Any]:
        """Send; where the model is missing and may be pulled, pull and send again."""
        reply = await self._send(route, body, pieces)
        if reply.status == 404 and self.spec.options.get("pull") and "not found" in said(reply.body).message:
            await self._pulled()
            reply = await self._send(route, body, pieces)
        if reply.status != 200:
            raise self._failure(reply)
        return self._json(reply)

    async def _send(self, route: str, body: Mapping[str, Any], pieces: OllamaPieces | None) -> Reply:
        try:
            return await self.channel.post(
                f"{self.base_url}{route}", encode(body), await self.access.headers(), pieces
            )
        except ConnectionLost as error:
            error.hint = "Is Ollama running? Type in a terminal: ollama serve"
            raise

    async def _pulled(self) -> None:
        """One pull for all rows that wait for it; it continues when one of them gives up."""
        if self._pulling is None or (self._pulling.done() and self._pulling.exception()):
            self._pulling = asyncio.create_task(self.pull())
        await asyncio.shield(self._pulling)

    def _failure(self, reply: Reply) -> LLMError:
        """The error of a reply that is no success."""
        told = said(reply.body).message
        if "system memory" in told or "unable to load model" in told:
            return ModelLoadError(
                f"{self.endpoint.host}: {told}", hint="Take a smaller model or a smaller num_ctx."
            )
        made = error_from_status(
            reply.status,
            reply.headers,
            reply.body,
            host=self.endpoint.host,
            model=self.model,
        )
        if isinstance(made, ModelNotFound):
            made.hint = f"Type in a terminal: ollama pull {self.model}"
        return made

    def _json(self, reply: Reply) -> Mapping[str, Any]:
        try:
            whole = json.loads(reply.body)
        except ValueError:
            whole = None
        if not isinstance(whole, dict):
            raise MalformedAnswer(
                f"{self.endpoint.host} sent something that is not an answer.", hint="Is it an Ollama server?"
            )
        return whole

    async def close(self) -> None:
        """Close the connections and stop a pull."""
        if self._pulling is not None:
            self._pulling.cancel()
        self._pulling, self._progress = None, ""
        await self.channel.close()


def _capabilities(model: str, batch: int) -> Capabilities:
    """An embedding model is known by its name."""
    if any(word in model.lower() for word in _EMBEDDERS):
        return Capabilities(text=False, one_of=True, embed=True, embed_batch=batch, batch_size=batch)
    names = frozenset(wire.WORDS) | wire.OPTIONS | wire.BESIDE | wire.OURS
    return Capabilities(
        one_of=True,
        schema=True,
        logprobs=True,
        embed=True,
        embed_batch=batch,
        max_concurrency=16,
        parameters=names,
    )
