"""A set of concepts over documents: edits with undo, scores, slices. Plain data, no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model import edits, tables
from llm_magics.tasks.concepts.model.concept_list import ConceptList
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.edits import State
from llm_magics.tasks.concepts.model.scores import Column, Score, Scores
from llm_magics.tasks.concepts.model.slices import Slicing, slicing
from llm_magics.tasks.concepts.options import THRESHOLD


class ConceptSet(ConceptList):
    """Concepts and how far each document shows them.

    Concepts are named by name or id everywhere. Each edit is logged, can be undone, and replays from
    ``to_code``. Scores belong to criteria: an edit that leaves a criterion leaves its scores.
    ``vectors`` (n, d) and ``places`` (n, 2) are arrays for splitting and the map, where known.
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
        self.interactive = True
        self._explorer: Any = None
        self.scorer: Any = None
        self.report = ""

    def __repr__(self) -> str:
        return tables.listing(self)

    def split(self, concept: str, parts: Iterable[Sequence[Any]] | None = None, k: int = 2) -> list[Concept]:
        """One as several: ``parts`` are (name, criterion) pairs, else its matches are grouped in ``k``."""
        if parts is None:
            from llm_magics.tasks.concepts.model.splitting import parts_of

            parts = parts_of(self, self[concept], k)
        return super().split(concept, parts)

    def _become(self, state: State) -> None:
        """A concept that joins others has their best scores, where all of them are scored."""
        for concept in state.concepts:
            parts = edits.alternatives(concept.criterion)
            if len(parts) > 1:
                self.score_table.derive(concept.criterion, parts)
        super()._become(state)

    # --- scores ----------------------------------------------------------------------------------

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

    @property
    def scores(self) -> Any:
        """Documents x ticked concepts as a frame of numbers; NaN where not asked or failed."""
        return tables.wide(self)

    @property
    def scores_long(self) -> Any:
        """One row a document and concept, with rationale, highlight, status and error."""
        return tables.long(self)

    def matches(self, concept: str, group: tuple[str, str] | None = None) -> Any:
        """The matching documents as the user's own frame, best first."""
        return self.documents.take(self.rows(concept, group))

    def matrix(self, column: str | None = None, by: str | None = None) -> Any:
        """Matches by concept and slice: counts, or shares ``by`` "concept" (rows) or "slice" (columns)."""
        return tables.matrix(self, column, by)

    def counted(self, column: str | None = None) -> tuple[list[str], list[list[int]], list[int]]:
        """Groups ("all" first), matches by ticked concept and group, documents in each group."""
        return tables.counted(self, column)

    def place(self) -> Any:
        """A place on a map for each document, shape (n, 2); made now where it isn't known."""
        if self.places is None:
            from llm_magics.tasks.concepts.embedded.layout import layout
            from llm_magics.tasks.concepts.model.splitting import word_vectors

            vectors = self.vectors if self.vectors is not None else word_vectors(self.documents.texts)
            self.places = layout(vectors)
        return self.places

    def suggest(self, rows: Sequence[int]) -> tuple[str, str]:
        """A name and a criterion for these documents, from the words that set them apart."""
        from llm_magics.tasks.concepts.model.splitting import suggestion

        return suggestion(self.documents.texts, rows)

    def export(self) -> Any:
        """A row a concept, with LLooM's columns."""
        return tables.export(self)

    # --- work that needs a model -----------------------------------------------------------------

    def rescore(self, *concepts: str, failed: bool = True) -> Any:
        """Score what is not scored yet (and with ``failed`` what failed), as a Job: ``await`` it.

        Raises UsageError where the set was made without a model to ask.
        """
        return self._bench().rescore(self, [self[key].id for key in concepts], failed=failed)

    def estimate(self, *concepts: str) -> Any:
        """What ``rescore`` would send and cost."""
        return self._bench().estimate_scores(self, [self[key].id for key in concepts])

    def summarize(self, *concepts: str) -> Any:
        """Write each concept's summary from its highlights, as a Job."""
        return self._bench().summarize(self, [self[key].id for key in concepts])

    def grow(self) -> Any:
        """Look for concepts in the uncovered documents, as a Job."""
        return self._bench().grow(self)

    def cover(self, reference: Sequence[str]) -> Any:
        """The concept of the same meaning for each item of a list, or None, as a Job that gives a dict."""
        return self._bench().cover(self, reference)

    def apply(self, data: Any, on: str | None = None) -> Any:
        """The same concepts over other documents, as a Job that gives a scored ConceptSet."""
        return self._bench().apply(self, Documents.read(data, on or self.documents.column))

    @property
    def free(self) -> bool:
        """Whether scoring costs nothing: no model, or one of this machine."""
        return bool(self._bench().free)

    def _bench(self) -> Any:
        if self.scorer is None:
            raise UsageError(
                "this set of concepts knows no model to ask.",
                hint="concepts(data, concepts=THIS_SET) scores it with the model in use.",
            )
        return self.scorer

    def refine(self, generic: float = 0.75, rare: float = 0.02) -> list[str]:
        """Untick the concepts that match more than ``generic`` or less than ``rare`` of the documents."""
        asked = max(1, len(self.documents) - len(self.documents.blank))
        shares = {c.name: len(self.rows(c.id)) / asked for c in self.selected if not c.locked}
        gone = [name for name, share in shares.items() if share > generic or share < rare]
        self._several("deselect", gone)
        return gone

    def explore(self, slice: str | None = None, **options: Any) -> Any:  # noqa: A002 - the flag's word
        """The explorer over this set; a new one takes the place of the one before."""
        from llm_magics.tasks.concepts.explorer.explorer import Explorer

        if self._explorer is not None:
            self._explorer.close()
        self.slice_shown = slice or self.slice_shown
        self._explorer = Explorer(self, self.slice_shown, **{"interactive": self.interactive, **options})
        return self._explorer

    @property
    def explorer(self) -> Any:
        """The explorer that was shown last, or a new one."""
        return self._explorer or self.explore()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if len(self.documents):
            display(self.explore())
        else:
            print(repr(self))

    # --- files -----------------------------------------------------------------------------------

    def to_json(self, *, texts: bool = True) -> dict[str, Any]:
        """All of it as plain data; without ``texts`` the documents stay out."""
        from llm_magics.tasks.concepts.model.files import to_json

        return to_json(self, texts=texts)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], documents: Any = None, on: str | None = None) -> ConceptSet:
        """What ``to_json`` gave, over its own texts or the ``documents`` given."""
        from llm_magics.tasks.concepts.model.files import from_json

        return from_json(data, documents, on)

    def save(self, path: Any, *, texts: bool = True) -> None:
        """Write ``to_json`` to a file."""
        from llm_magics.tasks.concepts.model.files import save

        save(self, path, texts=texts)

    @classmethod
    def load(cls, path: Any, documents: Any = None, on: str | None = None) -> ConceptSet:
        """Read a file that ``save`` wrote."""
        from llm_magics.tasks.concepts.model.files import load

        return load(path, documents, on)


def _hashable(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, list | dict | set) or hasattr(value, "shape") for value in values[:200])
