"""Requests as a file of the OpenAI batch format, and its answers.

The one hand-off to whatever answers in bulk: OpenAI's and Azure's batch services, ``vllm run-batch``,
any cluster. Each line carries the request's key as ``custom_id``, so that answers find their row in the
response store wherever and whenever they were made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_magics.backends import http_errors
from llm_magics.backends.openai import parsing
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core.errors import LLMError, UsageError
from llm_magics.core.prompt_formats import prompt_of
from llm_magics.core.types import Message, Request, Response, Vector

Outcome = Response | LLMError


def line(backend: OpenAIBackend, request: Request) -> str:
    """One request as a line of the file."""
    if isinstance(request.response_format, Vector):
        url, body = "/v1/embeddings", {"model": backend.model, "input": request.subject}
    else:
        prompt = prompt_of(request)
        raw = isinstance(prompt, str)
        url = "/v1/completions" if raw else "/v1/chat/completions"
        body = json.loads(
            backend.bodies.text(request, prompt)
            if isinstance(prompt, str)
            else backend.bodies.chat(request, prompt)
        )
    whole = {"custom_id": request.key, "method": "POST", "url": url, "body": body}
    return json.dumps(whole, ensure_ascii=False)


def write(path: str | Path, backend: OpenAIBackend, requests: Iterable[Request]) -> int:
    """Write the file, each different request once; returns how many lines it has."""
    seen: set[str] = set()
    with Path(path).open("w", encoding="utf-8", errors="replace") as file:
        for request in requests:
            if request.key not in seen:
                seen.add(request.key)
                file.write(line(backend, request) + "\n")
    return len(seen)


def read(
    path: str | Path, backend: OpenAIBackend, requests: Mapping[str, Request]
) -> Iterator[tuple[Request, Outcome]]:
    """The answers in ``path``, each with its request; lines that belong to none of them are passed over.

    A line that holds an error is that error. Raises UsageError where a line is no batch answer.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.strip():
                told = _parsed(text, number, path)
                request = requests.get(str(told["custom_id"]))
                if request is not None:
                    yield request, outcome(backend, request, told)


def outcome(backend: OpenAIBackend, request: Request, told: Mapping[str, Any]) -> Outcome:
    """What one line of an answer file says."""
    reply = told.get("response") or {}
    body, status = reply.get("body") or {}, int(reply.get("status_code") or 200)
    if told.get("error") or status != 200:
        said = json.dumps({"error": told["error"]} if told.get("error") else body).encode()
        known = status if status != 200 else 500
        return http_errors.failure(known, {}, said, host=backend.endpoint.host, model=backend.model)
    try:
        return _response(backend, request, body, str(reply.get("request_id") or ""))
    except LLMError as error:
        return error


def _response(backend: OpenAIBackend, request: Request, body: Mapping[str, Any], told: str) -> Response:
    """A success, as the backend itself would have read it."""
    if not isinstance(request.response_format, Vector):
        return backend.read(request, body, told)
    usage = backend.usage(body.get("usage"), [Message("user", request.subject)], "")
    vector = parsing.vectors(body, 1, backend.endpoint.host)[0]
    return Response(vector=vector, usage=usage, model=str(body.get("model") or backend.model))


def _parsed(text: str, number: int, path: str | Path) -> Mapping[str, Any]:
    try:
        told = json.loads(text)
        assert "custom_id" in told
    except (ValueError, AssertionError, TypeError) as error:
        raise UsageError(
            f"line {number} of {Path(path).name} is no batch answer.",
            hint="Give the file that the batch service (or vllm run-batch -o) wrote.",
        ) from error
    return told  # type: ignore[no-any-return]
