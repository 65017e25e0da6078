"""A pydantic model as fields, by its JSON schema; the model's own class does the checking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.text.fields import Field

_KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_FORMATS = {"date": "date", "date-time": "datetime"}


def is_model(given: Any) -> bool:
    """Whether this is a pydantic model class."""
    return isinstance(given, type) and hasattr(given, "model_validate") and hasattr(given, "model_fields")


def model_fields(model: Any) -> tuple[Field, ...]:
    """The model's fields in order, by the names that its JSON has (aliases, where it has some)."""
    schema = model.model_json_schema()
    return _fields(schema, schema.get("$defs", {}))


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
