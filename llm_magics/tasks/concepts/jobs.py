"""The jobs that ask a model about a set of concepts: rescore, summarize, grow, cover, apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_magics.engine.jobs import Job
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.step_runner import StepEstimate, StepRunner
from llm_magics.tasks.concepts.steps import distill, name, review, score, synthesize
from llm_magics.tasks.concepts.steps.settings import InductionSettings


@dataclass(frozen=True)
class ConceptJobs:
    """The models and settings behind a set of concepts; each method starts a Job."""

    runner: StepRunner
    settings: InductionSettings

    @property
    def free(self) -> bool:
        """Whether scoring is by similarity, without a model."""
        return not self.runner.writes("concepts.score")

    def rescore(self, concepts: ConceptSet, ids: Sequence[str] = (), *, failed: bool = True) -> Job:
        """Score what ``ids`` (default: the ticked ones) lack."""
        return self.runner.submit(self._rescore(concepts, self._ids(concepts, ids), failed))

    # These change the set and give nothing back: an awaited job would show a second explorer.
    async def _rescore(self, concepts: ConceptSet, ids: Sequence[str], failed: bool) -> None:
        await score.score(self.runner, concepts, ids, self.settings, failed=failed)
        concepts.report = self.runner.said()

    def estimate_scores(self, concepts: ConceptSet, ids: Sequence[str] = ()) -> StepEstimate:
        """What that would send and cost. Nothing where no model is asked."""
        asked = self._ids(concepts, ids)
        blank = concepts.documents.blank
        missing = {key: set(concepts.score_table[concepts[key].criterion].missing()) - blank for key in asked}
        asked = [key for key in asked if missing[key]]
        rows = sorted(set().union(*(missing[key] for key in asked))) if asked else []
        return estimate_scores(
            self.runner, concepts.documents, rows, [concepts[key].criterion for key in asked], self.settings
        )

    def summarize(self, concepts: ConceptSet, ids: Sequence[str] = ()) -> Job:
        """Write the summaries of ``ids``, by default of the ticked ones."""
        return self.runner.submit(self._summarize(concepts, self._ids(concepts, ids)))

    async def _summarize(self, concepts: ConceptSet, ids: Sequence[str]) -> None:
        await score.summarize(self.runner, concepts, ids, self.settings)

    def name(self, concepts: ConceptSet, ids: Sequence[str] = ()) -> Job:
        """Rename ``ids``, by default the ticked ones, by what their documents say."""
        return self.runner.submit(self._name(concepts, self._ids(concepts, ids)))

    async def _name(self, concepts: ConceptSet, ids: Sequence[str]) -> None:
        await name.name(self.runner, concepts, ids, self.settings)

    def grow(self, concepts: ConceptSet) -> Job:
        """Find further concepts in the documents that no ticked one matches, and score them."""
        return self.runner.submit(self._grow(concepts))

    async def _grow(self, concepts: ConceptSet) -> None:
        rows = concepts.uncovered
        points = await distill.distill(self.runner, concepts.documents, rows, self.settings)
        labels, _ = await distill.group(self.runner, concepts.documents, points, self.settings)
        texts = concepts.documents.texts
        found = await synthesize.synthesize(self.runner, points, labels, self.settings, texts)
        ids = []
        for concept in synthesize.renamed(found, concepts.names):
            made = concepts.add(
                concept.name,
                concept.criterion,
                examples=concept.examples,
                keywords=concept.keywords,
                seed=concept.seed,
            )
            ids.append(made.id)
        await score.score(self.runner, concepts, ids, self.settings)

    def cover(self, concepts: ConceptSet, reference: Sequence[str]) -> Job:
        """Which items of a reference list have a concept of the same meaning, as a Job."""
        return self.runner.submit(review.cover(self.runner, concepts, reference))

    def apply(self, concepts: ConceptSet, documents: Documents) -> Job:
        """The ticked concepts over other documents."""
        return self.runner.submit(self._apply(concepts, documents))

    async def _apply(self, concepts: ConceptSet, documents: Documents) -> ConceptSet:
        # Example rows are rows of the old documents; they'd point at strangers here.
        from dataclasses import replace

        moved = [replace(concept, examples=()) for concept in concepts.selected]
        made = ConceptSet(moved, documents, threshold=concepts.threshold)
        made.scorer = self
        await score.score(self.runner, made, [concept.id for concept in made], self.settings)
        made.report = self.runner.said()
        return made

    def _ids(self, concepts: ConceptSet, ids: Sequence[str]) -> list[str]:
        return list(ids) or [concept.id for concept in concepts.selected]


def estimate_scores(
    runner: StepRunner,
    documents: Documents,
    rows: Sequence[int],
    criteria: Sequence[str],
    settings: InductionSettings,
) -> StepEstimate:
    """The cost of scoring these rows under these criteria, summed over the batches."""
    if not runner.writes("concepts.score"):
        return StepEstimate("score", None, "by similarity, free")
    asked = [{"text": documents.texts[row]} for row in rows]
    parts = [
        runner.estimate(
            "score", score.score_task(tuple(criteria[start : start + settings.batch]), settings), asked
        )
        for start in range(0, len(criteria), settings.batch)
    ]
    return StepEstimate.total("score", parts)
