"""The object that was asked for in a model's JSON: inside an envelope or a list of one, its keys respelt.

``{"answer": {...}}``, ``[{...}]``, JSON inside a string, and ``"Unit Price"`` for ``unit_price`` are read.
An object without any of the keys asked for is not: its values would be guesses.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_magics.text.json_parsing import find_json_values, strip_thinking_and_fences

DEPTH = 4
"""The most envelopes around an answer that are opened."""


def find_object(names: Sequence[str], values: Sequence[Any]) -> tuple[dict[str, Any], bool]:
    """Return what ``names`` have in the first of ``values`` with one of them, and whether it was repaired.

    The names that are not there are left out. It is repaired where it stood in an envelope, had keys in
    another spelling, or had further keys. Raises ValueError where none of the values has a name.
    """
    for value in values:
        found = _object_with(names, value, 0)
        if found is not None:
            return found, found != value
    raise ValueError(_why_not(names, values))


def find_list(key: str, names: Sequence[str], value: Any) -> list[Any]:
    """Return the list under ``key``, in its own spelling or as the only list of an object.

    A list by itself is that list, and one object with one of ``names`` is a list of one. Raises
    ValueError.
    """
    value = decode(value)
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        listed = decode(match_keys([key], value).get(key))
        if isinstance(listed, list):
            return listed
        if match_keys(names, value):
            return [value]
        lists = [inner for part in value.values() if isinstance(inner := decode(part), list)]
        if len(lists) == 1 and (not lists[0] or any(isinstance(item, Mapping) for item in lists[0])):
            return lists[0]
    raise ValueError(f'"{key}" is no list')


def match_keys(names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an object by the asked names; case, spaces and punctuation don't count.

    A name that stands there as written is that one alone. Names that differ in case or punctuation only
    must stand there as written. Different values of two spellings of one name become a list of both,
    which no single field takes.
    """
    folds = Counter(map(_fold, names))
    unique = {_fold(name): name for name in names if folds[_fold(name)] == 1}
    found = {name: given[name] for name in names if name in given}
    respelt: dict[str, list[Any]] = {}
    for key, value in given.items():
        name = unique.get(_fold(str(key)))
        if name is not None and name not in found and value not in respelt.setdefault(name, []):
            respelt[name].append(value)
    for name, values in respelt.items():
        found[name] = values[0] if len(values) == 1 else values
    return found


def decode(value: Any) -> Any:
    """Return the object or list that a string contains as JSON; any other value as it is."""
    if not isinstance(value, str):
        return value
    text = strip_thinking_and_fences(value)
    return next(find_json_values(text), value) if text[:1] in ("{", "[") else value


def _fold(key: str) -> str:
    """Return a key without case, spaces and punctuation: ``unit_price``, ``Unit Price``, ``unitPrice``."""
    plain = unicodedata.normalize("NFKC", key).casefold()
    return "".join(c for c in plain if c.isalnum()) or plain


def _object_with(names: Sequence[str], value: Any, depth: int) -> dict[str, Any] | None:
    """Return the names' values in an object, or in the one object inside it that has some."""
    value = decode(value)
    if isinstance(value, list):
        return _object_with(names, value[0], depth) if len(value) == 1 else None
    if not isinstance(value, Mapping):
        return None
    found = match_keys(names, value)
    if found or depth == DEPTH:
        return found or None
    inside = list(_objects_inside(names, value, depth + 1))
    return inside[0] if len(inside) == 1 else None


def _objects_inside(
    names: Sequence[str], envelope: Mapping[str, Any], depth: int
) -> Iterator[dict[str, Any]]:
    for part in envelope.values():
        found = _object_with(names, part, depth)
        if found is not None:
            yield found


def _why_not(names: Sequence[str], values: Sequence[Any]) -> str:
    """Say what the answer was in place of an object with one of the names."""
    value = decode(values[0]) if values else None
    if isinstance(value, list) and len(value) > 1:
        return f"the answer is a list of {len(value)}, one object was asked for"
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return "the answer is no JSON object"
    keys = ", ".join(repr(str(key)) for key in list(value)[:8]) or "none"
    return f"the answer has none of the keys {', '.join(map(repr, names[:8]))}; its keys: {keys}"
