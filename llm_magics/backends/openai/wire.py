"""Requests and responses as JSON of the OpenAI format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llm_magics.backends.openai.capabilities import LearnedCapabilities
from llm_magics.backends.openai.dialects import format_fields
from llm_magics.backends.openai.log_probabilities import FEW
from llm_magics.core.types import Message, OneOf, Request, ResponseFormat, Schema, Text

OURS = frozenset({"prompt_format", "prompt_formatting_fn", "extra_body"})
"""Parameters that are used here and never sent."""

SINGLE = frozenset({"n", "stream", "stream_options"})
"""Parameters that would change the shape of the answer: exactly one complete answer is read."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON as UTF-8; a lone surrogate, which UTF-8 lacks, becomes ``?``."""
    return _encode(body).encode("utf-8", "replace")


def made(fields: Callable[[], Mapping[str, Any]]) -> bytes:
    """``encode`` of the current result of ``fields``."""
    return encode(fields())


class Bodies:
    """Makes request bodies. The part that all rows of a run share is encoded once."""

    def __init__(self, model: str, words: Mapping[str, tuple[str, ...]], habits: LearnedCapabilities) -> None:
        self.model = model
        self.words = words
        self.habits = habits
        self._last: tuple[ResponseFormat, Mapping[str, Any], str, int, int] | None = None
        self._head = ""

    def chat(self, request: Request, prompt: Sequence[Message], *, streamed: bool = False) -> bytes:
        """The body of ``/chat/completions``."""
        turns = ",".join(
            f'{{"role":{_encode(role)},"content":{_encode(content)}}}' for role, content in self.turns(prompt)
        )
        head = self.head(request, streamed=streamed)
        return f'{head[:-1]},"messages":[{turns}]}}'.encode("utf-8", "replace")

    def text(self, request: Request, prompt: str, *, streamed: bool = False) -> bytes:
        """The body of ``/completions``, for a prompt that is raw text."""
        head = self.head(request, streamed=streamed)
        return f'{head[:-1]},"prompt":{_encode(prompt)}}}'.encode("utf-8", "replace")

    def head(self, request: Request, *, streamed: bool = False) -> str:
        """Everything but the prompt, as JSON."""
        if streamed:
            return _encode(self.settings(request) | self.in_pieces())
        sample = request.sample if "seed" in request.parameters else 0
        model = request.model or self.model
        now = (request.response_format, request.parameters, model, sample, self.habits.version)
        last = self._last
        # `is` for the two that all rows of a run share: comparing them would cost more than encoding.
        if last is None or last[0] is not now[0] or last[1] is not now[1] or last[2:] != now[2:]:
            self._head = _encode(self.settings(request))
            self._last = now
        return self._head

    def settings(self, request: Request) -> dict[str, Any]:
        """Model, response format, parameters."""
        whole: dict[str, Any] = {"model": request.model or self.model}
        whole.update(self.parameters(request.parameters, request.sample))
        whole.update(self.format(request.response_format))
        return whole

    def in_pieces(self) -> dict[str, Any]:
        """The fields that ask for a streamed answer with its token counts."""
        asked = {"stream": True, "stream_options": {"include_usage": True}}
        if "stream" in self.habits.refused:
            return {}
        return {name: value for name, value in asked.items() if name not in self.habits.refused}

    def fields(self, request: Request, *, streamed: bool = False) -> dict[str, Any]:
        """The whole body as fields, to find the one that a refusal names."""
        more = self.in_pieces() if streamed else {}
        return self.settings(request) | more | {"messages": dicts(request.messages)}

    def vectors(self, texts: list[str], dimensions: int | None, encoding: str) -> dict[str, Any]:
        """The body of ``/embeddings``; ``encoding`` is how the vectors are to come, empty for the usual."""
        whole: dict[str, Any] = {"model": self.model, "input": texts}
        asked = {"dimensions": dimensions, "encoding_format": encoding}
        return whole | {n: value for n, value in asked.items() if value and n not in self.habits.refused}

    def turns(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages; the system message is put before the first user's where the model takes none."""
        if self.habits.system:
            return messages
        system = "\n\n".join(message.content for message in messages if message.role == "system")
        rest = [message for message in messages if message.role != "system"]
        if not system or not rest:
            return rest or messages
        return [Message(rest[0].role, f"{system}\n\n{rest[0].content}"), *rest[1:]]

    def parameters(self, given: Mapping[str, Any], sample: int = 0) -> dict[str, Any]:
        """The user's parameters under the host's names; nothing that the user did not set.

        The n-th sample of a seeded prompt has seed + n: with one seed all samples would be equal.
        """
        whole: dict[str, Any] = {}
        for name, value in given.items():
            if value is None or name in OURS or name in SINGLE:
                continue
            for word in self.word(name):
                if word not in self.habits.refused:
                    whole[word] = value
        if sample and isinstance(whole.get("seed"), int):
            whole["seed"] += sample
        return whole | dict(given.get("extra_body") or {})

    def word(self, name: str) -> tuple[str, ...]:
        """The host's names of a parameter; none where the host lacks it."""
        if name in ("max_new_tokens", "max_tokens", "max_completion_tokens"):
            return (self.habits.max_tokens,)
        return self.words.get(name, (name,))

    def unsupported(self, given: Iterable[str]) -> tuple[str, ...]:
        """Those parameters that are not sent to the model."""
        return tuple(
            name
            for name in given
            if name not in OURS
            and (name in SINGLE or not any(word not in self.habits.refused for word in self.word(name)))
        )

    def format(self, form: ResponseFormat) -> dict[str, Any]:
        """``response_format`` and logprobs, as far as the host is known to take them."""
        if isinstance(form, Text):
            return {}
        whole: dict[str, Any] = {}
        if isinstance(form, OneOf | Schema):
            whole = format_fields(form, self.habits.form_for(form.canonical))
        if isinstance(form, OneOf) and not form.many:
            whole |= self.log_probabilities(form)
        return whole

    def log_probabilities(self, form: OneOf) -> dict[str, Any]:
        """The fields that ask for log-probabilities: few of them unless the user asked for scores.

        They cost nothing, give every label its confidence, and are not part of the request's key.
        """
        most = self.habits.top_logprobs
        return {"logprobs": True, "top_logprobs": most if form.scores else min(most, FEW)} if most else {}

    def dialect(self, form: ResponseFormat) -> str:
        """The dialect in which a format is asked for; empty where no other one is to be tried."""
        return self.habits.dialect(form)

    def move_on(self, form: ResponseFormat) -> bool:
        """Ask for formats in the next dialect; False where none is left."""
        return self.habits.move_on(form)

    def settle(self, dialect: str) -> None:
        """Ask for formats in this dialect from now on."""
        self.habits.settle(dialect)


def dicts(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Messages as JSON objects."""
    return [{"role": message[0], "content": message[1]} for message in messages]
