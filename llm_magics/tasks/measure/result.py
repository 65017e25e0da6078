"""The result of ``measure``: a pandas frame that plots itself and takes differences between its groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.tasks.measure.intervals import Interval, difference
from llm_magics.tasks.measure.shares import Line
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.rows import Column, column, numbers_html, rows_html

ATTRIBUTE = "llm_magics_measure"
"""The key of the frame's ``attrs`` under which it is written how it was measured."""


def table(lines: Sequence[Line], label: str, by: Sequence[str], value: str, about: dict[str, Any]) -> Any:
    """The lines as a frame: the label, the groups' columns, the estimate, its ends, the model's, the counts.

    Raises UsageError where a column of the groups has the name of another column.
    """
    ours = (label, value, "low", "high", "uncorrected", "rows", "gold")
    taken = [name for name in by if name in ours]
    if taken:
        raise UsageError(
            f"the groups' column {taken[0]!r} has the name of a column of the result.",
            hint="Rename it first.",
        )
    columns: dict[str, list[Any]] = {label: [line.name for line in lines]}
    columns |= {name: [line.key[place] for line in lines] for place, name in enumerate(by)}
    columns |= {
        value: [line.estimate.value for line in lines],
        "low": [line.estimate.low for line in lines],
        "high": [line.estimate.high for line in lines],
        "uncorrected": [line.uncorrected for line in lines],
        "rows": [line.rows for line in lines],
        "gold": [line.gold for line in lines],
    }
    made = measured_class()(columns)
    made.attrs[ATTRIBUTE] = {**about, "label": label, "by": list(by), "value": value}
    return made


@cache
def measured_class() -> type[Any]:
    """The class of the result, made on first use because pandas is imported late."""
    import pandas as pd

    class Measured(pd.DataFrame):
        """Corrected shares or means, one a row, with ``plot`` and ``differences``."""

        @property
        def _constructor(self) -> type[Any]:
            return Measured

        def plot(self, title: str | None = None, **look: Any) -> Any:  # type: ignore[override]
            """A plotly figure: each estimate with its interval, the model's own count hollow beside it.

            ``look``: ``size`` (notebook, column, page, slide), ``theme`` (light, dark), ``source``.
            """
            from llm_magics.tasks.measure.figure import figure

            return figure(self, about(self), caption(self), title, **look)

        def differences(self, reference: Any = None) -> Any:
            """The differences between groups with their intervals, for each label.

            Args:
                reference: the value of a group (a tuple with several columns) that all others are compared
                    with; without it every pair is.

            Returns a frame: the label, the group and the group it is ``minus``, ``difference``, ``low``,
            ``high``, ``uncorrected``. The groups are taken as independent. Raises UsageError without groups.
            """
            return pd.DataFrame(_differences(self, about(self), reference))

        def to_parquet(self, *arguments: Any, **named: Any) -> Any:
            """As of any frame; a figure among its attributes can't be written, and is left out."""
            plain = pd.DataFrame(self)
            plain.attrs = {name: value for name, value in self.attrs.items() if name != "figure"}
            return plain.to_parquet(*arguments, **named)

        def __repr__(self) -> str:
            return "\n".join(filter(None, (super().__repr__(), caption(self))))

        def _repr_html_(self) -> str:
            return page(self, caption(self))

    return Measured


MOST = 60
"""Lines of a result that a notebook shows."""


def page(frame: Any, said: str) -> str:
    """A result as HTML: a line an estimate, then how it was made. Shares are in percent."""
    made = frame.attrs.get(ATTRIBUTE, {})
    names = {made.get("label"), *made.get("by", ())}
    shares = {"share", "low", "high", "uncorrected"} if made.get("value") == "share" else set()
    shown = frame.head(MOST)
    columns = [
        Column(name, "number", ["–" if v != v else f"{v:.1%}" for v in shown[name]])
        if name in shares
        else Column(name, "name", [escape(cut(str(v), 80)) for v in shown[name]])
        if name in names
        else Column(str(name), "number", numbers_html(shown[name].tolist(), grouped=True))
        if name in ("rows", "gold")
        else column(str(name), shown[name].tolist())
        for name in frame.columns
    ]
    head = f'<p class="llmx-head"><b>{escape(str(made.get("value", "measured")).capitalize())}</b></p>'
    more = len(frame) - len(shown)
    rest = f'<p class="llmx-dim">{more:,} more lines</p>' if more > 0 else ""
    foot = f'<p class="llmx-small llmx-dim">{escape(said)}</p>' if said else ""
    return output_block(
        head, rows_html(columns, "estimates"), rest, foot, name="measurement", kind="llmx-table"
    )


def about(frame: Any) -> dict[str, Any]:
    """How a result was measured. Raises UsageError where the frame has lost it."""
    found = frame.attrs.get(ATTRIBUTE)
    if found is None:
        raise UsageError("this frame no longer says how it was measured.", hint="Call measure(...) again.")
    return dict(found)


def caption(frame: Any) -> str:
    """One line on how a result was measured."""
    made = frame.attrs.get(ATTRIBUTE)
    if made is None:
        return ""
    level, gold, rows = f"{made['confidence']:.0%}", f"{made['gold']:,}", f"{made['rows']:,}"
    said = f"{level} intervals, corrected by {gold} gold rows of {rows} ({made['design']})"
    return "; ".join([said, *made["notes"]])


def _differences(frame: Any, made: dict[str, Any], reference: Any) -> dict[str, list[Any]]:
    by, label, value = made["by"], made["label"], made["value"]
    if not by:
        raise UsageError("differences are between groups.", hint="measure(..., by='country').differences()")
    names: dict[str, list[Any]] = {}
    found: list[tuple[Any, Any, Any, Interval, float]] = []
    for name, rows in frame.groupby(label, sort=False, observed=True):
        lines = list(rows.itertuples(index=False))
        place = {column: number for number, column in enumerate(rows.columns)}
        keyed = {_key([line[place[column]] for column in by]): line for line in lines}
        for one, other in _pairs(list(keyed), reference):
            first, second = keyed[one], keyed[other]
            ends = difference(_interval(first, place, value), _interval(second, place, value))
            apart = first[place["uncorrected"]] - second[place["uncorrected"]]
            found.append((name, one, other, ends, apart))
    group = by[0] if len(by) == 1 else ", ".join(by)
    names[label] = [each[0] for each in found]
    names[group] = [each[1] for each in found]
    names["minus"] = [each[2] for each in found]
    for end, told in (("value", "difference"), ("low", "low"), ("high", "high")):
        names[told] = [getattr(each[3], end) for each in found]
    names["uncorrected"] = [each[4] for each in found]
    return names


def _key(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _pairs(keys: Sequence[Any], reference: Any) -> Iterator[tuple[Any, Any]]:
    """The groups to compare: every later one with every earlier one, or each with the reference."""
    if reference is None:
        yield from ((later, earlier) for earlier, later in combinations(keys, 2))
        return
    if reference not in keys:
        raise NotFound.among("group", str(reference), map(str, keys))
    yield from ((key, reference) for key in keys if key != reference)


def _interval(line: Any, place: dict[str, int], value: str) -> Interval:
    ends = Interval(*(float(line[place[name]]) for name in (value, "low", "high")))
    return ends if not math.isnan(ends.value) else Interval(math.nan, math.nan, math.nan)
