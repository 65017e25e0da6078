"""Answers as models really give them: fences, thinking, quotes, prose; a listed label or an error."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from llm_magics.errors import AnswerError

_THINKING = re.compile(r"<(think|thinking|reasoning|thought)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_NOT_WORD = re.compile(r"[\W_]+")
_LINE_COMMENT = re.compile(r"(?m)(?<![:\"'])//[^\n]*$")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_LEAD = re.compile(
    r"^\s*(?:final\s+)?(?:answer|labels?|category|class|output|result)\s*(?:is\b|[:=]|->)\s*",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|nor|neither|isn.?t|never|without|rather than|instead of)\W*(?:\w+\W+){0,2}$",
    re.IGNORECASE,
)
Objects: TypeAlias = Callable[[list[tuple[str, Any]]], Any]

ANSWER_KEYS = (
    "label",
    "labels",
    "answer",
    "category",
    "categories",
    "class",
    "classification",
    "sentiment",
    "result",
)


def without_thinking(text: str) -> str:
    """What a person was meant to read."""
    return _THINKING.sub("", text).strip()


def visible(text: str) -> str:
    """The answer without its thinking blocks and code fences."""
    text = without_thinking(text)
    fenced = _FENCE.search(text)
    return fenced.group(1).strip() if fenced and fenced.group(1).strip() else text


def fold(name: str) -> str:
    """A label as it is compared: width, case, quotes, punctuation and separators don't count."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _NOT_WORD.sub(" ", folded).strip() or folded.strip()


class Labels:
    """The labels of one task, ready to be recognised in answers."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        folded: dict[str, str | None] = {}
        for name in names:
            folded[fold(name)] = None if fold(name) in folded else name
        self._folded = folded
        longest = sorted((f for f, name in folded.items() if name), key=len, reverse=True)
        words = "|".join(re.escape(f) for f in longest)
        self._inside = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def match(self, answer: Any) -> str | None:
        """The listed label that this one value names, or None."""
        if not isinstance(answer, str):
            return str(answer) if str(answer) in self.names and not isinstance(answer, bool) else None
        if answer in self.names:
            return answer
        return self._folded.get(fold(_LEAD.sub("", answer)))

    def mentioned(self, text: str) -> list[str]:
        """The labels that stand in the text as whole words and are not negated, each once."""
        if self._inside is None:
            return []
        folded = fold_keeping_words(text)
        found = (m for m in self._inside.finditer(folded) if not _NEGATION.search(folded[: m.start()]))
        names = (self._folded[match.group()] for match in found)
        return list(dict.fromkeys(name for name in names if name))

    def negated(self, text: str) -> bool:
        """Whether some label stands in the text only to be denied."""
        if self._inside is None:
            return False
        folded = fold_keeping_words(text)
        return any(_NEGATION.search(folded[: m.start()]) for m in self._inside.finditer(folded))


def fold_keeping_words(text: str) -> str:
    """Running text folded as labels are, for looking labels up inside it."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def one_label(text: str, labels: Labels) -> tuple[str, bool]:
    """The label an answer names, and whether it had to be picked out of prose.

    Raises AnswerError where the answer names none of the labels, or more than one.
    """
    answer = visible(text)
    direct = labels.match(answer)
    if direct is not None:
        return direct, False
    for value in _candidates(answer):
        name = labels.match(value)
        if name is not None:
            return name, False
    return _from_prose(answer, labels), True


def _candidates(answer: str) -> Iterable[Any]:
    """The values that the answer's JSON, or its last line, may hold as the label."""
    found, value = loose_json(answer)
    if found:
        inner = _unwrap(value)
        if isinstance(inner, list):
            yield from inner if len(inner) == 1 else ()
        else:
            yield inner
    lines = answer.splitlines()
    if len(lines) > 1:
        yield lines[-1]


def _unwrap(value: Any) -> Any:
    """The label inside ``{"label": ...}``, or an object of one entry."""
    if not isinstance(value, Mapping):
        return value
    lowered = {str(key).casefold(): item for key, item in value.items()}
    for key in ANSWER_KEYS:
        if key in lowered:
            return lowered[key]
    return next(iter(value.values())) if len(value) == 1 else None


def _from_prose(answer: str, labels: Labels) -> str:
    found = labels.mentioned(answer)
    if len(found) == 1 and not labels.negated(answer):
        return found[0]
    if not answer:
        raise AnswerError("the answer was empty", answer=answer)
    shown = answer if len(answer) <= 80 else answer[:77] + "..."
    why = "names several labels" if len(found) > 1 else "is none of the labels"
    raise AnswerError(f"the answer {shown!r} {why}", answer=answer)


def many_labels(text: str, labels: Labels, most: int | None = None) -> tuple[list[str], bool]:
    """The labels an answer names, in the order of the list, and whether some had to be dropped.

    Raises AnswerError where it names things but none that is listed.
    """
    answer = visible(text)
    values = _several(answer)
    names = [labels.match(value) for value in values]
    known = [name for name in labels.names if name in names]
    if values and not known:
        known = labels.mentioned(answer) if not labels.negated(answer) else []
        if not known:
            raise AnswerError(f"the answer {answer[:80]!r} holds none of the labels", answer=answer)
        return known[:most], True
    kept = known[:most]
    return kept, None in names or len(kept) < len(known)


def _several(answer: str) -> list[Any]:
    if fold(answer) in {"none", "no labels", "none of them", "nothing", ""}:
        return []
    found, value = loose_json(answer)
    if found:
        inner = _unwrap(value)
        return inner if isinstance(inner, list) else [] if inner is None else [inner]
    return [part for part in re.split(r"[,;\n|]+", _LEAD.sub("", answer)) if fold(part)]


def loose_json(text: str, objects: Objects | None = None) -> tuple[bool, Any]:
    """Whether the text holds a JSON value, and the last such object or array in it.

    ``objects`` makes an object from its entries as they stand there, instead of a dict.
    """
    text = text.strip()
    for candidate in (text, *reversed(_balanced(text))):
        found, value = _load(candidate, objects)
        if found:
            return True, value
    return False, None


def _load(text: str, objects: Objects | None) -> tuple[bool, Any]:
    if text[:1] not in {"{", "[", '"'}:
        return False, None
    for mended in (text, _mend(text)):
        try:
            return True, json.loads(mended, strict=False, object_pairs_hook=objects)
        except ValueError:
            continue
    return False, None


def _mend(text: str) -> str:
    """JSON with comments, trailing commas, single or typographic quotes, Python's words, made plain."""
    text = _TRAILING_COMMA.sub(r"\1", _LINE_COMMENT.sub("", text))
    text = text.translate({0x201C: '"', 0x201D: '"', 0x201E: '"', 0x00AB: '"', 0x00BB: '"'})
    if '"' not in text:
        text = text.replace("'", '"')
    return re.sub(
        r"\b(None|True|False)\b", lambda m: {"None": "null"}.get(m.group(), m.group().lower()), text
    )


def _balanced(text: str) -> list[str]:
    """The outermost ``{...}`` and ``[...]`` spans, left to right."""
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
