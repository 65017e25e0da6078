"""Review: what is of no use goes, what is the same becomes one, the best stay ticked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.embedded import similarity_scores
from llm_magics.tasks.concepts.embedded.keywords import criterion_of
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.steps.review_prompts import (
    MatchConcepts,
    ReviewMerge,
    ReviewRemove,
    ReviewSelect,
    listed,
)
from llm_magics.tasks.concepts.steps.settings import Manner, value_of
from llm_magics.tasks.concepts.steps.structured_prompt import Structured
from llm_magics.tasks.concepts.workbench import Workbench


async def review(bench: Workbench, concepts: ConceptModel, how: Manner) -> None:
    """Drop what is of no use, merge what is the same, untick beyond the number wanted: all undoable.

    A locked concept stays as it is. An answer that can't be used leaves the concepts as they are.
    """
    if not bench.writes("concepts.synthesize"):
        _merge_namesakes(concepts)
        gone = [concept.id for concept in _open(concepts)[how.max_concepts :]]
        if gone:
            concepts.deselect(*gone)
        return
    if not how.skips("review_remove"):
        remove = await _reviewed(bench, concepts, ReviewRemove(seed=how.seed, **how.wording("review_remove")))
        if len(remove) < len(_open(concepts)):
            concepts.delete(*remove)
    if not how.skips("review_merge"):
        for same in await _reviewed(
            bench, concepts, ReviewMerge(seed=how.seed, **how.wording("review_merge"))
        ):
            _merge(concepts, same)
    if len(concepts.selected) > how.max_concepts and not how.skips("review_select"):
        await select(bench, concepts, how)


def _open(concepts: ConceptModel) -> list[Concept]:
    return [concept for concept in concepts.selected if not concept.locked]


async def _reviewed(bench: Workbench, concepts: ConceptModel, task: Structured) -> Any:
    """The task's answer about the open concepts, with their ids for its numbers."""
    asked = _open(concepts)
    if len(asked) < 2:
        return ()
    lines = listed([(concept.name, concept.criterion) for concept in asked])
    (result,) = await bench.ask("review", task, [{"concepts": lines}])
    return _with_ids(value_of(result, task.columns[0], ()), {str(n): c.id for n, c in enumerate(asked, 1)})


def _with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids[value]
    if isinstance(value, Mapping):
        return {**value, "ids": tuple(ids[n] for n in value["ids"])}
    return tuple(_with_ids(item, ids) for item in value)


def _merge(concepts: ConceptModel, same: Mapping[str, Any]) -> None:
    """Merge under the new name; where another concept has that name already, under the first one's."""
    names = {concept.name for concept in concepts if concept.id not in same["ids"]}
    name = concepts[same["ids"][0]].name if same["name"] in names else same["name"]
    concepts.merge(*same["ids"], name=name, criterion=same["criterion"])


def _merge_namesakes(concepts: ConceptModel) -> None:
    """Without a model: concepts that share most of their keywords are one."""
    for first in _open(concepts):
        if first.name not in concepts:
            continue
        twins = [c for c in _open(concepts) if c.id != first.id and _alike(first, c)]
        if twins:
            words = first.keywords
            concepts.merge(first.id, *(c.id for c in twins), name=first.name, criterion=criterion_of(words))


def _alike(one: Concept, other: Concept) -> bool:
    shared = len(set(one.keywords) & set(other.keywords))
    return shared * 2 > max(len(one.keywords), len(other.keywords), 1)


async def select(bench: Workbench, concepts: ConceptModel, how: Manner) -> None:
    """Keep the ticks of the best ``max_concepts``; the others stay in the list, unticked."""
    locked = [concept for concept in concepts.selected if concept.locked]
    most = max(1, how.max_concepts - len(locked))
    task = ReviewSelect(seed=how.seed, most=most, **how.wording("review_select"))
    kept = await _reviewed(bench, concepts, task) or [concept.id for concept in _open(concepts)[:most]]
    gone = [concept.id for concept in _open(concepts) if concept.id not in kept]
    if gone:
        concepts.deselect(*gone)


async def cover(bench: Workbench, concepts: ConceptModel, reference: Sequence[str]) -> dict[str, str | None]:
    """For each item of a reference list the concept that means the same, or None."""
    asked = list(concepts.selected)
    if not bench.writes("concepts.synthesize"):
        return await _cover_locally(bench, asked, reference)
    first = listed([(concept.name, concept.criterion) for concept in asked])
    second = "\n".join(f"{n}: {' '.join(item.split())}" for n, item in enumerate(reference, 1))
    (result,) = await bench.ask("cover", MatchConcepts(), [{"concepts": first, "reference": second}])
    same = value_of(result, "same", None)
    if same is None:
        raise result.error if result is not None and result.error else RuntimeError("no answer")
    return {
        item: asked[int(same[str(n)]) - 1].name if str(n) in same else None
        for n, item in enumerate(reference, 1)
    }


SAME_TOPIC = 0.5
"""Cosine of two short phrases from which they count as the same topic."""


async def _cover_locally(
    bench: Workbench, asked: Sequence[Concept], reference: Sequence[str]
) -> dict[str, str | None]:
    if not asked:
        return dict.fromkeys(reference)
    points = await bench.embed([f"{c.name} {similarity_scores.content(c.criterion)}" for c in asked])
    items = await bench.embed(list(reference))
    likenesses = items @ points.T
    best = likenesses.argmax(axis=1)
    return {
        item: asked[int(best[i])].name if likenesses[i, best[i]] >= SAME_TOPIC else None
        for i, item in enumerate(reference)
    }
