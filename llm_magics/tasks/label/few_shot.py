"""Few-shot labelling: reads the examples, chooses how many, and which of them each row sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.types import Choice
from llm_magics.data import frames
from llm_magics.data.templates import cell_text
from llm_magics.runs.passes import RunContext, Strategy, single_pass
from llm_magics.runs.run import Run
from llm_magics.tasks.embed.plan import unit_vectors
from llm_magics.tasks.label.examples import Gold, Nearest, fixed, folds, gold, shots
from llm_magics.tasks.label.task import Label, NearestLabel


@dataclass(frozen=True)
class ExamplesFrom:
    """A frame of labelled rows, its columns of text and label, and its name in code."""

    data: Any
    text: str
    label: str
    name: str = "gold"

    def __repr__(self) -> str:
        return f"({self.name}, {self.text!r}, {self.label!r})"


def has_examples(given: Any) -> bool:
    """Whether there are any."""
    return isinstance(given, ExamplesFrom) or (given is not None and len(given) > 0)


def read_examples(given: Any, task: Label) -> Gold:
    """The examples as Gold: from pairs, or from a frame with its two columns."""
    if isinstance(given, ExamplesFrom):
        given = (given.data, given.text, given.label)
    if isinstance(given, tuple) and len(given) == 3 and not isinstance(given[0], tuple | str):
        frame, _ = frames.read(given[0], "examples")
        texts, labels = frame.values(given[1]), frame.values(given[2])
    else:
        pairs: Sequence[tuple[str, Any]] = list(given)
        texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    return gold(texts, labels, task.labels.names, many=task.many)


def nearest_examples(task: NearestLabel, examples: Gold, k: int, embedder: Backend) -> Strategy:
    """The strategy that embeds examples and rows, finds each row's ``k`` nearest, then labels."""

    async def carry_out(context: RunContext, run: Run) -> None:
        plan = run.plan
        texts = list(dict.fromkeys(cell_text(item.row[task.column]) for item in plan.work_items()))
        vectors = await unit_vectors(context, plan, embedder, [*examples.texts, *texts])
        index = await asyncio.to_thread(Nearest, vectors[: len(examples)], plan.seed)
        # One more than is shown: the nearest may be the row itself.
        near = await asyncio.to_thread(index.query, vectors[len(examples) :], min(k + 1, len(examples)))
        for text, places in zip(texts, near.tolist(), strict=True):
            task.found[text] = examples.pairs(shots(examples, places, text, k))
        await single_pass(context, run)

    return carry_out


def with_examples(task: Label, examples: Gold, k: int | None, backend: Backend) -> Label:
    """The task with ``k`` of the examples as earlier turns of the conversation.

    A backend that reads no messages learns from all of them, as examples of the labels themselves. A row
    that is an example is labelled by the other folds only.
    """
    if backend.capabilities.text:
        return replace(task, examples=examples.pairs(fixed(examples, k, task.seed)))
    apart = folds(examples)
    others = {
        fold: _taught(task, examples, [i for i in range(len(examples)) if apart[i] != fold])
        for fold in set(apart)
    }
    without = {text: others[fold] for text, fold in zip(examples.texts, apart, strict=True)}
    return replace(task, choices=_taught(task, examples, range(len(examples))), without=without)


def _taught(task: Label, examples: Gold, places: Iterable[int]) -> tuple[Choice, ...]:
    """The choices with these examples as their own."""
    told: dict[str, list[str]] = {}
    for text, label in examples.pairs(places):
        for name in [label] if isinstance(label, str) else label:
            told.setdefault(name, []).append(text)
    return tuple(
        replace(choice, examples=(*choice.examples, *told.get(choice.name, ()))) for choice in task.choices
    )
