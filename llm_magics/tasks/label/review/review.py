"""A review of labels as plain data: what a person accepts or corrects becomes a gold label."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text, is_null
from llm_magics.store.gold_labels import GoldLabelStore, task_key
from llm_magics.tasks.label import definitions
from llm_magics.tasks.label.columns import LabelColumns, LabelValue, label_cell, label_names
from llm_magics.tasks.label.evaluation.agreement import Agreement, agreement
from llm_magics.tasks.label.review.progress import Progress, progress

STATES = ("to review", "reviewed", "corrected", "no label")

Answer: TypeAlias = Mapping[str, Any]
"""The model's new answer about a row: the cells of the labelling's columns."""


_Row: TypeAlias = tuple[LabelValue | None, float | None, str | None, Answer | None]
"""A row's label, confidence and status, and the new answer they come from, if it was asked again."""


class Relabelling(Protocol):
    """Asks the model again about rows, with the gold labels as examples."""

    def ask(
        self, review: Review, rows: Sequence[int], take: Callable[[Mapping[int, Answer]], int], options: Any
    ) -> Any:
        """What ``take`` makes of the answers; a Job or an Estimate where the options ask for one."""


class Review:
    """A person's review of the labels in one column, least certain first.

    ``accept`` and ``correct`` make gold labels, which only the person's later decisions replace; they are
    in ``df`` (the column ``{label}_gold``, and the label itself) and, with a store, on disk. ``relabel``
    asks the model again about rows that may change, with the gold labels as examples. Rows are named by
    their position in the frame, 0 first. With ``many`` a row has several labels: a list in its column, a
    tuple in ``gold``.
    """

    def __init__(
        self,
        frame: Frame,
        text: str,
        label: str,
        labels: Sequence[str],
        *,
        many: bool = False,
        wide: bool = False,
        second: str | None = None,
        store: GoldLabelStore | None = None,
        relabelling: Relabelling | None = None,
        descriptions: Mapping[Any, str] | None = None,
    ) -> None:
        self.frame, self.text = frame, text
        self.columns = LabelColumns(
            label, tuple(map(str, labels)), many, wide, definitions.typed_values(labels)
        )
        self.descriptions = descriptions or {}
        self.texts = [cell_text(value) for value in frame.values(text)]
        self._readable = sum(bool(text.strip()) for text in self.texts)
        self.given = self.columns.read(frame)
        self._renewed: dict[int, Answer] = {}
        self.confidence = self._column("confidence", float)
        self.status = self._column("status", str)
        self.second = None if second is None else self._second(second)
        self.gold: dict[int, LabelValue] = {}
        self.log: list[str] = []
        self._undo: list[tuple[dict[int, LabelValue | None], dict[int, _Row]]] = []
        self._task = task_key(label, self.labels, many=many)
        self._store = store
        self._relabelling = relabelling
        # A relabelling that goes on in the background takes its answers on another thread.
        self._lock = threading.RLock()
        self._remember()
        self.listeners: list[Callable[[Mapping[int, LabelValue | None]], None]] = []
        """Each is told the rows that a person has decided, None where a decision was taken back, and none of
        them when the model's labels are others."""
        self._displayed: Any = None

    @property
    def label(self) -> str:
        """The column of labels; of several true/false columns their prefix."""
        return self.columns.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels to choose from."""
        return self.columns.names

    @property
    def many(self) -> bool:
        """Whether a row has several labels."""
        return self.columns.many

    def column(self, what: str) -> list[Any]:
        """The cells of the column ``{label}_{what}`` as they are now; None where there is no such column."""
        name = f"{self.label}_{what}"
        if name not in self.frame.columns:
            return [None] * len(self.frame)
        cells = self.frame.values(name)
        for row, answer in self._renewed.items():
            cells[row] = answer.get(name)
        return cells

    def _column(self, what: str, kind: Callable[[Any], Any]) -> list[Any]:
        return [None if is_null(value) else kind(value) for value in self.column(what)]

    def _second(self, column: str) -> list[LabelValue | None]:
        """The second annotator's labels. Raises UsageError where none of them is listed."""
        words = [self.columns.word(cell) for cell in self.frame.values(column)]
        found = dict.fromkeys(name for word in words for name in label_names(word))
        if not set(self.labels).intersection(found):
            listed, held = ", ".join(self.labels[:12]), ", ".join([*found][:12]) or "nothing"
            raise UsageError(
                f"the second column {column} holds none of the labels.",
                hint=f"Labels: {listed}. Found: {held}.",
            )
        return words

    def _remember(self) -> None:
        """The gold labels from disk, and from the frame's own column."""
        kept = self._store.get(self._task, self.texts) if self._store is not None else {}
        for row, text in enumerate(self.texts):
            if text in kept:
                self.gold[row] = self.columns.unpacked(kept[text])
        if self.columns.gold in self.frame.columns:
            held = map(self.columns.word, self.frame.values(self.columns.gold))
            self.gold |= {row: word for row, word in enumerate(held) if word is not None}

    # -- what to look at

    def state(self, row: int) -> str:
        """One of ``STATES``."""
        if row in self.gold:
            return "reviewed" if self.gold[row] == self.given[row] else "corrected"
        return "to review" if self.given[row] else "no label"

    def rows(self, label: str | None = None, state: str | None = None, search: str = "") -> list[int]:
        """Rows of this label and state that contain the words, least certain first.

        Those without an answer come first, then by rising confidence, in the frame's order where equal. A
        gold label replaces the model's; ``state`` may be a status of the labelling too. Blank texts are
        left out.
        """
        wanted = search.casefold()
        kept = [
            row
            for row, text in enumerate(self.texts)
            if text.strip()
            and (label is None or label in label_names(self.current(row)))
            and (state is None or self._is(row, state))
            and (not wanted or wanted in text.casefold())
        ]
        return sorted(kept, key=self._certainty)

    def _is(self, row: int, state: str) -> bool:
        """Whether a row is in a state; a row without a label has to be reviewed as well."""
        if state == "to review":
            return row not in self.gold
        return state in (self.state(row), self.status[row])

    def _certainty(self, row: int) -> tuple[bool, float]:
        sure = self.confidence[row]
        return self.given[row] is not None, 2.0 if sure is None else sure

    def current(self, row: int) -> LabelValue | None:
        """The current label: the gold one, else the model's."""
        return self.gold.get(row, self.given[row])

    # -- a person's word

    def accept(self, rows: int | Sequence[int]) -> None:
        """Accept the labels of these rows. Rows without an answer are left as they are."""
        chosen = [rows] if isinstance(rows, int) else list(rows)
        self._require(chosen)
        words = {row: word for row in chosen if (word := self.current(row)) is not None}
        self._say(words, "accept")

    def correct(self, row: int, label: str | Sequence[str]) -> None:
        """Set the label of this row; with several labels a row, these and no others.

        Raises NotFound for a label that is not listed, UsageError for several where a row has one.
        """
        self._require([row])
        names = [label] if isinstance(label, str) else list(label)
        if unknown := [name for name in names if name not in self.labels]:
            raise NotFound.among("label", unknown[0], self.labels)
        if not self.many and len(names) != 1:
            raise UsageError(
                f"{self.label} holds one label a row.", hint=f"correct({row}, {self.labels[0]!r})"
            )
        self._say({row: self.columns.ordered(names) if self.many else names[0]}, "correct")

    def toggle(self, row: int, label: str) -> None:
        """Add this label to the row's labels, or remove it; the others stay. For several labels a row."""
        if not self.many:
            raise UsageError(f"{self.label} holds one label a row.", hint=f"correct({row}, {label!r})")
        self._require([row])
        names = label_names(self.current(row))
        self.correct(row, [n for n in names if n != label] if label in names else [*names, label])

    def _require(self, rows: Sequence[int]) -> None:
        if unknown := [row for row in rows if not 0 <= row < len(self.texts)]:
            raise UsageError(f"no row {unknown[0]}: there are {len(self.texts):,}, 0 first.")

    def _say(self, words: Mapping[int, LabelValue], verb: str) -> None:
        """Record a person's decisions; a repeated one changes nothing."""
        news = {row: word for row, word in words.items() if self.gold.get(row) != word}
        if not news:
            return
        with self._lock:
            self._undo.append(({row: self.gold.get(row) for row in news}, {}))
            self.log.append(f"accept({list(news)})" if verb == "accept" else _correction(news))
            self.gold |= news
        self._keep(news)

    def _keep(self, words: Mapping[int, LabelValue | None]) -> None:
        """Store on disk, where there is a store; None deletes a gold label."""
        if self._store is not None:
            packed = {
                self.texts[row]: None if word is None else self.columns.packed(word)
                for row, word in words.items()
            }
            self._store.keep(self._task, packed)
        self._tell(words)

    def _tell(self, words: Mapping[int, LabelValue | None]) -> None:
        for listener in self.listeners:
            listener(words)

    def undo(self) -> tuple[int, ...]:
        """Undo the last decision or relabelling; returns its rows, none where there is nothing to undo."""
        with self._lock:
            if not self._undo:
                return ()
            before, labels = self._undo.pop()
            self.log.pop()
            for row, was in labels.items():
                self._put(row, was)
            for row, word in before.items():
                self.gold.pop(row, None)
                if word is not None:
                    self.gold[row] = word
        self._keep(before)
        return tuple(before) or tuple(labels)

    # -- what comes of it

    @property
    def progress(self) -> Progress:
        """Counts, accuracy so far, agreement.

        The reviewed rows are no random sample: the least certain come first.
        """
        words = [(word, self.given[row]) for row, word in self.gold.items()]
        return progress(self._readable, words, self.agreement, many=self.many)

    @property
    def agreement(self) -> Agreement | None:
        """The current labels against the second annotator's, over rows that have both."""
        if self.second is None:
            return None
        return agreement([self.current(row) for row in range(len(self.texts))], self.second)

    @property
    def examples(self) -> list[tuple[str, LabelValue]]:
        """(text, label) of all gold rows, what ``label(examples=...)`` takes."""
        return [(self.texts[row], word) for row, word in self.gold.items()]

    @property
    def df(self) -> Any:
        """A new frame with the current labels, and ``{label}_gold`` where a person decided."""
        every = range(len(self.texts))
        columns = self._newest()
        columns |= self.columns.write([self.current(row) for row in every])
        columns[self.columns.gold] = [self.columns.cell(self.gold.get(row)) for row in every]
        return frames.attach(self.frame, columns, self.columns.categories)

    def _newest(self) -> dict[str, list[Any]]:
        """The columns beside the labels (confidence, status, reasons) after relabelling."""
        names = dict.fromkeys(name for answer in self._renewed.values() for name in answer)
        made = {name: self.frame.values(name) for name in names if name in self.frame.columns}
        for row, answer in self._renewed.items():
            for name, values in made.items():
                values[row] = answer.get(name)
        return made

    def may_change(self, below: float | None = None) -> list[int]:
        """Rows that are worth asking about again, without a gold label, least certain first.

        Those without an answer, and those that a correction casts doubt on. One label a row: those whose
        label took part in a correction, as the wrong one or as the right one. Several: those that lack a
        label which was missed elsewhere, or have one that was wrong elsewhere. With ``below`` only where
        their confidence is less than that.
        """
        missed, wrong = set[str](), set[str]()
        for row, word in self.gold.items():
            said, was = set(label_names(word)), set(label_names(self.given[row]))
            missed |= said - was
            wrong |= was - said
        found = [
            row
            for row, text in enumerate(self.texts)
            if text.strip()
            and row not in self.gold
            and self._doubtful(self.given[row], missed, wrong)
            and (below is None or self._certainty(row) < (True, below))
        ]
        return sorted(found, key=self._certainty)

    def _doubtful(self, word: LabelValue | None, missed: set[str], wrong: set[str]) -> bool:
        names = set(label_names(word))
        if word is None or names & wrong:
            return True
        return bool(missed - names if self.many else missed & names)

    def relabel(self, below: float | None = None, *, yes: bool = False, background: bool = False) -> Any:
        """Ask the model again about the rows that may change, with the gold labels as examples.

        Returns how many labels changed. ``below``: only rows less confident than that. ``yes`` goes on
        above ``confirm_above``; ``background`` returns a Job. Gold labels stay, and a row whose new
        answer can't be used keeps its label. Raises UsageError where the review is not one of a run of
        this session, or there is no gold label yet.
        """
        return self._ask(below, {"yes": yes, "background": background}) or 0

    def estimate(self, below: float | None = None) -> Any:
        """What ``relabel`` would cost, as an Estimate; None where it would ask about no row."""
        return self._ask(below, {"dry_run": True})

    def _ask(self, below: float | None, options: Mapping[str, bool]) -> Any:
        if self._relabelling is None:
            raise UsageError(
                "these labels come from no run of this session.",
                hint="Label again with the gold: label(frame, ..., examples=review.examples)",
            )
        if not self.gold:
            raise UsageError("nothing is reviewed yet.", hint="Accept or correct a few rows first.")
        rows = self.may_change(below)
        call = "relabel()" if below is None else f"relabel(below={below})"
        return (
            self._relabelling.ask(self, rows, lambda found: self._take(found, call), options)
            if rows
            else None
        )

    def _take(self, answers: Mapping[int, Answer], call: str) -> int:
        """Replace the old answers by new ones; returns how many labels changed."""
        with self._lock:
            new = {
                row: (word, self._number(answer), answer.get(f"{self.label}_status"), answer)
                for row, answer in answers.items()
                if row not in self.gold and (word := self.columns.of(answer)) is not None
            }
            before = {row: self._as_it_is(row) for row in new}
            for row, made in new.items():
                self._put(row, made)
            self.log.append(call)
            self._undo.append(({}, before))
        self._tell({})
        return sum(self.given[row] != was[0] for row, was in before.items())

    def _number(self, answer: Answer) -> float | None:
        sure: Any = answer.get(f"{self.label}_confidence")
        return None if is_null(sure) else float(sure)

    def _as_it_is(self, row: int) -> _Row:
        return self.given[row], self.confidence[row], self.status[row], self._renewed.get(row)

    def _put(self, row: int, made: _Row) -> None:
        self.given[row], self.confidence[row], self.status[row], answer = made
        self._renewed.pop(row, None)
        if answer is not None:
            self._renewed[row] = answer

    def to_code(self, name: str = "review") -> str:
        """The review so far as calls that replay it."""
        return "\n".join(f"{name}.{call}" for call in self.log)

    def __repr__(self) -> str:
        counts = Counter(self.state(row) for row in self.rows())
        states = ", ".join(f"{name} {counts[name]:,}" for name in STATES if counts[name])
        return f"{self.progress}\n{self.label} ({', '.join(self.labels[:12])}): {states}"

    interactive = True
    """False shows the summary without the panel."""
    looked_at = "of the rows you looked at; the least certain come first."
    """Which rows the accuracy so far is about."""
    view = "cards"
    """How the panel shows rows: ``cards``, one at a time, or ``grid``, ten a page."""

    def _ipython_display_(self) -> None:
        from llm_magics.tasks.label.review.displayed import DisplayedReview

        if self._displayed is None:
            self._displayed = DisplayedReview(self)
        self._displayed.show()


def _correction(words: Mapping[int, LabelValue]) -> str:
    row, word = next(iter(words.items()))
    return f"correct({row}, {label_cell(word)!r})"
