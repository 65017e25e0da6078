"""One magic call: the session it runs in, the notebook's variables, and what was typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import NotFound
from llm_magics.notebook.commands import Call
from llm_magics.notebook.namespace import Namespace
from llm_magics.options.cell import Named
from llm_magics.options.option import given
from llm_magics.runs.session import Session

_FUNCTION = "prompt_formatting_fn"


@dataclass(frozen=True)
class Cell:
    """One magic call: where it runs, and what was typed."""

    session: Session
    space: Namespace
    call: Call
    line: str

    @property
    def flags(self) -> Any:
        """The parsed line: a value for each option of the subcommand."""
        return self.call.values

    @property
    def body(self) -> str:
        """The cell's body as it was typed; empty where there is none."""
        return self.call.body or ""

    @property
    def live(self) -> bool:
        """Whether the cell may show a live widget: no ``--static``, and ``widgets`` is not set to off."""
        return not (self.flags.static or self.session.config.value("widgets") == "off")

    def given(self) -> dict[str, Any]:
        """The options that the line gives: those that differ from their default, as Python takes them."""
        kind = self.call.command.options
        assert kind is not None
        options = dict(given(kind, vars(self.flags)))
        if self.call.parameters:
            options["parameters"] = self._parameters()
        if self.flags.quiet:
            options["progress"] = False
        return options

    def _parameters(self) -> dict[str, Any]:
        """The ``-p`` values; a formatting function is named by its variable in the notebook."""
        parameters = dict(self.call.parameters)
        if _FUNCTION in parameters:
            name = str(parameters[_FUNCTION])
            parameters[_FUNCTION] = Named(name, self._function(name))
        return parameters

    def _function(self, name: str) -> Any:
        found = self.space.variables.get(name)
        if not callable(found):
            known = [n for n in self.space.names() if callable(self.space.variables[n])]
            raise NotFound.among("function of this notebook", name, known)
        return found

    def text(self, given: str | None) -> str:
        """The text of the notebook variable of that name; where there is none, ``given`` itself."""
        value = self.space.variables.get(given or "")
        return value if isinstance(value, str) else given or ""
