"""One call from texts to scored concepts, or to any stage on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

from llm_magics.core.errors import Interrupted, NotFound, UsageError
from llm_magics.engine.progress import Display
from llm_magics.options.commands import STAGES
from llm_magics.runs.planning import Common
from llm_magics.runs.session import Session, current
from llm_magics.tasks.concepts import stages
from llm_magics.tasks.concepts.model.concept_set import THRESHOLD, ConceptSet
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.scorer import Scorer
from llm_magics.tasks.concepts.steps import distill, review, score, synthesize
from llm_magics.tasks.concepts.steps.settings import PROMPTS, Manner, Point, check_wordings
from llm_magics.tasks.concepts.workbench import Workbench

Stage = Literal["distill", "cluster", "synthesize", "review", "score"]


@dataclass(frozen=True)
class Inquiry:
    """All that a call decides before anything is sent. ``rows`` are those concepts are looked for in."""

    bench: Workbench
    documents: Documents
    rows: Sequence[int]
    how: Manner
    stage: str = "score"
    points: Any = None
    concepts: Any = None
    threshold: float = THRESHOLD
    slice: str | None = None


def concepts(
    data: Any,
    *,
    guidance: str = "",
    seed_term: str = "",
    slice: str | None = None,  # noqa: A002 - the flag's word
    max_concepts: int = 20,
    induce_on: int | None = None,
    stage: Stage = "score",
    points: Any = None,
    concepts: Any = None,
    groups: int | None = None,
    nearest: int | None = None,
    batch: int = 8,
    threshold: float = THRESHOLD,
    prompts: Mapping[str, str | None] | None = None,
    models: Mapping[str, str] | None = None,
    **options: Unpack[Common],
) -> Any:
    """Find the concepts that texts share, and score every text by each: a ConceptSet.

    Args:
        data: a DataFrame (pandas, polars, pyarrow), a Series or a list of texts; ``on`` its column.
        guidance: what you would tell a person who did this, added to each prompt but the scores'.
        seed_term: a topic; only what has to do with it counts.
        slice: a column to compare the concepts by.
        max_concepts: how many are kept, and scored.
        induce_on: look for concepts in so many documents, drawn by chance; all are scored.
        stage: stop after this step. ``distill`` gives a frame of points, ``cluster`` one with their
            groups, ``synthesize`` and ``review`` an unscored ConceptSet. Answers are stored, so a later
            stage never pays again for an earlier one.
        points: a frame of ``row`` and ``point`` (and ``cluster``) to go on from, as those stages gave it.
        concepts: a ConceptSet, Concepts, or a mapping name -> criterion, to score instead of looking.
        groups: the number of groups of points; None finds it.
        nearest: score only so many documents a concept, the nearest; the others stay without a score.
        batch: criteria asked about in one scoring call.
        prompts: other wordings by step (``distill_filter distill_summarize synthesize review_remove
            review_merge review_select score summarize_concept``); None skips the step.
        models: a backend by role (``concepts.distill concepts.synthesize concepts.score embed``).
        options: see ``plans.Common``. ``dry_run`` gives estimates by step, ``background`` a Job.

    Raises UsageError before anything is sent, BackendError where every row would fail alike.
    """
    session = current()
    own = {
        "guidance": guidance, "seed_term": seed_term, "slice": slice, "max_concepts": max_concepts,
        "induce_on": induce_on, "stage": stage, "points": points, "concepts": concepts, "groups": groups,
        "nearest": nearest, "batch": batch, "threshold": threshold, "prompts": prompts, "models": models,
    }  # fmt: skip
    return run(session, inquire(session, data, **own, **options), options)


def inquire(session: Session, data: Any, **asked: Any) -> Inquiry:
    """Check everything about a call. Raises UsageError, NotFound."""
    options: Common = {key: value for key, value in asked.items() if key in Common.__annotations__}  # type: ignore[assignment]
    stage, prompts = asked.get("stage") or "score", dict(asked.get("prompts") or {})
    if stage not in STAGES:
        raise NotFound.among("stage", stage, STAGES)
    for name in prompts:
        if name not in PROMPTS:
            raise NotFound.among("prompt", name, PROMPTS)
    documents, rows = _documents(data, options, asked.get("induce_on"))
    if asked.get("slice"):
        documents.frame.require(asked["slice"])
    how = Manner(
        seed=asked.get("seed_term") or "",
        guidance=(asked.get("guidance") or "").strip(),
        prompts=prompts,
        max_concepts=_positive("max_concepts", asked.get("max_concepts") or 20),
        groups=asked.get("groups"),
        batch=_positive("batch", asked.get("batch") or 8),
        nearest=asked.get("nearest"),
        chance=options.get("random_state", 0),
    )
    check_wordings(how)
    bench = Workbench(session, options, dict(asked.get("models") or {}))
    return Inquiry(
        bench, documents, rows, how, stage, asked.get("points"), asked.get("concepts"),
        asked.get("threshold", THRESHOLD), asked.get("slice"),
    )  # fmt: skip


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"{name} has to be 1 or more.")
    return value


def _documents(data: Any, options: Common, induce_on: int | None) -> tuple[Documents, list[int]]:
    """The documents that the flags choose, and the rows to look for concepts in."""
    from llm_magics.data import frames

    whole = Documents.read(data, options.get("on"), options.get("name") or "data")
    kept = frames.positions(
        whole.frame,
        where=options.get("where"),
        head=options.get("head"),
        sample=options.get("sample"),
        seed=options.get("random_state", 0),
        variables=options.get("variables"),
    )
    documents = whole if len(kept) == len(whole) else whole.subset(kept)
    rows = [row for row in range(len(documents)) if row not in documents.blank]
    if not rows:
        raise UsageError(f"no row of {whole.frame.name} has any text in {whole.column!r}.")
    if induce_on is not None and induce_on < len(rows):
        rows = sorted(random.Random(options.get("random_state", 0)).sample(rows, induce_on))  # noqa: S311 - seeded
    return documents, rows


def run(
    session: Session,
    inquiry: Inquiry,
    options: Common,
    done: Callable[[Any], None] | None = None,
    *,
    footer: bool = True,
) -> Any:
    """The result of an inquiry: a ConceptSet or frame, a Job, or with ``dry_run`` the estimates."""
    if options.get("dry_run"):
        return stages.estimates(inquiry)
    _confirm(session, inquiry, options)
    bench = inquiry.bench

    async def work() -> Any:
        result = await carry_out(inquiry)
        if done is not None:
            done(result)
        return result

    if options.get("background"):
        return bench.submit(work())
    display = Display(bench.meter, show=options.get("progress", True))  # type: ignore[arg-type]
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


def _confirm(session: Session, inquiry: Inquiry, options: Common) -> None:
    """Raises UsageError where the steps may cost more than ``confirm_above`` and nobody agreed to it."""
    above = session.config.value("confirm_above")
    if above is None or options.get("yes") or options.get("max_cost") is not None:
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
