"""Answers about the parts of one row put together: votes, unions, offsets into the whole, first values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from llm_magics.backends.pricing import total_usage
from llm_magics.core.types import Result, Status
from llm_magics.engine.task import Task
from llm_magics.tasks.extract.task import Entities, Extract
from llm_magics.tasks.generate.task import Generate
from llm_magics.tasks.label.columns import LabelColumns, names_of
from llm_magics.tasks.label.task import Label
from llm_magics.tasks.label.votes import vote

Read: TypeAlias = Sequence[tuple[Result, str]]
"""The results of the parts that were read, each with its part of the text."""


def can_combine(task: Task) -> bool:
    """Whether answers about parts make an answer about the whole."""
    if isinstance(task, Generate):
        return task.name in ("summarize", "translate")
    return isinstance(task, Label | Entities) or (isinstance(task, Extract) and task.model is None)


def combined(task: Task, index: int, results: Sequence[Result], texts: Sequence[str]) -> Result:
    """One result from those of the parts; failed where a part failed: half a row is not the row."""
    used = total_usage([result.usage for result in results])
    bad = next((result for result in results if result.status == "failed"), None)
    attempts = sum(result.attempts for result in results)
    if bad is not None:
        return Result(index, "failed", error=bad.error, usage=used, attempts=attempts)
    read = [(result, text) for result, text in zip(results, texts, strict=True) if result.values]
    if not read:
        return Result(index, "skipped", usage=used, attempts=attempts)
    status: Status = "repaired" if any(result.status != "ok" for result, _ in read) else "ok"
    return Result(index, status, _values(task, read), read[0][0].response, usage=used, attempts=attempts)


def _values(task: Task, read: Read) -> Mapping[str, Any]:
    found = [result.values for result, _ in read]
    if isinstance(task, Label):
        return _label(task, read)
    if isinstance(task, Entities):
        return {task.output: _shifted([(result.values[task.output], text) for result, text in read])}
    if isinstance(task, Extract) and task.many:
        return {task.columns[0]: [record for values in found for record in values[task.columns[0]]]}
    if isinstance(task, Extract):
        return {name: _first([values[name] for values in found]) for name in task.columns}
    assert isinstance(task, Generate)
    return {task.output: "\n\n".join(str(values[task.output]) for values in found)}


def _label(task: Label, read: Read) -> Mapping[str, Any]:
    """Chances averaged by length where all parts have them; else votes; of several labels the union."""
    scores = [result.response.scores if result.response else None for result, _ in read]
    if all(scores) and not task.many and not task.explain:
        return task.scored(
            _mean([(dict(s or {}), len(text)) for s, (_, text) in zip(scores, read, strict=True)])
        )
    return _union(task, read) if task.many else _vote(task, read)


def _vote(task: Label, read: Read) -> Mapping[str, Any]:
    """The label of most parts, with the reason of a part that gave it; the share is its confidence."""
    columns = LabelColumns(task.output, task.labels.names, wide=task.wide)
    words = [columns.of(result.values) for result, _ in read]
    best, share = vote([str(word) for word in words], task.labels.names)
    winner = next(result.values for word, (result, _) in zip(words, read, strict=True) if word == best)
    return winner if task.wide else {**winner, f"{task.output}_confidence": share}


def _union(task: Label, read: Read) -> Mapping[str, Any]:
    """All labels that some part has; the reasons joined, the confidence the least of the parts'."""
    columns = LabelColumns(task.output, task.labels.names, many=True, wide=task.wide)
    found = [result.values for result, _ in read]
    word = columns.ordered(name for values in found for name in names_of(columns.of(values)))
    made = dict(found[0])
    for name in made:
        known = [values[name] for values in found if values[name] is not None]
        if name.endswith("_confidence"):
            made[name] = min(known, default=None)
        elif name.endswith("_explanation"):
            made[name] = " ".join(known)
        elif name.startswith(f"{task.output}_score_"):
            made[name] = max(known, default=None)
    return made | {name: values[0] for name, values in columns.write([word]).items()}


def _mean(parts: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    whole = sum(weight for _, weight in parts)
    names = dict.fromkeys(name for chances, _ in parts for name in chances)
    return {name: sum(chances.get(name, 0.0) * weight for chances, weight in parts) / whole for name in names}


def _shifted(parts: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[dict[str, Any]]:
    """Spans of the parts with offsets into the whole text."""
    spans, offset = [], 0
    for found, text in parts:
        spans += [{**span, "start": span["start"] + offset, "end": span["end"] + offset} for span in found]
        offset += len(text)
    return spans


def _first(values: Sequence[Any]) -> Any:
    """The first value that says something; lists are joined, each item once."""
    if all(isinstance(value, list) for value in values):
        joined: list[Any] = []
        for value in values:
            joined += [item for item in value if item not in joined]
        return joined
    return next((value for value in values if value is not None), None)
