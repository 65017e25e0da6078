"""One magic call: where it runs and what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_magics.api.session import Session
from llm_magics.arguments import Call
from llm_magics.notebook.namespace import Namespace

_COMMON = (
    *("on", "where", "head", "sample", "random_state", "output", "model", "max_cost", "yes", "concurrency"),
    *("rpm", "tpm", "retries", "on_error", "too_long", "room", "refresh", "background", "inplace", "dry_run"),
)
_DEFAULTS = {
    "random_state": 0,
    "yes": False,
    "refresh": False,
    "background": False,
    "inplace": False,
    "dry_run": False,
}


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
        name = given.get("prompt_formatting_fn")
        if isinstance(name, str):
            given["prompt_formatting_fn"] = self.space.variables.get(name, name)
        return given

    def text(self, given: str | None) -> str:
        """A flag's text, or the notebook variable of that name."""
        value = self.space.variables.get(given or "")
        return value if isinstance(value, str) else given or ""
