"""Where a message holds its answer, and whether that satisfies the response format that was asked for.

With a response format, hosts put the answer into ``content``, into the model's thinking (LM Studio, vLLM,
OpenRouter), or into the arguments of a tool call. The places are read in that order, and the first that
satisfies the format counts. Free text comes from ``content`` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from llm_magics.core.errors import AnswerError, LLMError
from llm_magics.core.types import CUT, OneOf, ResponseFormat, Schema
from llm_magics.text.json_parsing import parse_json, strip_thinking, strip_thinking_and_fences
from llm_magics.text.label_answers import parse_label, parse_labels
from llm_magics.text.label_names import Labels

_LEVELS = 2
"""Envelopes around the asked fields in which a field still counts as answered."""
_WORD = re.compile(r"[\W_]+")


class Places(NamedTuple):
    """The parts of a message: the ``content``, the thinking beside it, the arguments of its tool calls."""

    content: str = ""
    thinking: str = ""
    arguments: tuple[str, ...] = ()


def answer_text(form: ResponseFormat, places: Places, finish_reason: str = "stop") -> str:
    """The text of the answer.

    Without an answer in any place it is the content; where that is blank, the arguments of a tool call, which
    the task may be able to read; where there are none either, the thinking as a thinking block, so that the
    task can tell what the model did. The block stays open where the token limit cut it.
    """
    content, thinking, arguments = places
    if (thinking or arguments) and isinstance(form, OneOf | Schema) and not _is_answer(form, content):
        found = next(_answers_elsewhere(form, places, finish_reason), "")
        if not found and not content.strip():
            found = next((text for text in arguments if text.strip()), "")
        if found:
            return found
    if not content.strip() and thinking.strip():
        return f"<think>\n{thinking}" + ("" if finish_reason in CUT else "\n</think>")
    return content


def _answers_elsewhere(form: OneOf | Schema, places: Places, finish_reason: str) -> Iterator[str]:
    """The answers outside of the content, in order."""
    thinking = places.thinking.strip()
    if thinking:
        whole = _unfenced(thinking)
        # A draft in the middle of the thinking is no answer; what the thinking ends with is, if it is JSON.
        at_end = "" if places.content.strip() or finish_reason in CUT else _json_at_end(whole)
        yield from (text for text in (whole, at_end) if text and satisfies(form, text))
    yield from (text for text in places.arguments if satisfies(form, text))


def arguments_text(value: Any) -> str:
    """The arguments of a tool call as JSON text: some hosts give the text, some the value."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _unfenced(text: str) -> str:
    """The text, or what stands in the code fence that it consists of."""
    inner = strip_thinking_and_fences(text)
    return inner if text.startswith("```") and text.endswith("```") else text


def _json_at_end(text: str) -> str:
    """The JSON object or array that a text ends with; empty where there is none."""
    text = text.removesuffix("```").rstrip()
    if not text.endswith(("}", "]")):
        return ""
    decoder = json.JSONDecoder(strict=False)
    for start in (match.start() for match in re.finditer(r"[{\[]", text)):
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            return text[start:]
    return ""


def satisfies(form: OneOf | Schema, text: str) -> bool:
    """Whether a text is exactly an answer in the format: the JSON that was asked for, or a bare label."""
    if isinstance(form, OneOf) and not form.many and text.strip() in form.names:
        return True
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    if isinstance(form, Schema):
        return _has_shape(form.schema, value)
    if form.many:
        named = value.get("labels") if isinstance(value, Mapping) else value
        return isinstance(named, list) and all(name in form.names for name in named)
    named = value.get("label") if isinstance(value, Mapping) else value
    return isinstance(named, str) and named in form.names


def _has_shape(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value has the schema's type and, of an object, all required keys."""
    kind = schema.get("type")
    if kind == "array":
        return isinstance(value, list)
    if kind == "object" or "properties" in schema:
        asked = schema.get("required") or ()
        return isinstance(value, Mapping) and bool(value) and all(name in value for name in asked)
    return isinstance(value, Mapping | list)


def _is_answer(form: OneOf | Schema, content: str) -> bool:
    """Whether the content itself is an answer in the format, also in a fence or as a bare label."""
    if not content.strip():
        return False
    if isinstance(form, Schema):
        found, value = parse_json(strip_thinking_and_fences(content))
        return found and _has_shape(form.schema, value)
    return not _label_problem(form, content, prose=False)


def ignores(form: ResponseFormat, text: str, finish_reason: str) -> bool:
    """Whether an answer shows that the host did not apply the format, and can't be used either.

    A host that applies a format can't answer with anything but JSON of its shape. An answer that has the
    shape, or that is usable without it, shows nothing; nor does an empty or a half one.
    """
    answer = strip_thinking(text)
    if not isinstance(form, OneOf | Schema) or not answer:
        return False
    if finish_reason in CUT and answer.startswith(("{", "[")):
        return False
    found, value = parse_json(strip_thinking_and_fences(text))
    if isinstance(form, Schema):
        return not (found and _has_a_field(form.schema, value))
    if isinstance(value, Mapping) and ("labels" if form.many else "label") in value:
        return False
    return _label_problem(form, text, prose=True)


def _label_problem(form: OneOf, text: str, *, prose: bool) -> bool:
    """Whether no label can be read from a text; without ``prose`` a label in a sentence doesn't count."""
    try:
        labels = _labels(form.names)
    except LLMError:  # names that can't be told apart show nothing
        return False
    try:
        _, loose = parse_labels(text, labels) if form.many else parse_label(text, labels)
    except AnswerError:
        return True
    return loose and not prose


@lru_cache(maxsize=64)
def _labels(names: Sequence[str]) -> Labels:
    return Labels(list(names))


def _has_a_field(schema: Mapping[str, Any], value: Any, levels: int = _LEVELS) -> bool:
    """Whether any asked field stands in a value, in whatever spelling, also inside an envelope."""
    asked = schema.get("properties")
    if not isinstance(asked, Mapping) or not asked:
        return isinstance(value, Mapping | list)
    if isinstance(value, list):
        # An empty list says "none", where a list was asked for without its object.
        return not value or any(_has_a_field(schema, part, levels) for part in value[:3])
    if not isinstance(value, Mapping):
        return False
    if not value:
        return not schema.get("required")
    names = {_folded(name) for name in (*asked, *_record_fields(schema))}
    if any(_folded(name) in names for name in value):
        return True
    return levels > 0 and any(
        _has_a_field(schema, part, levels - 1) for part in value.values() if isinstance(part, Mapping | list)
    )


def _record_fields(schema: Mapping[str, Any]) -> Iterator[str]:
    """The fields of the records where a list of records was asked for: one record is an answer too."""
    for part in schema["properties"].values():
        item = part.get("items") if isinstance(part, Mapping) else None
        if isinstance(item, Mapping) and "$ref" in item:
            item = schema.get("$defs", {}).get(str(item["$ref"]).rpartition("/")[2])
        if isinstance(item, Mapping):
            yield from item.get("properties") or ()


def _folded(name: Any) -> str:
    return _WORD.sub("", str(name)).casefold()
