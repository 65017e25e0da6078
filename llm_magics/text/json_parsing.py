"""JSON in a model's answer, and answers without thinking blocks and code fences.

The package json-repair is not used because it invents values: of the 752 texts in the tests it reads the
same 174 as this module, makes JSON of 19 more that hold none (``Is it {odd}?`` becomes ``["odd}?"]``),
completes truncated answers (``{"label": "po`` becomes ``{"label": "po"}``), and of equal keys it keeps only
the last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

_TAGS = "think|thinking|reasoning|thought"
_THINKING = re.compile(
    rf"<({_TAGS})>.*?(?:</\1>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)|\u25c1think\u25b7.*?(?:\u25c1/think\u25b7|\Z)"
    r"|<\|channel\|>(?:analysis|commentary)\b.*?(?=<\|channel\|>final\b|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_END_OF_THINKING = re.compile(
    rf"\A.*(?:</(?:{_TAGS})>|\[/THINK\]|\u25c1/think\u25b7)", re.DOTALL | re.IGNORECASE
)
"""The end of a thinking block without its opening tag, which many chat templates put into the prompt."""
_CONTROL_TOKENS = re.compile(r"<\|channel\|>final\b\s*|<\|\w+\|>")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_COMMENT = re.compile(r"(\"(?:\\.|[^\"\\])*\")|(?<![:'])//[^\n]*|/\*.*?\*/|(?<=[\s,])#[^\n]*", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
ObjectHook: TypeAlias = Callable[[list[tuple[str, Any]]], Any]


def strip_thinking(text: str) -> str:
    """Return the text without thinking blocks and control tokens."""
    return _END_OF_THINKING.sub("", _CONTROL_TOKENS.sub("", _THINKING.sub("", text))).strip()


def strip_thinking_and_fences(text: str) -> str:
    """Return the text without thinking blocks, or the content of its first code fence that is not blank."""
    text = strip_thinking(text)
    fenced = _FENCE.search(text)
    return fenced.group(1).strip() if fenced and fenced.group(1).strip() else text


def fenced_blocks(text: str) -> list[str]:
    """Return the contents of the code fences in a text, without blank ones."""
    return [part.strip() for part in _FENCE.findall(text) if part.strip()]


def text_before_fence(text: str) -> str:
    """Return the text before the first code fence."""
    return text.partition("```")[0]


def parse_json(text: str, objects: ObjectHook | None = None) -> tuple[bool, Any]:
    """Return whether the text contains a JSON value, and that value: the text itself, or the last one in it.

    ``objects`` makes an object from its list of (key, value) pairs, instead of a dict.
    """
    for value in find_json_values(text, objects):
        return True, value
    return False, None


def find_json_values(text: str, objects: ObjectHook | None = None) -> Iterator[Any]:
    """Yield the text as a JSON value, or else the objects and arrays inside it, the last one first."""
    text = text.strip()
    found, value = _load(text, objects)
    if found:
        yield value
        return
    for candidate in reversed(_balanced_spans(text)):
        found, value = _load(candidate, objects)
        if found:
            yield value


def _load(text: str, objects: ObjectHook | None) -> tuple[bool, Any]:
    if text[:1] not in {"{", "[", '"'}:
        return False, None
    for candidate in (text, _repair(text)):
        try:
            return True, json.loads(candidate, strict=False, object_pairs_hook=objects)
        except (ValueError, RecursionError):  # RecursionError: brackets nested a thousand deep
            continue
    return False, None


def _repair(text: str) -> str:
    """Return JSON without comments, trailing commas, single or typographic quotes and Python's constants."""
    text = _TRAILING_COMMA.sub(r"\1", _COMMENT.sub(lambda m: m[1] or " ", text))
    text = text.translate({0x201C: '"', 0x201D: '"', 0x201E: '"', 0x00AB: '"', 0x00BB: '"'})
    if '"' not in text:
        text = text.replace("'", '"')
    return re.sub(
        r"\b(None|True|False)\b", lambda m: {"None": "null"}.get(m.group(), m.group().lower()), text
    )


def _balanced_spans(text: str) -> list[str]:
    """Return the outermost ``{...}`` and ``[...]`` parts of a text, left to right."""
    spans, depth, start, quoted, escaped = [], 0, 0, False, False
    for i, c in enumerate(text):
        if quoted:
            quoted, escaped = not (c == '"' and not escaped), c == "\\" and not escaped
        elif c == '"' and depth:
            quoted = True
        elif c in "{[":
            start, depth = (i if depth == 0 else start), depth + 1
        elif c in "}]" and depth:
            depth -= 1
            if depth == 0:
                spans.append(text[start : i + 1])
    return spans
