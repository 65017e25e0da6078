"""Label with each row's own examples: the nearest labelled rows, least similar first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from llm_magics.core.types import Message, Request
from llm_magics.data.templates import text_of
from llm_magics.engine.task import Row, Target
from llm_magics.tasks.label.task import Label


@dataclass(frozen=True)
class NearestLabel(Label):
    """``Label`` whose examples are looked up by the row's text in ``found``.

    ``found`` (text -> examples) is filled before the first row is asked about. ``examples`` stand in
    for a text that is not there, which is how a preview shows the prompt before anything is embedded.
    """

    found: dict[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict, compare=False, repr=False)

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """Ask for the row's label with its own examples."""
        request = super().request(row, target, sample)
        own = self.found.get(text_of(row[self.column]))
        if request is None or own is None:
            return request
        head = Message("system", self.system)
        return replace(request, messages=(head, *self.shots(own), request.messages[-1]))
