"""A cell as a call of a public function: its options, and the same call as Python code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_magics.notebook.cell import Cell
from llm_magics.options.cell import CellInput, Named
from llm_magics.runs.functions import RunFunction
from llm_magics.runs.run import Plan
from llm_magics.tasks.chat.options import read_cell as read_chat
from llm_magics.tasks.chat.plan import chat
from llm_magics.tasks.concepts.options import read_cell as read_concepts
from llm_magics.tasks.embed.plan import embed
from llm_magics.tasks.extract.options import read_cell as read_extract
from llm_magics.tasks.extract.plan import extract
from llm_magics.tasks.generate.options import read_cell as read_generate
from llm_magics.tasks.generate.plan import generate, summarize, translate
from llm_magics.tasks.judge.options import read_cell as read_judge
from llm_magics.tasks.judge.plan import judge
from llm_magics.tasks.label.options import read_cell as read_label
from llm_magics.tasks.label.plan import label

ROW_FUNCTIONS: Mapping[str, RunFunction[Any]] = {
    function.__name__: function for function in (label, generate, extract, summarize, translate, judge, embed)
}
"""The subcommands over the rows of a frame."""

FUNCTIONS: Mapping[str, RunFunction[Any]] = {**ROW_FUNCTIONS, "chat": chat}

READERS: Mapping[str, Callable[[CellInput, Mapping[str, Any]], dict[str, Any]]] = {
    "label": read_label,
    "generate": read_generate,
    "extract": read_extract,
    "judge": read_judge,
    "chat": read_chat,
    "concepts": read_concepts,
}
"""Functions that read what flags alone don't say: the body, names of variables."""

_VARIABLE = re.compile(r"@(\w+)")


@dataclass(frozen=True)
class FunctionCall:
    """A cell as a call: the function's name, its first argument as code, its options.

    ``named`` are the options as code shows them (a notebook variable by its name), ``options`` the record
    that the function's plan is made of.
    """

    function: str
    first: str
    named: Mapping[str, Any]
    options: Any

    def plan(self, cell: Cell) -> Plan:
        """The plan of the call. Raises UsageError, NotFound."""
        return FUNCTIONS[self.function].plan(cell.session, self.options)

    def code(self, result: str) -> str:
        """The same call as Python."""
        given = [f"{name}={value!r}" for name, value in self.named.items()]
        texts = " ".join(str(self.named.get(name)) for name in ("template", "where"))
        if used := dict.fromkeys(_VARIABLE.findall(texts)):
            given.append("variables={" + ", ".join(f"{name!r}: {name}" for name in used) + "}")
        names = f"{self.function}, Choice" if "Choice(" in "".join(given) else self.function
        line = f"{self.function}({', '.join([self.first, *given])})"
        if len(line) > 90:
            inner = "".join(f"    {part},\n" for part in [self.first, *given])
            line = f"{self.function}(\n{inner})"
        return f"from llm_magics import {names}\n\n{result} = {line}"


def function_call(cell: Cell) -> FunctionCall:
    """The function call that a cell stands for. Raises UsageError, NotFound."""
    command = cell.call.command
    assert command.options is not None
    if not command.data:
        named = READERS[command.name](cell, cell.given())
        question = named.pop("question")
        return FunctionCall(
            command.name, repr(question), named, command.options(question=question, **_plain(named))
        )
    data, variable, column = cell.space.data(cell.flags.data, cell.flags.on)
    given = cell.given() | ({"on": column} if column else {})
    named = READERS[command.name](cell, given) if command.name in READERS else given
    more = {"data": data, "name": variable, "variables": cell.space.variables}
    return FunctionCall(command.name, variable, named, command.options(**_plain(named), **more))


def _plain(named: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the values of the variables that code calls by name."""
    plain = {name: value.value if isinstance(value, Named) else value for name, value in named.items()}
    if "parameters" in plain:
        plain["parameters"] = _plain(plain["parameters"])
    return plain
