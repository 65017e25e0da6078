"""Why a person is shown a row: its certainty among the others, what went wrong, who disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llm_magics.data.templates import cell_text, is_null
from llm_magics.tasks.label.columns import LabelValue, label_names
from llm_magics.widgets.html import cut


class Labelled(Protocol):
    """What the reasons are read from."""

    confidence: list[float | None]
    status: list[str | None]
    given: list[LabelValue | None]
    second: list[LabelValue | None] | None

    @property
    def labels(self) -> tuple[Any, ...]:
        """What to choose from."""

    def column(self, what: str) -> Sequence[Any]:
        """The cells of the column ``{label}_{what}``; None where there is none."""

    def rows(self) -> list[int]:
        """All rows with a text, least certain first."""


_STATUSES = {
    "repaired": "its answer had to be repaired",
    "defaulted": "its answer could not be used, so it got the default",
}


class Reasons:
    """The reasons of every row of a review, as they are now."""

    def __init__(self, review: Labelled) -> None:
        self.review = review
        self._errors = review.column("error")
        self._explanations = review.column("explanation")
        given, sure = review.given, review.confidence
        known = [row for row in review.rows() if given[row] is not None and sure[row] is not None]
        self._rank = {row: number for number, row in enumerate(known, 1)}
        self._scores = {name: review.column(f"score_{cell_text(name)}") for name in review.labels}

    def why(self, row: int) -> str:
        """One sentence without its full stop; empty where nothing is known but the row itself."""
        return "; ".join(filter(None, (self._answer(row), self._certainty(row), self._second(row))))

    def explanation(self, row: int) -> str:
        """The model's own reason, where it was asked for one."""
        return cell_text(self._explanations[row])

    def _answer(self, row: int) -> str:
        if self.review.given[row] is None:
            error = cut(cell_text(self._errors[row]), 200)
            return f"no usable answer: {error}" if error else "no label yet"
        return _STATUSES.get(self.review.status[row] or "", "")

    def _certainty(self, row: int) -> str:
        """The place among the rows with a confidence, and the label that came next."""
        if row not in self._rank:
            return ""
        place, n = self._rank[row], len(self._rank)
        said = "least certain" if place == 1 else f"{ordinal(place)} least certain"
        return f"{said} of {n:,} rows{self._runner_up(row)}"

    def _runner_up(self, row: int) -> str:
        given = set(label_names(self.review.given[row]))
        scores = [
            (float(cells[row]), name)
            for name, cells in self._scores.items()
            if name not in given and not is_null(cells[row]) and isinstance(cells[row], float)
        ]
        if not scores:
            return ""
        score, name = max(scores, key=lambda pair: pair[0])
        return f", next {cut(cell_text(name), 60)} {score:.2f}"

    def _second(self, row: int) -> str:
        if self.review.second is None or self.review.second[row] is None:
            return ""
        other = self.review.second[row]
        if self.review.given[row] is None or set(label_names(other)) == set(
            label_names(self.review.given[row])
        ):
            return ""
        return f"the second column says {', '.join(map(cell_text, label_names(other))) or 'none of them'}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    if n % 100 in (11, 12, 13):
        return f"{n:,}th"
    return f"{n:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th') }"
