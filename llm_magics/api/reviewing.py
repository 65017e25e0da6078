"""``review``: the labels of the last run, or of a labelled frame, before a person's eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from llm_magics import choices, frames
from llm_magics.api.examples import gold
from llm_magics.api.execution import execute
from llm_magics.api.gold import GoldStore
from llm_magics.api.labelling import with_examples
from llm_magics.api.reviews import Relabeller, Review
from llm_magics.api.run import Plan, Run
from llm_magics.api.session import Session, current
from llm_magics.errors import UsageError
from llm_magics.frames import Frame
from llm_magics.prompts import is_null
from llm_magics.settings.config import home
from llm_magics.tasks.label import Label


def review(
    data: Any = None,
    column: str | None = None,
    *,
    on: str | None = None,
    labels: Sequence[str] | None = None,
    second: str | None = None,
    name: str = "data",
) -> Review:
    """Labels for a person to accept or correct, least certain first; in a notebook a grid.

    Args:
        data: a labelled frame; without one, the last labels of this session.
        column: its column of labels.
        on: its column of text.
        labels: the labels to choose from; by default the column's categories, or the labels in it.
        second: another person's column of labels: Cohen's kappa with it is shown.

    Raises UsageError where there is nothing to review, or a row has several labels.
    """
    return make_review(current(), data, column, on=on, labels=labels, second=second, name=name)


def make_review(
    session: Session,
    data: Any = None,
    column: str | None = None,
    *,
    on: str | None = None,
    labels: Sequence[str] | None = None,
    second: str | None = None,
    name: str = "data",
) -> Review:
    """``review`` in a session."""
    run = _last_labels(session)
    store = None if session.config.value("store") == "off" else GoldStore(home() / "gold.sqlite3")
    if data is None:
        if run is None:
            raise UsageError(
                "no labels to review yet.", hint="%llm label DATA ..., or %llm review FRAME.LABELS"
            )
        frame, task = Frame(run.df, run.plan.frame.name), run.plan.task
        assert isinstance(task, Label)
        return Review(
            frame,
            on or task.column,
            column or task.output,
            task.labels.names,
            second=second,
            store=store,
            relabeller=_relabeller(session, run.plan),
        )
    frame, _ = frames.read(data, name)
    column = frame.require(column) if column else _labels_column(frame)
    text = frame.require(on) if on else _text_column(frame, column)
    return Review(
        frame,
        text,
        column,
        labels or _labels_in(frame, column),
        second=None if second is None else frame.require(second),
        store=store,
        relabeller=_same_labels(session, run, frame, column),
    )


def _last_labels(session: Session) -> Run | None:
    """The newest run that gave one label a row."""
    for run in reversed(session.runs):
        task = run.plan.task
        if isinstance(task, Label) and not task.many and not task.wide and not run.plan.long:
            return run
    return None


def _same_labels(session: Session, run: Run | None, frame: Frame, column: str) -> Relabeller | None:
    """The last run can label this frame again where it made its column."""
    if run is None or run.plan.output != column or len(run.plan.frame) != len(frame):
        return None
    return _relabeller(session, run.plan)


def _labels_column(frame: Frame) -> str:
    marked = [name.removesuffix("_status") for name in frame.columns if name.endswith("_status")]
    found = [name for name in marked if name in frame.columns]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"which column of {frame.name} holds the labels?",
        hint=f"%llm review {frame.name}.COLUMN. Columns: {', '.join(frame.columns[:20])}",
    )


def _text_column(frame: Frame, label: str) -> str:
    """The frame's own column of text, not one that labelling made."""
    texts = []
    for name in frame.columns:
        first = next((value for value in frame.values(name)[:200] if not is_null(value)), None)
        if isinstance(first, str) and name != label and not name.startswith(f"{label}_"):
            texts.append(name)
    if len(texts) == 1:
        return texts[0]
    hint = f"%llm review {frame.name}.{label} --on COLUMN. Columns: {', '.join(texts or frame.columns[:20])}"
    raise UsageError(f"which column of {frame.name} holds the text?", hint=hint)


def _labels_in(frame: Frame, column: str) -> Sequence[str]:
    values = frame.values(column)
    if any(isinstance(value, list | tuple) for value in values):
        raise UsageError(f"{column} holds several labels a row.", hint="One label a row can be reviewed.")
    native = frame.native[column]
    kept = getattr(getattr(native, "cat", None), "categories", None)
    try:
        known = [str(name) for name in kept] if kept is not None else []
    except TypeError:
        known = []
    return known or choices.distinct(values)


def _relabeller(session: Session, plan: Plan) -> Relabeller:
    """Asks the run's model again, with the gold as examples, about the rows that may change."""

    def ask(under: Review, below: float | None) -> Mapping[int, tuple[Any, Any, Any]]:
        rows = under.may_change(below)
        if not rows:
            return {}
        task = plan.task
        assert isinstance(task, Label)
        bare = Label(**{field.name: getattr(task, field.name) for field in fields(Label)})
        texts, labels = zip(*under.examples, strict=True)
        known = gold(texts, labels, bare.labels.names)
        taught = with_examples(bare, known, None, plan.backend)
        again = replace(
            plan, task=taught, rows=rows, columns=taught.columns, work=None, truth=None, shape=lambda run: run
        )
        run: Run = execute(session, again, {"progress": False, "yes": True})
        columns = run.row_columns
        sure = columns.get(f"{plan.output}_confidence") or [None] * len(plan.frame)
        status = columns[f"{plan.output}_status"]
        return {row: (columns[plan.output][row], sure[row], status[row]) for row in rows}

    return ask
