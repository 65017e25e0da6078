"""``%%llm concepts``: what was typed, handed to the pipeline, shown."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.notebook import display
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.function_call import function_call
from llm_magics.notebook.namespace import result_name


def run(cell: Cell) -> Any:
    """A ConceptSet, which shows itself as the explorer; a frame for the stages before there are concepts."""
    from llm_magics.tasks.concepts import pipeline

    flags = cell.flags
    into = result_name(flags.into)
    if flags.output or flags.inplace:
        raise UsageError("concepts are no column: --as and --inplace mean nothing here.", hint="Use -o NAME.")
    call = function_call(cell)
    if flags.show_code:
        return display.Code(call.code(into or "themes"))
    if cell.body:
        cell.session.bodies["concepts"] = cell.body
    result = pipeline.run(
        cell.session,
        pipeline.inquire(cell.session, call.options),
        call.options,
        done=None if into is None else lambda found: cell.space.bind(into, found),
        footer=False,
    )
    if flags.dry_run or flags.background:
        return result
    return _shown(cell, result)


def estimate(cell: Cell) -> Any:
    """What the steps would send and cost."""
    from llm_magics.tasks.concepts.pipeline import inquire
    from llm_magics.tasks.concepts.stages import estimates

    return estimates(inquire(cell.session, function_call(cell).options))


def _shown(cell: Cell, result: Any) -> Any:
    """The explorer, or the form asked for with ``-f``; with ``-q`` nothing."""
    from llm_magics.tasks.concepts.concept_set import ConceptSet

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
