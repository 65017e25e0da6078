"""``sample``: draws gold rows by a known design and opens the review on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text
from llm_magics.runs.functions import option_function
from llm_magics.runs.session import Session, current
from llm_magics.tasks.label.columns import LabelValue, label_names
from llm_magics.tasks.label.review.open_review import open_review, text_column
from llm_magics.tasks.label.review.review import Review
from llm_magics.tasks.measure.design import SUFFIX
from llm_magics.tasks.measure.label_data import (
    group_rows,
    label_column,
    labels_column,
    numbers,
    read_frame,
    series,
)
from llm_magics.tasks.sample.drawing import Array, Draw, draw, rows_needed
from llm_magics.tasks.sample.options import SampleOptions

ROWS = 200
"""Rows that are drawn by default."""


class Sample:
    """A gold sample: the frame with its design, and the review of the drawn rows.

    ``df`` is the user's frame with the columns ``{label}_design`` (the chance of each drawn row, else null)
    and ``{label}_gold``. A pandas frame is kept up to date while the review goes on; of other libraries
    ``df`` is a new frame after each decision, which ``changed`` is told of. ``rows`` are the positions of the
    drawn rows in the order of the review.
    """

    def __init__(self, frame: Frame, column: str, rows: Sequence[int], review: Review) -> None:
        self.frame, self.column, self.rows, self.review = frame, column, list(rows), review
        self.changed: Callable[[Any], None] | None = None
        self.df = self._with_gold()
        review.listeners.append(self._heard)

    @property
    def _gold(self) -> str:
        return f"{self.column}_gold"

    def _with_gold(self) -> Any:
        columns = self.review.columns
        known = self.frame.values(self._gold) if self._gold in self.frame.columns else []
        gold = [columns.word(cell) for cell in known] or [None] * len(self.frame)
        for place, row in enumerate(self.rows):
            gold[row] = self.review.gold.get(place)
        categories = {} if columns.many else {self._gold: columns.originals}
        return frames.attach(self.frame, {self._gold: [columns.cell(word) for word in gold]}, categories)

    def _heard(self, _words: Mapping[int, LabelValue | None]) -> None:
        """A person has decided something: the frame follows."""
        made = self._with_gold()
        if type(self.df).__module__.split(".")[0] == "pandas":
            frames.set_inplace(replace(self.frame, native=self.df), made, [self._gold])
            return
        self.df = made
        if self.changed is not None:
            self.changed(made)

    @property
    def missing(self) -> int:
        """The number of drawn rows that have no gold label yet."""
        return len(self.rows) - len(self.review.gold)

    def needed(self, width: float) -> int:
        """The gold rows that give 95% intervals of this width, by the errors that the gold rows show.

        Raises UsageError while there is no gold row.
        """
        if not self.review.gold:
            raise UsageError(
                "no row has a gold label yet.", hint="Review some rows, or draw them with width=0.05."
            )
        given = [self.frame.values(self.column)[row] for row in self.rows]
        pairs = [
            (label_names(word), label_names(self.review.columns.word(given[place])))
            for place, word in self.review.gold.items()
        ]
        errors = {
            name: _spread([float(name in true) - float(name in said) for true, said in pairs])
            for name in self.review.labels
        }
        return rows_needed(width, errors, _shares(self.frame, self.column), len(self.frame))

    def __repr__(self) -> str:
        left = f"{self.missing:,} without a gold label" if self.missing else "all with a gold label"
        rows = f"{len(self.rows):,} of {len(self.frame):,} rows of {self.frame.name}"
        return f"sample of {rows}, {left}\n{self.review!r}"

    def _ipython_display_(self) -> None:
        print(f"{len(self.rows):,} of {len(self.frame):,} rows drawn; gold labels go to {self._gold}")
        self.review._ipython_display_()


def _spread(errors: Sequence[float]) -> float:
    """The variance, with one error more: few gold rows may show none of those that there are."""
    mean = sum(errors) / len(errors)
    return (sum((each - mean) ** 2 for each in errors) + 1) / (len(errors) + 1)


@option_function(SampleOptions)
def sample(options: SampleOptions) -> Sample:
    """Draw rows for a person to label, by a design that ``measure`` knows, and open the review on them.

    Rows are drawn at random; with ``by`` equally many of each group; with ``lean`` more of those the model is
    unsure of. Each drawn row's chance is in the column ``{label}_design``. Returns a Sample: in a notebook
    the review of the drawn rows, ``df`` the whole frame with the gold labels so far. A frame that
    has a design already is not drawn from again: the review goes on where it was, as it does when the same
    rows are drawn after a restart. With ``blind`` the model's label is not shown, so that it doesn't sway the
    person. Raises UsageError where the rows can't be drawn, NotFound for a column that there isn't.
    """
    return drawn(current(), options)


def drawn(session: Session, options: SampleOptions) -> Sample:
    """The sample for a record of options, in a session."""
    frame = read_frame(options.data, options.name)
    column = labels_column(frame, options.column)
    text = text_column(session, frame, column, options.on)
    if column + SUFFIX in frame.columns:
        rows = _drawn_before(frame, column, options)
    else:
        found = _draw(frame, column, text, options)
        chances: list[float | None] = [None] * len(frame)
        for row, chance in zip(found.rows.tolist(), found.chances.tolist(), strict=True):
            chances[row] = chance
        native = frames.attach(frame, {column + SUFFIX: chances}, None, {column + SUFFIX: "float"})
        session.note(frame, column, "sample", _described(options, len(found.rows), len(frame)))
        frame, rows = replace(frame, native=native), found.rows.tolist()
    return Sample(frame, column, rows, _review(session, frame, column, text, rows, options))


def _described(options: SampleOptions, rows: int, of: int) -> dict[str, Any]:
    """The design of a sample, for ``methods()``."""
    by = options.by if isinstance(options.by, str) else ", ".join(options.by or ())
    design = f"equally from each group of {by}" if by else "at random"
    if options.lean:
        design += ", with more rows where the model was unsure"
    return {"rows": rows, "of": of, "design": design, "seed": options.random_state, "blind": options.blind}


def _drawn_before(frame: Frame, column: str, options: SampleOptions) -> list[int]:
    """The rows of the frame's own design, in random order. Raises UsageError where others are asked for."""
    import numpy as np

    if options.n is not None or options.width is not None or options.by or options.lean:
        raise UsageError(
            f"{frame.name} has a sample already, in the column {column + SUFFIX}.",
            hint=f"%llm sample {frame.name}.{column} goes on with its review; drop the column to draw anew.",
        )
    rows = np.flatnonzero(~np.isnan(numbers(frame, column + SUFFIX)))
    if not len(rows):
        raise UsageError(f"no row of {frame.name} is drawn by its column {column + SUFFIX}.")
    return [int(row) for row in np.random.default_rng(options.random_state).permutation(rows)]


def _draw(frame: Frame, column: str, text: str, options: SampleOptions) -> Draw:
    """The drawn rows. Rows without a text can't be drawn: nobody could label them."""
    import numpy as np

    by = (options.by,) if isinstance(options.by, str) else tuple(options.by or ())
    groups, _ = group_rows(frame, by)
    readable = np.array([bool(cell_text(value).strip()) for value in frame.values(text)])
    if not readable.any():
        raise UsageError(f"no row of {frame.name} has a text to label.")
    groups = np.where(readable, groups, -1)
    wanted = options.n or ROWS
    if options.width is not None:
        if options.n is not None:
            raise UsageError("the number of rows and the width say two things.", hint="Give one of them.")
        wanted = needed_at_first(frame, column, options.width)
    unsure = _unsure(frame, column) if options.lean else None
    return draw(groups, min(wanted, int(readable.sum())), options.random_state, unsure)


def _unsure(frame: Frame, column: str) -> Array:
    """How unsure the model is of each row. Raises UsageError where the frame has no confidence."""
    import numpy as np

    name = f"{column}_confidence"
    if name not in frame.columns:
        raise UsageError(
            f"a lean sample needs the model's confidence, and {frame.name} has no column {name}.",
            hint="Leave out --lean, or label with a model that gives confidences.",
        )
    # A row without an answer is one that the model knows nothing of: as likely wrong as right.
    doubt = 1 - np.clip(np.nan_to_num(numbers(frame, name), nan=0.5), 0, 1)
    return np.minimum(doubt, 0.5)


def needed_at_first(frame: Frame, column: str, width: float) -> int:
    """The gold rows that give 95% intervals of this width, as far as one knows before any is looked at.

    By the confidence of the model, where the frame has it; otherwise what gold rows alone would take.
    """
    import numpy as np

    shares, name = _shares(frame, column), f"{column}_confidence"
    errors = {label: share * (1 - share) for label, share in shares.items()}
    if name in frame.columns:
        doubt = 1 - np.nan_to_num(numbers(frame, name), nan=0.5)
        given = label_column(series(frame, column))
        for label in shares:
            said = given.has(label) > 0.5
            wrong = float(doubt[said].sum() + doubt[~said].sum() / max(1, len(shares) - 1)) / len(doubt)
            errors[label] = min(errors[label], wrong)
    return rows_needed(width, errors, shares, len(frame))


def _shares(frame: Frame, column: str) -> dict[str, float]:
    """The model's own shares."""
    given = label_column(series(frame, column))
    return {name: float(given.has(name).mean()) for name in given.names}


def _review(
    session: Session, frame: Frame, column: str, text: str, rows: Sequence[int], options: SampleOptions
) -> Review:
    """The review of the drawn rows, with the labels of the whole frame to choose from."""
    import narwhals as nw

    given = label_column(series(frame, column))
    part = frames.repeat_rows(frame, rows).native
    if options.blind:
        hidden = [name for name in frame.columns if name.startswith((f"{column}_score_", f"{column}_conf"))]
        table = nw.from_native(part, eager_only=True).drop(hidden)
        nothing: list[Any] = [None] * len(rows)
        part = frames.attach(Frame(table.to_native()), {column: nothing}, None, {column: "str"})
    made = open_review(
        session, part, column, on=text, labels=options.labels or given.names, name=options.name
    )
    made.looked_at = "of the drawn rows you looked at."
    return made
