"""The options of ``measure``."""

from __future__ import annotations

from typing import Any

from llm_magics.options.option import option, options_record
from llm_magics.options.values import level, names


@options_record
class MeasureOptions:
    """What ``measure`` takes."""

    data: Any = option("a labelled DataFrame (pandas, polars, pyarrow)", flags="", kw_only=False)
    column: str | None = option(
        "its column of model labels; by default the one that labelling made",
        default=None,
        flags="",
        kw_only=False,
    )
    truth: str | None = option(
        "the column of gold labels, null where nobody looked (default COL_gold)",
        default=None,
        metavar="COL",
    )
    by: Any = option("a share for each group of these columns", default=None, metavar="COL,COL", parse=names)
    weights: str | None = option(
        "the gold rows' sampling probabilities, or design weights (default COL_design)",
        default=None,
        metavar="COL",
    )
    mean: str | None = option(
        "the mean of this numeric column by label, in place of shares", default=None, metavar="COL"
    )
    confidence: float = option(
        "the level of the intervals (default 0.95)", default=0.95, metavar="P", parse=level
    )
    random: bool = option("the gold rows were drawn at random, whatever they look like", default=False)
    into: str | None = option(
        "bind the result to this name", default=None, flags="-o --into", metavar="NAME", python=False
    )
    name: str = option("what messages call the data", default="data", flags="")
