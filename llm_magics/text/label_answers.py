"""Parsing of answers as labels: the result is a listed label, or an AnswerError that says why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llm_magics.core.errors import AnswerError
from llm_magics.text import json_parsing, label_prose
from llm_magics.text.label_names import CROSSED_OUT, Labels, fold_name, has_lead, without_lead

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
_SEPARATORS = re.compile(r"[,;\n|\u3001\uff0c\uff1b]+")
_CONJUNCTIONS = re.compile(r"^\s*(?:and|und|et|y|&|\+)\s+|\s+(?:and|und|et|&)\s+", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+")
_CHECKBOX = re.compile(r"^\s*(?:[-*\u2022]\s*)?\[(?P<mark>[ xX\u2713\u2714])\]\s*(?P<name>.+)$")
_YES_OR_NO = re.compile(
    r"^\s*(?:[-*\u2022]\s*)?(?P<name>.+?)\s*[:=]\s*[\"'*]*(?P<holds>yes|no|true|false)\W*$", re.IGNORECASE
)
_CORRECTION = re.compile(
    r"\b(?:wait|actually|however|correction|scratch that|second thought|instead)\b", re.IGNORECASE
)
_NO_LABEL = frozenset(
    {"none", "no labels", "no label", "none of them", "none of the labels", "none of these", "nothing"}
)
_APPLIES = re.compile(r" (?:apply|applies|fits?)$")
_MOST_WORDS = 3
"""The most words that an unknown name in a list of labels may have; it is dropped."""


def parse_label(text: str, labels: Labels) -> tuple[str, bool]:
    """Return the label that an answer names, and whether it was found in prose.

    Raises AnswerError where the answer doesn't clearly name exactly one.
    """
    answer, parts = _answer_parts(text)
    found = {name for part in parts for name in _exact_labels(part, labels)}
    if len(found) == 1:
        return found.pop(), False
    if not found:
        found = {name for part in parts for name in _labels_in_prose(part, labels)}
    if len(found) == 1:
        return found.pop(), True
    raise _unusable_error(answer, labels)


def parse_labels(text: str, labels: Labels, most: int | None = None) -> tuple[list[str], bool]:
    """Return the labels that an answer names, in the order of the list, and whether some were dropped.

    ``most`` is the largest number of labels. Raises AnswerError where the answer is empty, is no list of
    labels, or names no listed one.
    """
    answer, parts = _answer_parts(text)
    if not answer:
        raise _unusable_error(answer, labels)
    read = [_parse_list(part, labels) for part in parts]
    if any(names is None for names, _ in read) or any(names != read[0][0] for names, _ in read):
        raise _unusable_error(answer, labels)
    known, repaired = read[0]
    assert known is not None
    return known[:most], repaired or len(known) > len(known[:most])


def _answer_parts(text: str) -> tuple[str, list[str]]:
    """Return the answer, and the parts of it to parse: its code fences, or the whole."""
    answer = json_parsing.strip_thinking(text)
    fences = json_parsing.fenced_blocks(answer)
    if not fences:
        return answer, [answer]
    lead = json_parsing.text_before_fence(answer).strip().splitlines()
    if lead and label_prose.has_denial(" ".join(lead[-1].split()[-3:])):  # "It is not ```spam```"
        return answer, [" ".join(answer.replace("```", " ").split())]
    return answer, list(dict.fromkeys(fences))


def _unusable_error(answer: str, labels: Labels) -> AnswerError:
    if not answer:
        return AnswerError("the answer was empty", answer=answer)
    shown = answer if len(answer) <= 80 else answer[:77] + "..."
    several = len(label_prose.mentioned_labels(answer, labels)) > 1
    why = "names several labels" if several else "is none of the labels"
    return AnswerError(f"the answer {shown!r} {why}", answer=answer)


# -- one label


def _exact_labels(answer: str, labels: Labels) -> set[str]:
    """Return the labels that the answer consists of: the text itself, the values of its JSON, its lines."""
    name = labels.match(answer)
    if name is not None:
        return {name}
    values = list(json_parsing.find_json_values(answer, _merge_duplicate_keys))
    named = {name for value in values for name in _labels_in_json(value, labels)}
    if named or any(isinstance(value, Mapping) for value in values):
        return named
    return _labels_on_lines(answer, labels)


def _labels_in_json(value: Any, labels: Labels) -> Iterator[str]:
    """Yield the labels in a JSON value: the value itself, that under a known key, keys that are true."""
    flags = value if isinstance(value, Mapping) and value else {None: None}
    if all(isinstance(holds, bool) for holds in flags.values()):
        named = [(labels.match(key), holds) for key, holds in flags.items()]
        if any(name is not None for name, _ in named):
            yield from (name for name, holds in named if name is not None and holds)
            return
    inner = _unwrap(value)
    for item in inner if isinstance(inner, list) else [inner]:
        name = labels.match(_unwrap(item))
        if name is not None:
            yield name


def _labels_on_lines(answer: str, labels: Labels) -> set[str]:
    """Return the labels of ``Label: ...`` lines; else that of the last line, if no line is another label."""
    lines = [line for line in answer.splitlines() if line.strip()]
    led = {labels.match(line) for line in lines if has_lead(line)}
    if led - {None}:
        return {name for name in led if name is not None}
    alone = {name for line in lines if (name := labels.match(_BULLET.sub("", line))) is not None}
    if len(alone) != 1:
        return alone
    return alone if labels.match(lines[-1]) is not None else set()


def _labels_in_prose(answer: str, labels: Labels) -> set[str]:
    """Return the labels that the answer claims in prose, or in a first line with reasons after it."""
    values = list(json_parsing.find_json_values(answer, _merge_duplicate_keys))
    if any(isinstance(value, Mapping) for value in values):
        inner = [_unwrap(value) for value in values]
        return {
            name
            for text in inner
            if isinstance(text, str)
            for name in label_prose.claimed_labels(text, labels)
        }
    first, _, rest = answer.partition("\n")
    name = labels.match(without_lead(first))
    if name is not None and rest.strip() and not _CORRECTION.search(rest) and not CROSSED_OUT.search(rest):
        return {name}
    return set(label_prose.claimed_labels(answer, labels))


def _merge_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; a key with several values gets the list of them."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        made[key] = value if key not in made or made[key] == value else [made[key], value]
    return made


def _unwrap(value: Any) -> Any:
    """Return the value inside ``{"label": ...}`` or an object of one entry; None where there is none."""
    while isinstance(value, Mapping):
        lowered = {str(key).casefold(): item for key, item in value.items()}
        key = next((key for key in ANSWER_KEYS if key in lowered), None)
        if key is None and len(value) != 1:
            return lowered.get("name")
        value = lowered[key] if key is not None else next(iter(value.values()))
    return value


# -- several labels


def _parse_list(answer: str, labels: Labels) -> tuple[list[str] | None, bool]:
    """Return the labels of one answer, None where it is no list of labels, and whether it was repaired."""
    if (alone := labels.match(answer)) is not None:
        return [alone], False
    if _is_nothing(answer, labels):
        return [], False
    if (ticked := _ticked_labels(answer, labels)) is not None:
        return _in_list_order(ticked, labels), False
    values = list(json_parsing.find_json_values(answer, _merge_duplicate_keys))
    if not values or not (isinstance(values[0], Mapping) or values[0] != [] or answer.endswith("]")):
        return _labels_in_words(answer, labels)
    listed = [_labels_in_json_list(value, labels) for value in values]
    if any(one != listed[0] for one in listed):
        return None, False
    names, repaired = listed[0]
    if names is None and not isinstance(values[0], Mapping) and not answer.startswith("["):
        return _labels_in_words(answer, labels)  # "text [1] shows joy"
    return names, repaired


def _is_nothing(answer: str, labels: Labels) -> bool:
    """Return whether the answer says that no label applies."""
    says_none = _APPLIES.sub("", fold_name(answer)) in _NO_LABEL
    return says_none and "?" not in answer and not label_prose.mentioned_labels(answer, labels)


def _ticked_labels(answer: str, labels: Labels) -> list[str] | None:
    """Return the labels with a ticked box, or with "yes" after them; None unless every line has one."""
    lines = [line for line in answer.splitlines() if line.strip()]
    boxes = [_CHECKBOX.match(line) for line in lines]
    flags = [_YES_OR_NO.match(line) for line in lines]
    for found, is_on in ((boxes, lambda m: m["mark"] != " "), (flags, lambda m: m["holds"].lower() in _YES)):
        if found and all(found):
            named = [(labels.match(match["name"]), is_on(match)) for match in found if match]
            if all(name is not None for name, _ in named):
                return [name for name, on in named if name is not None and on]
    return None


_YES = frozenset({"yes", "true"})


def _labels_in_json_list(value: Any, labels: Labels) -> tuple[list[str] | None, bool]:
    """Return the labels of a JSON value: a list, the list in an object, or true and false by label."""
    if isinstance(value, Mapping) and value and all(isinstance(holds, bool) for holds in value.values()):
        value = [name for name, holds in value.items() if holds]  # {"a": true, "b": false}
    inner = _unwrap(value)
    if inner is None and isinstance(value, Mapping) and None not in value.values():
        return None, False
    items = inner if isinstance(inner, list) else [] if inner is None else [inner]
    if len(items) == 1 and isinstance(items[0], str) and _is_nothing(items[0], labels):
        items = []
    return _match_items([_unwrap(item) for item in items], labels)


def _labels_in_words(answer: str, labels: Labels) -> tuple[list[str] | None, bool]:
    """Return the labels of a list in prose, of one line that is such a list, or of a sentence."""
    whole = _match_items(_split_list(without_lead(answer)), labels)
    if whole[0]:
        return whole
    lines = [line for line in answer.splitlines() if line.strip()]
    led = [line for line in lines if has_lead(line)]
    for line in led if len(led) == 1 else [lines[0], lines[-1]] if len(lines) > 1 else []:
        names, _ = _match_items(_split_list(without_lead(line)), labels)
        rest = "\n".join(other for other in lines if other is not line)
        if (
            names
            and not _CORRECTION.search(rest)
            and (line in led or set(label_prose.claimed_labels(rest, labels)) <= set(names))
        ):
            return names, True
    claimed = label_prose.claimed_labels(answer, labels)
    return (_in_list_order(claimed, labels), True) if claimed else (None, False)


def _split_list(text: str) -> list[str]:
    return [_BULLET.sub("", part) for part in _SEPARATORS.split(text) if fold_name(part)]


def _match_items(values: list[Any], labels: Labels) -> tuple[list[str] | None, bool]:
    """Return the labels that these values name, and whether something was left out.

    The labels are None where a value is more than a name, or where no value is a label.
    """
    found, repaired = list[str](), False
    for value in values:
        names = [labels.match(value)]
        if names == [None] and isinstance(value, str):
            names = [labels.match(part) for part in _CONJUNCTIONS.split(value) if part.strip()]
        if None in names:
            text = value if isinstance(value, str) else ""
            if (
                label_prose.mentioned_labels(text, labels)
                or len(text.split()) > _MOST_WORDS
                or label_prose.has_denial(text)
            ):
                claimed = label_prose.claimed_labels(text, labels) if text else []
                if not claimed:
                    return None, False
                names = list(claimed)
            repaired = True
        found += [name for name in names if name is not None]
    return (_in_list_order(found, labels), repaired) if found or not values else (None, False)


def _in_list_order(names: list[str], labels: Labels) -> list[str]:
    return [name for name in labels.names if name in names]
