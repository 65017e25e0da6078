"""The options of ``judge``, and how a cell gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.options.cell import CellInput
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RowOptions
from llm_magics.options.values import scale


@options_record
class JudgeOptions(RowOptions):
    """What ``judge`` takes."""

    criteria: str = option("what to judge by", default="", flags="", kw_only=False)
    columns: Sequence[str] = option(
        "one column of texts is rated; several, or one of lists, are compared in pairs both ways round",
        default=(),
        flags="",
    )
    context: str | None = option("a column shown beside the text", default=None, metavar="COL")
    scale: tuple[int, int] = option(
        "the scale of ratings (default 1-5)", default=(1, 5), metavar="LOW-HIGH", parse=scale
    )


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a ``judge`` cell: ``given`` by its flags, the criteria by its body."""
    read = {"criteria": cell.body.strip(), **given}
    if "," in (read.get("on") or ""):
        read["columns"] = [name.strip() for name in read.pop("on").split(",") if name.strip()]
    return read
