"""Typed fields read from a model's JSON.

The package jsonschema is not used because it only accepts or rejects: here "5 EUR" becomes 5.0, texts
become dates, and one value that can't be read leaves the others as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from llm_magics.text.fields import Field
from llm_magics.text.json_objects import decode, find_object, match_keys
from llm_magics.text.label_names import Labels
from llm_magics.text.scalars import NO_TEXT, NO_VALUE, read_boolean, read_moment, read_number


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
