"""The notebook's variables: data by name, results bound to names, similar names in errors."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from llm_magics.core.errors import NotFound, UsageError, closest_matches
from llm_magics.data import frames

_SUBSCRIPT = re.compile(r"(\w+)\[(.+)\]")


@dataclass(frozen=True)
class Namespace:
    """The variables of a magic call.

    ``user`` is the notebook's namespace, ``local`` that of a function the magic runs in (it takes
    precedence). ``hidden`` are IPython's own variables (``In``, ``exit``): found by name, never
    suggested.
    """

    user: MutableMapping[str, Any]
    local: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """Every name a cell can use."""
        return {**self.user, **self.local}

    def data(self, name: str | None, on: str | None = None) -> tuple[Any, str, str | None]:
        """The data that a line names, its variable's name, and the column in ``frame.column``.

        ``frame["column"]`` says the same. Raises UsageError without a name, NotFound with similar names.
        """
        if not name:
            known = self.frames()
            hint = (
                f"Here: {', '.join(known[:8])}" if known else "Assign one first: reviews = pd.read_csv(...)"
            )
            raise UsageError("which data? Name a frame, a Series or a list of texts.", hint=hint)
        variables = self.variables
        if name in variables:
            return variables[name], name, on
        variable, column = self._subscript(name) or name.partition(".")[::2]
        if column and variable in variables:
            return variables[variable], variable, self._column(name, column, on)
        raise self._missing(name, variable)

    def _subscript(self, name: str) -> tuple[str, str] | None:
        """The variable and the column in ``frame["column"]``, whose quotes the line parser has taken off."""
        found = _SUBSCRIPT.fullmatch(name)
        if not found or found[1] not in self.frames():
            return None
        frame, _ = frames.read_partitioned(self.variables[found[1]], found[1])
        return (found[1], found[2]) if found[2] in frame.columns else None

    def _column(self, name: str, column: str, on: str | None) -> str:
        if on is not None and on != column:
            raise UsageError(f"{name} and --on {on} name two columns.", hint="Use one of them.")
        return column

    def _missing(self, name: str, variable: str) -> NotFound:
        if any(mark in name for mark in "[("):
            frame = next((known for known in self.frames() if re.match(rf"{known}\b", name)), "reviews")
            hint = (
                f'A column: {frame} --on "COLUMN"; some rows: {frame} --where "stars <= 2"\n'
                "  Assign anything else to a name in a cell before, and name that."
            )
            return NotFound(f"{name!r} is an expression; data is named, not computed here.", hint=hint)
        said = " or ".join(self._described(hit) for hit in closest_matches(variable, self.frames()))
        here = ", ".join(self._described(hit) for hit in self.frames()[:8])
        hint = f"Did you mean {said}?" if said else f"Data here: {here}" if here else ""
        return NotFound(f"no variable {variable!r} in this notebook.", hint=hint)

    def _described(self, name: str) -> str:
        value = self.variables[name]
        try:
            size = f", {len(value):,} rows"
        except TypeError:
            size = ""
        return f"{name!r} ({type(value).__name__}{size})"

    def frames(self) -> list[str]:
        """Names of variables that hold data."""
        return [name for name in self.names() if _is_frame(self.variables[name])]

    def names(self) -> list[str]:
        """The variables that the user defined."""
        made = user_variables(self.variables, self.hidden)
        return [name for name in made if not name.startswith("_")]

    def variable(self, name: str) -> Any:
        """A variable. Raises NotFound with similar names."""
        variables = self.variables
        if name not in variables:
            raise NotFound.among("variable", name, self.names())
        return variables[name]

    def bind(self, name: str, value: Any) -> None:
        """Set a notebook variable."""
        self.user[name] = value


def user_variables(variables: Mapping[str, Any], hidden: Mapping[str, Any]) -> dict[str, Any]:
    """The variables without IPython's own, unless the user has redefined one."""
    return {k: v for k, v in variables.items() if k not in hidden or hidden[k] is not v}


def _is_frame(value: Any) -> bool:
    kind = type(value)
    if kind.__name__ not in ("DataFrame", "Series", "Table", "ChunkedArray"):
        return isinstance(value, list) and frames.is_data(value)
    return kind.__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "dask", "modin", "cudf")


_TAKEN = frozenset({*dir(builtins), "In", "Out", "display", "exit", "get_ipython", "quit"})
"""Names that every cell relies on."""


def check_result_name(name: str | None) -> str | None:
    """A name that a result can be bound to. Raises UsageError, before anything is spent."""
    if name in _TAKEN:
        raise UsageError(
            f"{name!r} is Python's or IPython's own name; a result would hide it from every cell.",
            hint=f"-o takes any other name, such as {name}_result.",
        )
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise UsageError(
            f"{name!r} can't be a variable's name.", hint="-o takes a Python name such as labelled."
        )
    return name
