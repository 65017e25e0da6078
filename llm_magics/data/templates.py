"""Prompt templates over a row's columns: one pass of substitution by column name, nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llm_magics.core.errors import NotFound, UsageError, closest_matches

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}")


@dataclass(frozen=True)
class Slot:
    """A place in a template for a row's value."""

    column: str


@dataclass(frozen=True)
class Template:
    """A parsed prompt template; ``parts`` are literal texts and slots, in order."""

    parts: tuple[str | Slot, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template names, each once, in order."""
        return tuple(dict.fromkeys(part.column for part in self.parts if isinstance(part, Slot)))

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the text for one row; a null is empty text. Inserted text is never substituted again."""
        return "".join(part if isinstance(part, str) else cell_text(row[part.column]) for part in self.parts)


_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, which ends a text for many hosts, and halves of surrogate pairs, which UTF-8 can't encode."""


def has_unsendable(value: Any) -> bool:
    """Return whether a cell's text has characters that can't be sent to a host."""
    return isinstance(value, str) and not _is_plain(value) and _UNSENDABLE.search(value) is not None


def _is_plain(text: str) -> bool:
    return text.isascii() and "\x00" not in text


def cell_text(value: Any) -> str:
    """Return a cell as text; a null is the empty text.

    NUL and unpaired surrogates are replaced by U+FFFD: they can't be sent or stored.
    """
    if isinstance(value, str):
        return value if _is_plain(value) else _UNSENDABLE.sub("\ufffd", value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if is_null(value) else str(value)


def is_null(value: Any) -> bool:
    """Return whether a value is missing: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def compile_template(text: str, columns: Collection[str], variables: Mapping[str, Any]) -> Template:
    """Parse a template, once for all rows.

    ``{column}`` or ``{two words}`` is the row's value, ``{@name}`` a notebook variable, read now. ``{{``
    and ``}}`` are literal braces in a template that contains a ``{{``; in any other, and for anything
    else in braces (JSON, code), the text stays as typed.

    Raises NotFound where a bare identifier in braces is no column, or a variable is missing; UsageError where
    a column has a format or the like behind it, as in Python's f-strings (``{price:.2f}``).
    """
    doubled = "{{" in text
    return Template(tuple(_join_literals(_parse_parts(text, doubled, columns, variables))))


def _parse_parts(
    text: str, doubled: bool, columns: Collection[str], variables: Mapping[str, Any]
) -> Iterator[str | Slot]:
    end = 0
    for match in _BRACES.finditer(text):
        yield text[end : match.start()]
        end = match.end()
        token, name = match.group(), match.group(1)
        if name is None:
            yield token[0] if doubled else token
        else:
            yield _parse_slot(token, name.strip(), columns, variables)
    yield text[end:]


def _parse_slot(token: str, name: str, columns: Collection[str], variables: Mapping[str, Any]) -> str | Slot:
    if name in columns:
        return Slot(name)
    if name.startswith("@") and name[1:].isidentifier():
        if name[1:] not in variables:
            raise NotFound.among("variable", name[1:], [k for k in variables if not k.startswith("_")])
        return cell_text(variables[name[1:]])
    if name.isidentifier() or (re.fullmatch(r"\w[\w ]*", name) and closest_matches(name, columns)):
        hint = f"{{column}} is a row's value, {{@{name}}} a variable, {{{{{name}}}}} the braces as typed."
        raise NotFound.among("column", name, columns, hint=hint)
    computed = _COMPUTED.match(name)
    if computed and computed[1] in columns:
        raise UsageError(
            f"{token}: a template fills in values as they are; it computes and formats nothing.",
            hint=f"A column's name alone stands in single braces: {{{computed[1]}}}\n"
            f"Make a column of what is computed. The braces as typed: {{{token}}}",
        )
    return token


_SPECIFICATION = r"[^\w\s]?[+ -]?#?0?\d*[,_]?(?:\.\d+)?[bcdeEfFgGnosxX%]?"
_COMPUTED = re.compile(rf"(\w[\w ]*?)(?:![rsa]|:(?=\S){_SPECIFICATION}|\.\w[\w.()]*|\[\w+\]|\s*\|\s*\w+)$")
"""A name with what ``str.format`` and Jinja write behind it: conversion, format, attribute, index, filter."""


def _join_literals(pieces: Iterator[str | Slot]) -> Iterator[str | Slot]:
    """Yield the parts with adjacent literals joined."""
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        yield piece
        text = ""
    if text:
        yield text


_JINJA = re.compile(r"\{\s*(\w+)\s*\}")
"""A name in the braces of Jinja, of which one pair is read as the other's quotation."""


def require_columns(template: Template, columns: Collection[str]) -> None:
    """Raise UsageError for a template without columns, which would be the same for every row."""
    if not template.columns:
        shown = ", ".join("{" + c + "}" for c in list(columns)[:8])
        typed = "".join(part for part in template.parts if isinstance(part, str))
        meant = next((found for found in _JINJA.findall(typed) if found in columns), None)
        braces = f"A column's name alone stands in single braces: {{{meant}}}\n" if meant else ""
        raise UsageError(
            "the template names no column, so every row would ask the same.",
            hint=f"{braces}Columns: {shown}",
        )
