"""Synthesize: a group of points becomes named concepts with criteria."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.fields import record, strings


@dataclass(frozen=True)
class Synthesize(Structured):
    """Up to ``n_concepts`` patterns in a group, in the column ``concepts``.

    A row's ``points`` are lines ``number: point``; each concept is a mapping with ``name``,
    ``criterion`` and ``examples`` (numbers that stand in the row).
    """

    n_concepts: int = 3
    seed: str = ""
    role: ClassVar[str] = "concepts.synthesize"
    name: ClassVar[str] = "synthesize"
    columns: ClassVar[tuple[str, ...]] = ("concepts",)
    FIELDS: ClassVar[tuple[str, ...]] = ("points",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("points",)
    WORDING: ClassVar[str] = (
        "These numbered points come from different texts.{about}\n"
        "Find the patterns that several of them share: at least one, at most {n_concepts}, no two alike. "
        "For each give a name of two to four words, a criterion (one question about a single text that "
        "can be answered yes or no, understandable without the name), and the numbers of one to three "
        "points that show it best.\n"
        'Answer {"concepts": [{"name": "...", "criterion": "...", "examples": ["1", "2"]}]}.\n\n'
        "<text>\n{points}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """Fields for custom wordings too."""
        about = f" Only patterns that have to do with {self.seed} count." if self.seed else ""
        return {"n_concepts": self.n_concepts, "seed": self.seed, "about": about}

    def schema(self) -> dict[str, Any]:
        """A list of concepts."""
        one = record(name={"type": "string"}, criterion={"type": "string"}, examples=strings())
        return record(concepts={"type": "array", "items": one, "maxItems": self.n_concepts})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The concepts that have a name and a criterion."""
        numbers = {line.partition(":")[0].strip() for line in request.subject.splitlines()}
        found = [_concept(item, numbers) for item in items(answer, "concepts")]
        kept = tuple(concept for concept in found if concept)
        if found and not kept:
            raise AnswerError("no concept has both a name and a criterion", answer=str(answer)[:200])
        if not found and not self.seed:
            raise AnswerError("there is no concept in the list", answer=str(answer)[:200])
        return {"concepts": kept[: self.n_concepts]}


def _concept(item: Any, numbers: set[str]) -> dict[str, Any] | None:
    if not isinstance(item, Mapping):
        return None
    name, criterion = one_line(item.get("name"), 80), one_line(item.get("criterion"))
    given = item.get("examples")
    examples = [str(number).strip() for number in given] if isinstance(given, list) else []
    if not name or not criterion:
        return None
    return {"name": name, "criterion": criterion, "examples": [n for n in examples if n in numbers]}
