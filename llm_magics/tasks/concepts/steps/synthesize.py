"""Synthesize: groups of points to named concepts with criteria."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.embedded.clustering import NOISE
from llm_magics.tasks.concepts.embedded.keywords import criterion_of, keywords, name_of
from llm_magics.tasks.concepts.steps.settings import Manner, Point, value_of
from llm_magics.tasks.concepts.steps.synthesize_prompt import Synthesize
from llm_magics.tasks.concepts.workbench import Workbench


async def synthesize(
    bench: Workbench, points: Sequence[Point], labels: Sequence[int], how: Manner
) -> list[Concept]:
    """Named concepts of the groups, largest group first. Points in no group are left out."""
    groups = grouped(labels) or ([list(range(len(points)))] if points else [])
    if not bench.writes("concepts.synthesize"):
        return _synthesize_locally(points, groups, how)
    few = len(groups) == 1
    task = Synthesize(
        seed=how.seed, n_concepts=min(10, how.max_concepts) if few else 3, **how.wording("synthesize")
    )
    samples = [_sample(members, how) for members in groups]
    asked = [{"points": _lines(points, members)} for members in samples]
    results = await bench.ask("synthesize", task, asked)
    concepts: list[Concept] = []
    for members, result in zip(samples, results, strict=True):
        concepts += [_concept(item, points, members, how) for item in value_of(result, "concepts", ())]
    return list({(c.name.casefold(), c.criterion.casefold()): c for c in reversed(concepts)}.values())[::-1]


MOST_POINTS = 120
"""Points of a group that one prompt shows; of larger groups a sample."""


def grouped(labels: Sequence[int]) -> list[list[int]]:
    """The members of each group."""
    count = max(labels, default=NOISE) + 1
    return [[i for i, label in enumerate(labels) if label == number] for number in range(count)]


def _sample(members: list[int], how: Manner) -> list[int]:
    if len(members) <= MOST_POINTS:
        return members
    return sorted(random.Random(how.chance).sample(members, MOST_POINTS))  # noqa: S311 - a seeded sample


def _lines(points: Sequence[Point], members: Sequence[int]) -> str:
    return "\n".join(f"{n}: {' '.join(points[i].text.split())[:500]}" for n, i in enumerate(members, 1))


def _concept(
    item: Mapping[str, Any], points: Sequence[Point], members: Sequence[int], how: Manner
) -> Concept:
    rows = [points[members[int(number) - 1]].row for number in item["examples"]]
    return Concept("", item["name"], item["criterion"], tuple(dict.fromkeys(rows)), seed=how.seed)


def _synthesize_locally(
    points: Sequence[Point], groups: Sequence[Sequence[int]], how: Manner
) -> list[Concept]:
    texts = [point.text for point in points]
    found = keywords(texts, groups)
    concepts = []
    for words, members in zip(found, groups, strict=True):
        rows = tuple(dict.fromkeys(points[i].row for i in members))
        concepts.append(
            Concept("", name_of(words), criterion_of(words), rows[:EXAMPLES], seed=how.seed, keywords=words)
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
