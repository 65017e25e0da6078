"""``%%llm concepts``: what was typed, handed to the pipeline, shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.core.errors import UsageError
from llm_magics.notebook import display
from llm_magics.notebook.namespace import result_name

if TYPE_CHECKING:
    from llm_magics.notebook.cell import Cell
    from llm_magics.tasks.concepts.pipeline import Inquiry

_OWN = ("slice", "max_concepts", "induce_on", "stage", "nearest", "groups")


def run(cell: Cell) -> Any:
    """A ConceptSet, which shows itself as the explorer; a frame for the stages before there are concepts."""
    from llm_magics.tasks.concepts import pipeline

    flags = cell.flags
    into = result_name(flags.into)
    if flags.output or flags.inplace:
        raise UsageError("concepts are no column: --as and --inplace mean nothing here.", hint="Use -o NAME.")
    if flags.show_code:
        return display.Code(_code(cell, into))
    if cell.call.body:
        cell.session.bodies["concepts"] = cell.call.body
    inquiry = _inquiry(cell)
    result = pipeline.run(
        cell.session,
        inquiry,
        cell.common(),  # type: ignore[arg-type]
        done=None if into is None else lambda found: cell.space.bind(into, found),
        footer=False,
    )
    if flags.dry_run or flags.background:
        return result
    return _shown(cell, result)


def estimate(cell: Cell) -> Any:
    """What the steps would send and cost."""
    from llm_magics.tasks.concepts.stages import estimates

    return estimates(_inquiry(cell))


def _arguments(cell: Cell) -> dict[str, Any]:
    flags, body = cell.flags, (cell.call.body or "").strip()
    own = {name: value for name in _OWN if (value := getattr(flags, name)) is not None}
    if flags.seed:
        own["seed_term"] = cell.text(flags.seed)
    if body:
        own["guidance"] = body
    if flags.concepts:
        own["concepts"] = cell.space.variable(flags.concepts)
    if flags.points:
        own["points"] = cell.space.variable(flags.points)
    return {**own, **cell.common()}


def _inquiry(cell: Cell) -> Inquiry:
    from llm_magics.tasks.concepts.pipeline import inquire

    data, variable, column = cell.space.data(cell.flags.data, cell.flags.on)
    extra: Mapping[str, Any] = {"name": variable, "variables": cell.space.variables}
    on = {"on": column} if column else {}
    return inquire(cell.session, data, **{**_arguments(cell), **on, **extra})


def _code(cell: Cell, into: str | None) -> str:
    """The same call as Python; the notebook's variables by their names."""
    _, variable, column = cell.space.data(cell.flags.data, cell.flags.on)
    arguments = cell.in_code(_arguments(cell)) | ({"on": column} if column else {})
    names = {"concepts": cell.flags.concepts, "points": cell.flags.points}
    said = [f"{key}={names.get(key) or repr(value)}" for key, value in arguments.items()]
    call = f"concepts({', '.join([variable, *said])})"
    return f"from llm_magics import concepts\n\n{into or 'themes'} = {call}"


def _shown(cell: Cell, result: Any) -> Any:
    """The explorer, or the form asked for with ``-f``; with ``-q`` nothing."""
    from llm_magics.tasks.concepts.model.concept_set import ConceptSet

    wanted, quiet = cell.flags.format, cell.flags.quiet
    if not isinstance(result, ConceptSet):
        return display.frame(result, None, wanted, quiet=quiet)
    if quiet:
        return None
    if wanted in (None, "widget"):
        off = cell.session.config.value("widgets") == "off"
        result.interactive = wanted == "widget" or not (cell.flags.static or off)
        return result
    if wanted == "text":
        print(repr(result))
        return None
    return display.frame(result.export(), None, wanted, quiet=False)
