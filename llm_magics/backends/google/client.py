"""Gemini by key and Gemini on Vertex AI by project, through google-genai."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.backends.base import Listener, Secrets, listener
from llm_magics.backends.google import wire
from llm_magics.backends.google.errors import SIGN_IN, fault
from llm_magics.backends.sdk import SDKBackend
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import ConnectionLost, LLMError, MalformedAnswer, MissingKey, MissingPackage
from llm_magics.core.types import BackendSpec, Capabilities, Embedding, Request, Response, Usage

LOCATION = "global"
"""The location of Vertex models unless ``location`` is given."""

GEMINI_BATCH = 100
"""Texts the Gemini API embeds in one call."""

_EMBEDS = re.compile(r"embed", re.IGNORECASE)


class GoogleBackend(SDKBackend):
    """Gemini models: ``gemini::`` with an API key, ``vertex::`` with a project and its credentials.

    ``spec.options``: ``project`` and ``location`` (Vertex), ``credentials`` (an object of google-auth;
    without it the application-default credentials), ``api_version``, ``task_type`` of embeddings
    (``CLUSTERING``, ``SEMANTIC_SIMILARITY``, ...), ``embeddings`` (True for a model that only embeds, where
    its name doesn't tell). Labels are served as an enum, with probabilities
    where the model gives log-probabilities; schemas by ``response_json_schema``. Parameters that the
    API has under its own name (``thinking_config``, ``safety_settings``) are passed on.
    """

    key_variable = "GEMINI_API_KEY"
    key_page = "https://aistudio.google.com/apikey"
    capabilities = Capabilities(
        one_of=True,
        schema=True,
        logprobs=True,
        embed=True,
        embed_batch=GEMINI_BATCH,
        parameters=frozenset(wire.WORDS) | wire.OURS,
    )

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.is_vertex = spec.namespace == "vertex"
        self.embeds = bool(spec.options.get("embeddings", _EMBEDS.search(spec.model)))
        if self.embeds:
            self.capabilities = Capabilities(
                text=False, one_of=True, embed=True, embed_batch=GEMINI_BATCH, batch_size=GEMINI_BATCH
            )
        self._labels = SimilarityLabels(self.name, self.embed)
        self._fields: frozenset[str] = frozenset()
        if self.is_vertex:
            self.base_url = spec.base_url or f"vertex:{self._project()}/{self._location()}"

    async def open(self) -> None:
        """Import the SDK and sign in. Raises MissingPackage, MissingKey."""
        await self._open()

    async def complete(self, request: Request) -> Response:
        """One response. Fields that the model refuses are left out from then on, with a note."""
        if self.embeds:
            return await self._labels.complete(request)
        client = await self._open()
        began = time.perf_counter()
        for _ in range(len(wire.LESSONS) + 1):
            turns, config = wire.body(request, self.refused, self._fields)
            try:
                answer = await _answer(
                    client.aio.models,
                    listener(request),
                    {"model": request.model or self.model, "contents": turns, "config": config},
                )
                break
            except Exception as error:
                if not self._learn(error, config):
                    raise self._fault(error) from error
        made = wire.response(request, answer, config, self.name)
        notes = self.notes + tuple(
            f"{self.name} takes no {name}; it was not sent."
            for name in wire.unsupported(request.parameters, self._fields)
        )
        return replace(made, latency=time.perf_counter() - began, notes=notes)

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Responses in order; the labels of an embedding model come from few requests to the API."""
        if self.embeds:
            return await self._labels.complete_many(requests)
        return await super().complete_many(requests)

    def _learn(self, error: Exception, config: dict[str, Any]) -> bool:
        """Learn from the refusal of a field; False where it is no such refusal."""
        if getattr(error, "code", None) != 400:
            return False
        names, sentence = wire.lesson(str(getattr(error, "message", "") or error), config)
        return self._learned(names, sentence)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """The vectors, no text truncated, in as few calls as the API allows."""
        import numpy as np

        client = await self._open()
        config = (
            {"task_type": self.spec.options.get("task_type")} if self.spec.options.get("task_type") else {}
        )
        if "dimensions" in self.parameters:
            config["output_dimensionality"] = self.parameters["dimensions"]
        vectors: list[Any] = []
        tokens = 0
        for at in range(0, len(texts), GEMINI_BATCH):
            part = [text or " " for text in texts[at : at + GEMINI_BATCH]]
            found, used = await self._embedded(client, part, config)
            vectors += found
            tokens += used
        return Embedding(np.asarray(vectors, dtype=np.float32), Usage(tokens), self.model)

    async def _embedded(
        self, client: Any, texts: Sequence[str], config: dict[str, Any]
    ) -> tuple[list[Any], int]:
        """One call's vectors and token count; a model that joins its texts is called one by one."""
        contents = [{"parts": [{"text": text}]} for text in texts]
        try:
            answer = await client.aio.models.embed_content(model=self.model, contents=contents, config=config)
        except Exception as error:
            raise self._fault(error) from error
        found = [each.values for each in answer.embeddings or ()]
        if len(found) == 1 < len(texts):
            singles = [await self._embedded(client, [text], config) for text in texts]
            return [vector for rows, _ in singles for vector in rows], sum(used for _, used in singles)
        if len(found) != len(texts) or not all(found):
            raise MalformedAnswer(f"{self.name} gave {len(found)} vectors for {len(texts)} texts.")
        counted = (each.statistics.token_count for each in answer.embeddings if each.statistics)
        return found, int(sum(count or 0 for count in counted))

    async def count_tokens(self, request: Request) -> int:
        """The tokens of a request's prompt, by the API's own count (free of charge)."""
        client = await self._open()
        turns, config = wire.body(request, self.refused, self._fields)
        if system := config.get("system_instruction"):
            turns = [{"role": "user", "parts": [{"text": system}]}, *turns]
        try:
            answer = await client.aio.models.count_tokens(model=request.model or self.model, contents=turns)
        except Exception as error:
            raise self._fault(error) from error
        return answer.total_tokens or 0

    async def _open(self) -> Any:
        """The one client of this backend; made in a thread, since finding credentials reads files."""
        if self._client is None:
            genai = await in_thread(_library)  # two seconds the first time
            made = await in_thread(self._sign_in(genai))
            if self._client is None:
                from google.genai import types

                self._fields = frozenset(types.GenerateContentConfig.model_fields)
                self._client = made
        return self._client

    def _sign_in(self, genai: Any) -> Callable[[], Any]:
        """A function that makes the client, with the keys resolved now."""
        options = self._http_options()
        if not self.is_vertex:
            key = self._key()
            return lambda: genai.Client(api_key=key, vertexai=False, http_options=options)
        project, location = self._project(), self._location()
        if not project:
            raise MissingKey(f"{self.name} needs a Google Cloud project.", hint=SIGN_IN)
        given = self.spec.options.get("credentials")
        return lambda: genai.Client(
            vertexai=True,
            project=project,
            location=location,
            credentials=given or _credentials(self.name),
            http_options=options,
        )

    def _http_options(self) -> dict[str, Any]:
        """URL, timeout, and no retries by the SDK: the engine does that."""
        options: dict[str, Any] = {
            "timeout": int(self.limits.timeout * 1000),
            "retry_options": {"attempts": 1},
            "headers": self._headers_given(),
        }
        if self.spec.base_url:
            options["base_url"] = self.spec.base_url.rstrip("/")
        if version := self.spec.options.get("api_version"):
            options["api_version"] = version
        return options

    def _project(self) -> str:
        return str(self.spec.options.get("project") or os.environ.get("GOOGLE_CLOUD_PROJECT", ""))

    def _location(self) -> str:
        return str(self.spec.options.get("location") or os.environ.get("GOOGLE_CLOUD_LOCATION") or LOCATION)

    def _fault(self, error: Exception) -> LLMError:
        """Any exception of the SDK as one of ours."""
        return fault(error, self.name, self.model, SIGN_IN if self.is_vertex else "")

    async def close(self) -> None:
        """Close the connections; the next call signs in again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()


async def _answer(models: Any, heard: Listener | None, asked: dict[str, Any]) -> Any:
    """The answer; for a listener it is streamed, and the last piece gets all the parts."""
    if heard is None:
        return await models.generate_content(**asked)
    parts: list[Any] = []
    last: Any = None
    async for last in await models.generate_content_stream(**asked):
        content = last.candidates[0].content if last.candidates else None
        parts += (content.parts or []) if content is not None else []
        heard("".join(part.text or "" for part in parts if not part.thought))
    if last is not None and last.candidates and parts:
        last.candidates[0].content.parts = parts
    if last is None or not (last.prompt_feedback or (last.candidates and last.candidates[0].finish_reason)):
        raise ConnectionLost("the answer broke off in the middle.")
    return last


def _credentials(who: str) -> Any:
    """The application-default credentials, or the steps to get them."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        found, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except DefaultCredentialsError as error:
        raise MissingKey(f"{who} found no Google credentials on this machine.", hint=SIGN_IN) from error
    return found


def _library() -> Any:
    try:
        from google import genai
    except ImportError as error:
        raise MissingPackage.of("google-genai", "google", "The gemini and vertex backends") from error
    return genai
