"""What a feature reads of a magic call: the flags, the body, and the notebook's variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Named:
    """A notebook variable's value that code calls by its name."""

    name: str
    value: Any

    def __repr__(self) -> str:
        return self.name


class Variables(Protocol):
    """The notebook's variables."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """Every name a cell can use, with its value."""

    def data(self, name: str | None, on: str | None = None) -> tuple[Any, str, str | None]:
        """The data a line names, its variable's name, and its column. Raises UsageError, NotFound."""

    def variable(self, name: str) -> Any:
        """The value of a variable. Raises NotFound with the near names."""

    def names(self) -> list[str]:
        """The names that the user defined."""

    def frames(self) -> list[str]:
        """The names of variables that hold data."""


class CellInput(Protocol):
    """One magic call, as far as a feature reads it."""

    @property
    def flags(self) -> Any:
        """The values of the line's flags, by the names of the options."""

    @property
    def body(self) -> str:
        """The cell's body as it was typed; empty where there is none."""

    @property
    def space(self) -> Variables:
        """The notebook's variables."""

    def text(self, given: str | None) -> str:
        """The text of the notebook variable of that name; where there is none, ``given`` itself."""
