"""Response parsing for hosts of the OpenAI format."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llm_magics.backends.error_mapping import request_id, short
from llm_magics.backends.http import Reply
from llm_magics.backends.openai.log_probabilities import label_scores
from llm_magics.backends.response_formats import Places, answer_text, arguments_text
from llm_magics.core import tokens
from llm_magics.core.errors import ContentFiltered, MalformedAnswer
from llm_magics.core.types import TEXT, Message, OneOf, ResponseFormat, Schema, Usage

FINISHED = {"eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "max_tokens": "length", "": "stop"}
FINISHED |= {"tool_calls": "stop", "function_call": "stop"}
"""Other hosts' words for the finish reasons ``stop`` and ``length``."""


class Answer(NamedTuple):
    """The first choice of a completion."""

    text: str
    finish_reason: str
    logprobs: Sequence[Mapping[str, Any]] = ()


def answer(whole: Mapping[str, Any], host: str, told: str = "", form: ResponseFormat = TEXT) -> Answer:
    """The answer in a completion, wherever the host put it; without any text it is empty.

    Raises:
        ContentFiltered: The model refused, or the provider's filter cut it off.
        MalformedAnswer: There is no choice.
    """
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise MalformedAnswer(f"{host} answered without any choice.", request_id=told)
    choice = choices[0]
    message = choice.get("message")
    finish = str(choice.get("finish_reason") or "").lower()
    finish = FINISHED.get(finish, finish)
    message = message if isinstance(message, Mapping) else {}
    text, refusal = _text(choice, message)
    if refusal and not text:
        raise ContentFiltered(f"the model refused: {short(refusal)}", request_id=told)
    if finish == "content_filter":
        raise ContentFiltered("the provider's filter stopped the answer.", request_id=told)
    places = Places(text or "", _thinking(message), _arguments(message))
    return Answer(answer_text(form, places, finish), finish, _logprobs(choice))


def _text(choice: Mapping[str, Any], message: Mapping[str, Any]) -> tuple[str | None, str]:
    """``(text, refusal)``: chat's content as text or in parts, or a plain completion's text."""
    content = message["content"] if "content" in message else choice.get("text")
    refusal = message.get("refusal")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        refusal = refusal or next((part["refusal"] for part in parts if part.get("refusal")), None)
        content = "".join(str(part.get("text") or "") for part in parts)
    return (content if isinstance(content, str) else None), str(refusal or "")


def _thinking(message: Mapping[str, Any]) -> str:
    """The model's thinking, under either of the names in use."""
    for name in ("reasoning_content", "reasoning"):
        found = message.get(name)
        if isinstance(found, str) and found.strip():
            return found
    return ""


def _arguments(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments of the message's tool calls, and of the older ``function_call``."""
    calls = message.get("tool_calls")
    functions = (
        [call.get("function") for call in calls or () if isinstance(call, Mapping)]
        if isinstance(calls, list)
        else []
    )
    functions.append(message.get("function_call"))
    return tuple(arguments_text(each.get("arguments")) for each in functions if isinstance(each, Mapping))


def _logprobs(choice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = choice.get("logprobs")
    entries = found.get("content") if isinstance(found, Mapping) else None
    return entries if isinstance(entries, list) and all(isinstance(e, Mapping) for e in entries) else ()


def parsed(form: ResponseFormat, text: str) -> Any:
    """The value of an answer that satisfies the format, else None: the task parses the text.

    A label that is none of the choices is never returned.
    """
    if not isinstance(form, OneOf | Schema) or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if isinstance(form, Schema):
        return value
    if not isinstance(value, Mapping):
        return None
    return _labels(form, value.get("labels")) if form.many else _label(form, value.get("label"))


def _label(form: OneOf, value: Any) -> str | None:
    return value if isinstance(value, str) and value in form.names else None


def _labels(form: OneOf, values: Any) -> list[str] | None:
    """The names in the model's order, each once; None where one is unknown or there are too many."""
    if not isinstance(values, list) or any(_label(form, value) is None for value in values):
        return None
    names = list(dict.fromkeys(values))
    return names if form.max_choices is None or len(names) <= form.max_choices else None


def scores(form: ResponseFormat, answer: Answer, label: Any) -> dict[str, float] | None:
    """P(choice) from the log-probabilities; None where there are none or they determine nothing."""
    if not isinstance(form, OneOf) or form.many or not answer.logprobs:
        return None
    found = label_scores(answer.logprobs, form.names)
    return found if found and (label is None or label in found) else None


def usage(said: Mapping[str, Any]) -> Usage:
    """Tokens as the host counted them; a missing or invalid field is 0."""
    details = said.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return Usage(
        input_tokens=_count(said.get("prompt_tokens", said.get("input_tokens"))),
        output_tokens=_count(said.get("completion_tokens", said.get("output_tokens"))),
        cached_input_tokens=_count(cached if cached is not None else said.get("prompt_cache_hit_tokens")),
    )


def _count(number: Any) -> int:
    return int(number) if isinstance(number, int | float) and 0 < number < 1e12 else 0


def estimated(messages: Sequence[Message], text: str, model: str) -> Usage:
    """Estimated tokens, for hosts that report none."""
    asked = sum(tokens.count_tokens(message[1], model) for message in messages)
    return Usage(asked, tokens.count_tokens(text, model) if text else 0, estimated=True)


def vectors(whole: Mapping[str, Any], count: int, host: str) -> Any:
    """The vectors of an embeddings answer in the order of the texts, float32 of shape (n, d).

    Raises:
        MalformedAnswer: Not one vector a text, or not all of one length.
    """
    import numpy as np

    data = whole.get("data")
    try:
        assert isinstance(data, list)
        ranked = sorted(enumerate(data), key=lambda pair: pair[1].get("index", pair[0]))
        found = np.stack([_vector(entry["embedding"]) for _, entry in ranked])
        assert found.ndim == 2
        assert len(found) == count
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer(f"{host} did not answer with one vector for each of {count} texts.") from error
    return found


def _vector(said: Any) -> Any:
    """One vector, given as numbers or as base64 of little-endian float32."""
    import numpy as np

    if isinstance(said, str):
        return np.frombuffer(base64.b64decode(said), dtype="<f4").astype(np.float32)
    return np.asarray(said, dtype=np.float32)


def model_names(whole: Mapping[str, Any]) -> list[str]:
    """The ids of a models answer."""
    return [str(m["id"]) for m in whole.get("data") or () if isinstance(m, Mapping) and "id" in m]


def malformed(reply: Reply, host: str) -> MalformedAnswer:
    """A success whose body is no JSON object."""
    kind = reply.headers.get("content-type", "").partition(";")[0] or "no type"
    start = short(reply.body[:300].decode("utf-8", "replace"))[:120]
    what = f"{len(reply.body)} bytes of {kind}" if reply.body else "nothing"
    web = (
        "It is a web page: is the URL right (most end in /v1)?"
        if b"<html" in reply.body[:400].lower()
        else ""
    )
    return MalformedAnswer(
        f"{host} answered with {what}, not whole JSON: {start}",
        hint=web,
        status=reply.status,
        request_id=request_id(reply.headers),
    )
