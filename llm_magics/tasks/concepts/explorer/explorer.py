"""The explorer: concepts, a map of the documents, slices, and what the documents say, in one widget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from llm_magics.core.errors import LLMError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer import controls, detail, figures, static
from llm_magics.tasks.concepts.explorer.actions import Actions
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets import chart, theme
from llm_magics.widgets.frontend.twin import display_with_widget
from llm_magics.widgets.html import block, line

VIEWS = ("Map", "Matrix", "Prevalence")
DRAGS = ("Click", "Lasso")


class Explorer:
    """A widget over a set of concepts; every button calls the method of the set that code would call.

    State lives here: ``chosen`` concepts (the first is open), the view, the slice, the page, and the
    ``selection`` (lassoed or clicked documents). The widget is made when it is first shown; without one
    the same state gives the static summary and ``to_html``. Edits from code show at once.
    """

    def __init__(
        self,
        concepts: ConceptModel,
        slice: str | None = None,  # noqa: A002 - the flag's word
        *,
        max_points: int = figures.MAX_POINTS,
        interactive: bool = True,
    ) -> None:
        if slice is not None:
            concepts.slice(slice)
        self.concepts = concepts
        self.column = slice
        self.max_points = max_points
        self.interactive = interactive
        self.chosen: tuple[str, ...] = tuple(c.id for c in concepts.selected[:1])
        self.view = VIEWS[0]
        self.drag = DRAGS[0]
        self.by: str | None = None
        self.group: str | None = None
        self.mode = detail.MODES[0]
        self.page = 0
        self.shown: Callable[[], str] | None = None
        self.theme = "light"
        self.status = ""
        self.controls: Any = None
        self.figure: Any = None
        self._lock = threading.RLock()
        self._selected: list[int] = []
        self._picture: figures.Picture | None = None
        self._filling = False
        self._emphasised = False
        self._drawn = ""
        self._outlined = False
        self.actions = Actions(self)

    # --- what code asks -----------------------------------------------------------------------------

    @property
    def concept(self) -> Concept | None:
        """The open concept."""
        return self.concepts[self.chosen[0]] if self.chosen else None

    @property
    def rows(self) -> list[int]:
        """Numbers of the selected documents' rows."""
        return list(self._selected)

    @property
    def selection(self) -> Any:
        """The selected documents as the user's own frame."""
        return self.concepts.documents.take(self._selected)

    @property
    def scores(self) -> Any:
        """Documents x ticked concepts."""
        return self.concepts.scores

    @property
    def history(self) -> list[Any]:
        """The edits so far."""
        return self.concepts.history

    def to_code(self, variable: str = "themes") -> str:
        """Python that replays the edits."""
        return self.concepts.to_code(variable)

    def to_html(self, path: Any = None) -> str:
        """A page that needs nothing but a browser; written to ``path`` where one is given."""
        page = static.page(self.concepts, self.column)
        if path is not None:
            from pathlib import Path

            Path(path).write_text(page, encoding="utf-8")
        return page

    # --- what code and controls do --------------------------------------------------------------------

    def choose(self, *names: str) -> None:
        """Open the first of these concepts and stand the others beside it."""
        with self._lock:
            self.chosen = tuple(dict.fromkeys(self.concepts[name].id for name in names))
            self.page, self.shown = 0, None
            self.refresh()

    def pick(self, keys: Sequence[str]) -> None:
        """The list's choice: the map shows the chosen concepts alone."""
        with self._lock:
            self._emphasised = bool(keys)
            self.choose(*keys)

    def narrow(self, group: str | None) -> None:
        """Only one group of the slices in the detail."""
        with self._lock:
            self.group, self.page, self.shown = group, 0, None
            self.refresh(picture=False)

    def list_mode(self, mode: str) -> None:
        """Matches, non-matches, failed, or not asked."""
        with self._lock:
            self.mode, self.page, self.shown = mode, 0, None
            self.refresh(picture=False)

    def drag_to(self, mode: str) -> None:
        """``Click`` opens what is clicked, ``Lasso`` selects what is encircled."""
        with self._lock:
            self.drag = mode
            self.refresh(picture=False)
            self._gesture(anew=True)

    def open(self, concept: str, group: str | None = None) -> None:
        """A concept's detail, within one group of the slices if that is said."""
        with self._lock:
            self.group = group
            self.choose(concept)

    def show(self, view: str, by: str | None = None) -> None:
        """``Map``, ``Matrix`` (counts, or shares ``by`` "concept" or "slice") or ``Prevalence``."""
        with self._lock:
            self.view, self.by = view.title(), by
            self.refresh()

    def slice_by(self, column: str | None, **how: Any) -> None:
        """Slices by another column; ``bins`` or ``bounds`` for numbers."""
        with self._lock:
            if column is not None:
                self.concepts.slice(column, **how)
            self.column, self.group = column, None
            self.refresh()

    def select(self, rows: Sequence[int]) -> None:
        """Select documents by row number, as the lasso does, and list them."""
        with self._lock:
            self._selected = sorted({int(row) for row in rows})
            self._outlined = True
            self.page = 0
            chosen = self._selected
            what = f"{len(chosen):,} documents selected"
            self.shown = (
                (lambda: detail.selection_pane(self.concepts, chosen, self.page, what)) if chosen else None
            )
            self.refresh(picture=False)

    def look_at(self, row: int) -> None:
        """One document and all its scores."""
        with self._lock:
            self._selected = [int(row)]
            self.shown = lambda: detail.document_pane(self.concepts, int(row))
            self.refresh(picture=False)

    def turn(self, pages: int) -> None:
        """Some pages on, or back."""
        with self._lock:
            last = max(0, (self._length() - 1) // detail.PAGE)
            self.page = min(max(0, self.page + pages), last)
            self.refresh(picture=False)

    def say(self, text: str) -> None:
        """A line of status, read out by screen readers."""
        self.status = text
        if self.controls is not None:
            self.controls.status.value = block(line(text), role="status")

    def attempt(self, work: Callable[[], Any]) -> None:
        """Do it; what can't be done is said in the status line, never raised into the page."""
        try:
            with self._lock:
                work()
        except LLMError as error:
            self.say(error.message)

    # --- drawing ----------------------------------------------------------------------------------

    def _rows_shown(self) -> list[int]:
        concept = self.concept
        if concept is None:
            return self.concepts.uncovered
        group = (self.column, self.group) if self.column and self.group else None
        return detail.rows_of(self.concepts, concept, self.mode, group)

    def _length(self) -> int:
        return len(self._selected) if self.shown is not None else len(self._rows_shown())

    def detail(self) -> str:
        """The right side as HTML."""
        if self.shown is not None:
            return self.shown()
        rows, concept = self._rows_shown(), self.concept
        if concept is None:
            what = "Documents that no ticked concept matches"
            return detail.selection_pane(self.concepts, rows, self.page, what)
        where = f" in {self.column} = {self.group}" if self.column and self.group else ""
        return detail.concept_pane(self.concepts, concept, rows, self.page, self.mode, where)

    def picture(self) -> figures.Picture:
        """What the figure shows."""
        if self.view == "Matrix":
            return figures.matrix_picture(self.concepts, self.column, self.by)
        if self.view == "Prevalence":
            return figures.prevalence_picture(self.concepts)
        known = [key for key in self.chosen if key in self.concepts]
        emphasis = known if len(known) > 1 or self._emphasised else ()
        return figures.map_picture(self.concepts, emphasis, self.max_points)

    def refresh(self, *, picture: bool = True) -> None:
        """Bring the widget up to the state; does nothing before it is shown."""
        with self._lock:
            kept = tuple(key for key in self.chosen if key in self.concepts)
            self.chosen = kept or (tuple(c.id for c in self.concepts.selected[:1]) if self.chosen else ())
            if self.controls is None or self._filling:
                return
            self._filling = True
            try:
                self._fill(picture)
            finally:
                self._filling = False

    def _fill(self, picture: bool) -> None:
        ui = self.controls
        entries = detail.entries(self.concepts, self.column, ui.search.value)
        if tuple(ui.listing.options) != tuple(entries):
            ui.listing.options = entries
        ui.listing.value = tuple(key for key in self.chosen if key in {key for _, key in entries})
        groups = [
            ("all", ""),
            *((g, g) for g in (self.concepts.slice(self.column).groups if self.column else ())),
        ]
        if tuple(ui.group.options) != tuple(groups):
            ui.group.options = groups
        # A dropdown shows nothing at all for None, so that "none" is the empty text there.
        ui.group.value, ui.column.value, ui.by.value = self.group or "", self.column or "", self.by or ""
        ui.view.value, ui.drag.value, ui.mode.value = self.view, self.drag, self.mode
        ui.buttons["undo"].disabled = not self.concepts.can_undo
        ui.buttons["redo"].disabled = not self.concepts.can_redo
        ui.detail.value = self.detail()
        last = (self._length() - 1) // detail.PAGE
        ui.back.disabled, ui.forth.disabled = self.page <= 0, self.page >= last
        if picture:
            self._draw()

    def _draw(self) -> None:
        """The one trace takes another picture."""
        made = self._picture = self.picture()
        layout = figures.painted({**made.layout, **self.gestures}, self.theme)
        # One message with what changed. Assigning to the trace would check each of 20,000 symbols by itself.
        trace = {path: [value] for path, value in figures.paths(made.trace)}
        self.figure.plotly_update(trace, dict(figures.paths(layout)), [0])
        self._gesture(anew=self.view != self._drawn)
        self._drawn = self.view
        self.controls.legend.value = detail.legend(made.legend, made.notice)

    @property
    def gestures(self) -> dict[str, Any]:
        """What a drag and a click mean.

        A hover on the way would overwrite a lasso's event, since plotly sends both through one trait;
        and without hover plotly tells of no click.
        """
        lasso = self.drag == "Lasso" and self.view == "Map"
        return {"dragmode": "lasso" if lasso else "pan", "hovermode": False if lasso else "closest"}

    def paint(self, theme: str) -> None:
        """The colours of another theme; points and selection stay as they are."""
        with self._lock:
            self.theme = theme
            if self._picture is not None:
                layout = figures.painted({**self._picture.layout, **self.gestures}, theme)
                self.figure.plotly_relayout(dict(figures.paths(layout)))

    def _gesture(self, *, anew: bool) -> None:
        """Let a drag and a click mean what the controls say; ``anew`` takes a drawn lasso away."""
        if self.figure is not None:
            chart.gesture(self.figure, self.gestures, outline=not anew, selected=anew and self._outlined)
            self._outlined = self._outlined and not anew

    # --- showing ----------------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The widget, made on first use. Raises ImportError without ipywidgets or anywidget."""
        if self.controls is None:
            _wire(self)
        return self.controls.box

    def close(self) -> None:
        """Take the widget away and stop following the set."""
        self.concepts.unwatch(self.refresh)
        if self.controls is not None:
            self.controls.close()
            self.controls = self.figure = None

    def _ipython_display_(self) -> None:
        """The summary as an output of its own, which every saved notebook keeps, then the widget."""
        html, text = static.summary(self.concepts, self.column), static.text(self.concepts)
        widget = (lambda: self.widget) if self.interactive else None
        without = "The summary above, .to_html() and the methods work without."
        display_with_widget(html, text, widget, without)

    def __repr__(self) -> str:
        return static.text(self.concepts)


def _wire(explorer: Explorer) -> None:
    """Make the widget of an explorer and fill it."""
    explorer.figure = chart.chart()
    ui = controls.build(explorer.figure, theme.probe(), explorer.concepts.sliceable)
    explorer.controls = ui
    _buttons(explorer, ui)
    _inputs(explorer, ui)
    _points(explorer)
    explorer.concepts.watch(explorer.refresh)
    explorer.refresh()
    explorer.say(explorer.status or "Choose a concept, or draw a lasso around documents.")


def _buttons(explorer: Explorer, ui: controls.Controls) -> None:
    for key, button in ui.buttons.items():
        action: Callable[[], Any] = getattr(explorer.actions, key)
        button.on_click(lambda _, action=action: explorer.attempt(action))
    ui.back.on_click(lambda _: explorer.attempt(lambda: explorer.turn(-1)))
    ui.forth.on_click(lambda _: explorer.attempt(lambda: explorer.turn(1)))


def _inputs(explorer: Explorer, ui: controls.Controls) -> None:
    def on(widget: Any, act: Callable[[Any], object]) -> None:
        def changed(change: Any) -> None:
            # What the explorer writes itself comes back as a change too, and is none.
            if not explorer._filling:  # noqa: SLF001
                explorer.attempt(lambda: act(change["new"]))

        widget.observe(changed, "value")

    on(ui.listing, explorer.pick)
    on(ui.search, lambda _: explorer.refresh(picture=False))
    on(ui.view, lambda view: explorer.show(view, explorer.by))
    on(ui.drag, explorer.drag_to)
    on(ui.by, lambda by: explorer.show(explorer.view, by or None))
    on(ui.column, lambda column: explorer.slice_by(column or None))
    on(ui.group, lambda group: explorer.narrow(group or None))
    on(ui.mode, explorer.list_mode)

    ui.probe.observe(lambda change: explorer.attempt(lambda: explorer.paint(change["new"])), "theme")


def _points(explorer: Explorer) -> None:
    """Clicks and lassos, by the picture that is on."""
    trace = explorer.figure.data[0]

    def key(index: int) -> Any:
        return explorer._picture.keys[index]  # type: ignore[union-attr] # noqa: SLF001

    def clicked(_trace: Any, points: Any, _state: Any) -> None:
        if not points.point_inds:
            return
        spot = key(points.point_inds[0])
        if explorer.view == "Map":
            explorer.attempt(lambda: explorer.look_at(int(spot)))
        else:
            name, group = spot
            explorer.attempt(lambda: explorer.open(name, None if group == "all" else group))

    def lassoed(_trace: Any, points: Any, _selector: Any) -> None:
        if explorer.view == "Map":
            explorer.attempt(lambda: explorer.select([int(key(i)) for i in points.point_inds]))

    trace.on_click(clicked)
    trace.on_selection(lassoed)
    trace.on_deselect(lambda *_: explorer.attempt(lambda: explorer.select([])))
