"""Cells over rows: what was typed as a plan, and the same as Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Choice
from llm_magics.data import frames
from llm_magics.notebook.cell import Cell, Named
from llm_magics.runs.run import Plan
from llm_magics.tasks.embed.plan import plan_embed
from llm_magics.tasks.extract.plan import plan_extract
from llm_magics.tasks.generate.plan import plan_generate
from llm_magics.tasks.generate.presets import plan_summarize, plan_translate
from llm_magics.tasks.judge.plan import plan_judge
from llm_magics.tasks.label.choices import distinct, parse_choices
from llm_magics.tasks.label.few_shot import ExamplesFrom
from llm_magics.tasks.label.plan import plan_label

_AT = re.compile(r"@(\w+)")


@dataclass(frozen=True)
class Asked:
    """A subcommand made ready: the api function's name, the data, its keyword arguments, its plan."""

    function: str
    data: Any
    variable: str
    arguments: Mapping[str, Any]
    plan: Plan

    def code(self, into: str | None) -> str:
        """The same call as Python."""
        said = [f"{name}={value!r}" for name, value in self.arguments.items()]
        used = dict.fromkeys(_AT.findall(" ".join(str(self.arguments.get(k)) for k in ("template", "where"))))
        if used:
            said.append("variables={" + ", ".join(f"{name!r}: {name}" for name in used) + "}")
        names = f"{self.function}, Choice" if "Choice(" in "".join(said) else self.function
        line = f"{self.function}({', '.join([self.variable, *said])})"
        if len(line) > 90:
            inner = "".join(f"    {part},\n" for part in [self.variable, *said])
            line = f"{self.function}(\n{inner})"
        return f"from llm_magics import {names}\n\n{into or 'result'} = {line}"


def _asked(cell: Cell, function: str, build: Callable[..., Plan], own: Mapping[str, Any]) -> Asked:
    """Resolve the data, make the plan."""
    data, variable, column = cell.space.data(cell.flags.data, cell.flags.on)
    arguments = {**own, **cell.common()} | ({"on": column} if column else {})
    extra = {"name": variable, "variables": cell.space.variables}
    meant = {name: value.value if isinstance(value, Named) else value for name, value in arguments.items()}
    plan = build(cell.session, data, **meant, **extra)
    return Asked(function, data, variable, cell.in_code(arguments), plan)


def _label(cell: Cell) -> Asked:
    return _asked(cell, "label", plan_label, _label_arguments(cell))


_LABEL_FLAGS = (
    *("multi", "max_labels", "none", "default", "explain", "scores", "wide", "truth"),
    *("k", "dynamic", "votes", "calibrate", "agree", "sure", "cheap", "propose"),
)


def _label_arguments(cell: Cell) -> dict[str, Any]:
    flags, body = cell.flags, cell.call.body
    own: dict[str, Any] = dict(_labels_given(cell, body))
    for name in _LABEL_FLAGS:
        value = getattr(flags, name)
        if value:
            own[name] = value
    if flags.explain and flags.explain_after:
        raise UsageError("--explain and --explain-after don't go together.", hint="Use one of them.")
    if flags.explain_after:
        own["explain"] = "after"
    if flags.examples:
        own["examples"] = _examples(cell, flags.examples)
    return own


def _examples(cell: Cell, text: str) -> ExamplesFrom:
    """``FRAME:text,label`` as the frame and its two columns."""
    name, _, columns = text.partition(":")
    pair = [column.strip() for column in columns.split(",")]
    if len(pair) != 2 or not all(pair):
        raise UsageError(
            f"--examples {text!r} can't be read.", hint="--examples FRAME:TEXT_COLUMN,LABEL_COLUMN"
        )
    data, variable, _ = cell.space.data(name)
    return ExamplesFrom(data, pair[0], pair[1], variable)


def _labels_given(cell: Cell, body: str | None) -> dict[str, Any]:
    """Labels from exactly one of body, ``--labels`` and ``--labels-from``."""
    flags = cell.flags
    ways = [bool(body and body.strip()), flags.labels is not None, flags.labels_from is not None]
    if sum(ways) > 1:
        raise UsageError("labels were given more than once.", hint="Use the body, --labels or --labels-from.")
    if flags.labels is not None:
        _refuse_variable(cell, flags.labels)
        return {"labels": flags.labels}
    if flags.labels_from is None:
        return {"labels": _plain(parse_choices(body))} if body and ways[0] else {}
    return _labels_from(cell, flags.labels_from)


def _refuse_variable(cell: Cell, labels: list[str]) -> None:
    """One name that is a variable's, or a column's, is no label. Raises UsageError."""
    if len(labels) == 1 and labels[0] in (*cell.space.names(), *_columns(cell)):
        raise UsageError(
            f"--labels takes the labels themselves, and {labels[0]!r} holds some.",
            hint=f"Type --labels-from {labels[0]}",
        )


def _columns(cell: Cell) -> list[str]:
    data, variable, _ = cell.space.data(cell.flags.data, cell.flags.on)
    return frames.read_parts(data, variable)[0].columns


def _labels_from(cell: Cell, name: str) -> dict[str, Any]:
    """A column of the data, else a variable: a list, a mapping, a set, a Series.

    Raises NotFound where it is neither, UsageError for another kind of variable.
    """
    columns, variables = _columns(cell), cell.space.variables
    if name in columns:
        return {"labels_from": name}
    if name not in variables:
        raise NotFound.among("column or variable", name, [*columns, *cell.space.frames()])
    value = variables[name]
    if isinstance(value, list | tuple | Mapping):
        return {"labels": value}
    if isinstance(value, set | frozenset):
        return {"labels": sorted(map(str, value))}
    frame, column = frames.read(value, name)
    if frame.own or column is None:
        raise UsageError(
            f"{name} is a whole frame.", hint=f"Labels from one column of it: {name}_labels = {name}[...]"
        )
    return {"labels": distinct(frame.values(column))}


def _plain(found: tuple[Choice, ...]) -> Any:
    """Choices as the simplest thing that says the same in code."""
    if any(choice.examples or choice.counterexamples for choice in found):
        return list(found)
    if any(choice.description for choice in found):
        return {choice.name: choice.description for choice in found}
    return [choice.name for choice in found]


def _generate(cell: Cell) -> Asked:
    flags = cell.flags
    own: dict[str, Any] = {"template": cell.call.body}
    if flags.num_generations != 1:
        own["num_generations"] = flags.num_generations
    if flags.long:
        own["long"] = True
    if flags.system:
        own["system"] = cell.text(flags.system)
    if flags.stop:
        flags.parameters = [*(flags.parameters or []), ("stop", flags.stop)]
    return _asked(cell, "generate", plan_generate, own)


def _embed(cell: Cell) -> Asked:
    return _asked(cell, "embed", plan_embed, {})


def _extract(cell: Cell) -> Asked:
    flags, body = cell.flags, cell.call.body
    own: dict[str, Any] = {name: True for name in ("many", "spans") if getattr(flags, name)}
    if flags.schema is None:
        return _asked(cell, "extract", plan_extract, {"fields": (body or "").strip(), **own})
    if body and body.strip():
        own["guidance"] = body.strip()
    model = Named(flags.schema, cell.space.variable(flags.schema))
    return _asked(cell, "extract", plan_extract, {"fields": model, **own})


def _summarize(cell: Cell) -> Asked:
    own = {name: value for name in ("max_words", "focus") if (value := getattr(cell.flags, name))}
    return _asked(cell, "summarize", plan_summarize, own)


def _translate(cell: Cell) -> Asked:
    return _asked(cell, "translate", plan_translate, {"to": cell.flags.to})


def _judge(cell: Cell) -> Asked:
    flags = cell.flags
    own: dict[str, Any] = {"criteria": (cell.call.body or "").strip()}
    if flags.on and "," in flags.on:
        own["columns"] = [name.strip() for name in flags.on.split(",") if name.strip()]
        flags.on = None
    if flags.context:
        own["context"] = flags.context
    if flags.scale:
        own["scale"] = flags.scale
    return _asked(cell, "judge", plan_judge, own)


ROW_TASKS: dict[str, Callable[[Cell], Asked]] = {
    "label": _label,
    "generate": _generate,
    "extract": _extract,
    "summarize": _summarize,
    "translate": _translate,
    "judge": _judge,
    "embed": _embed,
}
