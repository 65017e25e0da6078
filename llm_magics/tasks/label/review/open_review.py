"""``review``: opens the review of the last run's labels, or of a labelled frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text, is_null
from llm_magics.options.run_options import RunOptions
from llm_magics.runs.execution import execute
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session, current
from llm_magics.settings.config import home_folder
from llm_magics.store.gold_labels import GoldLabelStore
from llm_magics.tasks.label import definitions
from llm_magics.tasks.label.columns import made_by_labelling
from llm_magics.tasks.label.examples import gold, items_in
from llm_magics.tasks.label.few_shot import with_examples
from llm_magics.tasks.label.review.review import Answer, Review
from llm_magics.tasks.label.task import CascadeLabel, Label


@dataclass(frozen=True)
class Relabeller:
    """Asks the model of a labelling again, row by row; without proxy model and calibration."""

    session: Session
    plan: Plan

    def ask(
        self,
        review: Review,
        rows: Sequence[int],
        take: Callable[[Mapping[int, Answer]], int],
        options: Mapping[str, Any],
    ) -> Any:
        """What ``take`` makes of the answers about ``rows``; a Job or an Estimate where options ask for one.

        Raises UsageError where no gold row can be an example, or the cost needs agreement.
        """
        task, order = self._taught(review), sorted(rows)

        def shape(run: Run) -> int:
            columns = run.row_columns
            return take({row: {name: values[row] for name, values in columns.items()} for row in rows})

        plan = replace(
            self.plan,
            task=task,
            columns=task.columns,
            rows=order,
            strategy=None,
            truth=None,
            evaluate=None,
            shape=shape,
        )
        return execute(self.session, plan, RunOptions(progress=False, **options))

    def _taught(self, review: Review) -> Label:
        """The task with the gold labels as its examples, in place of those it had."""
        task = self.plan.task
        assert isinstance(task, Label)
        bare = (
            task
            if isinstance(task, CascadeLabel)
            else Label(**{field.name: getattr(task, field.name) for field in fields(Label)})
        )
        texts, words = zip(*review.examples, strict=True)
        known = gold(texts, words, bare.labels.names, many=bare.many)
        return with_examples(bare, known, None, self.plan.backend)


def review(
    data: Any = None,
    column: str | None = None,
    *,
    on: str | None = None,
    labels: Sequence[str] | None = None,
    second: str | None = None,
    name: str = "data",
) -> Review:
    """Labels for a person to accept or correct, least certain first; in a notebook as cards.

    Args:
        data: a labelled frame; without one, the last labels of this session.
        column: its column of labels.
        on: its column of text.
        labels: the labels to choose from; by default the column's categories, or the labels in it.
        second: another person's column of labels, against which agreement and Cohen's kappa are shown;
            with several labels a row lists, or texts with ``|`` between the names.

    A column of lists, and the columns of a ``wide`` run, are reviewed as several labels a row. Raises
    UsageError where there is nothing to review.
    """
    return open_review(current(), data, column, on=on, labels=labels, second=second, name=name)


def open_review(
    session: Session,
    data: Any = None,
    column: str | None = None,
    *,
    on: str | None = None,
    labels: Sequence[str] | None = None,
    second: str | None = None,
    name: str = "data",
) -> Review:
    """The review of a labelled frame, or of the last run, in a session."""
    if data is None:
        run = next(_labellings(session), None)
        if run is None:
            raise UsageError(
                "no labels to review yet.", hint="%llm label DATA ..., or %llm review FRAME.LABELS"
            )
        frame = replace(run.plan.frame, native=run.df)
    else:
        frame, _ = frames.read(data, name)
        run = next((one for one in _labellings(session) if _made(one, frame, column)), None)
    found = _of_run(run, frame, on) if run is not None else _of_frame(frame, column, on)
    return Review(
        frame,
        found.text,
        found.label,
        labels or found.labels,
        many=found.many,
        wide=found.wide,
        descriptions=found.descriptions,
        second=None if second is None else frame.require(second),
        store=None
        if session.config.value("store") == "off"
        else GoldLabelStore(home_folder() / "gold.sqlite3"),
        relabelling=Relabeller(session, run.plan)
        if run is not None and found.text == _task(run).column
        else None,
    )


@dataclass(frozen=True)
class _Labelled:
    """The columns of a frame's texts and labels."""

    text: str
    label: str
    labels: Sequence[str]
    many: bool = False
    wide: bool = False
    descriptions: Mapping[Any, str] = field(default_factory=dict)


def _labellings(session: Session) -> Iterator[Run]:
    """The label runs of the session, newest first."""
    return (run for run in reversed(session.runs) if isinstance(run.plan.task, Label))


def _task(run: Run) -> Label:
    assert isinstance(run.plan.task, Label)
    return run.plan.task


def _made(run: Run, frame: Frame, column: str | None) -> bool:
    """Whether the run made the labels of this very frame, row for row."""
    task, plan = _task(run), run.plan
    labels = [task.output + name for name in task.labels.names] if task.wide else [task.output]
    if column not in (None, task.output, *labels) or not {task.column, *labels} <= set(frame.columns):
        return False
    return [*map(cell_text, plan.frame.values(task.column))] == [*map(cell_text, frame.values(task.column))]


def _of_run(run: Run, frame: Frame, on: str | None) -> _Labelled:
    task = _task(run)
    text = frame.require(on) if on else task.column
    values = {} if task.wide else _values_of(task, frame)
    labels = [values.get(name, name) for name in task.labels.names]
    descriptions = {choice.name: choice.description for choice in task.all_choices if choice.description}
    return _Labelled(text, task.output, labels, task.many, task.wide, descriptions)


def _values_of(task: Label, frame: Frame) -> Mapping[str, Any]:
    """The labels that are numbers in this very frame: another run may have made them."""
    cells = frame.values(task.output)
    typed = definitions.typed_values(_labels_in(frame, task.output, cells, many=task.many))
    return {**task.values, **typed} if typed or all(map(is_null, cells)) else {}


def _of_frame(frame: Frame, column: str | None, on: str | None) -> _Labelled:
    label = frame.require(column) if column else _labels_column(frame)
    text = frame.require(on) if on else _text_column(frame, label)
    cells = frame.values(label)
    many = any(isinstance(cell, list | tuple) or hasattr(cell, "tolist") for cell in cells)
    return _Labelled(text, label, _labels_in(frame, label, cells, many=many), many)


def _labels_column(frame: Frame) -> str:
    found = made_by_labelling(frame)
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


def text_column(session: Session, frame: Frame, label: str, on: str | None = None) -> str:
    """The column of text that goes with a column of labels.

    It is ``on``, the one that a run of this session labelled, or the only one with texts that differ from row
    to row. Raises UsageError where it can't be told, NotFound where there is no column ``on``.
    """
    if on is not None:
        return frame.require(on)
    for run in _labellings(session):
        if _task(run).output == label and _task(run).column in frame.columns:
            return _task(run).column
    some = {name: frame.values(name)[:200] for name in frame.columns if not name.startswith(label)}
    varied = [
        name
        for name, values in some.items()
        if len({value for value in values if isinstance(value, str)}) > len(values) / 2
    ]
    return varied[0] if len(varied) == 1 else _text_column(frame, label)


def _labels_in(frame: Frame, column: str, cells: Sequence[Any], *, many: bool) -> Sequence[str]:
    """The labels of a column: its categories, else those that occur in it."""
    if many:
        return definitions.distinct([name for cell in cells for name in items_in(cell)])
    native = frame.native[column]
    kept = getattr(getattr(native, "cat", None), "categories", None)
    try:
        known = definitions.distinct(kept) if kept is not None else []
    except TypeError:
        known = []
    return known or definitions.distinct(cells)
