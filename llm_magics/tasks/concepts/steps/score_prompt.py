"""Score: how far one document satisfies each of a few criteria."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.fields import record

LEVELS: Mapping[str, float] = {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25, "E": 0.0}
WORDS = {
    "strongly agree": "A",
    "agree": "B",
    "neither agree nor disagree": "C",
    "neither": "C",
    "unsure": "C",
    "neutral": "C",
    "disagree": "D",
    "strongly disagree": "E",
    "yes": "A",
    "no": "E",
}
_LETTER = re.compile(r"\(?([A-Ea-e])\)?(?:[.:]\s*.*)?", re.DOTALL)


@dataclass(frozen=True)
class Score(Structured):
    """A mark for each criterion, in the column ``marks``: (score, rationale, highlight) or None.

    The scale has five steps, from A = 1 (the criterion clearly holds) to E = 0 (it clearly doesn't).
    An answer that is none of them is None, never a number. ``highlights`` asks for the sentence that
    decides; one that doesn't stand in the text is dropped.
    """

    criteria: tuple[str, ...] = ()
    highlights: bool = True
    rationales: bool = True
    name: ClassVar[str] = "score"
    role: ClassVar[str] = "concepts.score"
    columns: ClassVar[tuple[str, ...]] = ("marks",)
    FIELDS: ClassVar[tuple[str, ...]] = ("text",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("text", "criteria")
    WORDING: ClassVar[str] = (
        "Judge one text by each of these numbered criteria, one at a time, by what the text says.\n"
        "{criteria}\n\n"
        "How far does each hold? A: clearly yes. B: rather yes. C: can't be told. D: rather no. "
        "E: clearly no.\n"
        'Answer {"results": [{shape}]}, one entry for each criterion.\n\n'
        "<text>\n{text}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """The criteria, numbered from 1, and the shape of one entry."""
        lines = [f"{i}. {one_line(criterion)}" for i, criterion in enumerate(self.criteria, 1)]
        shape = ['"id": "1"']
        if self.rationales:
            shape.append('"rationale": "one sentence"')
        shape.append('"answer": "A"')
        if self.highlights:
            shape.append('"quote": "the sentence that decides, word for word, or empty"')
        return {"criteria": "\n".join(lines), "shape": "{" + ", ".join(shape) + "}"}

    def schema(self) -> dict[str, Any]:
        """One entry a criterion."""
        text = {"type": "string"}
        parts: dict[str, Any] = {"id": {"type": "string", "enum": self._ids}}
        if self.rationales:
            parts["rationale"] = text
        parts["answer"] = {"type": "string", "enum": list(LEVELS)}
        if self.highlights:
            parts["quote"] = text
        return record(results={"type": "array", "items": record(**parts), "minItems": len(self.criteria)})

    @property
    def _ids(self) -> list[str]:
        return [str(i) for i in range(1, len(self.criteria) + 1)]

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The marks in the order of the criteria; after a second try, those that are usable."""
        found: dict[str, tuple[float, str, str]] = {}
        for item in items(answer, "results"):
            mark = _mark(item, request.subject)
            if mark is not None:
                found.setdefault(mark[0], mark[1:])
        missing = [number for number in self._ids if number not in found]
        if missing and not (last and found):
            raise AnswerError(
                f"no usable answer (A to E) for criterion {', '.join(missing)}", answer=str(answer)[:200]
            )
        return {"marks": tuple(found.get(number) for number in self._ids)}


def _mark(item: Any, text: str) -> tuple[str, float, str, str] | None:
    """Number, score, rationale and highlight of one entry; None where it is not usable."""
    if not isinstance(item, Mapping):
        return None
    level = level_of(item.get("answer"))
    if level is None:
        return None
    quote = one_line(item.get("quote"), 1000)
    real = quote if " ".join(quote.casefold().split()) in " ".join(text.casefold().split()) else ""
    return str(item.get("id", "")).strip(), LEVELS[level], one_line(item.get("rationale"), 1000), real


def level_of(answer: Any) -> str | None:
    """The letter an answer means, or None: ``b``, ``(B)``, ``B: rather yes`` and ``agree`` are all B.

    Read by whole words, so that ``Strongly agree`` is A and ``Agree`` is not.
    """
    if not isinstance(answer, str):
        return None
    words = " ".join(re.sub(r"[^\w\s]", " ", answer.casefold()).split())
    if words in WORDS:
        return WORDS[words]
    letter = _LETTER.fullmatch(answer.strip())
    return letter.group(1).upper() if letter else None
