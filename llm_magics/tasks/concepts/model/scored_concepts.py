"""Concepts with their scores over documents, and the documents in slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model import edits
from llm_magics.tasks.concepts.model.concept_list import ConceptList
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.edits import State
from llm_magics.tasks.concepts.model.scores import Column, Score, Scores
from llm_magics.tasks.concepts.model.slices import Slicing, slicing
from llm_magics.tasks.concepts.options import THRESHOLD


class ScoredConcepts(ConceptList):
    """Concepts and how far each document shows them.

    Concepts are named by name or id everywhere. Scores belong to criteria: an edit that leaves a criterion
    leaves its scores. ``vectors`` (n, d) and ``places`` (n, 2) are arrays for splitting and the map, where
    known. ``report`` says how the set was made.
    """

    def __init__(
        self,
        concepts: Iterable[Concept] = (),
        documents: Documents | Sequence[str] = (),
        *,
        scores: Scores | None = None,
        threshold: float = THRESHOLD,
        vectors: Any = None,
        places: Any = None,
    ) -> None:
        super().__init__(concepts)
        self.documents = documents if isinstance(documents, Documents) else Documents.of(documents)
        self.score_table = scores or Scores(len(self.documents))
        self.threshold = threshold
        self.vectors = vectors
        self.places = places
        self.slices: dict[str, Slicing] = {}
        self.slice_shown: str | None = None
        self.report = ""

    def column(self, concept: str) -> Column:
        """A concept's scores, one a document."""
        return self.score_table[self[concept].criterion]

    def put_scores(self, concept: str, answers: Mapping[int, Score]) -> None:
        """Keep scores by row number."""
        self.score_table.put(self[concept].criterion, answers)

    @property
    def stale(self) -> list[Concept]:
        """The ticked concepts that some document has not been asked about."""
        blank = self.documents.blank
        return [
            concept
            for concept in self.selected
            if set(self.score_table[concept.criterion].missing(failed=False)) - blank
        ]

    def rows(self, concept: str, group: tuple[str, str] | None = None) -> list[int]:
        """Rows that match, in order of score; ``group`` = (slice column, group) keeps to that slice."""
        column = self.column(concept)
        found = column.rows(self.threshold)
        if group is not None:
            inside = set(self.slice(group[0]).rows(group[1]))
            found = [row for row in found if row in inside]
        values = column.values
        return sorted(found, key=lambda row: (-values[row], row))

    @property
    def uncovered(self) -> list[int]:
        """Rows with text that no ticked concept matches."""
        covered = set(self.documents.blank)
        for concept in self.selected:
            covered.update(self.column(concept.id).rows(self.threshold))
        return [row for row in range(len(self.documents)) if row not in covered]

    @property
    def sliceable(self) -> list[str]:
        """The frame's other columns that make two groups or more, and not one a document."""
        found = []
        for name in self.documents.frame.columns:
            values = self.documents.frame.values(name)
            few = len({value for value in values[:200] if isinstance(value, str)}) <= max(
                12, len(values[:200]) // 3
            )
            if (
                name != self.documents.column
                and few
                and _hashable(values)
                and len(self.slice(name).groups) > 1
            ):
                found.append(name)
        return found

    def slice(self, column: str, **how: Any) -> Slicing:
        """The documents in groups by a column of their frame; ``bins`` or ``bounds`` for numbers."""
        if column not in self.slices or how:
            self.slices[column] = slicing(column, self.documents.frame.values(column), **how)
        return self.slices[column]

    def _become(self, state: State) -> None:
        """A concept that joins others has their best scores, where all of them are scored."""
        for concept in state.concepts:
            parts = edits.alternatives(concept.criterion)
            if len(parts) > 1:
                self.score_table.derive(concept.criterion, parts)
        super()._become(state)


def _hashable(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, list | dict | set) or hasattr(value, "shape") for value in values[:200])
