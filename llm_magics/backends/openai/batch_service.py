"""OpenAI's batch service (and Azure's, and whoever copies it), through the openai SDK's files and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.backends.error_mapping import from_exception
from llm_magics.backends.openai.client import OpenAIBackend

WINDOW = "24h"
"""The one completion window that the service offers."""

OPEN = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


@dataclass(frozen=True)
class State:
    """How a batch stands; ``files`` are those with answers, there once it is over."""

    id: str
    status: str
    done: int = 0
    failed: int = 0
    total: int = 0
    files: tuple[str, ...] = ()
    error: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.status not in OPEN


class BatchService:
    """The batches of one backend's account. The calls block: they are for a thread of their own."""

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
        """How a batch stands."""
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
