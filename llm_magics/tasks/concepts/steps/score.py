"""Score and summarize: how far each document shows each concept, and what those say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.core.types import Concept, Result
from llm_magics.tasks.concepts.embedded import similarity_scores
from llm_magics.tasks.concepts.embedded.clustering import layout
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.model.scores import Score as Mark
from llm_magics.tasks.concepts.steps.score_prompt import Score
from llm_magics.tasks.concepts.steps.settings import Manner, value_of
from llm_magics.tasks.concepts.steps.summarize_prompt import SummarizeConcept
from llm_magics.tasks.concepts.workbench import Workbench


async def score(
    bench: Workbench, concepts: ConceptModel, ids: Sequence[str], how: Manner, *, failed: bool = True
) -> None:
    """Score what these concepts lack, on the documents' own text; a failure is NaN and can be asked again."""
    if not bench.writes("concepts.score"):
        await _score_locally(bench, concepts, ids)
        return
    allowed = await _near(bench, concepts, ids, how)
    blank = concepts.documents.blank
    batches: dict[tuple[int, ...], list[str]] = {}
    for key in ids:
        missing = concepts.score_table[concepts[key].criterion].missing(failed=failed)
        rows = tuple(row for row in missing if row not in blank and row in allowed.get(key, range(row + 1)))
        if rows:
            batches.setdefault(rows, []).append(key)
    for rows, keys in batches.items():
        for start in range(0, len(keys), how.batch):
            await _score_batch(bench, concepts, rows, keys[start : start + how.batch], how)
    concepts.changed()


async def _score_batch(
    bench: Workbench, concepts: ConceptModel, rows: Sequence[int], keys: Sequence[str], how: Manner
) -> None:
    # By criterion, not by concept: an edit made while the answers come must not get them.
    criteria = tuple(concepts[key].criterion for key in keys)
    task = score_task(criteria, how)
    asked = [{"text": concepts.documents.texts[row]} for row in rows]
    results = await bench.ask("score", task, asked)
    for number, criterion in enumerate(criteria):
        answers = {row: _mark(result, number) for row, result in zip(rows, results, strict=True)}
        concepts.score_table.put(criterion, {row: mark for row, mark in answers.items() if mark is not None})


def score_task(criteria: tuple[str, ...], how: Manner) -> Score:
    """The question for a batch of criteria. Guidance stays out: a criterion alone decides a score."""
    return Score(criteria=criteria, highlights=how.highlights, prompt=how.prompts.get("score") or "")


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
    bench: Workbench, concepts: ConceptModel, ids: Sequence[str], how: Manner
) -> dict[str, frozenset[int]]:
    """With ``nearest``: the rows to ask about, by concept."""
    if how.nearest is None:
        return {}
    vectors = await vectors_of(bench, concepts)
    points = await bench.embed([similarity_scores.content(concepts[key].criterion) for key in ids])
    order = (-(vectors @ points.T)).argsort(axis=0, kind="stable")[: how.nearest]
    return {key: frozenset(int(row) for row in order[:, i]) for i, key in enumerate(ids)}


async def vectors_of(bench: Workbench, concepts: ConceptModel) -> Any:
    """The documents' vectors, made once."""
    if concepts.vectors is None:
        concepts.vectors = await bench.embed(concepts.documents.texts)
    return concepts.vectors


async def _score_locally(bench: Workbench, concepts: ConceptModel, ids: Sequence[str]) -> None:
    vectors = await vectors_of(bench, concepts)
    asked = [concepts[key] for key in ids if concepts.score_table[concepts[key].criterion].missing()]
    found = await bench.aside(
        lambda embed: similarity_scores.scored(concepts.documents, asked, embed, vectors)
    )
    for concept, answers in zip(asked, found, strict=True):
        concepts.score_table.put(concept.criterion, answers)
    concepts.changed()


async def place(bench: Workbench, concepts: ConceptModel, how: Manner) -> None:
    """Put each document on the map."""
    vectors = await vectors_of(bench, concepts)
    concepts.places = await bench.aside(lambda _: layout(vectors, seed=how.chance))


async def summarize(bench: Workbench, concepts: ConceptModel, ids: Sequence[str], how: Manner) -> None:
    """A sentence a concept on what its matches say; needs a language model, does nothing without."""
    if how.skips("summarize_concept") or not bench.writes("concepts.synthesize"):
        return
    asked = [concepts[key] for key in ids if not concepts[key].locked and concepts.rows(key)]
    rows = [_summary_row(concepts, concept) for concept in asked]
    results = await bench.ask("summarize", SummarizeConcept(**how.wording("summarize_concept")), rows)
    for concept, result in zip(asked, results, strict=True):
        summary = value_of(result, "summary", "")
        if summary and concept.id in concepts:
            concepts.edit(concept.id, summary=summary)


def _summary_row(concepts: ConceptModel, concept: Concept) -> dict[str, str]:
    scores = concepts.column(concept.id).scores
    best = concepts.rows(concept.id)[:30]
    lines = [(scores[row].highlight or concepts.documents.texts[row][:300]) for row in best]  # type: ignore[union-attr]
    quotes = "\n".join(" ".join(line.split()) for line in lines)
    return {"quotes": quotes, "name": concept.name, "criterion": concept.criterion}
