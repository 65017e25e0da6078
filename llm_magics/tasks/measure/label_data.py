"""Reading a labelled frame: the model's labels and probabilities, the gold labels, the groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.data.templates import is_null
from llm_magics.tasks.label.columns import made_by_labelling
from llm_magics.tasks.label.examples import names_in
from llm_magics.tasks.measure import design
from llm_magics.tasks.measure.design import GoldSample, Surroundings
from llm_magics.tasks.measure.estimators import Array


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels in numbers: which row has which of ``names``.

    With one label a row ``codes`` has the label's number, -1 for a null; with several ``sets`` has a row and
    a true/false column a label. ``answered`` says which rows are not null.
    """

    names: tuple[str, ...]
    answered: Array
    codes: Array | None = None
    sets: Array | None = None

    def has(self, name: str) -> Array:
        """1 where a row has this label, else 0."""
        import numpy as np

        if name not in self.names:
            return np.zeros(len(self.answered))
        place = self.names.index(name)
        found = self.codes == place if self.sets is None else self.sets[:, place]
        return np.asarray(found, dtype=float)


@dataclass(frozen=True)
class Labelled:
    """A labelled frame as ``measure`` reads it.

    ``given`` are the model's labels of all rows, ``gold`` the gold labels of the sampled rows, ``names`` the
    labels of both, ``groups`` the number of each row's group, ``keys`` the groups' values in the columns
    ``by``. ``scores`` has the probabilities of a label over all rows, where the frame has them.
    """

    column: str
    names: tuple[str, ...]
    given: LabelColumn
    gold: LabelColumn
    sample: GoldSample
    by: tuple[str, ...]
    groups: Array
    keys: tuple[tuple[Any, ...], ...]
    scores: dict[str, Array]

    def correct(self) -> Array:
        """1 for each gold row whose labels by the model are the gold ones, else 0."""
        import numpy as np

        rows = self.sample.rows
        same = [self.given.has(name)[rows] == self.gold.has(name) for name in self.names]
        return np.asarray(np.all(same, axis=0), dtype=float)

    def predicted(self, name: str, label: Array) -> Array:
        """What predicts a label: its probabilities, and the label itself where a row has none."""
        import numpy as np

        scores = self.scores.get(name)
        return label if scores is None else np.where(np.isnan(scores), label, scores)


def series(frame: Frame, column: str) -> Any:
    """One column as a pandas Series."""
    import narwhals as nw

    frame.require_whole("measure")
    place = frame.columns.index(frame.require(column))
    return nw.from_native(frame.native, eager_only=True)[:, place].to_pandas()


def numbers(frame: Frame, column: str) -> Array:
    """One column as floats, null as nan. Raises UsageError where it isn't numeric."""
    import pandas as pd

    try:
        return pd.to_numeric(series(frame, column)).to_numpy(dtype=float, na_value=float("nan"))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{column} holds more than numbers ({error}).", hint="Name a numeric column."
        ) from error


def label_column(values: Any) -> LabelColumn:
    """A pandas Series of labels, or of lists of labels (texts with ``|`` between names where others are)."""
    import pandas as pd

    answered = values.notna().to_numpy(dtype=bool)
    if _holds_lists(values):
        return _several(values.to_list(), answered)
    codes, found = pd.factorize(values)
    categories = getattr(values.dtype, "categories", None)
    known = list(found) if categories is None else [*categories]
    names = [name_of(value) for value in known]
    ordered = names if categories is not None else sorted(set(names))
    place = {name: number for number, name in enumerate(ordered)}
    import numpy as np

    renumbered = np.array([place[name_of(value)] for value in found] + [-1], dtype=np.int64)
    return LabelColumn(tuple(ordered), answered, codes=renumbered[codes])


def several_labels(values: Any) -> LabelColumn:
    """A Series of several labels a row: lists, or texts with ``|`` between the names."""
    return _several(values.to_list(), values.notna().to_numpy(dtype=bool))


def _holds_lists(values: Any) -> bool:
    if values.dtype != object and "list" not in str(values.dtype):
        return False
    first = next((value for value in values if not _missing(value)), None)
    return isinstance(first, list | tuple | set) or hasattr(first, "tolist")


def _missing(value: Any) -> bool:
    return not hasattr(value, "__len__") and is_null(value)


def _several(cells: Sequence[Any], answered: Array) -> LabelColumn:
    import numpy as np

    held = [names_in(cell) if there else () for cell, there in zip(cells, answered, strict=True)]
    names = sorted({name for each in held for name in each})
    place = {name: number for number, name in enumerate(names)}
    sets = np.zeros((len(held), len(names)), dtype=bool)
    for row, each in enumerate(held):
        for name in each:
            sets[row, place[name]] = True
    return LabelColumn(tuple(names), answered, sets=sets)


def name_of(value: Any) -> str:
    """A label as text; nulls make floats of whole numbers, which are labels without the point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Asked:
    """What to read of a frame: the columns of labels, gold labels, design and groups."""

    column: str | None
    truth: str | None
    by: Any
    weights: str | None
    random: bool


def read(frame: Frame, asked: Asked) -> Labelled:
    """The labelled frame.

    Raises UsageError where a column can't be told, the gold rows are no random sample, or a group's column
    has the name of one of the results; NotFound.
    """
    column = labels_column(frame, asked.column)
    values = series(frame, column)
    given = label_column(values)
    true = series(frame, _gold_column(frame, column, asked.truth))
    gold_rows = true.notna().to_numpy(dtype=bool)
    sample = _sample(frame, column, given, gold_rows, asked)
    kept = true[sample.rows]
    gold = label_column(kept) if given.sets is None else several_labels(kept)
    names = (*given.names, *(name for name in gold.names if name not in given.names))
    by = (asked.by,) if isinstance(asked.by, str) else tuple(asked.by or ())
    groups, keys = group_rows(frame, by)
    scores = {
        name: numbers(frame, score) for name in names if (score := f"{column}_score_{name}") in frame.columns
    }
    return Labelled(column, names, given, gold, sample, by, groups, keys, scores)


def _gold_column(frame: Frame, column: str, truth: str | None) -> str:
    """The column of gold labels. Raises NotFound where it is missing, with how to get one."""
    if truth is None and f"{column}_gold" not in frame.columns:
        raise NotFound(
            f"{frame.name} has no gold labels of {column!r}: no column {column + '_gold'!r}.",
            hint=f"Draw rows and label them by hand: %llm sample {frame.name}.{column}\n"
            "Or name a column of true labels: --truth COL",
        )
    return frame.require(truth or f"{column}_gold")


def labels_column(frame: Frame, asked: str | None) -> str:
    """The column of labels: the one asked for, or the only one that labelling made.

    Raises UsageError where there are several or none, NotFound for a column that there isn't.
    """
    if asked is not None:
        return frame.require(asked)
    made = made_by_labelling(frame)
    if len(made) == 1:
        return made[0]
    raise UsageError(
        f"which column of {frame.name} holds the labels?",
        hint=f"Type {frame.name}.COLUMN. Columns: {', '.join(frame.columns[:20])}",
    )


def _sample(frame: Frame, column: str, given: LabelColumn, gold: Array, asked: Asked) -> GoldSample:
    import numpy as np

    confidence = f"{column}_confidence"
    around = Surroundings(
        given.codes if given.codes is not None else np.full(len(gold), -1),
        numbers(frame, confidence) if confidence in frame.columns else None,
        frame.name,
        column,
    )
    name = design.column_of(frame.columns, column, asked.weights)
    if name is None:
        return design.taken_as_random(gold, around, random=asked.random)
    return design.drawn_by(numbers(frame, name), gold, around, random=asked.random)


def group_rows(frame: Frame, by: tuple[str, ...]) -> tuple[Array, tuple[tuple[Any, ...], ...]]:
    """The number of each row's group, and the groups' values; without columns one group of all rows."""
    import numpy as np
    import pandas as pd

    if not by:
        return np.zeros(len(frame), dtype=np.int64), ((),)
    table = pd.DataFrame({name: series(frame, name).to_numpy() for name in by})
    for name in by:
        kind = series(frame, name).dtype
        if isinstance(kind, pd.CategoricalDtype):
            table[name] = pd.Categorical(table[name], kind.categories, ordered=kind.ordered)
    grouped = table.groupby(list(by), sort=True, observed=True, dropna=False)
    groups = grouped.ngroup().to_numpy()
    first = grouped.head(1)
    keys = first.iloc[np.argsort(groups[first.index.to_numpy()])]
    return groups, tuple(keys.itertuples(index=False, name=None))


def with_texts(frame: Frame, column: str) -> Frame:
    """The frame without the rows that had no text: labelling skipped them, and no share is about them."""
    import numpy as np

    status = f"{column}_status"
    if status not in frame.columns:
        return frame
    kept = (series(frame, status) != "skipped").fillna(True).to_numpy(dtype=bool)
    if kept.all():
        return frame
    return replace(frames.repeat_rows(frame, np.flatnonzero(kept).tolist()), name=frame.name)


def read_frame(data: Any, name: str) -> Frame:
    """The data as a frame of several columns. Raises UsageError for a Series or a list."""
    frame, _ = frames.read(data, name)
    if not frame.from_dataframe:
        raise UsageError(
            f"{name} has one column; measuring takes a frame with labels and gold labels.",
            hint="measure(frame, 'label', truth='gold')",
        )
    return frame
