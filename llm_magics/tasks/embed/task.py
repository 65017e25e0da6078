"""Embed: a row's text becomes a vector."""

from __future__ import annotations

from dataclasses import dataclass

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Message, Request, Response, Vector
from llm_magics.data.templates import cell_text
from llm_magics.engine.task import Parsed, Row, Target


@dataclass(frozen=True)
class Embed:
    """The embedding of ``column`` as a float32 array in ``output``; blank rows are skipped."""

    column: str
    output: str = "embedding"
    dimensions: int | None = None
    name: str = "embed"
    role: str = "embed"

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (self.output,)

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """The text in full, as the only message."""
        text = cell_text(row[self.column])
        if not text.strip():
            return None
        return target.request((Message("user", text),), text, Vector(self.dimensions), sample)

    def parse(self, request: Request, response: Response) -> Parsed:
        """The vector."""
        if response.vector is None:
            raise AnswerError("the backend gave no vector")
        return Parsed({self.output: response.vector})

    def reask(self, request: Request, response: Response, error: AnswerError) -> Request | None:
        """A vector is not argued about."""
        return None

    def default(self, request: Request) -> Parsed | None:
        """There is no default vector."""
        return None
