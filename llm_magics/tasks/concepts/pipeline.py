"""One call from texts to scored concepts, or to any stage on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.core.errors import Interrupted, NotFound, UsageError
from llm_magics.engine.progress import Display
from llm_magics.runs.functions import option_function
from llm_magics.runs.session import Session, current
from llm_magics.tasks.concepts import stages
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.options import STAGES, ConceptsOptions
from llm_magics.tasks.concepts.scorer import Scorer
from llm_magics.tasks.concepts.stages import Inquiry
from llm_magics.tasks.concepts.steps import distill, review, score, synthesize
from llm_magics.tasks.concepts.steps.distill import DistillFilter, DistillSummarize
from llm_magics.tasks.concepts.steps.review import ReviewMerge, ReviewRemove, ReviewSelect
from llm_magics.tasks.concepts.steps.score import Score, SummarizeConcept
from llm_magics.tasks.concepts.steps.settings import Manner, Point
from llm_magics.tasks.concepts.steps.structured_prompt import Structured
from llm_magics.tasks.concepts.steps.synthesize import Synthesize
from llm_magics.tasks.concepts.workbench import Workbench

PROMPTS: Mapping[str, type[Structured]] = {
    "distill_filter": DistillFilter,
    "distill_summarize": DistillSummarize,
    "synthesize": Synthesize,
    "review_remove": ReviewRemove,
    "review_merge": ReviewMerge,
    "review_select": ReviewSelect,
    "score": Score,
    "summarize_concept": SummarizeConcept,
}
"""The steps whose wording can be changed, with the task that has it; None for a wording skips the step."""


@option_function(ConceptsOptions)
def concepts(options: ConceptsOptions) -> Any:
    """Find the concepts that texts share, and score every text by each: a ConceptSet.

    ``stage`` stops earlier: ``distill`` gives a frame of points, ``cluster`` one with their groups,
    ``synthesize`` and ``review`` an unscored ConceptSet. Responses are stored, so a later stage never pays
    again for an earlier one. ``points`` is a frame of ``row`` and ``point`` (and ``cluster``) as those
    stages gave it; ``concepts`` a ConceptSet, Concepts, or a mapping name -> criterion. ``dry_run`` gives
    estimates by step, ``background`` a Job. Raises UsageError before anything is sent, BackendError where
    every row would fail alike.
    """
    session = current()
    return run(session, inquire(session, options), options)


def inquire(session: Session, options: ConceptsOptions) -> Inquiry:
    """Check everything about a call. Raises UsageError, NotFound."""
    prompts = dict(options.prompts or {})
    if options.stage not in STAGES:
        raise NotFound.among("stage", options.stage, STAGES)
    for name in prompts:
        if name not in PROMPTS:
            raise NotFound.among("prompt", name, PROMPTS)
    documents, rows = _documents(options)
    if options.slice:
        documents.frame.require(options.slice)
    how = Manner(
        seed=options.seed_term,
        guidance=options.guidance.strip(),
        prompts=prompts,
        max_concepts=_positive("max_concepts", options.max_concepts),
        groups=options.groups,
        batch=_positive("batch", options.batch),
        nearest=options.nearest,
        chance=options.random_state,
    )
    for name, wording in prompts.items():
        if wording is not None:
            PROMPTS[name](prompt=wording)  # compiles it
    bench = Workbench(session, options, dict(options.models or {}))
    return Inquiry(
        bench,
        documents,
        rows,
        how,
        options.stage,
        options.points,
        options.concepts,
        options.threshold,
        options.slice,
    )


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"{name} has to be 1 or more.")
    return value


def _documents(options: ConceptsOptions) -> tuple[Documents, list[int]]:
    """The documents that the flags choose, and the rows to look for concepts in."""
    from llm_magics.data import frames

    whole = Documents.read(options.data, options.on, options.name)
    kept = frames.positions(
        whole.frame,
        where=options.where,
        head=options.head,
        sample=options.sample,
        seed=options.random_state,
        variables=options.variables,
    )
    documents = whole if len(kept) == len(whole) else whole.subset(kept)
    rows = [row for row in range(len(documents)) if row not in documents.blank]
    if not rows:
        raise UsageError(f"no row of {whole.frame.name} has any text in {whole.column!r}.")
    if options.induce_on is not None and options.induce_on < len(rows):
        chance = random.Random(options.random_state)  # noqa: S311 - a reproducible sample
        rows = sorted(chance.sample(rows, options.induce_on))
    return documents, rows


def run(
    session: Session,
    inquiry: Inquiry,
    options: ConceptsOptions,
    done: Callable[[Any], None] | None = None,
    *,
    footer: bool = True,
) -> Any:
    """The result of an inquiry: a ConceptSet or frame, a Job, or with ``dry_run`` the estimates."""
    if options.dry_run:
        return stages.estimates(inquiry)
    _confirm(session, inquiry, options)
    bench = inquiry.bench

    async def work() -> Any:
        result = await carry_out(inquiry)
        if done is not None:
            done(result)
        return result

    if options.background:
        return bench.submit(work())
    display = Display(bench.meter, show=options.progress)  # type: ignore[arg-type]
    last: str | None = bench.meter.line()
    try:
        result = session.loop.run(work(), tick=display.tick)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted in {bench.meter.line()}. What was answered is kept: run the cell again to go on."
        ) from None
    else:
        last = bench.said() if footer or not isinstance(result, ConceptSet) else None
        return result
    finally:
        display.close(last)


def _confirm(session: Session, inquiry: Inquiry, options: ConceptsOptions) -> None:
    """Raises UsageError where the steps may cost more than ``confirm_above`` and nobody agreed to it."""
    above = session.config.value("confirm_above")
    if above is None or options.yes or options.max_cost is not None:
        return
    found = stages.estimates(inquiry)
    if found.dollars is not None and found.dollars[1] > above:
        hint = f"{found}\nAdd --yes to go on, or --max-cost USD to stop in time."
        raise UsageError(f"this may cost more than ${above:.2f} (confirm_above).", hint=hint)


async def carry_out(inquiry: Inquiry) -> Any:
    """The steps, up to the stage asked for."""
    bench, how = inquiry.bench, inquiry.how
    if inquiry.concepts is not None:
        made = _given(inquiry)
    else:
        found = await _induce(inquiry)
        if not isinstance(found, ConceptSet):
            return found
        made = found
    made.scorer = Scorer(bench, replace(how, max_concepts=how.max_concepts))
    if inquiry.slice:
        made.slice(inquiry.slice)
        made.slice_shown = inquiry.slice
    if inquiry.stage == "score":
        await _finish(inquiry, made)
    made.report = bench.said()
    return made


async def _induce(inquiry: Inquiry) -> Any:
    """From texts to reviewed concepts; an earlier stage's result where that was asked for."""
    bench, documents, how, stage = inquiry.bench, inquiry.documents, inquiry.how, inquiry.stage
    points, labels, vectors = stages.read_points(inquiry.points), stages.read_labels(inquiry.points), None
    if points is None:
        points = await distill.distill(bench, documents, inquiry.rows, how)
    if stage == "distill":
        return stages.points_frame(documents, points)
    if labels is None:
        labels, vectors = await distill.group(bench, documents, points, how)
    if stage == "cluster":
        return stages.points_frame(documents, points, labels)
    found = await synthesize.synthesize(bench, points, labels, how)
    made = ConceptSet(found, documents, threshold=inquiry.threshold, vectors=_whole(inquiry, points, vectors))
    if stage != "synthesize":
        await review.review(bench, made, how)
    return made


def _whole(inquiry: Inquiry, points: Sequence[Point], vectors: Any) -> Any:
    """The vectors that grouped the points, where these are the documents' own: one a row, all rows."""
    own = not inquiry.bench.writes("concepts.distill") and not inquiry.how.seed
    rows = [point.row for point in points]
    return vectors if own and rows == list(range(len(inquiry.documents))) else None


async def _finish(inquiry: Inquiry, made: ConceptSet) -> None:
    """Scores, summaries, places on the map."""
    bench, how = inquiry.bench, inquiry.how
    ids = [concept.id for concept in made.selected]
    await score.score(bench, made, ids, how)
    await score.summarize(bench, made, ids, how)
    await score.place(bench, made, how)


def _given(inquiry: Inquiry) -> ConceptSet:
    """The concepts that came with the call, over its documents; scores come along where they fit."""
    from llm_magics.core.types import Concept

    given = inquiry.concepts
    if isinstance(given, ConceptSet):
        same = given.documents.texts == inquiry.documents.texts
        moved = given.concepts if same else [replace(c, examples=()) for c in given.concepts]
        scores = given.score_table if same else None
        return ConceptSet(moved, inquiry.documents, scores=scores, threshold=inquiry.threshold)
    pairs = given.items() if isinstance(given, Mapping) else ()
    made = [Concept("", name, criterion) for name, criterion in pairs] or list(given)
    if not all(isinstance(concept, Concept) for concept in made):
        raise UsageError("concepts are a ConceptSet, a list of Concepts, or a mapping name -> criterion.")
    return ConceptSet(made, inquiry.documents, threshold=inquiry.threshold)
