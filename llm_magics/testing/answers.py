"""The answers of the loopback server: chat answers, logprobs and vectors, computed from the request."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

TOKEN = re.compile(r"\w{1,4}|\s+|[^\w\s]")


def last_user_text(request: Mapping[str, Any]) -> str:
    """The last user message's text."""
    for message in reversed(request.get("messages") or ()):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return str(request.get("prompt") or "")


def requested_schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema that the answer has to satisfy, or None."""
    form = request.get("response_format") or {}
    if form.get("type") != "json_schema":
        return None
    schema: Mapping[str, Any] = form["json_schema"]["schema"]
    return schema


def default_answer(request: Mapping[str, Any]) -> str:
    """An echo of the last message; under a schema, an instance of it that takes words from the text."""
    text = last_user_text(request)
    schema = requested_schema(request)
    if schema is None:
        return f"echo: {text}"
    return json.dumps(schema_instance(schema, text), ensure_ascii=False)


def schema_instance(schema: Mapping[str, Any], text: str) -> Any:
    """A value of ``schema``; an enum's value that occurs in ``text`` comes before its first."""
    if "enum" in schema:
        found = [value for value in schema["enum"] if str(value).casefold() in text.casefold()]
        return (found or schema["enum"])[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return {name: schema_instance(part, text) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return _array_items(schema, text)
    return {"integer": 1, "number": 0.5, "boolean": True, "null": None}.get(str(kind), text[:20])


def _array_items(schema: Mapping[str, Any], text: str) -> list[Any]:
    items = schema.get("items", {})
    if "enum" in items:
        found = [value for value in items["enum"] if str(value).casefold() in text.casefold()]
        return found[: schema.get("maxItems")]
    return [schema_instance(items, text)]


def split_tokens(text: str) -> list[str]:
    """``text`` in short pieces, like a tokenizer's."""
    return TOKEN.findall(text)


def flat_logprobs(text: str, top: int) -> list[dict[str, Any]]:
    """Logprobs of a text that the model is certain of."""
    return [_logprob_entry(piece, {piece: 1.0}, top) for piece in split_tokens(text)]


def label_logprobs(
    text: str, label: str, chances: Mapping[str, float], top: int, size: int = 4
) -> list[dict[str, Any]]:
    """Logprobs of ``text`` from a model that chooses its label with ``chances``.

    The label is spelt in pieces of at most ``size`` characters; at each piece stands the exact
    conditional distribution over the possible pieces, closing quote included.
    """
    before, after = text.split(json.dumps(label, ensure_ascii=False), 1)
    entries = flat_logprobs(before + '"', top)
    spelt = ""
    spelling = _spell_label(label, size)
    for piece in spelling:
        entries.append(_logprob_entry(piece, _next_pieces(spelt, chances, size), top))
        spelt += piece
    return entries + flat_logprobs(after, top)


def _spell_label(label: str, size: int) -> list[str]:
    whole = json.dumps(label, ensure_ascii=False)[1:-1]
    return [whole[at : at + size] for at in range(0, len(whole), size)] + ['"']


def _next_pieces(spelt: str, chances: Mapping[str, float], size: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, chance in chances.items():
        at, parts = 0, _spell_label(name, size)
        for part in parts:
            if at == len(spelt) and "".join(parts).startswith(spelt):
                found[part] = found.get(part, 0.0) + chance
                break
            at += len(part)
    total = sum(found.values())
    return {part: chance / total for part, chance in found.items()}


def _logprob_entry(piece: str, chances: Mapping[str, float], top: int) -> dict[str, Any]:
    ranked = sorted(chances.items(), key=lambda pair: -pair[1])[:top]
    return {
        "token": piece,
        "logprob": _log(chances.get(piece, 0.0)),
        "bytes": list(piece.encode()),
        "top_logprobs": [
            {"token": part, "logprob": _log(chance), "bytes": list(part.encode())} for part, chance in ranked
        ],
    }


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -9999.0


def text_vector(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on every character of ``text``."""
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    numbers = [seed[n % 32] / 127.5 - 1 for n in range(dimensions)]
    length = math.sqrt(sum(n * n for n in numbers)) or 1.0
    return [round(n / length, 6) for n in numbers]


def encode_base64(numbers: Sequence[float]) -> str:
    """A vector as little-endian float32 in base64, as OpenAI encodes it."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def count_prompt_tokens(request: Mapping[str, Any]) -> int:
    """The prompt tokens that the server reports: one for every four characters."""
    messages: Sequence[Mapping[str, Any]] = request.get("messages") or ()
    length = sum(len(str(message.get("content") or "")) for message in messages)
    inputs = request.get("input")
    if inputs is not None:
        length += sum(map(len, inputs)) if isinstance(inputs, list) else len(inputs)
    return max(1, length // 4)
