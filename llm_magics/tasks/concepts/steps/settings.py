"""Settings of concept induction, and its points: the short statements that are distilled from documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_magics.core.types import Result


@dataclass(frozen=True)
class InductionSettings:
    """Settings of concept induction.

    ``seed`` is the topic that steers all steps, ``guidance`` the user's addition to each prompt;
    ``prompts`` are other wordings by step, None to skip one. ``max_concepts`` are kept, found in
    ``groups`` groups (None: as many as there are). A scoring call asks about ``batch`` criteria at once.
    ``nearest`` scores only so many documents a concept, the nearest ones. ``chance`` is the random seed.
    """

    seed: str = ""
    guidance: str = ""
    prompts: Mapping[str, str | None] = field(default_factory=dict)
    max_concepts: int = 20
    groups: int | None = None
    n_quotes: int = 3
    n_bullets: str = "2-4"
    n_words: str = "5-8"
    batch: int = 8
    nearest: int | None = None
    highlights: bool = True
    chance: int = 0

    def skips(self, step: str) -> bool:
        """Whether this step is left out."""
        return step in self.prompts and self.prompts[step] is None

    def wording(self, step: str) -> dict[str, Any]:
        """Prompt and guidance of a step's task."""
        return {"prompt": self.prompts.get(step) or "", "guidance": self.guidance}


@dataclass(frozen=True)
class Point:
    """A statement of a document: the document's row and the words."""

    row: int
    text: str


def value_or(result: Result | None, name: str, otherwise: Any) -> Any:
    """A result's value; ``otherwise`` where it failed."""
    return result.values[name] if result is not None and name in result.values else otherwise
