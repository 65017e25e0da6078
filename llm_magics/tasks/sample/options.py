"""The options of ``sample``."""

from __future__ import annotations

from typing import Any

from llm_magics.options.option import option, options_record
from llm_magics.options.values import count, level, names


@options_record
class SampleOptions:
    """What ``sample`` takes."""

    data: Any = option("a labelled DataFrame (pandas, polars, pyarrow)", flags="", kw_only=False)
    column: str | None = option(
        "its column of model labels; by default the one that labelling made",
        default=None,
        flags="",
        kw_only=False,
    )
    n: int | None = option(
        "rows to draw (default 200)", default=None, flags="-N --rows", metavar="N", parse=count, kw_only=False
    )
    by: Any = option(
        "equally many rows of each group of these columns", default=None, metavar="COL,COL", parse=names
    )
    lean: bool = option("more rows where the model is unsure", default=False)
    width: float | None = option(
        "as many rows as give intervals of this width", default=None, metavar="W", parse=level
    )
    on: str | None = option("the column of the text", default=None, metavar="COL")
    labels: Any = option("the labels to choose from", default=None, metavar="A,B", parse=names)
    blind: bool = option("the review does not show the model's label", default=False)
    random_state: int = option("seeds the draw (default 0)", default=0, metavar="S", parse=int)
    static: bool = option("the summary without the widget", default=False, python=False)
    into: str | None = option(
        "bind the frame with its sample to this name",
        default=None,
        flags="-o --into",
        metavar="NAME",
        python=False,
    )
    name: str = option("what messages call the data", default="data", flags="")
