"""The answers of a run as figures to publish: how often each value was given, and how sure the model was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data.templates import cell_text, is_null
from llm_magics.widgets.figures.rows import estimates_figure, histogram_figure, share_of
from llm_magics.widgets.figures.template import Look
from llm_magics.widgets.theme import COLOURS

KINDS = ("labels", "confidence")
MOST = 30
"""Values that have a line each; rarer ones are one line together."""


@dataclass(frozen=True)
class Answers:
    """What is drawn of a run: its ``columns`` over all rows of the frame, and the ``rows`` it asked about.

    ``output`` is the main column, ``names`` are all of the task's; ``model`` is who answered.
    """

    output: str
    names: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    rows: Sequence[int]
    model: str

    def asked(self, name: str) -> list[Any] | None:
        """The values of a column in the rows that were asked about; None where there is no such column."""
        values = self.columns.get(name)
        if values is None or (self.rows and len(values) <= max(self.rows)):
            return None
        return [values[row] for row in self.rows]


def answers_figure(answers: Answers, kind: str, **look: Any) -> Any:
    """The figure of a kind. Raises NotFound for another one, UsageError where the run has no such values."""
    if kind not in KINDS:
        raise NotFound.among("kind of figure", kind, KINDS)
    name = answers.output.rstrip("_")
    if kind == "confidence":
        return _confidence(answers, name, Look(**look))
    counts, whole, missing = _counted(answers)
    estimates = [
        share_of(value, count, whole, n if len(counts) <= len(COLOURS) else 0)
        for n, (value, count) in enumerate(counts[:MOST])
    ]
    if rest := counts[MOST:]:
        estimates.append(share_of(f"{len(rest):,} others", sum(n for _, n in rest), whole, -1))
    if missing:
        estimates.append(share_of("no answer", missing, whole, -1))
    source = f"n = {whole:,} rows, by {answers.model}; 95% Wilson intervals"
    return estimates_figure(
        estimates, Look(**look), f"{name}: share of each label", source, "share of rows, with 95% interval"
    )


def _confidence(answers: Answers, name: str, look: Look) -> Any:
    values = [float(v) for v in answers.asked(f"{name}_confidence") or () if not is_null(v)]
    if not values:
        raise UsageError("these answers carry no confidence.", hint="plot() draws how often each was given.")
    source = f"n = {len(values):,} rows, by {answers.model}"
    return histogram_figure(values, look, f"{name}: confidence", source, "confidence")


def _counted(answers: Answers) -> tuple[list[tuple[str, int]], int, int]:
    """Values with their rows, most frequent first; rows that were asked about; rows without an answer.

    Raises UsageError where the answers are texts of their own, which no figure counts.
    """
    asked = answers.asked(answers.output)
    if asked is None:
        return _wide(answers)
    counts: Counter[str] = Counter()
    for value in asked:
        many = value if isinstance(value, list | tuple) else [] if is_null(value) else [value]
        counts.update({cell_text(item) for item in many})
    if len(counts) > max(50, len(asked) // 2):
        raise UsageError(
            "these answers are texts of their own, each given about once; there is no distribution to draw.",
            hint="plot() is for labels, ratings and choices.",
        )
    return counts.most_common(), len(asked), sum(map(is_null, asked))


def _wide(answers: Answers) -> tuple[list[tuple[str, int]], int, int]:
    """The same for one column of truth values a label."""
    read = {name: answers.asked(name) or [] for name in answers.names}
    flags = {
        name: cells
        for name, cells in read.items()
        if cells and all(is_null(value) or value in (0, 1) for value in cells)
    }
    if not flags:
        raise UsageError(
            "this run has no labels to count.", hint="plot() is for labels, ratings and choices."
        )
    counts = Counter(
        {name.removeprefix(answers.output): sum(v == 1 for v in cells) for name, cells in flags.items()}
    )
    missing = sum(all(map(is_null, cells)) for cells in zip(*flags.values(), strict=True))
    return counts.most_common(), len(answers.rows), missing
