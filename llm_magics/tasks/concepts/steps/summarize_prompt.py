"""Summarize: what the texts that show a concept say, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, one_line
from llm_magics.text.fields import record


@dataclass(frozen=True)
class SummarizeConcept(Structured):
    """A summary of ``length`` words of a concept's quotes, in the column ``summary``.

    A row has ``quotes`` (lines), ``name`` and ``criterion``.
    """

    length: str = "15-20"
    name: ClassVar[str] = "summarize_concept"
    role: ClassVar[str] = "concepts.synthesize"
    columns: ClassVar[tuple[str, ...]] = ("summary",)
    FIELDS: ClassVar[tuple[str, ...]] = ("quotes", "name", "criterion")
    REQUIRED: ClassVar[tuple[str, ...]] = ("quotes",)
    WORDING: ClassVar[str] = (
        "These lines are from texts that share one pattern: {name} ({criterion})\n"
        "Say in {length} words what they have to say about it, in the tone of their authors.\n"
        'Answer {"summary": "..."}.\n\n<text>\n{quotes}\n</text>'
    )

    def settings(self) -> Mapping[str, Any]:
        """The length, for custom wordings too."""
        return {"length": self.length}

    def schema(self) -> dict[str, Any]:
        """One text."""
        return record(summary={"type": "string"})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The summary on one line."""
        summary = one_line(answer.get("summary"), 600)
        if not summary:
            raise AnswerError("there is no summary", answer=str(answer)[:200])
        return {"summary": summary}
