"""JSON schemas of answers."""

from __future__ import annotations

from typing import Any


def record(**properties: Any) -> dict[str, Any]:
    """An object with exactly these properties, in this order."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def strings(minimum: int = 0, maximum: int | None = None) -> dict[str, Any]:
    """A list of texts."""
    bounds = {"minItems": minimum} | ({"maxItems": maximum} if maximum else {})
    return {"type": "array", "items": {"type": "string"}, **bounds}
