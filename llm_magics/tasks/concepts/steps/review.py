"""Review: drops useless concepts, merges equal ones, ticks the best. Concepts are named by number only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Concept, Request
from llm_magics.tasks.concepts.embedded import similarity_scores
from llm_magics.tasks.concepts.embedded.keywords import keyword_criterion
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps.settings import InductionSettings, value_or
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.schemas import object_schema, string_list_schema


@dataclass(frozen=True)
class _Review(Structured):
    """A row's ``concepts`` are lines ``number: name: criterion``."""

    seed: str = ""
    role: ClassVar[str] = "concepts.synthesize"
    FIELDS: ClassVar[tuple[str, ...]] = ("concepts",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("concepts",)

    def settings(self) -> Mapping[str, Any]:
        """The topic, for custom wordings too."""
        return {"seed": self.seed, "about": f" that has to do with {self.seed}" if self.seed else ""}


@dataclass(frozen=True)
class ReviewRemove(_Review):
    """The numbers of concepts that are of no use, in the column ``remove``."""

    name: ClassVar[str] = "review_remove"
    columns: ClassVar[tuple[str, ...]] = ("remove",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "A useful concept is a pattern{about} that some of the texts show and others don't. Which of these "
        "are of no use, because they fit one single case, or nearly anything, or nothing relevant?\n"
        'Answer {"remove": ["2"]} with their numbers; the list may be empty.\n\n'
        "<text>\n{concepts}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of numbers."""
        return object_schema(remove=string_list_schema())

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The numbers that stand in the list."""
        known = numbers(request)
        return {"remove": tuple(n for n in picked(items(answer, "remove")) if n in known)}


@dataclass(frozen=True)
class ReviewMerge(_Review):
    """Groups of concepts that mean the same, in the column ``merge``; no concept stands in two.

    Each is a mapping with ``ids``, ``name``, ``criterion``.
    """

    name: ClassVar[str] = "review_merge"
    columns: ClassVar[tuple[str, ...]] = ("merge",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "Which of them say nearly the same, so that one concept could stand for both? For each such group "
        "give the numbers, a name of two to four words and one yes/no criterion that covers the group. "
        "A number may stand in one group only.\n"
        'Answer {"merge": [{"ids": ["1", "4"], "name": "...", "criterion": "..."}]}; the list may be '
        "empty.\n\n<text>\n{concepts}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of groups."""
        one = object_schema(ids=string_list_schema(), name={"type": "string"}, criterion={"type": "string"})
        return object_schema(merge={"type": "array", "items": one})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The groups of two and more; a number that stood in an earlier group is left out."""
        left, groups = numbers(request), []
        for item in items(answer, "merge"):
            given = item if isinstance(item, Mapping) else {}
            ids = [n for n in picked(given.get("ids")) if n in left]
            name, criterion = one_line(given.get("name"), 80), one_line(given.get("criterion"))
            if len(ids) >= 2 and name and criterion:
                groups.append({"ids": tuple(ids), "name": name, "criterion": criterion})
                left -= set(ids)
        return {"merge": tuple(groups)}


@dataclass(frozen=True)
class ReviewSelect(_Review):
    """The numbers of the best ``most`` concepts, best first, in the column ``keep``."""

    most: int = 8
    name: ClassVar[str] = "review_select"
    columns: ClassVar[tuple[str, ...]] = ("keep",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "Choose the {most} that together tell the most{about} and overlap the least.\n"
        'Answer {"keep": ["3", "1"]}, the most telling first.\n\n'
        "<text>\n{concepts}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """The number, for custom wordings too."""
        return {**super().settings(), "most": self.most}

    def schema(self) -> dict[str, Any]:
        """A list of numbers."""
        return object_schema(keep=string_list_schema(maximum=self.most))

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The numbers that stand in the list, at most ``most``."""
        known = numbers(request)
        kept = tuple(n for n in picked(items(answer, "keep")) if n in known)[: self.most]
        if not kept:
            raise AnswerError("it keeps none of the concepts", answer=str(answer)[:200])
        return {"keep": kept}


@dataclass(frozen=True)
class MatchConcepts(_Review):
    """Which concepts mean the same as an item of a reference list, in the column ``same``.

    A row has ``concepts`` and ``reference``, lines ``number: text`` each; ``same`` maps reference
    numbers to concept numbers.
    """

    name: ClassVar[str] = "match_concepts"
    columns: ClassVar[tuple[str, ...]] = ("same",)
    FIELDS: ClassVar[tuple[str, ...]] = ("concepts", "reference")
    REQUIRED: ClassVar[tuple[str, ...]] = ("concepts", "reference")
    WORDING: ClassVar[str] = (
        "Two lists of concepts, numbered. For each line of the second list: is there one in the first that "
        "means the same? Loosely related is not the same.\n"
        'Answer {"same": [{"reference": "1", "concept": "3"}]}; leave out those without a match.\n\n'
        "<text>\n{concepts}\n</text>\n\n<text>\n{reference}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of pairs."""
        pair = object_schema(reference={"type": "string"}, concept={"type": "string"})
        return object_schema(same={"type": "array", "items": pair})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """Each reference number at most once, with a concept that exists."""
        known, same = numbers(request), dict[str, str]()
        for item in items(answer, "same"):
            given = item if isinstance(item, Mapping) else {}
            reference, concept = (
                str(given.get("reference", "")).strip(),
                str(given.get("concept", "")).strip(),
            )
            if reference and concept in known:
                same.setdefault(reference, concept)
        return {"same": same}


def numbers(request: Request) -> set[str]:
    """The numbers of the lines that were asked about."""
    return {line.partition(":")[0].strip() for line in request.subject.splitlines()}


def picked(values: Any) -> list[str]:
    """Numbers as text, each once, in order."""
    return list(dict.fromkeys(str(value).strip() for value in values)) if isinstance(values, list) else []


def listed(lines: list[tuple[str, str]]) -> str:
    """Names and criteria as numbered lines, from 1."""
    return "\n".join(f"{i}: {one_line(name)}: {one_line(said)}" for i, (name, said) in enumerate(lines, 1))


async def review(runner: StepRunner, concepts: ConceptModel, settings: InductionSettings) -> None:
    """Drop what is of no use, merge what is the same, untick beyond the number wanted: all undoable.

    A locked concept stays as it is. An answer that can't be used leaves the concepts as they are.
    """
    if not runner.writes("concepts.synthesize"):
        _merge_namesakes(concepts)
        gone = [concept.id for concept in _open(concepts)[settings.max_concepts :]]
        if gone:
            concepts.deselect(*gone)
        return
    if not settings.skips("review_remove"):
        remove = await _reviewed(
            runner, concepts, ReviewRemove(seed=settings.seed, **settings.wording("review_remove"))
        )
        if len(remove) < len(_open(concepts)):
            concepts.delete(*remove)
    if not settings.skips("review_merge"):
        for same in await _reviewed(
            runner, concepts, ReviewMerge(seed=settings.seed, **settings.wording("review_merge"))
        ):
            _merge(concepts, same)
    if len(concepts.selected) > settings.max_concepts and not settings.skips("review_select"):
        await select(runner, concepts, settings)


def _open(concepts: ConceptModel) -> list[Concept]:
    return [concept for concept in concepts.selected if not concept.locked]


async def _reviewed(runner: StepRunner, concepts: ConceptModel, task: Structured) -> Any:
    """The task's answer about the open concepts, with their ids for its numbers."""
    asked = _open(concepts)
    if len(asked) < 2:
        return ()
    lines = listed([(concept.name, concept.criterion) for concept in asked])
    (result,) = await runner.ask("review", task, [{"concepts": lines}])
    return _with_ids(value_or(result, task.columns[0], ()), {str(n): c.id for n, c in enumerate(asked, 1)})


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
            concepts.merge(
                first.id, *(c.id for c in twins), name=first.name, criterion=keyword_criterion(words)
            )


def _alike(one: Concept, other: Concept) -> bool:
    shared = len(set(one.keywords) & set(other.keywords))
    return shared * 2 > max(len(one.keywords), len(other.keywords), 1)


async def select(runner: StepRunner, concepts: ConceptModel, settings: InductionSettings) -> None:
    """Keep the ticks of the best ``max_concepts``; the others stay in the list, unticked."""
    locked = [concept for concept in concepts.selected if concept.locked]
    most = max(1, settings.max_concepts - len(locked))
    task = ReviewSelect(seed=settings.seed, most=most, **settings.wording("review_select"))
    kept = await _reviewed(runner, concepts, task) or [concept.id for concept in _open(concepts)[:most]]
    gone = [concept.id for concept in _open(concepts) if concept.id not in kept]
    if gone:
        concepts.deselect(*gone)


async def cover(
    runner: StepRunner, concepts: ConceptModel, reference: Sequence[str]
) -> dict[str, str | None]:
    """For each item of a reference list the concept that means the same, or None."""
    asked = list(concepts.selected)
    if not runner.writes("concepts.synthesize"):
        return await _cover_locally(runner, asked, reference)
    first = listed([(concept.name, concept.criterion) for concept in asked])
    second = "\n".join(f"{n}: {' '.join(item.split())}" for n, item in enumerate(reference, 1))
    (result,) = await runner.ask("cover", MatchConcepts(), [{"concepts": first, "reference": second}])
    same = value_or(result, "same", None)
    if same is None:
        raise result.error if result is not None and result.error else RuntimeError("no answer")
    return {
        item: asked[int(same[str(n)]) - 1].name if str(n) in same else None
        for n, item in enumerate(reference, 1)
    }


SAME_TOPIC = 0.5
"""Cosine of two short phrases from which they count as the same topic."""


async def _cover_locally(
    runner: StepRunner, asked: Sequence[Concept], reference: Sequence[str]
) -> dict[str, str | None]:
    if not asked:
        return dict.fromkeys(reference)
    points = await runner.embed([f"{c.name} {similarity_scores.content(c.criterion)}" for c in asked])
    items = await runner.embed(list(reference))
    likenesses = items @ points.T
    best = likenesses.argmax(axis=1)
    return {
        item: asked[int(best[i])].name if likenesses[i, best[i]] >= SAME_TOPIC else None
        for i, item in enumerate(reference)
    }
