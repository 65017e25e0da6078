"""JSON schemas in the form that strict servers take; typed fields as a schema, and as lines of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.text.fields import Field


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
