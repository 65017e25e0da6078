"""Label with a second labeller: each row says who labelled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm_magics.core.types import Request, Response
from llm_magics.engine.task import Parsed
from llm_magics.tasks.label.task import Label


@dataclass(frozen=True)
class CascadeLabel(Label):
    """``Label`` with the column ``{output}_by``: the model's name, or the cheap labeller's."""

    model: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (*super().columns, f"{self.output}_by")

    def parse(self, request: Request, response: Response) -> Parsed:
        """The model's label, under its name."""
        return self._signed(super().parse(request, response), self.model)

    def default(self, request: Request) -> Parsed | None:
        """The default label: nobody's."""
        made = super().default(request)
        return None if made is None else self._signed(made, "default")

    def by_proxy(self, label: str, confidence: float, by: str) -> Mapping[str, object]:
        """The values of a row that the cheap labeller takes."""
        return self._signed(Parsed(self._values(label, {label: confidence}, "")), by).values

    def _signed(self, parsed: Parsed, by: str) -> Parsed:
        return replace(parsed, values={**parsed.values, f"{self.output}_by": by})
