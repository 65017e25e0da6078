"""The options of ``agreement``."""

from __future__ import annotations

from typing import Any

from llm_magics.options.option import option, options_record
from llm_magics.options.values import count, level, names


@options_record
class AgreementOptions:
    """What ``agreement`` takes."""

    data: Any = option("a DataFrame (pandas, polars, pyarrow)", flags="", kw_only=False)
    columns: Any = option(
        "two or more columns of labels, one an annotator; nulls where somebody gave none",
        flags="",
        kw_only=False,
    )
    model: str | None = option(
        "the column that a model labelled (default: the one with a status beside it)",
        default=None,
        metavar="COL",
    )
    ordinal: Any = option(
        "the labels have an order: by number, by category, or low,...,high as given",
        default=False,
        metavar="LOW,..,HIGH",
        parse=names,
    )
    resamples: int = option(
        "resampled rows for the intervals (default 1000)", default=1000, metavar="N", parse=count
    )
    confidence: float = option(
        "the level of the intervals (default 0.95)", default=0.95, metavar="P", parse=level
    )
    random_state: int = option("seeds the resampling (default 0)", default=0, metavar="S", parse=int)
    into: str | None = option(
        "bind the result to this name", default=None, flags="-o --into", metavar="NAME", python=False
    )
    name: str = option("what messages call the data", default="data", flags="")
