"""The options of ``embed``."""

from __future__ import annotations

from typing import ClassVar

from llm_magics.options.option import options_record
from llm_magics.options.run_options import RowOptions


@options_record
class EmbedOptions(RowOptions):
    """What ``embed`` takes."""

    without_flags: ClassVar[frozenset[str]] = frozenset({"rows_per_request"})
