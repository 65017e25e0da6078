"""A pydantic model as fields, by its JSON schema; the model's own class does the checking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.text.fields import Field
from llm_magics.text.records import Record, quote_value

_KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_FORMATS = {"date": "date", "date-time": "datetime"}


def is_model(given: Any) -> bool:
    """Whether this is a pydantic model class."""
    return isinstance(given, type) and hasattr(given, "model_validate") and hasattr(given, "model_fields")


def model_fields(model: Any) -> tuple[Field, ...]:
    """The model's fields in order, by the names that its JSON has (aliases, where it has some)."""
    schema = model.model_json_schema()
    return _fields(schema, schema.get("$defs", {}))


def check(model: Any, value: Mapping[str, Any], repaired: bool = False) -> Record:
    """The values by field name after the model's validation, and what it says of those it refuses.

    A refused value is null, or the field's default. Raises pydantic's ValidationError, which is a
    ValueError, where no value is left, or where the model as a whole refuses the others.
    """
    from pydantic import ValidationError

    try:
        return Record(checked(model, value), repaired)
    except ValidationError as error:
        bad = _fields_at_fault(model, error)
        record = Record(checked(*_without(model, value, bad)), True, tuple(describe_faults(error)))
        if not bad or record.is_empty:
            raise
        return record


def describe_faults(error: Any) -> list[str]:
    """What pydantic's ValidationError says: field, refused value and reason, without links and types."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'the answer'} is {quote_value(fault['input'])}: {fault['msg']}"
        if fault["type"] != "missing"
        else f"{'.'.join(map(str, fault['loc']))} is missing"
        for fault in error.errors()
    ]


def _fields_at_fault(model: Any, error: Any) -> set[str]:
    """The names of the model's fields that an error is about; none where it is about the whole."""
    named = {str(fault["loc"][0]) if fault["loc"] else "" for fault in error.errors()}
    aliases = zip(model.model_fields, model_fields(model), strict=True)
    bad = {name for name, field in aliases if {name, field.name} & named}
    return bad if "" not in named else set()


def _without(model: Any, value: Mapping[str, Any], bad: set[str]) -> tuple[Any, dict[str, Any]]:
    """The model with these fields null, or at their default, and the value without them."""
    from pydantic import create_model

    names = {name: field.name for name, field in zip(model.model_fields, model_fields(model), strict=True)}
    loose: dict[str, Any] = {}
    for name in bad:
        known = model.model_fields[name]
        default = None if known.is_required() else known.get_default(call_default_factory=True)
        loose[name] = (Any, default)
    rest = {key: part for key, part in value.items() if key not in bad | {names[name] for name in bad}}
    return create_model(model.__name__, __base__=model, **loose), rest


def checked(model: Any, value: Any) -> dict[str, Any]:
    """The values by field name, after the model's validation: dates as dates, the rest as plain data.

    Raises pydantic's ValidationError, which is a ValueError.
    """
    made = model.model_validate(value)
    typed, plain = made.model_dump(), made.model_dump(mode="json")
    dates = {"date", "datetime"}
    fields = zip(model.model_fields, model_fields(model), strict=True)
    return {name: (typed if field.kind in dates else plain)[name] for name, field in fields}


def _fields(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Field, ...]:
    needed = set(schema.get("required", ()))
    properties: Mapping[str, Any] = schema.get("properties", {})
    return tuple(_field(name, part, known, name in needed) for name, part in properties.items())


def _field(name: str, part: Mapping[str, Any], known: Mapping[str, Any], needed: bool) -> Field:
    """A property as a field; what our fields have no kind for is text."""
    about = str(part.get("description") or "")
    meant, nullable = _meant(part, known)
    about = about or str(meant.get("description") or "")
    more: dict[str, Any] = {"description": about, "required": needed and not nullable}
    options = tuple(str(option) for option in meant.get("enum", ()) if option is not None)
    if len(options) > 1:
        return Field(name, "one of", options=options, **more)
    kind = str(meant.get("type", ""))
    if kind == "array":
        return Field(name, "list", item=_field("item", meant.get("items", {}), known, needed=True), **more)
    if kind == "object" and "properties" in meant:
        return Field(name, "object", fields=_fields(meant, known), **more)
    return Field(name, _FORMATS.get(str(meant.get("format")), _KINDS.get(kind, "str")), **more)


def _meant(part: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """What a property is, its references followed, and whether it may be null."""
    if "$ref" in part:
        return known.get(str(part["$ref"]).rpartition("/")[2], {}), False
    ways = [way for way in part.get("anyOf", ()) if way.get("type") != "null"]
    if "anyOf" not in part:
        return part, False
    nullable = len(ways) < len(part["anyOf"])
    return (_meant(ways[0], known)[0] if len(ways) == 1 else {}), nullable
