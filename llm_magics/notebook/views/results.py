"""The result of a run over rows, as a cell shows it: shares, failures, then the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from statistics import median
from typing import Any

from llm_magics.data.frames import Frame
from llm_magics.data.templates import cell_text, is_null
from llm_magics.runs.run import Run
from llm_magics.tasks.label.overview import LabelOverview
from llm_magics.tasks.label.task import Label
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.compared import compared_html
from llm_magics.widgets.results.faults import Fault, faults_html
from llm_magics.widgets.results.fields import Field, field_of, fields_html
from llm_magics.widgets.results.rows import SHORT, Column, column, confidence_column, rows_html
from llm_magics.widgets.results.shares import Share, shares_html

ROWS = 10
"""Rows of a result that a cell shows."""

BESIDE = 4
"""The most columns of the user's own that are shown beside those that the task reads."""

MADE = 12
"""The most columns of a run's own that are shown."""

_FAULTS = ("failed", "defaulted")


class ResultView:
    """A view of the frame ``result`` that ``run`` made; ``note`` says which rows these are.

    ``places`` are the rows' positions in the whole frame, where it is not all of it. In a notebook it is
    HTML without script, in a terminal the frame's own text.
    """

    def __init__(self, result: Any, run: Run, *, note: str = "", places: Sequence[int] | None = None) -> None:
        self.frame = replace(run.plan.frame, native=result, dask_frame=None)
        self.run = run
        self.note = note
        self.places = places
        task = run.plan.task
        self.labels = LabelOverview(task, self.frame) if isinstance(task, Label) else None

    def __repr__(self) -> str:
        return cell_text(repr(self.frame.native))

    def _repr_html_(self) -> str:
        parts = [self._head(), self._summary(), self._faults(), self._rows()]
        name = f"result of {escape(self.run.plan.task.name)}"
        return output_block(*parts, name=name, kind="llmx-result")

    # -- which columns there are

    @property
    def _name(self) -> str:
        return self.run.plan.output.rstrip("_")

    @cached_property
    def _statuses(self) -> list[str]:
        """The names that have columns of status and error: this run's, and those of earlier runs."""
        columns = set(self.frame.columns)
        marked = [name.removesuffix("_status") for name in self.frame.columns if name.endswith("_status")]
        return [name for name in marked if f"{name}_error" in columns]

    @cached_property
    def _made(self) -> list[str]:
        """The columns that hold the run's answers, without those beside them."""
        beside = {f"{name}_{what}" for name in self._statuses for what in ("status", "error", "confidence")}
        plan = self.run.plan
        own = set(plan.frame.columns) - set(plan.columns)
        made = [name for name in self.frame.columns if name not in own | beside]
        # Of several models compared the run is the last one's; the others' columns are named alike.
        begun = [name for name in made if name.startswith(plan.output)]
        alike = {output + name.removeprefix(plan.output) for output in self._asked.values() for name in begun}
        return [name for name in self.frame.columns if name in {*made, *alike}]

    @property
    def _asked(self) -> dict[str, str]:
        """The column, or the prefix of the columns, of each model, where several were compared."""
        return dict(self.run.details.get("compared", {}))

    # -- the parts

    def _head(self) -> str:
        """The name of the result and what is true of all of it, on one line."""
        n = len(self.frame)
        facts = ["1 row" if n == 1 else f"{n:,} rows"]
        if self.labels is not None:
            facts.append(_counted(len(self.labels.names), "label"))
            if self._compared:
                facts.append(f"{len(self._compared)} models")
            elif sure := self.labels.confidences:
                facts.append(f"median confidence {median(sure):.2f}")
        elif len(self._fields) == 1 and self._fields[0].said:
            facts.append(self._fields[0].said)
        if self.note:
            facts.append(self.note)
        score = self.run.evaluation
        said = "" if score is None else f"<p>{escape(score)}</p>"
        line = escape(" · ".join(facts))
        name = ", ".join(output.rstrip("_") for output in self._asked.values()) or self._name
        name = escape(cut(name or self.run.plan.task.name, 80))
        return f'<p class="llmx-head"><b>{name}</b> <span class="llmx-dim">{line}</span></p>{said}'

    def _summary(self) -> str:
        """The shares of the labels or ratings; of other columns what is in them."""
        if self.labels is not None and (compared := self._compared):
            return compared_html(self.labels.names, compared)
        if self.labels is not None:
            return shares_html(self.labels.shares(), len(self.frame), "label")
        if self.run.plan.task.name == "judge":
            return self._ratings()
        return fields_html(self._fields, len(self.frame)) if len(self._fields) > 1 else ""

    @cached_property
    def _fields(self) -> list[Field]:
        return [field_of(name, self.frame.values(name)) for name in self._made[:MADE]]

    @cached_property
    def _compared(self) -> dict[str, Sequence[Any]]:
        """The labels or ratings of each model, where several were compared and a row has one label."""
        task, columns = self.run.plan.task, self.frame.columns
        if isinstance(task, Label) and (task.many or task.wide):
            return {}
        return {model: self.frame.values(name) for model, name in self._asked.items() if name in columns}

    def _ratings(self) -> str:
        """The shares of a judge's ratings, or of the winners."""
        output = self.run.plan.output
        given = self._compared or {"": self.frame.values(output)}
        counts = Counter(None if is_null(value) else value for values in given.values() for value in values)
        known = sorted((value for value in counts if value is not None), key=_in_order)
        if self._compared:
            return compared_html([cell_text(value) for value in known], given, "rating", ordered=True)
        shares = [Share(cell_text(value), counts[value]) for value in known]
        if None in counts:
            shares.append(Share("no answer", counts[None], None, -1))
        return shares_html(shares, len(self.frame), output)

    def _faults(self) -> str:
        """The rows that failed, behind one line."""
        name = self._name
        if f"{name}_status" not in self.frame.columns:
            return ""
        statuses = self.frame.values(f"{name}_status")
        found = [place for place, status in enumerate(statuses) if status in _FAULTS]
        if not found:
            return ""
        errors = self.frame.values(f"{name}_error")
        texts = [self.frame.values(one) for one in self.run.plan.inputs if one in self.frame.columns]
        keys = self._keys(len(self.frame))
        faults = [
            Fault(
                keys[place],
                " ".join(cell_text(column[place]) for column in texts),
                statuses[place],
                cell_text(errors[place]),
            )
            for place in found
        ]
        return faults_html(faults, len(statuses), self.run.hint)

    def _rows(self) -> str:
        """The first rows, and how many more there are."""
        import narwhals as nw

        first = nw.from_native(self.frame.native, eager_only=True).head(ROWS)
        head = replace(self.frame, native=first.to_native())
        shown, left_out = self._columns(head)
        more = len(self.frame) - len(head)
        said = [f"{more:,} more rows" if more > 1 else "1 more row"] if more else []
        if left_out:
            said.append(f"{_counted(len(left_out), 'more column')}: {cut(', '.join(left_out), 200)}")
        rest = f'<p class="llmx-dim">{escape("; ".join(said))}</p>' if said else ""
        return rows_html(shown, f"the first {_counted(len(head), 'row')}") + rest

    def _keys(self, n: int) -> list[str]:
        """What heads each of the first ``n`` rows: pandas' index, else the row's position."""
        index: Any = getattr(self.frame.native, "index", None)
        if hasattr(index, "tolist"):
            return [cut(cell_text(key), 40) for key in index[:n].tolist()]
        places: Sequence[int] = range(len(self.frame)) if self.places is None else self.places
        return [f"{place:,}" for place in places[:n]]

    def _columns(self, head: Frame) -> tuple[list[Column], list[str]]:
        """The columns that are shown, and the names of those that are not.

        Up to what was read they stand as in the frame; then come the answers, and then the user's others.
        """
        made, inputs = set(self._made), set(self.run.plan.inputs)
        beside = [f"{name}_{what}" for name in self._statuses for what in ("status", "error")]
        keys = Column("", "key", [escape(key) for key in self._keys(len(head))])
        read: list[Column] = []
        answers: list[Column] = []
        others: list[Column] = []
        left_out, counts = [], {"made": 0, "beside": 0}
        first = next((place for place, name in enumerate(head.columns) if name in inputs), 0)
        for at, name in enumerate(head.columns):
            if name in beside:
                continue
            if self.labels is not None and name in self.labels.columns:
                if name == self.labels.columns[0]:
                    answers.append(self.labels.column(self.labels.words[: len(head)]))
                continue
            if name not in inputs and not self._confident(name):
                kind, most = ("made", MADE) if name in made else ("beside", BESIDE)
                counts[kind] += 1
                if counts[kind] > most:
                    left_out.append(name)
                    continue
            own = name in made or self._confident(name)
            place = answers if own else read if name in inputs or at < first else others
            place.append(self._column(head, name))
        return [keys, *read, *answers, *self._said(head), *others], left_out

    def _confident(self, name: str) -> bool:
        return name.removesuffix("_confidence") in self._statuses and name.endswith("_confidence")

    def _column(self, head: Frame, name: str) -> Column:
        values = head.values(name)
        if self.labels is not None and self._compared and name in self._asked.values():
            words = [None if is_null(value) else value for value in values]
            return replace(self.labels.column(words), name=name)
        if self._confident(name):
            own = not self._asked and name == f"{self._name}_confidence"
            return confidence_column("confidence" if own else name, values)
        return column(name, values, text=any(isinstance(v, str) and len(v) > _SHORT for v in values))

    def _said(self, head: Frame) -> list[Column]:
        """A column of each status that says more than that all is well in these rows."""
        found = []
        for name in self._statuses:
            statuses, errors = head.values(f"{name}_status"), head.values(f"{name}_error")
            if any(not is_null(status) and status != "ok" for status in statuses):
                own = name == self._name
                told = [escape(cut(said, SHORT)) for said in _told(statuses, errors)]
                found.append(Column("status" if own else f"{name}_status", "short", told))
        return found


_SHORT = 40
"""Characters up to which a text needs no room of its own."""


def _told(statuses: Sequence[Any], errors: Sequence[Any]) -> list[str]:
    """Status and error in one; nothing where a row is well."""
    return [
        "" if is_null(status) or status == "ok" else ": ".join(filter(None, (status, cell_text(error))))
        for status, error in zip(statuses, errors, strict=True)
    ]


def _counted(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"


def _in_order(value: Any) -> tuple[bool, Any]:
    """Numbers by size, before texts."""
    return isinstance(value, str), value
