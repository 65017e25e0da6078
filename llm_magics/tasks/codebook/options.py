"""The options of ``codebook``."""

from __future__ import annotations

from typing import Any

from llm_magics.options.option import option, options_record
from llm_magics.options.values import count


@options_record
class CodebookOptions:
    """What ``%llm codebook`` takes beyond its verb."""

    book: str | None = option(
        "the codebook's name (default: the label column of the last labelling)", default=None, metavar="NAME"
    )
    model: Any = option(
        "the model that proposes new wording (default: the one that labelled)",
        default=None,
        flags="--with",
        metavar="MODEL",
    )
    folds: int = option(
        "parts of the gold rows in turn kept apart to try new wording on (default 5)",
        default=5,
        metavar="N",
        parse=count,
    )
    yes: bool = option("go on although the estimate is high", default=False)
    into: str | None = option(
        "bind the codebook to this name", default=None, flags="-o --into", metavar="NAME", python=False
    )
