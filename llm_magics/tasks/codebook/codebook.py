"""``codebook``: the definitions of a label column as versions, each with how well it did."""

from __future__ import annotations

import getpass
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.intervals import wilson
from llm_magics.core.types import Choice
from llm_magics.data import frames
from llm_magics.data.templates import cell_text, is_null
from llm_magics.runs.run import Run
from llm_magics.runs.session import Session, current
from llm_magics.settings.config import home_folder
from llm_magics.store.codebooks import CodebookStore, StoredScore
from llm_magics.store.gold_labels import GoldLabelStore, task_key
from llm_magics.tasks.codebook import versions
from llm_magics.tasks.codebook.improvement import GoldRows, Improvement, improvement
from llm_magics.tasks.codebook.labelling import ModelLabeller
from llm_magics.tasks.codebook.versions import Version
from llm_magics.tasks.label import definitions
from llm_magics.tasks.label.columns import LabelColumns, LabelValue
from llm_magics.tasks.label.evaluation.agreement import agreement
from llm_magics.tasks.label.task import Label
from llm_magics.widgets.html import escape
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.rows import Column, rows_html


def codebook(name: str | None = None) -> Codebook:
    """Open the codebook of a label column: versions of its definitions, kept on disk.

    Args:
        name: the label column; by default that of the last labelling of this session, else the only codebook
            there is.

    Definitions that a run of this session used and no version has become a new version; runs with gold
    labels (of ``review`` and ``sample``) give their version its accuracy and agreement. Raises UsageError
    where there is no codebook yet, NotFound for a name that there isn't.
    """
    return open_codebook(current(), name)


def open_codebook(session: Session, name: str | None = None) -> Codebook:
    """The codebook of a label column in a session, its runs taken in."""
    store = CodebookStore(home_folder() / "codebooks.sqlite3")
    runs = [run for run in session.runs if _is_labelling(run)]
    known = list(dict.fromkeys([*store.books(), *(run.plan.output for run in runs)]))
    if name is None:
        name = runs[-1].plan.output if runs else known[0] if len(known) == 1 else None
    if name is None:
        hint = f"Name one: {', '.join(known)}" if known else "Label with descriptions first: %%llm label ..."
        raise UsageError("which codebook?" if known else "there is no codebook yet.", hint=hint)
    if name not in known:
        raise NotFound.among("codebook", name, known)
    made = Codebook(session, name, store)
    for run in runs:
        if run.plan.output == name:
            made.take_in(run)
    return made


def _is_labelling(run: Run) -> bool:
    return isinstance(run.plan.task, Label) and not run.plan.task.wide and bool(run.plan.task.choices)


class Codebook:
    """Versions of the label definitions of one column, oldest first, the one in use among them."""

    def __init__(self, session: Session, name: str, store: CodebookStore) -> None:
        self.name = name
        self._session, self._store = session, store

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions."""
        scores = self._store.scores(self.name)
        return tuple(versions.read_version(one, scores) for one in self._store.versions(self.name))

    @property
    def current(self) -> Version:
        """The version in use: the one chosen, else the newest. Raises UsageError where there is none."""
        every, chosen = self.versions, self._store.chosen(self.name)
        if not every:
            raise UsageError(f"the codebook {self.name} has no version yet.", hint="codebook.add(labels)")
        return next((one for one in every if one.number == chosen), every[-1])

    @property
    def labels(self) -> list[Choice]:
        """The definitions in use, as ``label(labels=...)`` and ``--labels-from`` take them."""
        return list(self.current.labels)

    def version(self, number: int) -> Version:
        """A version by its number. Raises NotFound."""
        found = {one.number: one for one in self.versions}
        if number not in found:
            raise NotFound.among("version", str(number), map(str, found))
        return found[number]

    def add(self, labels: Any, reason: str = "", author: str = "") -> Version:
        """Store definitions as a new version, and use it; equal ones are not stored twice.

        ``labels`` are what ``label`` takes. Raises UsageError for labels that can't be read.
        """
        found = definitions.choices(labels)
        same = next((one for one in self.versions if one.labels == found), None)
        number = (
            same.number
            if same is not None
            else self._store.add(self.name, versions.packed(found), author or _user(), reason or "added")
        )
        self._store.choose(self.name, number)
        return self.version(number)

    def use(self, number: int) -> Codebook:
        """Make a version the one in use. Raises NotFound."""
        self._store.choose(self.name, self.version(number).number)
        return self

    def diff(self, old: int, new: int) -> str:
        """What changed from one version to another. Raises NotFound."""
        return Difference(versions.difference(self.version(old), self.version(new)))

    def save(self, path: str | Path) -> Path:
        """Write all versions to a file, ``.md`` as Markdown, ``.toml`` as TOML.

        Raises UsageError for another suffix.
        """
        file, writers = Path(path).expanduser(), {".md": versions.markdown, ".toml": versions.toml}
        if file.suffix not in writers:
            raise UsageError(f"a codebook is saved as .md or .toml, not {file.suffix or 'without a suffix'}.")
        text = writers[file.suffix](self.name, self.versions, self.current.number)
        file.write_text(text, encoding="utf-8")
        return file

    # -- runs and gold labels

    def take_in(self, run: Run) -> None:
        """Make a run's definitions a version where none has them, and note its score on the gold rows."""
        task = run.plan.task
        assert isinstance(task, Label)
        every = self.versions
        same = next((one for one in every if one.labels == task.choices), None)
        number = same.number if same is not None else None
        if number is None:
            reason = "used in a run" if every else "first definitions"
            number = self._store.add(self.name, versions.packed(task.choices), _user(), reason)
            self._store.choose(self.name, number)
        run.details["codebook"] = {"name": self.name, "version": number}
        rows, given = _gold(self._session, run)
        if rows.texts and run.finished is not None and run.error is None:
            self._note(number, run.plan.backend.name, "all gold rows", rows.labels, given)

    def _note(
        self,
        number: int,
        model: str,
        how: str,
        gold: Sequence[LabelValue],
        given: Sequence[LabelValue | None],
    ) -> None:
        right = sum(true == said for true, said in zip(gold, given, strict=True))
        low, high = wilson(right, len(gold))
        found = agreement(gold, given)
        kappa = None if found is None or math.isnan(found.kappa) else found.kappa
        accuracy = right / len(gold)
        self._store.score(self.name, StoredScore(number, model, how, len(gold), accuracy, low, high, kappa))

    def improve(
        self,
        data: Any = None,
        truth: str | None = None,
        *,
        on: str | None = None,
        model: Any = None,
        folds: int = 5,
        random_state: int = 0,
        yes: bool = False,
    ) -> Improvement:
        """Let a model propose new wording from disagreements, and keep it where it is better beyond noise.

        Args:
            data: a frame with gold labels; by default the gold labels of the last labelling.
            truth: its column of gold labels, null where nobody looked.
            on: its column of text.
            model: the model that proposes; by default the one that labelled.
            folds: parts of the gold rows that are in turn kept apart.
            random_state: seeds the parts.
            yes: go on although the estimate is high.

        The labelling model is that of the last labelling of this column in this session. Returns an
        Improvement, whose text shows the disagreements, the wording, and why it was kept or not; a kept one
        is a new version, in use from now on. Raises UsageError without a labelling, or for too few gold rows.
        """
        run = self._last_run()
        labeller = ModelLabeller(self._session, run.plan, model, yes)
        version = self.current
        rows = _gold(self._session, run)[0] if data is None else _given_gold(run, data, truth, on)
        found = improvement(version.labels, rows, labeller, folds=folds, seed=random_state)
        if not found.kept:
            return found
        by = model if isinstance(model, str) else labeller.name
        reason = (
            f"improved on version {version.number}: accuracy {found.before:.3f} -> {found.after:.3f} on "
            f"{found.gold:,} gold rows by cross-validation, p = {found.chance:.2g}"
        )
        made = self.add(found.proposed, reason, f"{by}, asked by {_user()}")
        right = round(found.after * found.gold)
        low, high = wilson(right, found.gold)
        how = f"{folds}-fold cross-validation"
        score = StoredScore(made.number, labeller.name, how, found.gold, found.after, low, high, None)
        self._store.score(self.name, score)
        return replace(found, version=made.number)

    def _last_run(self) -> Run:
        """The newest run of this column. Raises UsageError where there is none."""
        for run in reversed(self._session.runs):
            if _is_labelling(run) and run.plan.output == self.name:
                return run
        raise UsageError(
            f"no labelling of {self.name} in this session: which model is to follow the codebook?",
            hint="Label first: %llm label DATA --labels-from NAME, with NAME = codebook.labels",
        )

    # -- display

    def _lines(self) -> Iterator[Mapping[str, str]]:
        chosen = self.current.number
        for one in self.versions:
            best = max(one.scores, key=lambda score: score.gold, default=None)
            scored = best and f"{best.accuracy:.3f} ({best.low:.3f} to {best.high:.3f}), {best.gold:,} rows"
            kappa = f"{best.kappa:.2f}" if best and best.kappa is not None else ""
            yield {
                "version": f"{one.number}{' (in use)' if one.number == chosen else ''}",
                "date": one.date,
                "who": one.author,
                "why": one.reason,
                "accuracy on gold": scored or "",
                "kappa": kappa,
            }

    def __repr__(self) -> str:
        lines = [f"codebook {self.name}"]
        for line in self._lines():
            said = ", ".join(filter(None, (line["date"], line["who"], line["why"])))
            score = f"; accuracy {line['accuracy on gold']}" if line["accuracy on gold"] else ""
            lines.append(f"  version {line['version']}: {said}{score}")
        return "\n".join([*lines, "", self.current.body])

    def _repr_html_(self) -> str:
        lines = list(self._lines())
        columns = [Column(head, "short", [escape(line[head]) for line in lines]) for head in lines[0]]
        name = f"Codebook {escape(self.name)}"
        head = f'<p class="llmx-head"><b>{name}</b></p>'
        body = f"<pre>{escape(self.current.body)}</pre>"
        return output_block(head, rows_html(columns, name), body, name=name, kind="llmx-table")


class Difference(str):
    """A difference as text; in a notebook it is printed, not quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def _gold(session: Session, run: Run) -> tuple[GoldRows, list[LabelValue | None]]:
    """The gold labels that are stored for a run's texts, each text once, and the run's own labels."""
    task, frame = run.plan.task, run.plan.frame
    assert isinstance(task, Label)
    if frame.dask_frame is not None:
        return GoldRows((), ()), []
    columns = LabelColumns(task.output, task.labels.names, task.many)
    texts = [cell_text(value) for value in frame.values(task.column)]
    given = [columns.word(cell) for cell in run.row_columns[task.output]]
    asked = {texts[row]: given[row] for row in run.plan.rows}
    if session.config.value("store") == "off":
        return GoldRows((), ()), []
    key = task_key(columns.name, task.labels.names, many=task.many)
    held = GoldLabelStore(home_folder() / "gold.sqlite3").get(key, list(asked))
    kept = [text for text in asked if text in held and text.strip()]
    return (
        GoldRows(kept, [columns.unpacked(held[text]) for text in kept]),
        [asked[text] for text in kept],
    )


def _given_gold(run: Run, data: Any, truth: str | None, on: str | None) -> GoldRows:
    """The gold labels of a frame. Raises UsageError where its columns can't be told, NotFound."""
    task = run.plan.task
    assert isinstance(task, Label)
    frame, _ = frames.read(data)
    columns = LabelColumns(task.output, task.labels.names, task.many)
    cells = frame.values(truth or columns.gold)
    texts = [cell_text(value) for value in frame.values(on or task.column)]
    pairs = {
        text: word
        for text, cell in zip(texts, cells, strict=True)
        if text.strip() and not _is_null(cell) and (word := columns.word(cell)) is not None
    }
    return GoldRows(list(pairs), list(pairs.values()))


def _is_null(cell: Any) -> bool:
    return not isinstance(cell, list | tuple) and not hasattr(cell, "tolist") and is_null(cell)
