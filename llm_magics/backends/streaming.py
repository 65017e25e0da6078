"""Streamed responses: the text so far for a listener, and at the end the body as it would have come whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from llm_magics.backends.base import Listener
from llm_magics.core.errors import ConnectionLost

CONTENT_TYPES = ("text/event-stream", "application/x-ndjson")
"""Content types of streamed responses."""


class Pieces(ABC):
    """Collects a streamed response: tells the listener the text so far and builds the whole body."""

    def __init__(self, listener: Listener, host: str) -> None:
        self.listener = listener
        self.host = host
        self.begin()

    def begin(self) -> None:
        """Forget an earlier attempt."""
        self.ended = False
        self.text = ""
        self.error: Any = None
        self.last: dict[str, Any] = {}
        self._rest = b""

    def take(self, part: bytes) -> None:
        """Add bytes, split anywhere."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        before = self.text
        for line in lines:
            self._line(line.strip())
        if self.text != before:
            self.listener(self.text)

    def whole(self) -> bytes:
        """The body that the host would have sent without streaming.

        Raises ConnectionLost where the stream ended too early.
        """
        self._line(self._rest.strip())
        if self.error is not None:
            return json.dumps({"error": self.error}).encode()
        if not self.ended:
            raise ConnectionLost(f"{self.host} broke off in the middle of its answer.")
        return json.dumps(self.made()).encode()

    @property
    def status(self) -> int:
        """200, or the status of an error inside the stream."""
        if self.error is None:
            return 200
        code = self.error.get("code") if isinstance(self.error, Mapping) else None
        return code if isinstance(code, int) and 400 <= code < 600 else 502

    def _line(self, line: bytes) -> None:
        data = line.removeprefix(b"data:").strip()
        if not data or (line.startswith((b":", b"event:", b"id:", b"retry:"))):
            return
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        if event.get("error"):
            self.error = event["error"]
        self.add(event)

    @abstractmethod
    def add(self, event: dict[str, Any]) -> None:
        """Add one event."""

    @abstractmethod
    def made(self) -> dict[str, Any]:
        """The whole response."""


class CompletionPieces(Pieces):
    """``/chat/completions`` and ``/completions`` of the OpenAI format, as server-sent events."""

    def begin(self) -> None:
        """Forget an earlier attempt."""
        super().begin()
        self.refusal = ""
        self.thinking = ""
        self.finish = ""

    def add(self, event: dict[str, Any]) -> None:
        """Add a chunk: more text of the first choice; the last chunk may hold only the usage."""
        choices = event.get("choices")
        self.last |= {name: value for name, value in event.items() if name != "choices" and value}
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, Mapping):
            return
        delta = choice.get("delta")
        said = delta if isinstance(delta, Mapping) else {"content": choice.get("text")}
        self.text += _text(said.get("content"))
        self.refusal += _text(said.get("refusal"))
        self.thinking += _text(said.get("reasoning_content") or said.get("reasoning"))
        if choice.get("finish_reason"):
            self.finish, self.ended = str(choice["finish_reason"]), True

    def made(self) -> dict[str, Any]:
        """A completion of one choice."""
        message = {"role": "assistant", "content": self.text, "refusal": self.refusal or None}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        choice = {"index": 0, "message": message, "finish_reason": self.finish or "stop"}
        return {**self.last, "choices": [choice]}


class OllamaPieces(Pieces):
    """Ollama's own API: one JSON object a line, the last one with the token counts."""

    def begin(self) -> None:
        """Forget an earlier attempt."""
        super().begin()
        self.thinking = ""

    def add(self, event: dict[str, Any]) -> None:
        """Some more of the message, or of a raw prompt's response."""
        message = event.get("message")
        self.thinking += _text((message if isinstance(message, Mapping) else event).get("thinking"))
        self.text += _text(message.get("content") if isinstance(message, Mapping) else event.get("response"))
        self.last, self.ended = event, bool(event.get("done"))

    def made(self) -> dict[str, Any]:
        """The last object with the whole text in it."""
        chat = isinstance(self.last.get("message"), Mapping)
        thinking = {"thinking": self.thinking} if self.thinking else {}
        if chat:
            return {**self.last, "message": {"content": self.text, **thinking}}
        return {**self.last, "response": self.text, **thinking}


def _text(value: Any) -> str:
    """A chunk's text; some hosts send it as a list of parts."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""
