"""The options of ``extract``, and how a cell gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.options.cell import CellInput, Named
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RowOptions


@options_record
class ExtractOptions(RowOptions):
    """What ``extract`` takes; ``output`` is put before the columns' names."""

    fields: Any = option(
        "'name [type]: description' lines, a mapping name -> type, or a pydantic model class",
        default=None,
        flags="",
        kw_only=False,
    )
    many: bool = option("a row per record that the text holds", default=False)
    spans: bool = option("entities with their places in the text", default=False)
    schema: str | None = option(
        "a pydantic model of the notebook, instead of a body", default=None, metavar="NAME", python=False
    )
    guidance: str = option("what to tell the model beyond the fields", default="", flags="")


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an ``extract`` cell: ``given`` by its flags, the fields by its body or ``--schema``."""
    body, schema = cell.body.strip(), cell.flags.schema
    if schema is None:
        return {"fields": body, **given}
    guidance = {"guidance": body} if body else {}
    return {"fields": Named(schema, cell.space.variable(schema)), **given, **guidance}
