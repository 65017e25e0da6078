"""The options of ``review``."""

from __future__ import annotations

from typing import Any

from llm_magics.options.option import option, options_record
from llm_magics.options.values import names


@options_record
class ReviewOptions:
    """What ``review`` takes beyond the labels to review."""

    on: str | None = option("the column of the text", default=None, metavar="COL")
    labels: Any = option("the labels to choose from", default=None, metavar="A,B", parse=names)
    second: str | None = option("another person's labels: Cohen's kappa", default=None, metavar="COL")
    cards: bool = option("one text at a time (the default)", default=False, python=False)
    grid: bool = option("ten rows a page, for scanning", default=False, python=False)
    static: bool = option("the summary without the widget", default=False, python=False)
    into: str | None = option(
        "bind the review to this name", default=None, flags="-o --into", metavar="NAME", python=False
    )
