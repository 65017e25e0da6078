"""Typed fields of ``extract``, and the syntax in which a cell's body, or a mapping, gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.errors import UsageError, closest_matches

KINDS = ("str", "int", "float", "bool", "date", "datetime", "one of", "object", "list")
_TYPE_ALIASES = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "dict": "object",
    "enum": "one of",
}
SYNTAX_HELP = """One field a line: name [type]: description
  types: str int float bool date datetime, list[...], one of a|b|c, object (its fields indented below it)
  a ! after the type: the field must be there; without it an absent field is null"""
_HEAD = re.compile(r'\s*(?:"(?P<quoted>[^"]+)"|(?P<name>[^\s:"]+))\s*(?P<kind>[^:]*?)\s*(?::(?P<about>.*))?$')


@dataclass(frozen=True)
class Field:
    """One field to extract from a text.

    ``kind`` is one of ``KINDS``; ``item`` is the type of a list's items, ``options`` are the values of
    ``one of``, ``fields`` the fields of an object. A field that is not ``required`` is null where the text
    doesn't mention it; a list is empty then.
    """

    name: str
    kind: str = "str"
    description: str = ""
    item: Field | None = None
    options: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    required: bool = False


def parse_fields(body: str) -> tuple[Field, ...]:
    """Parse the fields of a body, one ``name [type]: description`` per line.

    Blank lines and lines that start with ``#`` are ignored. Raises UsageError with the line number and
    what was expected there.
    """
    lines = [
        (number, line.expandtabs(4))
        for number, line in enumerate(body.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise UsageError("the fields are missing.", hint=SYNTAX_HELP)
    found, rest = _parse_block(lines, _indent(lines[0][1]))
    if rest:
        raise UsageError(f"line {rest[0][0]}: indented less than the first field.", hint=SYNTAX_HELP)
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _parse_block(lines: list[tuple[int, str]], depth: int) -> tuple[tuple[Field, ...], list[tuple[int, str]]]:
    """Parse the fields at one depth with those indented below them; returns them and the remaining lines."""
    found: list[Field] = []
    while lines and _indent(lines[0][1]) >= depth:
        number, line = lines[0]
        if _indent(line) > depth:
            raise UsageError(f"line {number}: indented without an object above it.", hint=SYNTAX_HELP)
        made, lines = _parse_field(number, line), lines[1:]
        if _holds_object(made):
            if not lines or _indent(lines[0][1]) <= depth:
                raise UsageError(
                    f"line {number}: the object {made.name!r} has no fields below it.", hint=SYNTAX_HELP
                )
            inner, lines = _parse_block(lines, _indent(lines[0][1]))
            made = _with_fields(made, inner)
        if any(field.name == made.name for field in found):
            raise UsageError(f"line {number}: the field {made.name!r} stands twice.", hint=SYNTAX_HELP)
        found.append(made)
    return tuple(found), lines


def _holds_object(field: Field) -> bool:
    return field.kind == "object" or (field.item is not None and _holds_object(field.item))


def _with_fields(field: Field, inner: tuple[Field, ...]) -> Field:
    if field.kind == "object":
        return replace(field, fields=inner)
    assert field.item is not None
    return replace(field, item=_with_fields(field.item, inner))


def _parse_field(number: int, line: str) -> Field:
    match = _HEAD.match(line)
    if match is None:
        raise UsageError(f"line {number}: {line.strip()!r} is no field.", hint=SYNTAX_HELP)
    name, kind = match["quoted"] or match["name"], match["kind"].strip()
    if not kind and not match["quoted"] and name[-1:] in ("!", "?"):  # "name!" has no type
        name, kind = name[:-1], name[-1]
    required = kind.endswith("!")
    made = field_of_type(name, kind.rstrip("!?").strip() or "str", number)
    return replace(made, description=(match["about"] or "").strip(), required=required)


def field_of_type(name: str, kind: str, number: int = 1) -> Field:
    """Return a field of the type that ``kind`` spells. Raises UsageError with similar types."""
    folded = _TYPE_ALIASES.get(kind.casefold(), kind.casefold())
    if folded == "list":
        return Field(name, "list", item=Field("item"))
    if folded.startswith("list[") and folded.endswith("]"):
        return Field(name, "list", item=field_of_type("item", kind[5:-1].strip() or "str", number))
    if folded.startswith("one of"):
        return Field(name, "one of", options=_parse_options(kind[6:], number))
    if folded in KINDS and folded != "one of":
        return Field(name, folded)
    close = closest_matches(folded, [*KINDS, *_TYPE_ALIASES], 1)
    suggestion = f"Did you mean {close[0]!r}?\n" if close else ""
    raise UsageError(f"line {number}: no type {kind!r}.", hint=suggestion + SYNTAX_HELP)


def _parse_options(text: str, number: int) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split("|") if part.strip()))
    if len(found) < 2:
        raise UsageError(
            f"line {number}: one of what?", hint=f"tone one of calm|annoyed|angry\n{SYNTAX_HELP}"
        )
    return found


def as_fields(given: Any) -> tuple[Field, ...]:
    """Return fields from a body, from Fields, or from a mapping name -> type (a Python type or a word).

    Raises UsageError for anything else.
    """
    if isinstance(given, str):
        return parse_fields(given)
    if isinstance(given, Mapping):
        return tuple(_from_python(str(name), kind) for name, kind in given.items())
    if isinstance(given, Sequence) and given and all(isinstance(field, Field) for field in given):
        return tuple(given)
    raise UsageError(f"fields were given as a {type(given).__name__}.", hint=SYNTAX_HELP)


def _from_python(name: str, kind: Any) -> Field:
    if isinstance(kind, Field):
        return replace(kind, name=name)
    if isinstance(kind, str):
        return field_of_type(name, kind)
    shown = getattr(kind, "__name__", str(kind)) if isinstance(kind, type) else str(kind)
    return field_of_type(name, shown.removeprefix("typing.").removeprefix("datetime."))
