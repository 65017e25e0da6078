"""``concepts``: one call from texts to scored concepts, or to any stage on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.core.errors import Interrupted, NotFound, UsageError
from llm_magics.engine.progress import Display
from llm_magics.runs.functions import option_function
from llm_magics.runs.session import Session, current
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.jobs import ConceptJobs
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.options import STAGES, ConceptsOptions
from llm_magics.tasks.concepts.plan import (
    InductionPlan,
    estimates,
    points_frame,
    read_labels,
    read_points,
)
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps import distill, review, score, synthesize
from llm_magics.tasks.concepts.steps.distill import DistillFilter, DistillSummarize
from llm_magics.tasks.concepts.steps.name import NameConcept
from llm_magics.tasks.concepts.steps.review import ReviewMerge, ReviewRemove, ReviewSelect
from llm_magics.tasks.concepts.steps.score import Score, SummarizeConcept
from llm_magics.tasks.concepts.steps.settings import InductionSettings, Point
from llm_magics.tasks.concepts.steps.structured_prompt import Structured
from llm_magics.tasks.concepts.steps.synthesize import Synthesize

PROMPTS: Mapping[str, type[Structured]] = {
    "distill_filter": DistillFilter,
    "distill_summarize": DistillSummarize,
    "synthesize": Synthesize,
    "review_remove": ReviewRemove,
    "review_merge": ReviewMerge,
    "review_select": ReviewSelect,
    "score": Score,
    "summarize_concept": SummarizeConcept,
    "name_concept": NameConcept,
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
    return run(session, plan_induction(session, options), options)


def plan_induction(session: Session, options: ConceptsOptions) -> InductionPlan:
    """Check the options and make the plan. Raises UsageError, NotFound."""
    prompts = dict(options.prompts or {})
    if options.stage not in STAGES:
        raise NotFound.among("stage", options.stage, STAGES)
    for name in prompts:
        if name not in PROMPTS:
            raise NotFound.among("prompt", name, PROMPTS)
    documents, rows = _documents(options)
    if options.slice:
        documents.frame.require(options.slice)
    settings = InductionSettings(
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
    runner = StepRunner(session, options, dict(options.models or {}))
    return InductionPlan(
        runner,
        documents,
        rows,
        settings,
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
    """The documents that the options choose, and the rows to look for concepts in."""
    from llm_magics.data import frames

    whole = Documents.read(options.data, options.on, options.name)
    kept = frames.select_rows(
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
    plan: InductionPlan,
    options: ConceptsOptions,
    done: Callable[[Any], None] | None = None,
    *,
    footer: bool = True,
) -> Any:
    """The result of a plan: a ConceptSet or frame, a Job, or with ``dry_run`` the estimates."""
    if options.dry_run:
        return estimates(plan)
    _confirm(session, plan, options)
    runner = plan.runner

    async def work() -> Any:
        result = await run_steps(plan)
        if done is not None:
            done(result)
        return result

    if options.background:
        return runner.submit(work())
    display = Display(runner.meter, show=options.progress)  # type: ignore[arg-type]
    last: str | None = runner.meter.line()
    try:
        result = session.loop.run(work(), tick=display.tick)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted in {runner.meter.line()}. What was answered is kept: run the cell again to go on."
        ) from None
    else:
        last = runner.said() if footer or not isinstance(result, ConceptSet) else None
        return result
    finally:
        display.close(last)


def _confirm(session: Session, plan: InductionPlan, options: ConceptsOptions) -> None:
    """Raises UsageError where the steps may cost more than ``confirm_above`` and nobody agreed to it."""
    above = session.config.value("confirm_above")
    if above is None or options.yes or options.max_cost is not None:
        return
    found = estimates(plan)
    if found.dollars is not None and found.dollars[1] > above:
        hint = f"{found}\nAdd --yes to go on, or --max-cost USD to stop in time."
        raise UsageError(f"this may cost more than ${above:.2f} (confirm_above).", hint=hint)


async def run_steps(plan: InductionPlan) -> Any:
    """Run the steps, up to the stage asked for."""
    runner, settings = plan.runner, plan.settings
    if plan.concepts is not None:
        made = _given(plan)
    else:
        found = await _induce(plan)
        if not isinstance(found, ConceptSet):
            return found
        made = found
    made.scorer = ConceptJobs(runner, replace(settings, max_concepts=settings.max_concepts))
    if plan.slice:
        made.slice(plan.slice)
        made.slice_shown = plan.slice
    if plan.stage == "score":
        await _finish(plan, made)
    made.report = runner.said()
    return made


async def _induce(plan: InductionPlan) -> Any:
    """From texts to reviewed concepts; an earlier stage's result where that was asked for."""
    runner, documents, settings, stage = plan.runner, plan.documents, plan.settings, plan.stage
    points, labels, vectors = read_points(plan.points), read_labels(plan.points), None
    if points is None:
        points = await distill.distill(runner, documents, plan.rows, settings)
    if stage == "distill":
        return points_frame(documents, points)
    if labels is None:
        labels, vectors = await distill.group(runner, documents, points, settings)
    if stage == "cluster":
        return points_frame(documents, points, labels)
    found = await synthesize.synthesize(runner, points, labels, settings, documents.texts)
    made = ConceptSet(found, documents, threshold=plan.threshold, vectors=_whole(plan, points, vectors))
    if stage != "synthesize":
        await review.review(runner, made, settings)
        made.settle()
    return made


def _whole(plan: InductionPlan, points: Sequence[Point], vectors: Any) -> Any:
    """The vectors that grouped the points, where these are the documents' own: one a row, all rows."""
    own = not plan.runner.writes("concepts.distill") and not plan.settings.seed
    rows = [point.row for point in points]
    return vectors if own and rows == list(range(len(plan.documents))) else None


async def _finish(plan: InductionPlan, made: ConceptSet) -> None:
    """Scores, summaries, places on the map."""
    runner, settings = plan.runner, plan.settings
    ids = [concept.id for concept in made.selected]
    await score.score(runner, made, ids, settings)
    await score.summarize(runner, made, ids, settings)
    await score.place(runner, made, settings)


def _given(plan: InductionPlan) -> ConceptSet:
    """The concepts that came with the call, over its documents; scores come along where they fit."""
    from llm_magics.core.types import Concept

    given = plan.concepts
    if isinstance(given, ConceptSet):
        same = given.documents.texts == plan.documents.texts
        moved = given.concepts if same else [replace(c, examples=()) for c in given.concepts]
        scores = given.score_table if same else None
        return ConceptSet(moved, plan.documents, scores=scores, threshold=plan.threshold)
    pairs = given.items() if isinstance(given, Mapping) else ()
    made = [Concept("", name, criterion) for name, criterion in pairs] or list(given)
    if not all(isinstance(concept, Concept) for concept in made):
        raise UsageError("concepts are a ConceptSet, a list of Concepts, or a mapping name -> criterion.")
    return ConceptSet(made, plan.documents, threshold=plan.threshold)
