"""Distill: a document becomes its telling quotes, or a few short points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.fields import record, strings


@dataclass(frozen=True)
class _Distill(Structured):
    """``seed`` is the topic that decides what matters; empty for whatever the text says."""

    seed: str = ""
    role: ClassVar[str] = "concepts.distill"
    FIELDS: ClassVar[tuple[str, ...]] = ("text",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def about(self) -> str:
        """The topic as the prompt says it."""
        return f" about {self.seed}" if self.seed else ""


@dataclass(frozen=True)
class DistillFilter(_Distill):
    """Up to ``n_quotes`` sentences that the document really holds, in the column ``quotes``.

    A quote that doesn't stand in the text (but for white space and case) is dropped; with a ``seed``
    none may be left, which means that the text says nothing about it.
    """

    n_quotes: int = 3
    name: ClassVar[str] = "distill_filter"
    columns: ClassVar[tuple[str, ...]] = ("quotes",)
    WORDING: ClassVar[str] = (
        "Pick the parts of this text that say the most{about}.\n"
        "Copy at most {n_quotes} of them word for word, each a sentence or less; change nothing. "
        'Answer {"quotes": ["...", "..."]}; the list is empty if nothing in the text fits.\n\n'
        "<text>\n{text}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """Fields for custom wordings too."""
        return {"n_quotes": self.n_quotes, "seed": self.seed, "about": self.about}

    def schema(self) -> dict[str, Any]:
        """A list of quotes."""
        return record(quotes=strings(maximum=self.n_quotes))

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The quotes that are quotes."""
        given = [one_line(quote, 2000) for quote in items(answer, "quotes")]
        text = _folded(request.subject)
        real = [quote for quote in given if quote and _folded(quote) in text]
        if given and not real:
            raise AnswerError("none of the quotes stands in the text", answer=str(given)[:200])
        return {"quotes": tuple(dict.fromkeys(real))[: self.n_quotes]}


@dataclass(frozen=True)
class DistillSummarize(_Distill):
    """The document in ``n_bullets`` short points of ``n_words`` words, in the column ``bullets``."""

    n_bullets: str = "2-4"
    n_words: str = "5-8"
    name: ClassVar[str] = "distill_summarize"
    columns: ClassVar[tuple[str, ...]] = ("bullets",)
    WORDING: ClassVar[str] = (
        "Note what this text says{about}, as {n_bullets} separate points of {n_words} words each.\n"
        'Answer {"bullets": ["...", "..."]}.\n\n'
        "<text>\n{text}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """Fields for custom wordings too."""
        return {
            "n_bullets": self.n_bullets,
            "n_words": self.n_words,
            "seed": self.seed,
            "about": self.about,
        }

    def schema(self) -> dict[str, Any]:
        """A list of points."""
        return record(bullets=strings())

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The points, each once."""
        points = [one_line(point) for point in items(answer, "bullets")]
        kept = tuple(dict.fromkeys(point for point in points if point))
        if not kept and not self.seed:
            raise AnswerError("there is no point in the list", answer=str(answer)[:200])
        return {"bullets": kept}


def _folded(text: str) -> str:
    """Text as quotes are compared: white space, case and typographic quotes don't count."""
    plain = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(plain.casefold().split())
