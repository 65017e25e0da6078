"""Batch files of the OpenAI format and OpenAI's batch service.

The same files serve OpenAI's and Azure's batch services, ``vllm run-batch`` and any cluster. Each line
carries the request's key as ``custom_id``, so that an answer finds its row in the response store wherever
and whenever it was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.backends import error_mapping
from llm_magics.backends.error_mapping import from_exception
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
    """Write the file, each different request once; returns the number of lines."""
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
    """The answers in ``path``, each with its request; lines of unknown requests are skipped.

    A line with an error gives that error. Raises UsageError where a line is no batch answer.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.strip():
                told = _parsed(text, number, path)
                request = requests.get(str(told["custom_id"]))
                if request is not None:
                    yield request, outcome(backend, request, told)


def outcome(backend: OpenAIBackend, request: Request, told: Mapping[str, Any]) -> Outcome:
    """The outcome in one line of an answer file."""
    reply = told.get("response") or {}
    body, status = reply.get("body") or {}, int(reply.get("status_code") or 200)
    if told.get("error") or status != 200:
        said = json.dumps({"error": told["error"]} if told.get("error") else body).encode()
        known = status if status != 200 else 500
        return error_mapping.error_from_status(
            known, {}, said, host=backend.endpoint.host, model=backend.model
        )
    try:
        return _response(backend, request, body, str(reply.get("request_id") or ""))
    except LLMError as error:
        return error


def _response(backend: OpenAIBackend, request: Request, body: Mapping[str, Any], told: str) -> Response:
    """A successful answer, read as the backend itself would."""
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


WINDOW = "24h"
"""The one completion window that the service offers."""

OPEN = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


@dataclass(frozen=True)
class State:
    """The state of a batch; ``files`` are the answer files, available once it is over."""

    id: str
    status: str
    done: int = 0
    failed: int = 0
    total: int = 0
    files: tuple[str, ...] = ()
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether the batch has ended."""
        return self.status not in OPEN


class BatchService:
    """The batches of one backend's account. The calls block: call them in a thread."""

    def __init__(self, backend: OpenAIBackend, headers: Mapping[str, str]) -> None:
        import openai

        self.backend = backend
        key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("api-key", "")
        self.client = openai.OpenAI(
            base_url=backend.base_url, api_key=key or "none", timeout=backend.limits.timeout
        )

    def submit(self, path: str | Path, endpoint: str) -> State:
        """Upload the file and start its batch."""

        def start() -> Any:
            with Path(path).open("rb") as file:
                sent = self.client.files.create(file=file, purpose="batch")
            made: Any = self.client.batches
            return made.create(input_file_id=sent.id, endpoint=endpoint, completion_window=WINDOW)

        return _state(self._call(start))

    def state(self, id: str) -> State:  # noqa: A002 - the service's word
        """The state of a batch."""
        return _state(self._call(lambda: self.client.batches.retrieve(id)))

    def fetch(self, file: str, path: str | Path) -> None:
        """Download a file of answers."""
        Path(path).write_bytes(self._call(lambda: self.client.files.content(file)).read())

    def cancel(self, id: str) -> State:  # noqa: A002 - the service's word
        """Stop a batch; what is answered can still be collected."""
        return _state(self._call(lambda: self.client.batches.cancel(id)))

    def _call(self, work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            raise from_exception(error, who=self.backend.endpoint.host, model=self.backend.model) from error


def _state(batch: Any) -> State:
    counts = batch.request_counts
    done, failed, total = (counts.completed, counts.failed, counts.total) if counts else (0, 0, 0)
    files = tuple(file for file in (batch.output_file_id, batch.error_file_id) if file)
    errors = batch.errors.data if batch.errors and batch.errors.data else ()
    said = "; ".join(filter(None, (error.message for error in errors)))
    return State(batch.id, batch.status, done, failed, total, files, said)
