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
_SIGN = re.compile(
    r"(?P<kept>(?<=\w)[+#]+"  # C++, C#, A+
    r"|(?<!\w)[-+](?=\d)"  # -1
    r"|(?<=\b\w)-(?!\w)"  # A-
    r"|(?<![\w\-=])(?:[<>]=?|[\u2264\u2265])\s*(?=\d)"  # <5
    r"|(?<=\d)\s*%)"
    r"|[\W_]"
)
"""Signs that belong to a name, kept, and those that only stand around names or between their words."""
_AROUND = " \t\r\n.,;:!?\"'`*_\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u300c\u300d"
_COMMENT = re.compile(r"(\"(?:\\.|[^\"\\])*\")|(?<![:'])//[^\n]*|/\*.*?\*/|(?<=[\s,])#[^\n]*", re.DOTALL)
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
    """A label as it is compared: width, case, quotes, punctuation and separators don't count.

    Signs that tell names apart do: those of ``C++``, ``C#``, ``A-``, ``-1``, ``<5``, ``50%``.
    """
    return fold_keeping_words(name) or unicodedata.normalize("NFKC", name).casefold().strip()


def fold_keeping_words(text: str) -> str:
    """Running text folded as labels are, for looking labels up inside it."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    return " ".join(_SIGN.sub(_kept, plain).split())


def _kept(match: re.Match[str]) -> str:
    sign = (match["kept"] or "").strip()
    return f" {sign}" if sign[:1] in ("<", ">", "\u2264", "\u2265") else sign or " "


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
        self._inside = re.compile(rf"(?<![\w+\-<>\u2264\u2265])(?:{words})(?![\w+#%-])") if words else None

    def match(self, answer: Any) -> str | None:
        """The listed label that this one value names, or None."""
        if isinstance(answer, float) and answer.is_integer():
            answer = int(answer)
        if answer is None or isinstance(answer, list | Mapping):
            return None
        said = str(answer)
        for exact in (said, said.strip(_AROUND)):
            if exact in self.names:
                return exact
        return self._folded.get(fold(_LEAD.sub("", said)))

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


def one_label(text: str, labels: Labels) -> tuple[str, bool]:
    """The label an answer names, and whether it had to be picked out of prose.

    Raises AnswerError where the answer names none of the labels, or more than one.
    """
    answer = visible(text)
    for value in _candidates(answer):
        name = labels.match(value)
        if name is not None:
            return name, False
    return _from_prose(_told(answer), labels), True


def _candidates(answer: str) -> Iterable[Any]:
    """What may be the label as it stands: the answer, the value in its JSON, its last line."""
    yield answer
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


def _told(answer: str) -> str:
    """Where a label may stand among other words: the value in the answer's JSON, not a reason beside it."""
    found, value = loose_json(answer)
    inner = _unwrap(value) if found else None
    if isinstance(inner, str):
        return inner
    return ", ".join(map(str, inner)) if isinstance(inner, list) else answer


def _unwrap(value: Any) -> Any:
    """The label inside ``{"label": ...}``, or an object of one entry; None where there is none."""
    while isinstance(value, Mapping):
        lowered = {str(key).casefold(): item for key, item in value.items()}
        key = next((key for key in ANSWER_KEYS if key in lowered), None)
        if key is None and len(value) != 1:
            return lowered.get("name")
        value = lowered[key] if key is not None else next(iter(value.values()))
    return value


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
    values, told = _several(answer, labels)
    names = [labels.match(value) for value in values]
    known = [name for name in labels.names if name in names]
    if values and not known:
        known = labels.mentioned(told) if not labels.negated(told) else []
        if not known:
            raise AnswerError(f"the answer {answer[:80]!r} holds none of the labels", answer=answer)
        return known[:most], True
    kept = known[:most]
    return kept, None in names or len(kept) < len(known)


_NOTHING = frozenset({"none", "no labels", "none of them", "nothing", ""})


def _several(answer: str, labels: Labels) -> tuple[list[Any], str]:
    """What may be labels, and the text that they may be part of. Raises AnswerError for another object."""
    if (alone := labels.match(answer)) is not None:
        return [alone], answer
    if fold(answer) in _NOTHING:
        return [], answer
    found, value = loose_json(answer)
    if not found:
        return [part for part in re.split(r"[,;\n|]+", _LEAD.sub("", answer)) if fold(part)], answer
    if isinstance(value, Mapping) and all(isinstance(item, bool) for item in value.values()):
        return [name for name, holds in value.items() if holds], ""  # {"a": true, "b": false}
    inner = _unwrap(value)
    if inner is None and isinstance(value, Mapping) and None not in value.values():
        raise AnswerError(f"the answer {answer[:80]!r} is no list of labels", answer=answer)
    items = inner if isinstance(inner, list) else [] if inner is None else [inner]
    return [_unwrap(item) for item in items], ", ".join(map(str, items))


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
    text = _TRAILING_COMMA.sub(r"\1", _COMMENT.sub(lambda m: m[1] or " ", text))
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
