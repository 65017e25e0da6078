"""Typed fields of ``extract``: parsed from a body, as a JSON schema, and as values from a model's JSON.

The package jsonschema is not used because it only accepts or rejects: here "5 EUR" becomes 5.0, texts
become dates, and one value that can't be read leaves the others as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from llm_magics.core.errors import UsageError, closest_matches
from llm_magics.text.json_objects import decode, find_object, match_keys
from llm_magics.text.label_names import Labels
from llm_magics.text.scalars import NO_TEXT, NO_VALUE, read_boolean, read_moment, read_number

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


# -- fields as a JSON schema and in a prompt


def fields_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """Return the JSON schema of an object with exactly these fields, in the form for strict servers."""
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def _field_schema(field: Field) -> dict[str, Any]:
    if field.kind == "list":
        assert field.item is not None
        made: dict[str, Any] = {"type": "array", "items": _field_schema(replace(field.item, required=True))}
    elif field.kind == "object":
        made = fields_schema(field.fields)
    elif field.kind == "one of":
        made = {"type": "string", "enum": list(field.options)}
    else:
        made = {"type": _JSON_TYPES.get(field.kind, "string")}
    if field.description:
        made["description"] = field.description
    return made if field.required or field.kind == "list" else _nullable(made)


_JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **more}


def describe_fields(fields: Sequence[Field], depth: int = 0) -> Iterator[str]:
    """Yield the fields as lines of a prompt; ``depth`` is their indentation."""
    for field in fields:
        about = f": {field.description}" if field.description else ""
        yield f"{'  ' * depth}- {field.name} ({_describe_type(field)}){about}"
        yield from describe_fields(_inner_fields(field), depth + 1)


def _inner_fields(field: Field) -> tuple[Field, ...]:
    return field.fields or (() if field.item is None else _inner_fields(field.item))


def _describe_type(field: Field) -> str:
    if field.kind == "list":
        assert field.item is not None
        return f"list of {_describe_type(replace(field.item, required=True))}"
    shown = {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true or false",
        "date": "date, YYYY-MM-DD",
        "datetime": "date and time, ISO 8601",
        "one of": f"one of {', '.join(field.options)}",
    }.get(field.kind, field.kind)
    return shown if field.required else f"{shown}, or null"


# -- a model's JSON as typed values


class Record(NamedTuple):
    """The values of an answer by field name.

    ``problems`` names each value that could not be read, which is null (in a list: left out).
    """

    values: dict[str, Any]
    repaired: bool = False
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no value is left."""
        return all(value is None or value == [] for value in self.values.values())


def read_record(fields: Sequence[Field], *values: Any) -> Record:
    """Return the values by field name of the first of ``values`` that has a field.

    Unknown keys are dropped. Raises ValueError where no field asked for is there, or no value that is
    there can be read; the message names the fields.
    """
    found, repaired = find_object([field.name for field in fields], values)
    problems: list[str] = []
    made, changed = _record(fields, found, "", problems)
    record = Record(made, repaired or changed or bool(problems), tuple(problems))
    if problems and record.is_empty:
        raise ValueError("; ".join(problems[:5]))
    return record


def _record(
    fields: Sequence[Field], found: Mapping[str, Any], path: str, problems: list[str]
) -> tuple[dict[str, Any], bool]:
    made: dict[str, Any] = {}
    repaired = False
    for field in fields:
        at = f"{path}.{field.name}" if path else field.name
        made[field.name], changed = read_value(field, found.get(field.name), at, problems)
        repaired = repaired or changed or (field.name not in found and field.kind != "list")
    return made, repaired


def read_value(field: Field, value: Any, path: str, problems: list[str]) -> tuple[Any, bool]:
    """Return a value in the field's type, and whether it was converted.

    A value that can't be read is null, and ``problems`` gets a sentence with its ``path`` and the value.
    """
    if field.kind == "list":
        return _list(field, value, path, problems)
    if _is_absent(field, value):
        if field.required:
            problems.append(f"{path} is missing")
        return None, value is not None
    if field.kind == "object":
        return _object(field, value, path, problems)
    try:
        return _READERS[field.kind](field, value, path)
    except ValueError as error:
        problems.append(str(error))
        return None, True


def _is_absent(field: Field, value: Any) -> bool:
    if not isinstance(value, str):
        return value is None or (field.kind == "object" and value == {})
    folded = value.strip().casefold()
    if field.kind == "one of" and Labels(field.options).match(value):
        return False
    return folded in (NO_TEXT if field.kind == "str" else NO_VALUE)


def _object(field: Field, value: Any, path: str, problems: list[str]) -> tuple[dict[str, Any] | None, bool]:
    value = decode(value)
    if not isinstance(value, Mapping):
        problems.append(f"{path} is {quote_value(value)}, an object was asked for")
        return None, True
    found = match_keys([inner.name for inner in field.fields], value)
    if not found:
        problems.append(f"{path} is {quote_value(dict(value))}, which has none of its fields")
        return None, True
    made, repaired = _record(field.fields, found, path, problems)
    return made, repaired or found != value


def _list(field: Field, value: Any, path: str, problems: list[str]) -> tuple[list[Any], bool]:
    assert field.item is not None
    value = decode(value)
    if value is None or (isinstance(value, str) and value.strip().casefold() in NO_VALUE):
        return [], value is not None
    repaired = not isinstance(value, list | tuple)
    items = [value] if repaired else value
    item = replace(field.item, required=False)
    read = [read_value(item, part, f"{path}[{i}]", problems) for i, part in enumerate(items)]
    kept = [part for part, _ in read if part is not None]
    return kept, repaired or len(kept) < len(read) or any(changed for _, changed in read)


def _text(field: Field, value: Any, path: str) -> tuple[str, bool]:
    if isinstance(value, str):
        return value, False
    if isinstance(value, bool | int | float):
        return str(value), True
    raise ValueError(f"{path} is {quote_value(value)}, a text was asked for")


def quote_value(value: Any) -> str:
    """Return a value as it is quoted in a message, at most 80 characters of it."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _int(field: Field, value: Any, path: str) -> tuple[int, bool]:
    if isinstance(value, int) and not isinstance(value, bool):
        _finite(value, path)
        return value, False
    number = _decimal(value, path)
    if number != int(number):
        raise ValueError(f"{path} is {quote_value(value)}, a whole number was asked for")
    return int(number), True


def _float(field: Field, value: Any, path: str) -> tuple[float, bool]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, path), False
    return float(_decimal(value, path)), True


def _decimal(value: Any, path: str) -> Decimal:
    """Return a number that is no JSON integer, exactly; one that no float can hold is refused."""
    number = read_number(value) if isinstance(value, str) else None
    if isinstance(value, float) and math.isfinite(value):
        number = Decimal(value)
    if number is None or not math.isfinite(float(number)):
        raise ValueError(f"{path} is {quote_value(value)}, a number was asked for")
    return number


def _finite(value: float, path: str) -> float:
    try:
        if math.isfinite(number := float(value)):
            return number
    except OverflowError:  # an integer of 400 digits
        pass
    raise ValueError(f"{path} is {quote_value(value)}, a number was asked for")


def _bool(field: Field, value: Any, path: str) -> tuple[bool, bool]:
    if isinstance(value, bool):
        return value, False
    truth = read_boolean(str(value))
    if truth is None:
        raise ValueError(f"{path} is {quote_value(value)}, true or false was asked for")
    return truth, True


def _date(field: Field, value: Any, path: str) -> tuple[Any, bool]:
    moment = None if isinstance(value, bool | float) else read_moment(str(value))
    if moment is None:
        how = "YYYY-MM-DD" if field.kind == "date" else "ISO 8601"
        raise ValueError(f"{path} is {quote_value(value)}, a date as {how} was asked for")
    return (moment.date() if field.kind == "date" else moment), not _ISO.match(str(value).strip())


_ISO = re.compile(r"\d{4}-\d\d-\d\d")


def _one_of(field: Field, value: Any, path: str) -> tuple[str, bool]:
    name = Labels(field.options).match(value)
    if name is None:
        raise ValueError(f"{path} is {quote_value(value)}, one of {', '.join(field.options)} was asked for")
    return name, name != value


_READERS = {
    "str": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "date": _date,
    "datetime": _date,
    "one of": _one_of,
}


def object_schema(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with exactly these properties, in this order."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def string_list_schema(minimum: int = 0, maximum: int | None = None) -> dict[str, Any]:
    """Return the schema of a list of texts."""
    bounds = {"minItems": minimum} | ({"maxItems": maximum} if maximum else {})
    return {"type": "array", "items": {"type": "string"}, **bounds}
