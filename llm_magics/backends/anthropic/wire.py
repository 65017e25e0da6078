"""Requests and responses of Anthropic's Messages API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from llm_magics.backends.error_mapping import HostMessage
from llm_magics.backends.error_mapping import host_message as read_body
from llm_magics.backends.openai import dialects, parsing
from llm_magics.backends.response_formats import Places, answer_text, arguments_text
from llm_magics.core.errors import ContentFiltered, MalformedAnswer
from llm_magics.core.prompt_formats import as_messages, message_dicts, prompt_of
from llm_magics.core.types import Message, OneOf, Request, Response, ResponseFormat, Schema, Usage

MAX_TOKENS = 4096
"""Output tokens of an answer where the user sets none; the API requires a number."""

WORDS: Mapping[str, str] = {
    "max_new_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
"""Our parameters under the API's names."""

OURS = frozenset({"prompt_format", "prompt_formatting_fn"})

LACKING = frozenset({"seed", "frequency_penalty", "presence_penalty", "repeat_penalty"})
"""Known parameters that the API lacks."""

_FINISH = {
    "end_turn": "stop",
    "tool_use": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_REFUSED = re.compile(
    r"not support|unsupported|deprecated|not permitted|extra inputs|cannot both|can't both|only one of"
    r"|not available|not allowed|removed|unexpected|may only be set|invalid schema|schema",
    re.IGNORECASE,
)


class Body(NamedTuple):
    """A request's parts: the arguments that every version of the SDK has, and the fields beside them.

    Sampling parameters and structured output came and went in the SDK's signature; the API takes them by
    name in the body either way.
    """

    typed: dict[str, Any]
    extra: dict[str, Any]


OUTPUT_CONFIG = "output_config"
TOOL_CALL = dialects.TOOL_CALL
PLAIN = dialects.PLAIN


def body(
    request: Request,
    model: str,
    refused: set[str],
    options: Mapping[str, Any],
    dialect: str = OUTPUT_CONFIG,
) -> Body:
    """The parts of a request, without the fields in ``refused``; ``dialect`` asks for its format."""
    messages = [Message(role, whole(text)) for role, text in as_messages(prompt_of(request))]
    system = "\n\n".join(text for role, text in messages if role == "system")
    turns = [message for message in messages if message.role != "system"]
    typed: dict[str, Any] = {"model": request.model or model, "messages": message_dicts(turns)}
    if system and turns:
        typed["system"] = system
    elif system:
        typed["messages"] = [{"role": "user", "content": system}]
    extra = parameters(request.parameters)
    typed["max_tokens"] = extra.pop("max_tokens", options.get("max_tokens", MAX_TOKENS))
    extra |= answer_format(request.response_format, dialect)
    return Body(typed, {name: value for name, value in extra.items() if name not in refused})


def whole(text: str) -> str:
    """``text`` as UTF-8 can hold it: the SDK breaks on a lone surrogate, which becomes ``?``."""
    return text.encode("utf-8", "replace").decode()


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The user's parameters as fields of the API."""
    extra = {
        WORDS.get(name, name): value
        for name, value in given.items()
        if value is not None and name not in OURS | LACKING
    }
    if isinstance(extra.get("stop_sequences"), str):
        extra["stop_sequences"] = [extra["stop_sequences"]]
    return extra


def unsupported(given: Mapping[str, Any], who: str) -> tuple[str, ...]:
    """A sentence for each parameter that does not reach the model."""
    return tuple(f"{who} takes no {name}; it was not sent." for name in given if name in LACKING)


def answer_format(form: ResponseFormat, dialect: str = OUTPUT_CONFIG) -> dict[str, Any]:
    """The API's structured output, or a forced tool call. No ``maxItems``, and all objects closed."""
    if isinstance(form, Schema):
        schema = closed(form.schema)
    elif isinstance(form, OneOf) and len(form.choices) <= dialects.MANY_CHOICES:
        schema = closed(dialects.label_schema(form))
        schema["properties"].get("labels", {}).pop("maxItems", None)
    else:
        return {}
    if dialect == TOOL_CALL:
        tool = {"name": dialects.TOOL, "description": "Give the answer.", "input_schema": schema}
        return {"tools": [tool], "tool_choice": {"type": "tool", "name": dialects.TOOL}}
    if dialect == PLAIN:
        return {}
    return {OUTPUT_CONFIG: {"format": {"type": "json_schema", "schema": schema}}}


def closed(schema: Any) -> Any:
    """``schema`` with ``additionalProperties: false`` in every object that leaves it open."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def lesson(message: str, extra: Mapping[str, Any]) -> list[str]:
    """The fields beside the arguments that a refusal names."""
    if not _REFUSED.search(message):
        return []
    words = message.lower()
    if "output_config" in extra and re.search(r"output_config|output_format|structured output|schema", words):
        return ["output_config"]
    named = [name for name in extra if re.search(rf"\b{re.escape(name)}\b", words)]
    return named[-1:] if len(named) > 1 else named  # of two that exclude each other the first stays


def response(request: Request, answer: Any, who: str, latency: float, notes: tuple[str, ...]) -> Response:
    """The API's message as a Response.

    Raises:
        ContentFiltered: The model refused.
        MalformedAnswer: There is no message.
    """
    blocks = getattr(answer, "content", None)
    if not isinstance(blocks, list):
        raise MalformedAnswer(f"{who} answered with no message.", hint="Is the URL right?")
    reason = str(answer.stop_reason or "end_turn")
    finish = _FINISH.get(reason, reason)
    text = answer_text(request.response_format, _places(blocks), finish)
    if reason == "refusal":
        raise ContentFiltered(f"{who} refused this row.", hint="The other rows go on.", request_id=answer.id)
    return Response(
        text=text,
        parsed=parsing.parsed(request.response_format, text),
        finish_reason=finish,
        usage=usage(answer.usage),
        model=answer.model,
        request_id=answer.id,
        latency=latency,
        notes=notes,
    )


def _places(blocks: list[Any]) -> Places:
    """The parts of a message: its texts, its thinking, and what its tools are called with."""
    content = "".join(block.text for block in blocks if block.type == "text")
    thinking = "".join(block.thinking or "" for block in blocks if block.type == "thinking")
    calls = tuple(arguments_text(block.input) for block in blocks if block.type == "tool_use")
    return Places(content, thinking, calls)


def usage(said: Any) -> Usage:
    """Tokens as the API counts them; its input tokens exclude the cached ones."""
    if said is None:
        return Usage()
    read = said.cache_read_input_tokens or 0
    written = said.cache_creation_input_tokens or 0
    return Usage(said.input_tokens + read + written, said.output_tokens, read)


def said_by(body: Any, otherwise: str) -> HostMessage:
    """The message of an error body, or ``otherwise`` where it is no JSON."""
    told = read_body(body) if isinstance(body, Mapping) else HostMessage()
    return told if told.message else HostMessage(otherwise)
