"""Several answers about one row as one label: votes of samples, labels of the parts of a long text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_magics.tasks.label.columns import LabelColumns, label_names


def vote(names: Sequence[str | None], order: Sequence[str]) -> tuple[str | None, float | None]:
    """The label of most samples and its share of all samples; a tie goes to the label listed first."""
    counts = Counter(name for name in names if name is not None)
    if not counts:
        return None, None
    best = max(counts, key=lambda name: (counts[name], -order.index(name)))
    return best, counts[best] / len(names)


def majority(output: str, order: Sequence[str]) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    """Merges the samples of a row into one label with the share of votes as its confidence."""

    def gather(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        made = dict(columns)
        votes = [vote(names, order) for names in columns[output]]
        made[output] = [name for name, _ in votes]
        for name, groups in columns.items():
            if name.startswith(f"{output}_score_"):
                made[name] = [_mean(group) for group in groups]
            elif name == f"{output}_explanation":
                made[name] = [
                    next((text for text, voted in zip(texts, names, strict=True) if voted == best), None)
                    for texts, names, (best, _) in zip(groups, columns[output], votes, strict=True)
                ]
            elif name == f"{output}_finish":
                made[name] = [group[0] for group in groups]
        at = list(made).index(output) + 1
        items = [item for item in made.items() if item[0] != f"{output}_confidence"]
        items.insert(at, (f"{output}_confidence", [share for _, share in votes]))
        return dict(items)

    return gather


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def most_voted(columns: LabelColumns, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The values of a part that has the label of most parts; their share is its confidence."""
    labels = [columns.of(values) for values in parts]
    best, share = vote([str(label) for label in labels], columns.names)
    winner = next(values for label, values in zip(labels, parts, strict=True) if label == best)
    return winner if columns.wide else {**winner, f"{columns.output}_confidence": share}


def all_labels(columns: LabelColumns, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """All labels that some part has: reasons joined, the least confidence, the greatest scores."""
    labels = columns.ordered(name for values in parts for name in label_names(columns.of(values)))
    made = dict(parts[0])
    for name in made:
        known = [values[name] for values in parts if values[name] is not None]
        if name.endswith("_confidence"):
            made[name] = min(known, default=None)
        elif name.endswith("_explanation"):
            made[name] = " ".join(known)
        elif name.startswith(f"{columns.output}_score_"):
            made[name] = max(known, default=None)
    return made | {name: values[0] for name, values in columns.write([labels]).items()}


def mean_scores(scores: Sequence[Mapping[str, float]], weights: Sequence[int]) -> dict[str, float]:
    """The weighted mean of probabilities by label."""
    whole = sum(weights)
    names = dict.fromkeys(name for chances in scores for name in chances)
    pairs = list(zip(scores, weights, strict=True))
    return {name: sum(each.get(name, 0.0) * weight for each, weight in pairs) / whole for name in names}
