"""Synthesize: a group of points becomes named concepts with criteria."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Concept, Request
from llm_magics.tasks.concepts.embedded.clustering import NOISE
from llm_magics.tasks.concepts.embedded.naming import described
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps.settings import InductionSettings, Point, value_or
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.schemas import object_schema, string_list_schema


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
        one = object_schema(
            name={"type": "string"}, criterion={"type": "string"}, examples=string_list_schema()
        )
        return object_schema(concepts={"type": "array", "items": one, "maxItems": self.n_concepts})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The concepts that have a name and a criterion."""
        numbers = {line.partition(":")[0].strip() for line in request.subject.splitlines()}
        found = [_parse_concept(item, numbers) for item in items(answer, "concepts")]
        kept = tuple(concept for concept in found if concept)
        if found and not kept:
            raise AnswerError("no concept has both a name and a criterion", answer=str(answer)[:200])
        if not found and not self.seed:
            raise AnswerError("there is no concept in the list", answer=str(answer)[:200])
        return {"concepts": kept[: self.n_concepts]}


def _parse_concept(item: Any, numbers: set[str]) -> dict[str, Any] | None:
    if not isinstance(item, Mapping):
        return None
    name, criterion = one_line(item.get("name"), 80), one_line(item.get("criterion"))
    given = item.get("examples")
    examples = [str(number).strip() for number in given] if isinstance(given, list) else []
    if not name or not criterion:
        return None
    return {"name": name, "criterion": criterion, "examples": [n for n in examples if n in numbers]}


async def synthesize(
    runner: StepRunner,
    points: Sequence[Point],
    labels: Sequence[int],
    settings: InductionSettings,
    texts: Sequence[str],
) -> list[Concept]:
    """Named concepts of the groups, largest group first. Points in no group are left out.

    ``texts`` are those of all documents; without a model and a seed they give the names.
    """
    groups = grouped(labels) or ([list(range(len(points)))] if points else [])
    if not runner.writes("concepts.synthesize"):
        return await _synthesize_locally(runner, points, groups, settings, texts)
    few = len(groups) == 1
    task = Synthesize(
        seed=settings.seed,
        n_concepts=min(10, settings.max_concepts) if few else 3,
        **settings.wording("synthesize"),
    )
    samples = [_sample(members, settings) for members in groups]
    asked = [{"points": _lines(points, members)} for members in samples]
    results = await runner.ask("synthesize", task, asked)
    concepts: list[Concept] = []
    for members, result in zip(samples, results, strict=True):
        concepts += [_concept(item, points, members, settings) for item in value_or(result, "concepts", ())]
    return list({(c.name.casefold(), c.criterion.casefold()): c for c in reversed(concepts)}.values())[::-1]


MOST_POINTS = 120
"""Points of a group that one prompt shows; of larger groups a sample."""


def grouped(labels: Sequence[int]) -> list[list[int]]:
    """The members of each group."""
    count = max(labels, default=NOISE) + 1
    return [[i for i, label in enumerate(labels) if label == number] for number in range(count)]


def _sample(members: list[int], settings: InductionSettings) -> list[int]:
    if len(members) <= MOST_POINTS:
        return members
    return sorted(random.Random(settings.chance).sample(members, MOST_POINTS))  # noqa: S311 - a seeded sample


def _lines(points: Sequence[Point], members: Sequence[int]) -> str:
    return "\n".join(f"{n}: {' '.join(points[i].text.split())[:500]}" for n, i in enumerate(members, 1))


def _concept(
    item: Mapping[str, Any], points: Sequence[Point], members: Sequence[int], settings: InductionSettings
) -> Concept:
    rows = [points[members[int(number) - 1]].row for number in item["examples"]]
    return Concept("", item["name"], item["criterion"], tuple(dict.fromkeys(rows)), seed=settings.seed)


async def _synthesize_locally(
    runner: StepRunner,
    points: Sequence[Point],
    groups: Sequence[Sequence[int]],
    settings: InductionSettings,
    texts: Sequence[str],
) -> list[Concept]:
    said = [point.text if settings.seed else texts[point.row] for point in points]
    # Phrases are weighed by meaning where that is free; no embedding is paid for a name.
    free = runner.embeds_for_free
    found = await runner.in_thread(lambda embed: described(said, groups, embed=embed if free else None))
    concepts = []
    for words, members in zip(found, groups, strict=True):
        rows = tuple(dict.fromkeys(points[i].row for i in members))
        concepts.append(
            Concept(
                "",
                words.name,
                words.criterion,
                rows[:EXAMPLES],
                seed=settings.seed,
                keywords=words.keywords,
            )
        )
    return concepts


EXAMPLES = 8
"""Documents that stand for a concept found without a model."""


def renamed(concepts: Sequence[Concept], taken: Sequence[str]) -> list[Concept]:
    """Concepts under names that are still free."""
    used, free = set(taken), []
    for concept in concepts:
        name, n = concept.name, 2
        while name in used:
            name, n = f"{concept.name} ({n})", n + 1
        used.add(name)
        free.append(replace(concept, name=name))
    return free
