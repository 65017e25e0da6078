"""The ways in which hosts of the OpenAI format take a response format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from llm_magics.core.types import OneOf, Schema

MANY_CHOICES = 500
"""With more choices than this no schema is sent: OpenAI allows 500 enum values in the older models."""

JSON_SCHEMA = "json_schema"
OBJECT_WITH_SCHEMA = "json_object with a schema"
STRUCTURED_OUTPUTS = "structured_outputs"
GRAMMAR = "grammar"
TOOL_CALL = "a forced tool call"
JSON_OBJECT = "json_object"
PLAIN = "plain"

PROBED = (OBJECT_WITH_SCHEMA, STRUCTURED_OUTPUTS, GRAMMAR, TOOL_CALL)
"""The dialects that are tried, in this order, on hosts that ignore or refuse ``json_schema``."""

SIMPLER = {JSON_SCHEMA: JSON_OBJECT, JSON_OBJECT: PLAIN}
"""What a host that refuses a form in words is asked for first: good models need no more."""

RANK = {JSON_SCHEMA: 0, **dict.fromkeys(PROBED, 1), JSON_OBJECT: 2, PLAIN: 3}
"""How little a dialect asks for."""

TOOL = "answer"


def format_fields(form: OneOf | Schema, dialect: str) -> dict[str, Any]:
    """The fields of a request that ask for a format in a dialect; empty where the dialect can't."""
    if isinstance(form, OneOf) and (len(form.choices) > MANY_CHOICES or dialect == JSON_OBJECT):
        return {}
    schema = label_schema(form) if isinstance(form, OneOf) else dict(form.schema)
    name = "label" if isinstance(form, OneOf) else form.name
    if dialect == JSON_SCHEMA:
        return {
            "response_format": json_schema(name, schema, strict=isinstance(form, OneOf) or is_strict(schema))
        }
    if dialect == OBJECT_WITH_SCHEMA:
        return {"response_format": {"type": "json_object", "schema": schema}}
    if dialect == STRUCTURED_OUTPUTS:
        return _structured_outputs(form, schema)
    if dialect == GRAMMAR:
        text = grammar(schema)
        return {"grammar": text} if text else {}
    if dialect == TOOL_CALL:
        function = {"name": TOOL, "description": "Give the answer.", "parameters": schema}
        chosen = {"type": "function", "function": {"name": TOOL}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": chosen}
    return {"response_format": {"type": "json_object"}} if dialect == JSON_OBJECT else {}


def _structured_outputs(form: OneOf | Schema, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of vLLM from 0.11 on and before; each version ignores the other's."""
    if isinstance(form, OneOf) and not form.many:
        names = list(form.names)
        return {"structured_outputs": {"choice": names}, "guided_choice": names}
    return {"structured_outputs": {"json": schema}, "guided_json": schema}


def json_schema(name: str, schema: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """``response_format`` for a JSON schema."""
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)[:64] or "answer"
    return {"type": "json_schema", "json_schema": {"name": clean, "schema": schema, "strict": strict}}


def label_schema(form: OneOf) -> dict[str, Any]:
    """The schema of one name, or of a list of names, inside an object, which the format requires."""
    name: dict[str, Any] = {"type": "string", "enum": list(form.names)}
    if form.many:
        several: dict[str, Any] = {"type": "array", "items": name}
        if form.max_choices:
            several["maxItems"] = form.max_choices
        return _object({"labels": several})
    return _object({"label": name})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def is_strict(schema: Any) -> bool:
    """True where OpenAI's strict mode takes the schema: every object closed, every property required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(
            properties
        ):
            return False
    elif schema.get("type") == "object":
        return False
    return all(is_strict(part) for part in schema.values())


_TERMINALS = {
    "string": r'"\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" [0-9a-fA-F]{4}))* "\"" space',
    "number": r'"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,3})? space',
    "integer": r'"-"? ("0" | [1-9] [0-9]{0,15}) space',
    "boolean": '("true" | "false") space',
    "null": '"null" space',
    "space": r'| " " | "\n" [ \t]{0,20}',
}


class _NoGrammar(Exception):
    """The schema has a part that is not written as a grammar here."""


def grammar(schema: Mapping[str, Any]) -> str:
    """The schema as a grammar in GBNF, llama.cpp's notation; empty for a schema with other parts.

    Objects with all of their properties required, arrays, enums, alternatives (``anyOf``, lists of types),
    references, and the plain types can be written.
    """
    rules = _Rules(schema)
    try:
        root = rules.write(schema)
    except _NoGrammar:
        return ""
    lines = [f"root ::= {root}", *(f"{name} ::= {text}" for name, text in rules.named.items())]
    return "\n".join([*lines, *(f"{name} ::= {text}" for name, text in _TERMINALS.items())])


class _Rules:
    """Writes the rules of one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.named: dict[str, str] = {}

    def write(self, schema: Any) -> str:
        """The right-hand side for a part of the schema."""
        if not isinstance(schema, Mapping):
            raise _NoGrammar
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            return f"({' | '.join(_literal(_json(value)) for value in values)}) space"
        parts = schema.get("anyOf") or schema.get("oneOf")
        kind = schema.get("type")
        if isinstance(kind, list):
            parts = [{**schema, "type": each} for each in kind]
        if parts:
            return f"({' | '.join(map(self.write, parts))})"
        if kind == "object":
            return " ".join(self._object(schema))
        if kind == "array":
            return self._array(schema)
        if kind not in _TERMINALS:
            raise _NoGrammar
        return str(kind)

    def _reference(self, ref: str) -> str:
        name = ref.rpartition("/")[2]
        rule = "def-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
        if rule not in self.named:
            self.named[rule] = ""  # a schema may refer to itself
            self.named[rule] = self.write(self.root.get("$defs", {}).get(name))
        return rule

    def _object(self, schema: Mapping[str, Any]) -> Iterator[str]:
        properties = schema.get("properties") or {}
        if not properties or set(schema.get("required") or ()) != set(properties):
            raise _NoGrammar
        yield '"{" space'
        for number, (name, part) in enumerate(properties.items()):
            comma = '"," space ' if number else ""
            yield f'{comma}{_literal(_json(name))} space ":" space {self.write(part)}'
        yield '"}" space'

    def _array(self, schema: Mapping[str, Any]) -> str:
        item = self.write(schema.get("items"))
        most = schema.get("maxItems")
        if most == 0:
            return '"[" space "]" space'
        more = f"{{0,{most - 1}}}" if isinstance(most, int) else "*"
        return f'"[" space ({item} ("," space {item}){more})? "]" space'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _literal(text: str) -> str:
    """A text as a terminal of the grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
