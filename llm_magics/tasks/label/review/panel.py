"""The review as a panel: one card at a time, or a grid of ten rows a page, least certain first.

Its buttons and keys call the methods of ``Review``. Cards that come next are sent ahead, so that a person
who is quicker than the kernel waits for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from llm_magics.data.templates import cell_text, is_null
from llm_magics.tasks.label.columns import LabelValue, label_names
from llm_magics.tasks.label.review.reasons import Reasons
from llm_magics.widgets.frontend.panel import Panel
from llm_magics.widgets.html import cut
from llm_magics.widgets.job import follow
from llm_magics.widgets.results.shares import own_colours
from llm_magics.widgets.theme import css_colour

PAGE = 10
AHEAD = 6
"""Cards that are sent beyond the one in sight."""

LONG, SHORT = 4_000, 400
"""Characters of a text on a card, and in the grid; the rest is in the frame."""

STATES = ("to review", "reviewed", "corrected", "no label", "repaired", "defaulted", "failed")
ALL = "all"
KEYS = "123456789abcdefghijklmnopqrstvwxyz"
"""The keys of the labels in their order; ``u`` undoes."""

VIEWS = ("cards", "grid")


class Reviewed(Protocol):
    """What the panel needs of a review."""

    texts: list[str]
    confidence: list[float | None]
    status: list[str | None]
    given: list[LabelValue | None]
    gold: dict[int, LabelValue]
    second: list[LabelValue | None] | None
    log: list[str]
    descriptions: Mapping[Any, str]
    looked_at: str
    listeners: list[Callable[[Mapping[int, LabelValue | None]], None]]

    @property
    def label(self) -> str:
        """What is reviewed."""

    @property
    def labels(self) -> tuple[Any, ...]:
        """What to choose from."""

    @property
    def many(self) -> bool:
        """Whether a row has several labels."""

    @property
    def progress(self) -> Any:
        """Counts, accuracy so far, agreement."""

    def column(self, what: str) -> Sequence[Any]:
        """The cells of the column ``{label}_{what}``; None where there is none."""

    def state(self, row: int) -> str:
        """How a row stands."""

    def rows(self, label: Any = None, state: str | None = None, search: str = "") -> list[int]:
        """Rows, least certain first."""

    def current(self, row: int) -> LabelValue | None:
        """A row's label, or labels."""

    def accept(self, rows: int | Sequence[int]) -> None:
        """Labels are right."""

    def correct(self, row: int, label: Any) -> None:
        """A label is another."""

    def toggle(self, row: int, label: Any) -> None:
        """A label comes to the row's labels, or goes."""

    def undo(self) -> tuple[int, ...]:
        """Take back."""

    def estimate(self) -> Any:
        """What asking again would cost."""

    def relabel(self, *, yes: bool, background: bool) -> Any:
        """Ask again."""


class ReviewPanel:
    """The panel over a review; ``view`` is ``cards`` or ``grid``.

    ``order`` are the rows that the filters let through. It is fixed when a filter is set, so that rows
    don't move; ``at`` is the place in it that keys are about, its length once all are done.
    """

    def __init__(self, review: Reviewed, view: str = "cards") -> None:
        self.review = review
        self.view = view
        self.filters: dict[str, Any] = {"label": -1, "state": "to review", "search": ""}
        self._job: Any = None
        self._asked = ""
        self._refilter()
        here = Path(__file__).parent
        self.panel = Panel(
            here / "review.js",
            {
                "setup": self._setup,
                "deck": self._deck,
                "filters": lambda: self.filters,
                "progress": self._progress,
                "undo": lambda: self.review.log[-1] if self.review.log else None,
            },
            {
                "accept": self.accept,
                "choose": self.choose,
                "toggle": self.toggle,
                "clear": self.clear,
                "move": self.move,
                "turn": self.turn,
                "page": self.accept_page,
                "undo": self.undo,
                "relabel": self.relabel,
                "filter": self.filter,
                "show": self.show,
            },
            label=f"Review of {review.label}",
            sheet=here / "review.css",
        )
        review.listeners.append(self._changed)

    @property
    def widget(self) -> Any:
        """What a notebook displays."""
        return self.panel.widget

    # --- acts, each a key or a button -----------------------------------------------------------------

    def filter(self, label: int | None = None, state: str | None = None, search: str | None = None) -> None:
        """Set the filters that are not None; ``label`` by its number, -1 for all. Back to the first row."""
        given = {"label": label, "state": state, "search": search}
        self.filters |= {name: value for name, value in given.items() if value is not None}
        self._refilter()

    def _refilter(self) -> None:
        number = int(self.filters["label"])
        label = None if number < 0 else self.review.labels[number]
        state = None if self.filters["state"] == ALL else str(self.filters["state"])
        self.order = self.review.rows(label, state, str(self.filters["search"]))
        self._place = {row: place for place, row in enumerate(self.order)}
        self._reasons = Reasons(self.review)
        self._blind = all(word is None for word in self.review.given)
        self.at = 0

    def _changed(self, words: Mapping[int, LabelValue | None]) -> None:
        """Follow what page or code decided; without ``words`` the labels are new ones, and the order."""
        with self.panel.lock:
            if not words:
                self._refilter()
            self.panel.update()

    def show(self, view: str) -> None:
        """Cards or grid, at the same row."""
        if view in VIEWS:
            self.view = view

    @property
    def page(self) -> int:
        """The page of the grid, 0 first."""
        return min(self.at, max(0, len(self.order) - 1)) // PAGE

    @property
    def shown(self) -> list[int]:
        """The rows on this page of the grid."""
        return self.order[self.page * PAGE : (self.page + 1) * PAGE]

    def accept(self, row: int) -> None:
        """The row's label is right; on to the next."""
        self.review.accept(row)
        self._go_to(row, 1)

    def choose(self, row: int, number: int) -> None:
        """The row has the label of this number, and on to the next."""
        self.review.correct(row, self.review.labels[number])
        self._go_to(row, 1)

    def toggle(self, row: int, number: int) -> None:
        """The row gets this label beside the others, or loses it."""
        self.review.toggle(row, self.review.labels[number])
        self._go_to(row, 0)

    def clear(self, row: int) -> None:
        """No label is right: the empty set."""
        self.review.correct(row, ())
        self._go_to(row, 0)

    def _go_to(self, row: int, beyond: int) -> None:
        if row in self._place:
            self.at = self._place[row] + beyond

    def accept_page(self) -> None:
        """Every label on the page is right; on to the next page."""
        self.review.accept(self.shown)
        self.at = min(len(self.order), (self.page + 1) * PAGE)

    def undo(self) -> None:
        """Take back the last decision, and go to its row."""
        rows = self.review.undo()
        if rows:
            self._go_to(rows[0], 0)

    def move(self, at: int) -> None:
        """The place that keys are about."""
        self.at = min(max(0, at), len(self.order))

    def turn(self, pages: int) -> None:
        """Pages forth or back."""
        last = max(0, (len(self.order) - 1) // PAGE)
        page = min(max(0, self.page + pages), last)
        if page != self.page:
            self.at = page * PAGE

    def relabel(self) -> None:
        """Ask the model again, in the background; where it costs something, say the cost first.

        Pressed while it runs, it stops that.
        """
        if self._job is not None and self._job.status == "running":
            self._job.cancel()
            self.panel.say("Stopping. What was answered is kept.")
            return
        cost = self.review.estimate()
        if cost is None:
            self.panel.say("No other row may change: nothing to ask again.")
            return
        free = cost.dollars is not None and not any(cost.dollars)
        if not free and str(cost) != self._asked:
            self._asked = str(cost)
            self.panel.say(f"{cost}. Press Relabel again to go on.")
            return
        self._asked = ""
        self._job = self.review.relabel(yes=True, background=True)
        follow(self._job, lambda said: self.panel.say(f"{said} (Relabel stops it)"), self._relabelled)

    def _relabelled(self, changed: int | None, fault: str | None) -> None:
        what = "1 label" if changed == 1 else f"{changed or 0:,} labels"
        self.panel.say(fault or f"{what} changed; Undo takes that back.")

    # --- what the page draws --------------------------------------------------------------------------

    def _setup(self) -> dict[str, Any]:
        labels = self.review.labels
        coloured = own_colours(len(labels))
        return {
            "label": self.review.label,
            "many": self.review.many,
            "states": list(STATES),
            "labels": [
                {
                    "text": cut(cell_text(name), 80),
                    "about": cut(self.review.descriptions.get(name, ""), 200),
                    "key": KEYS[number] if number < len(KEYS) else "",
                    "colour": css_colour(number) if coloured else "",
                }
                for number, name in enumerate(labels)
            ],
        }

    def _deck(self) -> dict[str, Any]:
        """The cards around the place, or the page of the grid, in the order of the rows."""
        if self.view == "grid":
            first, last = self.page * PAGE, (self.page + 1) * PAGE
        else:
            first, last = max(0, self.at - 1), self.at + 1 + AHEAD
        cards = [self._card(row) for row in self.order[first:last]]
        return {"view": self.view, "at": self.at, "total": len(self.order), "first": first, "cards": cards}

    def _card(self, row: int) -> dict[str, Any]:
        review, text = self.review, self.review.texts[row]
        sure, second = review.confidence[row], None if review.second is None else review.second[row]
        most = SHORT if self.view == "grid" else LONG
        return {
            "row": row,
            "text": cut(text, most),
            "more": max(0, len(text) - most),
            "given": self._numbers(review.given[row]),
            "other": [cell_text(n) for n in label_names(review.current(row)) if n not in review.labels],
            "current": self._numbers(review.current(row)),
            "state": review.state(row),
            "sure": None if sure is None else round(sure, 4),
            "why": self._reasons.why(row),
            "said": cut(self._reasons.explanation(row), 600),
            "second": [cell_text(name) for name in label_names(second)],
        }

    def _numbers(self, word: LabelValue | None) -> list[int]:
        labels = self.review.labels
        return [labels.index(name) for name in label_names(word) if name in labels]

    def _progress(self) -> dict[str, Any]:
        """How far it is, how often the label was right, and which labels a person gave so far."""
        progress = self.review.progress
        counts = Counter(name for word in self.review.gold.values() for name in label_names(word))
        low, high = progress.interval or (None, None)
        return {
            "rows": progress.rows,
            "reviewed": progress.reviewed,
            "corrected": progress.corrected,
            "accuracy": None if self._blind else progress.accuracy,
            "blind": self._blind,
            "low": low,
            "high": high,
            "overlap": progress.overlap,
            "agreement": ""
            if progress.agreement is None
            else f"With the second column {progress.agreement}.",
            "note": self.review.looked_at,
            "counts": [counts[name] for name in self.review.labels],
            "none": sum(not is_null(word) and word == () for word in self.review.gold.values()),
        }
