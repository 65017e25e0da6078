"""The plan of concept induction, the frames between its stages, and the estimates of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.runs.views import dry_run_block
from llm_magics.tasks.concepts.embedded.clustering import NOISE
from llm_magics.tasks.concepts.embedded.sentences import sentences
from llm_magics.tasks.concepts.jobs import estimate_scores
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.options import THRESHOLD
from llm_magics.tasks.concepts.step_runner import StepEstimate, StepRunner
from llm_magics.tasks.concepts.steps.distill import DistillFilter, DistillSummarize
from llm_magics.tasks.concepts.steps.settings import InductionSettings, Point
from llm_magics.widgets.html import escape
from llm_magics.widgets.results.rows import Column, rows_html

TYPICAL_CRITERION = "Does the text say that something of a certain kind happened to somebody?"


@dataclass(frozen=True)
class InductionPlan:
    """Everything that a call decides before anything is sent.

    ``rows`` are those that concepts are found in.
    """

    runner: StepRunner
    documents: Documents
    rows: Sequence[int]
    settings: InductionSettings
    stage: str = "score"
    points: Any = None
    concepts: Any = None
    threshold: float = THRESHOLD
    slice: str | None = None

    @property
    def finds_concepts(self) -> bool:
        """Whether the result is a set of concepts; earlier stages give a frame of points."""
        return self.stage not in ("distill", "cluster")


def points_frame(documents: Documents, points: Sequence[Point], labels: Sequence[int] | None = None) -> Any:
    """A row a point: the document's row number and label, the words, and with ``labels`` its group."""
    import pandas as pd

    columns: dict[str, list[Any]] = {
        "row": [point.row for point in points],
        "document": [documents.labels[point.row] for point in points],
        "point": [point.text for point in points],
    }
    if labels is not None:
        columns["cluster"] = list(labels)
    return pd.DataFrame(columns)


def read_points(frame: Any) -> list[Point] | None:
    """The points of such a frame, perhaps edited. Raises UsageError where it is none."""
    if frame is None:
        return None
    if not {"row", "point"} <= set(frame.columns):
        raise UsageError("points are a frame with the columns row and point, as stage='distill' gives it.")
    return [Point(int(row), str(text)) for row, text in zip(frame["row"], frame["point"], strict=True)]


def read_labels(frame: Any) -> list[int] | None:
    """The groups of such a frame, where it has them."""
    if frame is None or "cluster" not in frame.columns:
        return None
    return [NOISE if label != label else int(label) for label in frame["cluster"]]


@dataclass(frozen=True)
class Estimates:
    """What each step would send. ``dollars`` low to high, None where a price is unknown.

    Distilling is counted exactly; synthesis and scores assume as many concepts as were asked for.
    """

    steps: tuple[StepEstimate, ...]

    @property
    def dollars(self) -> tuple[float, float] | None:
        """All steps together."""
        known = [step.dollars for step in self.steps]
        if any(part is None for part in known):
            return None
        return sum(part[0] for part in known if part), sum(part[1] for part in known if part)

    @property
    def calls(self) -> int:
        """Calls of all steps."""
        return sum(step.calls for step in self.steps)

    def __repr__(self) -> str:
        money = "price unknown" if self.dollars is None else f"${self.dollars[0]:.2f}-{self.dollars[1]:.2f}"
        return "\n".join([*map(str, self.steps), f"in all about {self.calls:,} calls, {money}"])

    def _repr_html_(self) -> str:
        *steps, whole = repr(self).splitlines()
        told = [step.partition(": ")[::2] for step in steps]
        columns = [
            Column("step", "name", [escape(name) for name, _ in told]),
            Column("", "text", [escape(said) for _, said in told]),
        ]
        return dry_run_block(rows_html(columns, "steps", heads=False), f"<p>{escape(whole)}</p>")


def estimates(plan: InductionPlan) -> Estimates:
    """The cost of the plan's steps. Sends nothing."""
    parts: list[StepEstimate] = []
    if plan.concepts is None:
        parts += _distilling(plan)
        parts += _synthesis(plan)
    if plan.stage == "score":
        parts.append(_scores(plan))
    return Estimates(tuple(parts))


def _distilling(plan: InductionPlan) -> list[StepEstimate]:
    runner, settings, texts = plan.runner, plan.settings, plan.documents.texts
    if plan.points is not None:
        return []
    if not runner.writes("concepts.distill"):
        return [StepEstimate("distill", None, "by informative sentences, free")]
    found = []
    if not settings.skips("distill_filter"):
        long = [row for row in plan.rows if settings.seed or len(sentences(texts[row])) > settings.n_quotes]
        task = DistillFilter(
            seed=settings.seed, n_quotes=settings.n_quotes, **settings.wording("distill_filter")
        )
        found.append(runner.estimate("filter", task, [{"text": texts[row]} for row in long]))
    if not settings.skips("distill_summarize"):
        short = [{"text": "\n".join(sentences(texts[row])[: settings.n_quotes])} for row in plan.rows]
        task = DistillSummarize(seed=settings.seed, **settings.wording("distill_summarize"))  # type: ignore[assignment]
        found.append(runner.estimate("distill", task, short))
    return found


def _synthesis(plan: InductionPlan) -> list[StepEstimate]:
    runner, settings = plan.runner, plan.settings
    if not plan.finds_concepts:
        return []
    if not runner.writes("concepts.synthesize"):
        return [StepEstimate("synthesize", None, "by keywords (class-based TF-IDF), free")]
    groups = settings.groups or max(1, min(len(plan.rows) // 20, 2 * settings.max_concepts))
    lines = "\n".join(f"{n}: something that a text says in a few words" for n in range(1, 41))
    from llm_magics.tasks.concepts.steps.synthesize import Synthesize

    asked = [{"points": f"{lines}\n{n}: another"} for n in range(groups)]
    return [
        runner.estimate("synthesize", Synthesize(seed=settings.seed, **settings.wording("synthesize")), asked)
    ]


def _scores(plan: InductionPlan) -> StepEstimate:
    documents = plan.documents
    rows = [row for row in range(len(documents)) if row not in documents.blank]
    if plan.settings.nearest is not None:
        rows = rows[: plan.settings.nearest]
    given = plan.concepts
    count = len(given) if given is not None else plan.settings.max_concepts
    criteria = [f"{TYPICAL_CRITERION} ({n})" for n in range(count)]
    return estimate_scores(plan.runner, documents, rows, criteria, plan.settings)
