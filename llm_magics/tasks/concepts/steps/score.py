"""Score and summarize: how far each document shows each concept, and what the matching ones say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Concept, Request, Result
from llm_magics.tasks.concepts.embedded import similarity_scores
from llm_magics.tasks.concepts.embedded.clustering import layout
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.model.scores import Score as Mark
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps.settings import InductionSettings, value_or
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.schemas import object_schema


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
        return object_schema(summary={"type": "string"})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The summary on one line."""
        summary = one_line(answer.get("summary"), 600)
        if not summary:
            raise AnswerError("there is no summary", answer=str(answer)[:200])
        return {"summary": summary}


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
        return object_schema(
            results={"type": "array", "items": object_schema(**parts), "minItems": len(self.criteria)}
        )

    @property
    def _ids(self) -> list[str]:
        return [str(i) for i in range(1, len(self.criteria) + 1)]

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The marks in the order of the criteria; after a second try, those that are usable."""
        found: dict[str, tuple[float, str, str]] = {}
        for item in items(answer, "results"):
            mark = _parse_score(item, request.subject)
            if mark is not None:
                found.setdefault(mark[0], mark[1:])
        missing = [number for number in self._ids if number not in found]
        if missing and not (last and found):
            raise AnswerError(
                f"no usable answer (A to E) for criterion {', '.join(missing)}", answer=str(answer)[:200]
            )
        return {"marks": tuple(found.get(number) for number in self._ids)}


def _parse_score(item: Any, text: str) -> tuple[str, float, str, str] | None:
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


async def score(
    runner: StepRunner,
    concepts: ConceptModel,
    ids: Sequence[str],
    settings: InductionSettings,
    *,
    failed: bool = True,
) -> None:
    """Score what these concepts lack, on the documents' own text; a failure is NaN and can be asked again."""
    if not runner.writes("concepts.score"):
        await _score_locally(runner, concepts, ids)
        return
    allowed = await _near(runner, concepts, ids, settings)
    blank = concepts.documents.blank
    batches: dict[tuple[int, ...], list[str]] = {}
    for key in ids:
        missing = concepts.score_table[concepts[key].criterion].missing(failed=failed)
        rows = tuple(row for row in missing if row not in blank and row in allowed.get(key, range(row + 1)))
        if rows:
            batches.setdefault(rows, []).append(key)
    for rows, keys in batches.items():
        for start in range(0, len(keys), settings.batch):
            await _score_batch(runner, concepts, rows, keys[start : start + settings.batch], settings)
    concepts.changed()


async def _score_batch(
    runner: StepRunner,
    concepts: ConceptModel,
    rows: Sequence[int],
    keys: Sequence[str],
    settings: InductionSettings,
) -> None:
    # By criterion, not by concept: an edit made while the answers come must not get them.
    criteria = tuple(concepts[key].criterion for key in keys)
    task = score_task(criteria, settings)
    asked = [{"text": concepts.documents.texts[row]} for row in rows]
    results = await runner.ask("score", task, asked)
    for number, criterion in enumerate(criteria):
        answers = {row: _mark(result, number) for row, result in zip(rows, results, strict=True)}
        concepts.score_table.put(criterion, {row: mark for row, mark in answers.items() if mark is not None})


def score_task(criteria: tuple[str, ...], settings: InductionSettings) -> Score:
    """The question for a batch of criteria. Guidance stays out: a criterion alone decides a score."""
    return Score(
        criteria=criteria, highlights=settings.highlights, prompt=settings.prompts.get("score") or ""
    )


def _mark(result: Result | None, number: int) -> Mark | None:
    if result is None:
        return None
    marks = result.values.get("marks")
    mark = marks[number] if marks else None
    if mark is None:
        error = getattr(result.error, "message", None) or str(result.error or "no usable answer")
        return Mark(error=error)
    value, rationale, highlight = mark
    return Mark(value, rationale, highlight)


async def _near(
    runner: StepRunner, concepts: ConceptModel, ids: Sequence[str], settings: InductionSettings
) -> dict[str, frozenset[int]]:
    """With ``nearest``: the rows to ask about, by concept."""
    if settings.nearest is None:
        return {}
    vectors = await vectors_of(runner, concepts)
    points = await runner.embed([similarity_scores.content(concepts[key].criterion) for key in ids])
    order = (-(vectors @ points.T)).argsort(axis=0, kind="stable")[: settings.nearest]
    return {key: frozenset(int(row) for row in order[:, i]) for i, key in enumerate(ids)}


async def vectors_of(runner: StepRunner, concepts: ConceptModel) -> Any:
    """The documents' vectors, made once."""
    if concepts.vectors is None:
        concepts.vectors = await runner.embed(concepts.documents.texts)
    return concepts.vectors


async def _score_locally(runner: StepRunner, concepts: ConceptModel, ids: Sequence[str]) -> None:
    vectors = await vectors_of(runner, concepts)
    asked = [concepts[key] for key in ids if concepts.score_table[concepts[key].criterion].missing()]
    found = await runner.in_thread(
        lambda embed: similarity_scores.similarity_scores(concepts.documents, asked, embed, vectors)
    )
    for concept, answers in zip(asked, found, strict=True):
        concepts.score_table.put(concept.criterion, answers)
    concepts.changed()


async def place(runner: StepRunner, concepts: ConceptModel, settings: InductionSettings) -> None:
    """Put each document on the map."""
    vectors = await vectors_of(runner, concepts)
    concepts.places = await runner.in_thread(lambda _: layout(vectors, seed=settings.chance))


async def summarize(
    runner: StepRunner, concepts: ConceptModel, ids: Sequence[str], settings: InductionSettings
) -> None:
    """A sentence a concept on what its matches say; needs a language model, does nothing without."""
    if settings.skips("summarize_concept") or not runner.writes("concepts.synthesize"):
        return
    asked = [concepts[key] for key in ids if not concepts[key].locked and concepts.rows(key)]
    rows = [_summary_row(concepts, concept) for concept in asked]
    results = await runner.ask("summarize", SummarizeConcept(**settings.wording("summarize_concept")), rows)
    for concept, result in zip(asked, results, strict=True):
        summary = value_or(result, "summary", "")
        if summary and concept.id in concepts:
            concepts.edit(concept.id, summary=summary)


def _summary_row(concepts: ConceptModel, concept: Concept) -> dict[str, str]:
    scores = concepts.column(concept.id).scores
    best = concepts.rows(concept.id)[:30]
    lines = [(scores[row].highlight or concepts.documents.texts[row][:300]) for row in best]  # type: ignore[union-attr]
    quotes = "\n".join(" ".join(line.split()) for line in lines)
    return {"quotes": quotes, "name": concept.name, "criterion": concept.criterion}
