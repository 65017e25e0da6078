"""A set of concepts as frames and files; rescoring and the like are handed to its ``scorer``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.embedded.clustering import layout
from llm_magics.tasks.concepts.model import files, tables
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.scored_concepts import ScoredConcepts
from llm_magics.tasks.concepts.model.splitting import split_matches, suggest_concept
from llm_magics.text.cleaning import clean


class ConceptModel(ScoredConcepts):
    """A set of concepts as frames and files, and the jobs that ask a model about it.

    Each edit is logged, can be undone, and replays from ``to_code``. ``scorer`` knows the models to ask.
    """

    scorer: Any = None

    def __repr__(self) -> str:
        return tables.listing(self)

    def split(self, concept: str, parts: Iterable[Sequence[Any]] | None = None, k: int = 2) -> list[Concept]:
        """Split a concept: ``parts`` are (name, criterion) pairs, else its matches are grouped in ``k``."""
        if parts is None:
            parts = split_matches(self, self[concept], k)
        return super().split(concept, parts)

    # --- scores ----------------------------------------------------------------------------------

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
        """The position of each document on the map, shape (n, 2); computed where it isn't known."""
        if self.places is None:
            from llm_magics.tasks.concepts.model.splitting import word_vectors

            vectors = self.vectors if self.vectors is not None else word_vectors(self.documents.texts)
            self.places = layout(vectors)
        return self.places

    def suggest(self, rows: Sequence[int]) -> tuple[str, str]:
        """A name and a criterion for these documents, from the phrases that distinguish them."""
        return suggest_concept(self.documents.texts, rows, self.names)

    def quotes(self, concept: str, most: int = 3) -> list[str]:
        """Up to ``most`` sentences that show the concept best, cleaned of markup and datelines."""
        scores = self.column(concept).scores
        found: dict[str, None] = {}
        for row in self.rows(concept):
            score = scores[row]
            if len(found) < most and score is not None and (mark := clean(score.highlight)):
                found[mark] = None
        return list(found)

    def export(self) -> Any:
        """A row a concept, with LLooM's columns."""
        return tables.export(self)

    # --- work that needs a model -----------------------------------------------------------------

    def rescore(self, *concepts: str, failed: bool = True) -> Any:
        """Score what is not scored yet (and with ``failed`` what failed), as a Job: ``await`` it.

        Raises UsageError where the set has no model.
        """
        return self._bench().rescore(self, [self[key].id for key in concepts], failed=failed)

    def estimate(self, *concepts: str) -> Any:
        """What ``rescore`` would send and cost."""
        return self._bench().estimate_scores(self, [self[key].id for key in concepts])

    def summarize(self, *concepts: str) -> Any:
        """Write each concept's summary from its highlights, as a Job."""
        return self._bench().summarize(self, [self[key].id for key in concepts])

    def name(self, *concepts: str) -> Any:
        """Rename these concepts, by default the ticked ones, by what their documents say, as a Job.

        One call a concept to the model of the role concepts.synthesize; without a model a phrase of the
        documents. Locked concepts keep their names; each rename can be undone.
        """
        return self._bench().name(self, [self[key].id for key in concepts])

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
        """Whether scoring is free: no language model, or one on this machine."""
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

    # --- files -----------------------------------------------------------------------------------

    def to_json(self, *, texts: bool = True) -> dict[str, Any]:
        """All of it as plain data; without ``texts`` the documents stay out."""
        return files.to_json(self, texts=texts)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], documents: Any = None, on: str | None = None) -> Self:
        """What ``to_json`` gave, over its own texts or the ``documents`` given."""
        return files.from_json(cls, data, documents, on)

    def save(self, path: Any, *, texts: bool = True) -> None:
        """Write ``to_json`` to a file."""
        files.save(self, path, texts=texts)

    @classmethod
    def load(cls, path: Any, documents: Any = None, on: str | None = None) -> Self:
        """Read a file that ``save`` wrote."""
        return files.load(cls, path, documents, on)
