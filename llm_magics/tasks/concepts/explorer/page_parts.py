"""Caches the parts of the explorer's page: a part is made anew only when the state under it has changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer import detail, parts, static
from llm_magics.tasks.concepts.explorer.map_part import lit_part, map_part
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import cut

HOVERED = 260
"""Characters of a document on the card beside the pointer."""


class State(Protocol):
    """What the page needs of the explorer."""

    concepts: ConceptModel
    column: str | None
    max_points: int
    chosen: tuple[str, ...]
    view: str
    by: str | None
    colour: str
    group: str | None
    mode: str
    page: int
    query: str
    emphasised: bool
    documents: str | None
    found: tuple[int, ...]
    actions: Any

    @property
    def concept(self) -> Concept | None:
        """The open concept."""

    @property
    def rows(self) -> list[int]:
        """The selected rows."""

    def listed(self) -> list[int]:
        """Rows that the detail lists."""


class PageParts:
    """One method a part; ``parts`` names them all."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._kept: dict[Any, Any] = {}

    @property
    def parts(self) -> dict[str, Callable[[], Any]]:
        """The parts in the order they are drawn: what a click opens, then the map, which takes longest."""
        return {
            "head": self.head,
            "view": self.view,
            "list": self.rows,
            "detail": self.detail,
            "matrix": self.matrix,
            "prevalence": self.prevalence,
            "map": self.map,
            "lit": self.lit,
        }

    def forget(self) -> None:
        """Make all anew: concepts or scores changed."""
        self._kept.clear()

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    @cached_property
    def folded(self) -> list[str]:
        """The texts as a search reads them."""
        return [text.casefold() for text in self.state.concepts.documents.texts]

    @cached_property
    def columns(self) -> list[str]:
        """The columns that slices can be made of."""
        return self.state.concepts.sliceable

    def head(self) -> dict[str, Any]:
        """Title, what undo and redo would do, whether there is something to score, how the set was made."""
        concepts = self.state.concepts
        return {
            "title": static.title(concepts),
            "undo": parts.described(concepts.last_edit),
            "redo": parts.described(concepts.next_edit),
            "score": self.state.actions.scoring,
            "report": concepts.report,
            "ticked": len(concepts.selected),
            "all": len(concepts),
        }

    def view(self) -> dict[str, Any]:
        """View, slice and colour, and what else they could be."""
        state = self.state
        return {
            "view": state.view,
            "by": state.by or "",
            "column": state.column or "",
            "columns": self.columns,
            "colour": state.colour,
            "concept": state.concept.name if state.concept is not None else "",
            "query": state.query,
            "selected": len(state.rows) if state.documents != "document" else 0,
        }

    def rows(self) -> dict[str, Any]:
        """The concepts as rows."""
        state = self.state
        hits = frozenset(state.found) if state.query else None
        key = ("list", state.column, state.query)
        made = self._once(key, lambda: parts.list_part(state.concepts, state.column, hits))
        return {**made, "chosen": list(state.chosen)}

    def map(self) -> Any:
        """The map; None while another view is on."""
        state = self.state
        if state.view != "Map" or not len(state.concepts.documents):
            return None
        concept = state.chosen[0] if state.colour == "score" and state.chosen else None
        key = ("map", state.colour, concept)
        return self._once(key, lambda: map_part(state.concepts, state.colour, concept, state.max_points))

    def lit(self) -> dict[str, Any] | None:
        """Which documents stand out on the map."""
        state, drawn = self.state, self.map()
        if drawn is None:
            return None
        here = state.rows[0] if state.documents == "document" and state.rows else None
        if state.query:
            return lit_part(drawn["rows"], state.found, f"contain “{state.query}”", here)
        if state.documents == "selection":
            return lit_part(drawn["rows"], state.rows, "selected", here)
        if state.emphasised or len(state.chosen) > 1:
            return lit_part(drawn["rows"], *self._emphasised(), here)
        return lit_part(drawn["rows"], None, "", here)

    def _emphasised(self) -> tuple[list[int], str]:
        concepts, chosen = (
            self.state.concepts,
            [key for key in self.state.chosen if key in self.state.concepts],
        )
        if not chosen:
            return concepts.uncovered, "match no concept"
        rows = {row for key in chosen for row in concepts.rows(key)}
        names = f"“{concepts[chosen[0]].name}”" if len(chosen) == 1 else f"one of {len(chosen)} concepts"
        return sorted(rows), f"match {names}"

    def matrix(self) -> Any:
        """Concepts by slice."""
        state = self.state
        if state.view != "Matrix":
            return None
        key = ("matrix", state.column, state.by)
        return self._once(key, lambda: parts.matrix_part(state.concepts, state.column, state.by))

    def prevalence(self) -> Any:
        """Shares with intervals."""
        state = self.state
        if state.view != "Prevalence":
            return None
        key = ("prevalence", state.column)
        return self._once(key, lambda: parts.prevalence_part(state.concepts, state.column))

    def detail(self) -> dict[str, Any]:
        """A concept with a page of its documents, a page of other documents, or one document."""
        state = self.state
        if state.documents == "document" and state.rows:
            return self._one(state.rows[0])
        concept = None if state.documents else state.concept
        rows = state.listed()
        shown = rows[state.page * detail.PAGE : (state.page + 1) * detail.PAGE]
        query = state.query if state.documents == "search" else ""
        column = state.column
        made = {
            "documents": [
                detail.document(state.concepts, concept, row, query=query, column=column) for row in shown
            ],
            "first": state.page * detail.PAGE + 1,
            "total": len(rows),
            "pages": max(1, -(-len(rows) // detail.PAGE)),
            "page": state.page,
        }
        return {**made, **self._about(concept)}

    def _about(self, concept: Concept | None) -> dict[str, Any]:
        state = self.state
        if concept is None:
            return {"kind": "documents", "title": self._title()}
        group = (state.column, state.group) if state.column and state.group else None
        return {
            "kind": "concept",
            "mode": state.mode,
            "modes": detail.modes_of(state.concepts, concept, group),
            "group": state.group or "",
            "groups": list(state.concepts.slice(state.column).groups) if state.column else [],
            **detail.concept_facts(state.concepts, concept, state.column),
        }

    def _title(self) -> str:
        state = self.state
        if state.documents == "search":
            return f"Documents that contain “{state.query}”"
        return "Selected documents" if state.documents else "Documents that no concept matches"

    def _one(self, row: int) -> dict[str, Any]:
        concepts = self.state.concepts
        most = 4 * detail.LONG
        return {
            "kind": "document",
            **detail.document(
                concepts, None, row, query=self.state.query, column=self.state.column, most=most
            ),
            "scores": detail.document_scores(concepts, row),
        }

    def hovered(self, row: int) -> dict[str, Any]:
        """A document's text in short, and the concepts it matches."""
        concepts = self.state.concepts
        scores = [one for one in detail.document_scores(concepts, row) if one["yes"]]
        return {
            "label": str(concepts.documents.labels[row]),
            "text": cut(" ".join(concepts.documents.texts[row].split()), HOVERED),
            "concepts": scores[:4],
            "group": detail.group_of(concepts, self.state.column, row),
        }
