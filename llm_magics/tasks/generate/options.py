"""The options of ``generate``, ``summarize`` and ``translate``, and how cells give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.options.cell import CellInput
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RowOptions
from llm_magics.options.values import count


@options_record
class GenerateOptions(RowOptions):
    """What ``generate`` takes."""

    template: str | None = option(
        "the prompt: {column} is the row's value, {@name} an entry of variables",
        default=None,
        flags="",
        kw_only=False,
    )
    num_generations: int = option(
        "generations a row (default 1)", default=1, flags="-N --num-generations", metavar="N", parse=count
    )
    long: bool = option("a row per generation", default=False)
    system: str = option(
        "system message: a text, in a cell also a notebook variable", default="", metavar="NAME|TEXT"
    )
    stop: Any = option(
        "stop before this text, repeatable", default=None, metavar="S", repeat=True, python=False
    )


@options_record
class SummarizeOptions(RowOptions):
    """What ``summarize`` takes."""

    max_words: int | None = option("at most N words", default=None, metavar="N", parse=count)
    focus: str = option("what to attend to above all", default="", metavar="TEXT")


@options_record
class TranslateOptions(RowOptions):
    """What ``translate`` takes."""

    to: str | None = option("into which language", default=None, metavar="LANGUAGE", kw_only=False)


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a ``generate`` cell: ``given`` by its flags, the template by its body."""
    read = {"template": cell.body or None, **given}
    if cell.flags.system:
        read["system"] = cell.text(cell.flags.system)
    if cell.flags.stop:
        read["parameters"] = {**(given.get("parameters") or {}), "stop": cell.flags.stop}
    return read
