"""Answers that come in pieces over HTTP, put together as if they had come whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from llm_magics.backends.listening import Listener
from llm_magics.core.errors import ConnectionLost

KINDS = ("text/event-stream", "application/x-ndjson")
"""Content types of answers in pieces."""


class Pieces(ABC):
    """Takes bytes as they come, tells the listener the text so far, and makes the whole answer of them."""

    def __init__(self, listener: Listener, host: str) -> None:
        self.listener = listener
        self.host = host
        self.begin()

    def begin(self) -> None:
        """Forget an earlier try."""
        self.ended = False
        self.text = ""
        self.error: Any = None
        self.last: dict[str, Any] = {}
        self._rest = b""

    def take(self, part: bytes) -> None:
        """More bytes, cut anywhere."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        before = self.text
        for line in lines:
            self._line(line.strip())
        if self.text != before:
            self.listener(self.text)

    def whole(self) -> bytes:
        """The body that the host would have sent in one piece.

        Raises ConnectionLost where the pieces broke off before the end.
        """
        self._line(self._rest.strip())
        if self.error is not None:
            return json.dumps({"error": self.error}).encode()
        if not self.ended:
            raise ConnectionLost(f"{self.host} broke off in the middle of its answer.")
        return json.dumps(self.made()).encode()

    @property
    def status(self) -> int:
        """200, or the status that an error among the pieces stands for."""
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
        """One piece."""

    @abstractmethod
    def made(self) -> dict[str, Any]:
        """The whole answer."""


class CompletionPieces(Pieces):
    """``/chat/completions`` and ``/completions`` of the OpenAI format, as server-sent events."""

    def begin(self) -> None:
        """Forget an earlier try."""
        super().begin()
        self.refusal = ""
        self.finish = ""

    def add(self, event: dict[str, Any]) -> None:
        """A chunk: some more of the first choice; the last one may hold the usage alone."""
        choices = event.get("choices")
        self.last |= {name: value for name, value in event.items() if name != "choices" and value}
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, Mapping):
            return
        delta = choice.get("delta")
        said = delta if isinstance(delta, Mapping) else {"content": choice.get("text")}
        self.text += _text(said.get("content"))
        self.refusal += _text(said.get("refusal"))
        if choice.get("finish_reason"):
            self.finish, self.ended = str(choice["finish_reason"]), True

    def made(self) -> dict[str, Any]:
        """A completion of one choice."""
        message = {"role": "assistant", "content": self.text, "refusal": self.refusal or None}
        choice = {"index": 0, "message": message, "finish_reason": self.finish or "stop"}
        return {**self.last, "choices": [choice]}


class OllamaPieces(Pieces):
    """Ollama's own API: a JSON object a line, the last one with the counts."""

    def add(self, event: dict[str, Any]) -> None:
        """Some more of the message, or of a raw prompt's response."""
        message = event.get("message")
        self.text += _text(message.get("content") if isinstance(message, Mapping) else event.get("response"))
        self.last, self.ended = event, bool(event.get("done"))

    def made(self) -> dict[str, Any]:
        """The last object with the whole text in it."""
        chat = isinstance(self.last.get("message"), Mapping)
        return {**self.last, **({"message": {"content": self.text}} if chat else {"response": self.text})}


def _text(value: Any) -> str:
    """A piece's text; in some hosts' chunks a list of parts."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""
