"""One magic call: where it runs and what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import NotFound
from llm_magics.notebook.namespace import Namespace
from llm_magics.options.commands import Call
from llm_magics.runs.session import Session

_COMMON = (
    *("on", "where", "head", "sample", "random_state", "output", "model", "max_cost", "yes", "concurrency"),
    *("rpm", "tpm", "retries", "on_error", "too_long", "room", "rows_per_request"),
    *("refresh", "background", "inplace", "dry_run"),
)
_DEFAULTS = {
    "random_state": 0,
    "yes": False,
    "refresh": False,
    "background": False,
    "inplace": False,
    "dry_run": False,
}


_FUNCTION = "prompt_formatting_fn"


@dataclass(frozen=True)
class Named:
    """A notebook variable's value that code calls by its name."""

    name: str
    value: Any

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Cell:
    """One magic call: where it runs, what was typed."""

    session: Session
    space: Namespace
    call: Call
    line: str

    @property
    def flags(self) -> Any:
        """The parsed line."""
        return self.call.values

    def common(self) -> dict[str, Any]:
        """The flags that every run takes, only those that were given."""
        given = {name: getattr(self.flags, name, None) for name in _COMMON}
        options = {k: v for k, v in given.items() if v is not None and v != _DEFAULTS.get(k)}
        if self.call.parameters:
            options["parameters"] = self._parameters()
        if getattr(self.flags, "no_store", False):
            options["store"] = False
        if getattr(self.flags, "quiet", False):
            options["progress"] = False
        return options

    def _parameters(self) -> dict[str, Any]:
        """The ``-p`` values; a formatting function is named by its variable in the notebook."""
        given = dict(self.call.parameters)
        if _FUNCTION in given:
            given[_FUNCTION] = self._function(str(given[_FUNCTION]))
        return given

    def _function(self, name: str) -> Any:
        found = self.space.variables.get(name)
        if not callable(found):
            known = [n for n in self.space.names() if callable(self.space.variables[n])]
            raise NotFound.among("function of this notebook", name, known)
        return found

    def in_code(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """``options`` as code says them: the formatting function by its name."""
        typed = self.call.parameters.get(_FUNCTION)
        if typed is None:
            return dict(options)
        given = options["parameters"]
        return {**options, "parameters": {**given, _FUNCTION: Named(str(typed), given[_FUNCTION])}}

    def text(self, given: str | None) -> str:
        """A flag's text, or the notebook variable of that name."""
        value = self.space.variables.get(given or "")
        return value if isinstance(value, str) else given or ""
