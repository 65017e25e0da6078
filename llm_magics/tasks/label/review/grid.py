"""The review grid, a widget: ten rows a page, least certain first, by mouse or by keys.

Buttons and keys call the methods of ``Review``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from llm_magics.tasks.label.review.editors import Chosen, editor, keyboard
from llm_magics.widgets.frontend.twin import display_with_widget
from llm_magics.widgets.html import block, cut, escape, line, table
from llm_magics.widgets.job import follow

PAGE = 10
MOST = 700
"""Characters of a text that are shown; the rest is in the frame."""
STATES = ("to review", "reviewed", "corrected", "no label", "repaired", "defaulted", "failed")
_ANY = "all"
_ONE = "1-9 label"
_SEVERAL = "1-9 label on or off, 0 no label"
_HELP = "Keys (click here first): {digits}, Enter accept, ↑ ↓ row, ← → page, u undo"
_KEYS = [*"0123456789", "Enter", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "u"]


class Reviewed(Protocol):
    """What the grid needs of a review."""

    texts: list[str]
    confidence: list[float | None]
    interactive: bool

    @property
    def label(self) -> str:
        """What is reviewed."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What to choose from."""

    @property
    def many(self) -> bool:
        """Whether a row has several labels."""

    @property
    def progress(self) -> Any:
        """How it stands."""

    def state(self, row: int) -> str:
        """How a row stands."""

    def rows(self, label: str | None = None, state: str | None = None, search: str = "") -> list[int]:
        """Rows, least certain first."""

    def current(self, row: int) -> Chosen | None:
        """A row's label, or labels."""

    def accept(self, rows: int | Sequence[int]) -> None:
        """Labels are right."""

    def correct(self, row: int, label: str | Sequence[str]) -> None:
        """A label is another."""

    def toggle(self, row: int, label: str) -> None:
        """A label comes to the row's labels, or goes."""

    def undo(self) -> tuple[int, ...]:
        """Take back."""

    def estimate(self) -> Any:
        """What asking again would cost."""

    def relabel(self, *, yes: bool, background: bool) -> Any:
        """Ask again."""


class ReviewGrid:
    """The widget over a review. ``order`` is fixed when a filter is set, so that rows don't move."""

    def __init__(self, review: Reviewed) -> None:
        import ipywidgets as w

        self.review = review
        self.page = self.at = 0
        self._quiet = False
        self._lock = threading.RLock()
        self._job: Any = None
        self._asked = ""
        self.label = w.Dropdown(options=[_ANY, *review.labels], description="Label")
        self.state = w.Dropdown(options=[_ANY, *STATES], value="to review", description="Show")
        self.search = w.Text(placeholder="search", description="Search", continuous_update=False)
        self.buttons = {
            "accept": w.Button(description="Accept page", tooltip="Every label on this page is right"),
            "undo": w.Button(description="Undo", tooltip="Take back the last word"),
            "relabel": w.Button(
                description="Relabel", tooltip="Ask the model again, your labels as examples"
            ),
            "back": w.Button(description="‹ Previous", tooltip="Page before"),
            "forth": w.Button(description="Next ›", tooltip="Next page"),
        }
        for button in self.buttons.values():
            button.layout.width = "auto"
        self.where = w.HTML()
        self.status = w.HTML()
        self.work = w.HTML()
        self.keyboard = keyboard(_KEYS, _HELP.format(digits=_SEVERAL if review.many else _ONE))
        self.lines = [_Line(w, self, n) for n in range(PAGE)]
        self.box = self._laid_out(w)
        self._wire()
        self.refilter()

    def _laid_out(self, w: Any) -> Any:
        filters = w.HBox([self.state, self.label, self.search], layout=w.Layout(flex_flow="row wrap"))
        moves = w.HBox([*self.buttons.values(), self.where], layout=w.Layout(flex_flow="row wrap"))
        rows = w.VBox([one.box for one in self.lines])
        return w.VBox([w.HTML(_STYLE), filters, moves, self.keyboard, rows, self.status, self.work])

    def _wire(self) -> None:
        for control in (self.label, self.state, self.search):
            control.observe(lambda _: self.attempt(self.refilter), "value")
        acts: dict[str, Callable[[], None]] = {
            "accept": self.accept_page,
            "undo": self.undo,
            "relabel": self.relabel,
            "back": lambda: self.turn(-1),
            "forth": lambda: self.turn(1),
        }
        for name, act in acts.items():
            self.buttons[name].on_click(lambda _, act=act: self.attempt(act))
        self.keyboard.on_msg(
            lambda _, content, __: self.attempt(lambda: self.press(str(content.get("key", ""))))
        )

    def attempt(self, act: Callable[[], object]) -> None:
        """Call ``act``; an error is shown under the grid, since a button has no cell to raise in."""
        with self._lock:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - a full disk too
                self._tell(getattr(error, "message", None) or str(error))

    # -- acts, each also a key or a button

    def refilter(self) -> None:
        """Make the list of rows anew; back to its first page."""
        label = None if self.label.value == _ANY else self.label.value
        state = None if self.state.value == _ANY else self.state.value
        self.order = self.review.rows(label, state, self.search.value)
        self.page = self.at = 0
        self.refresh()

    @property
    def shown(self) -> list[int]:
        """The rows on this page."""
        return self.order[self.page * PAGE : (self.page + 1) * PAGE]

    def accept(self, n: int) -> None:
        """The n-th row on the page is right; on to the next."""
        if n < len(self.shown):
            self.review.accept(self.shown[n])
            self.move(n + 1)

    def correct(self, n: int, chosen: Chosen) -> None:
        """The n-th row on the page has another label, and on to the next; or these labels."""
        if n < len(self.shown):
            self.review.correct(self.shown[n], chosen)
            self.move(n if self.review.many else n + 1)

    def toggle(self, n: int, label: str) -> None:
        """The n-th row on the page gets this label beside the others, or loses it."""
        if n < len(self.shown):
            self.review.toggle(self.shown[n], label)
            self.move(n)

    def accept_page(self) -> None:
        """Every label on the page is right; on to the next page."""
        self.review.accept(self.shown)
        self.turn(1)

    def undo(self) -> None:
        """Take back the last word, and go to its row."""
        rows = self.review.undo()
        if rows and rows[0] in self.order:
            place = self.order.index(rows[0])
            self.page, self.at = divmod(place, PAGE)
        self.refresh()

    def relabel(self) -> None:
        """Ask the model again, in the background; where it costs something, show the cost first.

        Pressed while it runs, it stops that.
        """
        if self._job is not None and self._job.status == "running":
            self._job.cancel()
            self._tell("Stopping. What was answered is kept.")
            return
        cost = self.review.estimate()
        if cost is None:
            self._tell("No other row may change: nothing to ask again.")
            return
        free = cost.dollars is not None and not any(cost.dollars)
        if not free and str(cost) != self._asked:
            self._asked = str(cost)
            self._tell(f"{cost}. Press Relabel again to go on.")
            return
        self._asked = ""
        self._job = self.review.relabel(yes=True, background=True)
        follow(self._job, lambda said: self._tell(f"{said} (Relabel stops it)"), self._relabelled)

    def _relabelled(self, changed: int | None, fault: str | None) -> None:
        with self._lock:
            if fault is None:
                self.refilter()
            what = "1 label" if changed == 1 else f"{changed:,} labels"
            self._tell(fault or f"{what} changed; Undo takes that back.")

    def move(self, at: int) -> None:
        """The row that keys are about."""
        if at >= len(self.shown):
            self.turn(1)
            return
        self.at = max(0, at)
        self.refresh()

    def turn(self, pages: int) -> None:
        """Pages forth or back."""
        last = max(0, (len(self.order) - 1) // PAGE)
        before, self.page = self.page, min(max(0, self.page + pages), last)
        self.at = 0 if self.page != before else min(self.at, max(0, len(self.shown) - 1))
        self.refresh()

    def press(self, key: str) -> None:
        """A key."""
        if key.isdecimal():
            self._digit(int(key))
        elif key == "Enter":
            self.accept(self.at)
        elif key in ("ArrowDown", "ArrowUp"):
            self.move(self.at + (1 if key == "ArrowDown" else -1))
        elif key in ("ArrowLeft", "ArrowRight"):
            self.turn(1 if key == "ArrowRight" else -1)
        elif key == "u":
            self.undo()

    def _digit(self, number: int) -> None:
        if number > len(self.review.labels):
            return
        if self.review.many and number == 0:
            self.correct(self.at, ())
        elif self.review.many:
            self.toggle(self.at, self.review.labels[number - 1])
        elif number:
            self.correct(self.at, self.review.labels[number - 1])

    def refresh(self) -> None:
        """Show what is."""
        with self._silently():
            shown = self.shown
            for n, one in enumerate(self.lines):
                one.show(self.review, shown[n] if n < len(shown) else None, here=n == self.at)
        first = self.page * PAGE + 1
        said = f"{first:,}-{first + len(shown) - 1:,} of {len(self.order):,}" if shown else "no rows"
        self.where.value = line(said)
        self.status.value = _status("llmx-review", str(self.review.progress))

    def _tell(self, text: str) -> None:
        """What became of a button, under how the review stands."""
        self.work.value = _status("llmx-work", text)

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Values that the grid sets itself are not decisions of the person."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def chosen(self, n: int, chosen: Chosen) -> None:
        """A person chose in the n-th row's own control."""
        if not self._quiet:
            self.attempt(lambda: self.correct(n, chosen))


_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5;padding:3px 0"
_STYLE = (
    "<style>.llmx-row{border-top:1px solid rgba(128,128,128,.35)}"
    ".llmx-here{background:rgba(93,136,255,.16)}"
    ".llmx-row .llmx-quiet>label{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    "</style>"
)
"""A row's own controls have a label that screen readers say and that takes no room."""


def _status(kind: str, text: str) -> str:
    return f'<div class="{kind}" role="status" aria-live="polite">{escape(text)}</div>'


class _Line:
    """One row of the grid."""

    def __init__(self, w: Any, grid: ReviewGrid, n: int) -> None:
        self.mark = w.HTML(layout=w.Layout(width="6.5em", flex="0 0 auto"))
        self.text = w.HTML(layout=w.Layout(flex="1 1 auto", min_width="10em"))
        self.labels = editor(grid.review.labels, grid.review.many, lambda chosen: grid.chosen(n, chosen))
        self.accept = w.Button(
            description="Accept",
            tooltip="This label is right",
            layout=w.Layout(width="5.5em", flex="0 0 auto"),
        )
        self.box = w.HBox([self.mark, self.text, self.labels.box, self.accept])
        self.box.add_class("llmx-row")
        self.accept.on_click(lambda _: grid.attempt(lambda: grid.accept(n)))

    def show(self, review: Reviewed, row: int | None, *, here: bool) -> None:
        """Fill with a row of the review, or hide."""
        self.box.layout.display = "none" if row is None else "flex"
        if row is None:
            return
        state, sure = review.state(row), review.confidence[row]
        sign = {"reviewed": "✓", "corrected": "✎"}.get(state, "?" if state == "no label" else "")
        known = "" if sure is None else f"{sure:.2f}"
        weight = "font-weight:bold" if here else ""
        self.mark.value = (
            f'<span style="{weight}" title="row {row}, {escape(state)}">{"▸" if here else "&nbsp;"} '
            f"{known} {sign}</span>"
        )
        (self.box.add_class if here else self.box.remove_class)("llmx-here")
        self.accept.tooltip = f"Row {row}: this label is right"
        self.labels.name(f"Label of row {row}")
        text = escape(cut(review.texts[row], MOST))
        self.text.value = f'<div style="{_TEXT};{weight}">{text}</div>'
        self.labels.show(_names(review, row))


def _names(review: Reviewed, row: int) -> tuple[str, ...]:
    current = review.current(row)
    return (current,) if isinstance(current, str) else current or ()


def summary(review: Reviewed, rows: int = PAGE) -> str:
    """The least certain rows as a static, escaped table for a saved notebook."""
    chosen = review.rows(state="to review")[:rows] or review.rows()[:rows]
    cells = [
        (
            row,
            cut(review.texts[row], 160),
            "(none)" if review.current(row) == () else ", ".join(_names(review, row)),
            review.state(row).replace(" ", "\u00a0"),
            "" if (sure := review.confidence[row]) is None else f"{sure:.2f}",
        )
        for row in chosen
    ]
    heads = ("row", "text", review.label, "state", "confidence")
    return block(line(str(review.progress)), table(heads, cells, caption="Least certain first", numbers=4))


def show(review: Reviewed) -> None:
    """Display the summary as an output of its own, which every saved notebook keeps, then the grid."""
    widget = (lambda: ReviewGrid(review).box) if review.interactive else None
    without = "accept, correct, relabel and df work without."
    display_with_widget(summary(review), repr(review), widget, without)
