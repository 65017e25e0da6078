"""The options of ``chat``, and how a cell gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llm_magics.core.errors import UsageError
from llm_magics.options.cell import CellInput
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RunOptions

LAST_THREAD = "last"
"""The conversation that ``--continue`` goes on with."""


@options_record
class ChatOptions(RunOptions):
    """What ``chat`` takes."""

    without_flags: ClassVar[frozenset[str]] = frozenset(
        {"random_state", "inplace", "output", "too_long", "room", "rows_per_request"}
    )

    question: str | None = option("what to ask", default=None, flags="", kw_only=False)
    context: Any = option(
        "show the model this frame's columns and rows",
        default=None,
        metavar="NAME[:ROWS]",
        repeat=True,
        python=False,
    )
    go_on: bool = option("go on with the last conversation", default=False, flags="--continue", python=False)
    thread: str | None = option("go on with the conversation of this name", default=None, metavar="NAME")
    system: str = option(
        "system message: a text, in a cell also a notebook variable", default="", metavar="NAME|TEXT"
    )


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a ``chat`` cell: ``given`` by its flags, the question by its body."""
    flags, read = cell.flags, dict(given)
    context = [_described(cell, text) for text in flags.context or []]
    read["question"] = "\n\n".join([*context, cell.body.strip()]) if cell.body else None
    if flags.go_on and not flags.thread:
        read["thread"] = LAST_THREAD
    if flags.system:
        read["system"] = cell.text(flags.system)
    return read


def _described(cell: CellInput, text: str) -> str:
    """A frame's columns and first rows as text for the model: only what was asked for."""
    from llm_magics.data import frames

    name, _, rows = text.partition(":")
    data, variable, _ = cell.space.data(name)
    frame, _ = frames.read(data, variable)
    if rows and not rows.isdecimal():
        raise UsageError(f"--context {text!r} can't be read.", hint="--context NAME or --context NAME:ROWS")
    return frames.describe_frame(frame, int(rows or 0))
