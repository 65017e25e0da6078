"""The explorer: concepts, a map of the documents, slices, and what the documents say, in one widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer import detail, figures, static
from llm_magics.tasks.concepts.explorer.actions import Actions
from llm_magics.tasks.concepts.explorer.page_parts import PageParts
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.frontend import plotly_script
from llm_magics.widgets.frontend.twin import Twin, display_with_widget

VIEWS = ("Map", "Matrix", "Prevalence")
HERE = Path(__file__).parent / "page"


class Explorer:
    """A widget over a set of concepts; every button calls the method of the set that code would call.

    State lives here: ``chosen`` concepts (the first is open), the view, the slice, the page, and the
    ``selection`` (documents drawn around or clicked). The widget is made when it is first shown; without
    one the same state gives the static summary and ``to_html``. Edits from code show at once.
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
        self.by: str | None = None
        self.colour = "concept"
        self.group: str | None = None
        self.mode = detail.MODES[0]
        self.page = 0
        self.query = ""
        self.emphasised = False
        self.documents: str | None = None
        """What the detail lists instead of a concept: "selection", "search", "document", or None."""
        self.found: tuple[int, ...] = ()
        """Rows of the documents with the text looked for."""
        self.panel: Any = None
        self._twin: Twin | None = None
        self._selected: list[int] = []
        self._status = "Click a concept or a document; draw around documents to select them."
        self.actions = Actions(self)
        self._parts = PageParts(self)
        concepts.watch(self.changed)

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

    @property
    def status(self) -> str:
        """The sentence in the status line."""
        return self.panel.status if self.panel is not None else self._status

    def to_code(self, variable: str = "themes") -> str:
        """Python that replays the edits."""
        return self.concepts.to_code(variable)

    def to_html(self, path: Any = None) -> str:
        """A page that needs nothing but a browser; written to ``path`` where one is given."""
        page = static.page(self.concepts, self.column)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def detail(self) -> dict[str, Any]:
        """The right side as plain data: facts of a concept, a page of documents."""
        return self._parts.detail()

    def listed(self) -> list[int]:
        """Rows of the documents that the detail lists, all pages of them."""
        if self.documents in ("selection", "document"):
            return self._selected
        if self.documents == "search":
            return list(self.found)
        concept = self.concept
        if concept is None:
            return self.concepts.uncovered
        group = (self.column, self.group) if self.column and self.group else None
        return detail.rows_of(self.concepts, concept, self.mode, group)

    # --- what code and controls do --------------------------------------------------------------------

    def choose(self, *names: str) -> None:
        """Open the first of these concepts and stand the others beside it; none: what no concept matches."""
        with self._locked:
            self.chosen = tuple(dict.fromkeys(self.concepts[name].id for name in names))
            self.page, self.documents = 0, None
            self.refresh()

    def pick(self, keys: Sequence[str]) -> None:
        """The list's choice: on the map the chosen concepts stand out."""
        with self._locked:
            self.emphasised = True
            self.choose(*keys)

    def all_alike(self) -> None:
        """On the map no document stands out any longer: no search, no selection, no concept."""
        with self._locked:
            self.emphasised, self.query, self.found = False, "", ()
            self._selected, self.documents, self.page = [], None, 0
            self.refresh()

    def narrow(self, group: str | None) -> None:
        """Only one group of the slices in the detail."""
        with self._locked:
            self.group, self.page, self.documents = group or None, 0, None
            self.refresh()

    def list_mode(self, mode: str) -> None:
        """Matches, near misses, non-matches, failed, or not asked. Raises UsageError for others."""
        if mode not in detail.MODES:
            raise UsageError(f"{mode!r} is no list of documents.", hint=f"one of {', '.join(detail.MODES)}")
        with self._locked:
            self.mode, self.page, self.documents = mode, 0, None
            self.refresh()

    def open(self, concept: str, group: str | None = None) -> None:
        """A concept's detail, within one group of the slices if that is said."""
        with self._locked:
            self.group = group or None
            self.mode = detail.MODES[0]
            self.choose(concept)

    def show(self, view: str, by: str | None = None) -> None:
        """``Map``, ``Matrix`` (counts, or shares ``by`` "concept" or "slice") or ``Prevalence``."""
        if view.title() not in VIEWS:
            raise UsageError(f"{view!r} is no view.", hint=f"one of {', '.join(VIEWS)}")
        with self._locked:
            self.view, self.by = view.title(), by or None
            self.refresh()

    def slice_by(self, column: str | None, **how: Any) -> None:
        """Slices by another column; ``bins`` or ``bounds`` for numbers."""
        with self._locked:
            if column:
                self.concepts.slice(column, **how)
            self.column, self.group = column or None, None
            self.refresh()
        self._renew_twin()

    def colour_by(self, colour: str) -> None:
        """Colour the map by "concept", by "score" of the open concept, or by "slice:COLUMN"."""
        with self._locked:
            if colour.startswith("slice:"):
                self.concepts.slice(colour.removeprefix("slice:"))
            elif colour not in ("concept", "score"):
                raise UsageError(f"{colour!r} is no colour.", hint='"concept", "score" or "slice:COLUMN"')
            self.colour = colour
            self.refresh()

    def search(self, query: str) -> None:
        """Light up the documents that contain a text, whatever its case, and list them."""
        with self._locked:
            self.query, self.page = query.strip(), 0
            wanted = self.query.casefold()
            self.found = tuple(
                row for row, text in enumerate(self._parts.folded) if wanted and wanted in text
            )
            self.documents = "search" if wanted else None
            self.refresh()

    def select(self, rows: Sequence[int]) -> None:
        """Select documents by row number, as the lasso does, and list them."""
        with self._locked:
            self._selected = sorted({int(row) for row in rows})
            self.page = 0
            self.documents = "selection" if self._selected else None
            self.refresh()

    def look_at(self, row: int) -> None:
        """One document and all its scores."""
        with self._locked:
            self._selected = [int(row)]
            self.documents = "document"
            self.refresh()

    def turn(self, pages: int) -> None:
        """Some pages on, or back."""
        with self._locked:
            last = max(0, (len(self.listed()) - 1) // detail.PAGE)
            self.page = min(max(0, self.page + pages), last)
            self.refresh()

    def say(self, text: str) -> None:
        """A line of status, read out by screen readers."""
        self._status = text
        if self.panel is not None:
            self.panel.say(text)

    def refresh(self) -> None:
        """Bring the widget up to the state; does nothing before it is shown."""
        with self._locked:
            kept = tuple(key for key in self.chosen if key in self.concepts)
            self.chosen = kept or (tuple(c.id for c in self.concepts.selected[:1]) if self.chosen else ())
            if self.panel is not None:
                self.panel.update()

    def changed(self) -> None:
        """Concepts or scores are others now."""
        with self._locked:
            self._parts.forget()
            self.refresh()
        self._renew_twin()

    def _renew_twin(self) -> None:
        """What a saved notebook keeps follows, once it is displayed."""
        if self._twin is not None:
            self._twin.refresh()

    @property
    def _locked(self) -> Any:
        return self.panel.lock if self.panel is not None else nullcontext()

    # --- showing ----------------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The widget, made on first use. Raises ImportError without ipywidgets or anywidget."""
        if self.panel is None:
            self.panel = self._made()
        return self.panel.widget

    def _made(self) -> Any:
        from llm_magics.widgets.frontend.panel import Panel

        panel = Panel(
            HERE / "explorer.js",
            self._parts.parts,
            {**self._intents, **self.actions.intents},
            label="Concept explorer",
            sheet=HERE / "explorer.css",
            answers={"document": self._parts.hovered, "code": self.to_code},
        )
        panel.status = self._status
        return panel

    @property
    def _intents(self) -> dict[str, Callable[..., object]]:
        """What the page asks for that changes no concept."""
        return {
            "choose": self.pick,
            "alike": self.all_alike,
            "narrow": self.narrow,
            "mode": self.list_mode,
            "open": lambda concept, group: self.open(concept, None if group == "all" else group),
            "show": lambda view: self.show(view, self.by),
            "by": lambda by: self.show(self.view, by),
            "slice": self.slice_by,
            "colour": self.colour_by,
            "search": self.search,
            "select": self.select,
            "look": self.look_at,
            "turn": self.turn,
        }

    def close(self) -> None:
        """Take the widget away and stop following the set."""
        self.concepts.unwatch(self.changed)
        if self.panel is not None:
            self._status = self.panel.status
            self.panel.close()
            self.panel = None

    def _ipython_display_(self) -> None:
        """The summary as an output of its own, which every saved notebook keeps, then the widget."""
        if self.interactive:
            plotly_script.prepare()
        widget = (lambda: self.widget) if self.interactive else None
        without = "The summary above, .to_html() and the methods work without."
        self._twin = display_with_widget(self._static, widget, without)

    def _static(self) -> tuple[str, str]:
        return static.summary(self.concepts, self.column), static.text(self.concepts)

    def __repr__(self) -> str:
        return static.text(self.concepts)
