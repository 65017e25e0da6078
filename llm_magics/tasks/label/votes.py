"""Several answers about one row as one label, with the share that gave it as its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from llm_magics.tasks.label.task import Label


def vote(names: Sequence[str | None], order: Sequence[str]) -> tuple[str | None, float | None]:
    """The label most samples gave and its share of all samples; a tie goes to the label listed first."""
    counts = Counter(name for name in names if name is not None)
    if not counts:
        return None, None
    best = max(counts, key=lambda name: (counts[name], -order.index(name)))
    return best, counts[best] / len(names)


def majority(task: Label) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    """Votes of a row into its label, and the share of votes as its confidence."""

    def gather(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        made = dict(columns)
        votes = [vote(names, task.labels.names) for names in columns[task.output]]
        made[task.output] = [name for name, _ in votes]
        for name, groups in columns.items():
            if name.startswith(f"{task.output}_score_"):
                made[name] = [_mean(group) for group in groups]
            elif name == f"{task.output}_explanation":
                made[name] = [
                    next((text for text, voted in zip(texts, names, strict=True) if voted == best), None)
                    for texts, names, (best, _) in zip(groups, columns[task.output], votes, strict=True)
                ]
            elif name == f"{task.output}_finish":
                made[name] = [group[0] for group in groups]
        at = list(made).index(task.output) + 1
        items = [item for item in made.items() if item[0] != f"{task.output}_confidence"]
        items.insert(at, (f"{task.output}_confidence", [share for _, share in votes]))
        return dict(items)

    return gather


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
