"""Labels under review, as plain data: what a person accepts or corrects is gold from then on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from llm_magics import frames
from llm_magics.api.calibration import kappa
from llm_magics.api.evaluation import wilson
from llm_magics.api.gold import GoldStore, task_key
from llm_magics.errors import NotFound, UsageError
from llm_magics.frames import Frame
from llm_magics.prompts import is_null, text_of

STATES = ("to review", "reviewed", "corrected", "no label")


Relabeller: TypeAlias = "Callable[[Review, float | None], Mapping[int, tuple[Any, Any, Any]]]"
"""Asks the model again about the rows that may change: row -> label, confidence, status."""


@dataclass(frozen=True)
class Progress:
    """How a review stands: rows with a person's word, the share of them where the label was right."""

    rows: int
    reviewed: int
    corrected: int
    accuracy: float | None
    interval: tuple[float, float] | None
    kappa: float | None = None

    def __str__(self) -> str:
        said = [f"{self.reviewed:,} of {self.rows:,} rows reviewed, {self.corrected:,} corrected"]
        if self.accuracy is not None and self.interval is not None:
            low, high = self.interval
            said.append(f"labels right in {self.accuracy:.0%} (95% {low:.0%}-{high:.0%}) of them")
        if self.kappa is not None:
            said.append(f"Cohen's kappa with the second column {self.kappa:.2f}")
        return ", ".join(said)


class Review:
    """Labels of one column with their texts, least certain first, and a person's word on them.

    ``accept`` and ``correct`` make gold, which nothing overwrites but a newer word of the person; it is in
    ``df`` (the column ``{label}_gold``, and the label itself) and, with a store, on disk. ``relabel``
    asks the model again about rows that may change, with the gold as examples. Rows are called by their
    position in the frame, 0 first.
    """

    def __init__(
        self,
        frame: Frame,
        text: str,
        label: str,
        labels: Sequence[str],
        *,
        second: str | None = None,
        store: GoldStore | None = None,
        relabeller: Relabeller | None = None,
    ) -> None:
        self.frame, self.text, self.label = frame, text, label
        self.labels = tuple(labels)
        self.texts = [text_of(value) for value in frame.values(text)]
        self.given = [None if is_null(value) else str(value) for value in frame.values(label)]
        self.confidence = self._column(f"{label}_confidence", float)
        self.status = self._column(f"{label}_status", str)
        self.second = None if second is None else frame.values(second)
        self.gold: dict[int, str] = {}
        self.log: list[tuple[str, tuple[int, ...], str | None]] = []
        self._undo: list[tuple[dict[int, str | None], dict[int, tuple[Any, Any, Any]]]] = []
        self._task = task_key(label, self.labels)
        self._store = store
        self._relabeller = relabeller
        self._remember(frame.values(f"{label}_gold") if f"{label}_gold" in frame.columns else [])

    def _column(self, name: str, kind: Callable[[Any], Any]) -> list[Any]:
        if name not in self.frame.columns:
            return [None] * len(self.frame)
        return [None if is_null(value) else kind(value) for value in self.frame.values(name)]

    def _remember(self, held: Sequence[Any]) -> None:
        """Gold from the frame's own column, and from disk."""
        kept = self._store.get(self._task, self.texts) if self._store is not None else {}
        for row, text in enumerate(self.texts):
            if text in kept:
                self.gold[row] = kept[text]
        self.gold |= {row: str(value) for row, value in enumerate(held) if not is_null(value)}

    # -- what to look at

    def state(self, row: int) -> str:
        """One of ``STATES``."""
        if row in self.gold:
            return "reviewed" if self.gold[row] == self.given[row] else "corrected"
        return "to review" if self.given[row] is not None else "no label"

    def rows(self, label: str | None = None, state: str | None = None, search: str = "") -> list[int]:
        """Rows of this label and state that hold the words, least certain first.

        Those without a label come first, then by rising confidence, in the frame's order where equal. A
        person's word goes before the model's; ``state`` may be a status of the labelling too. Blank texts
        are left out.
        """
        wanted = search.casefold()
        kept = [
            row
            for row, text in enumerate(self.texts)
            if text.strip()
            and (label is None or self.current(row) == label)
            and (state is None or self._is(row, state))
            and (not wanted or wanted in text.casefold())
        ]
        return sorted(kept, key=self._certainty)

    def _is(self, row: int, state: str) -> bool:
        """Whether a row is in a state; what has no label is to review as well."""
        if state == "to review":
            return row not in self.gold
        return state in (self.state(row), self.status[row])

    def _certainty(self, row: int) -> tuple[bool, float]:
        sure = self.confidence[row]
        return self.given[row] is not None, 2.0 if sure is None else sure

    def current(self, row: int) -> str | None:
        """The label as it stands: a person's word, else the model's."""
        return self.gold.get(row, self.given[row])

    # -- a person's word

    def accept(self, rows: int | Sequence[int]) -> None:
        """These labels are right. Rows without a label stay as they are."""
        chosen = [rows] if isinstance(rows, int) else list(rows)
        words = {row: str(self.current(row)) for row in chosen if self.current(row) is not None}
        self._say("accept", words, None)

    def correct(self, row: int, label: str) -> None:
        """The label of this row is another (or the same). Raises NotFound for one that is not listed."""
        if label not in self.labels:
            raise NotFound.among("label", label, self.labels)
        self._say("correct", {row: label}, label)

    def _say(self, verb: str, words: Mapping[int, str], label: str | None) -> None:
        if not words:
            return
        if unknown := [row for row in words if not 0 <= row < len(self.texts)]:
            raise UsageError(f"no row {unknown[0]}: there are {len(self.texts):,}, 0 first.")
        self._undo.append(({row: self.gold.get(row) for row in words}, {}))
        self.log.append((verb, tuple(words), label))
        self.gold |= words
        if self._store is not None:
            self._store.put(self._task, [(self.texts[row], word) for row, word in words.items()])

    def undo(self) -> tuple[int, ...]:
        """Take back the last word or relabelling; the rows it was about, none where none is left."""
        if not self._undo:
            return ()
        before, labels = self._undo.pop()
        self.log.pop()
        for row, was in labels.items():
            self.given[row], self.confidence[row], self.status[row] = was
        for row, word in before.items():
            self.gold.pop(row, None)
            if word is not None:
                self.gold[row] = word
        if self._store is not None:
            gone = [self.texts[row] for row, word in before.items() if word is None]
            self._store.drop(self._task, gone)
            self._store.put(self._task, [(self.texts[r], w) for r, w in before.items() if w is not None])
        return tuple(before) or tuple(labels)

    # -- what comes of it

    @property
    def progress(self) -> Progress:
        """Counts, accuracy so far, kappa. Reviewed rows are no random sample: least certain come first."""
        right = sum(word == self.given[row] for row, word in self.gold.items())
        n = len(self.gold)
        return Progress(
            rows=sum(bool(text.strip()) for text in self.texts),
            reviewed=n,
            corrected=n - right,
            accuracy=right / n if n else None,
            interval=wilson(right, n) if n else None,
            kappa=self.kappa,
        )

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa of the labels as they stand with the second annotator's, where both have one."""
        if self.second is None:
            return None
        pairs = [
            (self.current(row), str(other))
            for row, other in enumerate(self.second)
            if not is_null(other) and self.current(row) is not None
        ]
        return kappa([a for a, _ in pairs], [b for _, b in pairs])

    @property
    def examples(self) -> list[tuple[str, str]]:
        """(text, label) of all gold rows, what ``label(examples=...)`` takes."""
        return [(self.texts[row], word) for row, word in self.gold.items()]

    @property
    def df(self) -> Any:
        """A new frame: labels as they stand, ``{label}_gold`` where a person spoke."""
        gold = [self.gold.get(row) for row in range(len(self.texts))]
        current = [self.current(row) for row in range(len(self.texts))]
        columns = {self.label: current, f"{self.label}_gold": gold}
        order = dict.fromkeys(columns, self.labels)
        return frames.attach(self.frame, columns, order)

    def may_change(self, below: float | None = None) -> list[int]:
        """Rows that are worth asking about again, none of them with a person's word.

        Those without a label, and those whose label took part in a correction, as the wrong one or as the
        right one; with ``below`` only where their confidence is less than that.
        """
        wrong = {row: word for row, word in self.gold.items() if word != self.given[row]}
        touched = {self.given[row] for row in wrong} | set(wrong.values())
        return [
            row
            for row in self.rows()
            if row not in self.gold
            and (self.given[row] is None or self.given[row] in touched)
            and (below is None or self._certainty(row) < (True, below))
        ]

    def relabel(self, below: float | None = None) -> int:
        """Ask the model again about the rows that may change, with the gold as examples; how many changed.

        ``below``: only rows less confident than that. Gold rows keep their person's word, whatever the model
        says. Raises UsageError where the review is
        not one of a run of this session, or nothing is gold yet.
        """
        if self._relabeller is None:
            raise UsageError(
                "these labels come from no run of this session.",
                hint="Label again with the gold: label(frame, ..., examples=review.examples)",
            )
        if not self.gold:
            raise UsageError("nothing is reviewed yet.", hint="Accept or correct a few rows first.")
        answers = {
            row: answer for row, answer in self._relabeller(self, below).items() if row not in self.gold
        }
        before = {row: (self.given[row], self.confidence[row], self.status[row]) for row in answers}
        for row, (label, confidence, status) in answers.items():
            self.given[row], self.confidence[row], self.status[row] = label, confidence, status
        self.log.append(("relabel", (), None))
        self._undo.append(({}, before))
        return sum(self.given[row] != was[0] for row, was in before.items())

    def to_code(self, name: str = "review") -> str:
        """The review so far as calls that replay it."""
        lines = []
        for verb, rows, label in self.log:
            if verb == "correct":
                lines.append(f"{name}.correct({rows[0]}, {label!r})")
            elif verb == "accept":
                lines.append(f"{name}.accept({list(rows)})")
            else:
                lines.append(f"{name}.relabel()")
        return "\n".join(lines)

    def __repr__(self) -> str:
        counts = Counter(self.state(row) for row in self.rows())
        states = ", ".join(f"{name} {counts[name]:,}" for name in STATES if counts[name])
        return f"{self.progress}\n{self.label} ({', '.join(self.labels[:12])}): {states}"

    interactive = True
    """False shows the summary alone."""

    def _ipython_display_(self) -> None:
        from llm_magics.widgets.review import show

        show(self)
