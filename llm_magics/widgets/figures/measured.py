"""The figure of corrected shares or means: a point, its interval, the model's own value hollow beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.widgets.figures.rows import names_down, values_beside
from llm_magics.widgets.figures.template import Look, finish, line_height
from llm_magics.widgets.figures.text import plain, width_of
from llm_magics.widgets.theme import colour


@dataclass(frozen=True)
class Measured:
    """A line: its name, the estimate with both ends, the uncorrected value, and the place of its colour.

    A line whose ``value`` is None heads the lines below it; one of nan has no estimate. ``hover`` is told
    where the pointer is on it.
    """

    name: str
    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    uncorrected: float = math.nan
    hover: str = ""
    colour: int = 0


def measured_figure(
    lines: Sequence[Measured], look: Look, title: str, source: str, axis: str, *, percent: bool
) -> Any:
    """A line a name, the first on top. An axis of shares begins at nought."""
    import plotly.graph_objects as go

    room = look.room
    figure = go.Figure()
    known = [(at, one) for at, one in enumerate(lines) if one.value is not None]
    _add_uncorrected(figure, known, look)
    for at, one in known:
        _line(figure, at, one, room.text)
    left, step = names_down(figure, [one.name for one in lines], look)
    heads = [at for at, one in enumerate(lines) if one.value is None]
    if heads:
        told = [
            f"<b>{text}</b>" if at in heads else text for at, text in enumerate(figure.layout.yaxis.ticktext)
        ]
        figure.update_yaxes(ticktext=told)
        left *= 1.04
    said = [_said(one, percent=percent) for _, one in known]
    low, high = _ends([one for _, one in known], percent=percent)
    plot = room.width - left - 1.8 * room.text
    text = max((width_of(one, room.small) for one in said), default=0) + room.text * 1.2
    ends = [(_right(one), at) for at, one in known]
    values_beside(figure, ends, [f"\u2003{plain(one)}" for one in said], look)
    figure.update_xaxes(
        range=[low, low + (high - low) * plot / max(1.0, plot - text)],
        tickformat=".0%" if percent else "",
        nticks=5 if plot < 400 else 8,
        title_text=axis,
    )
    below = room.text * 3.4
    height = max(3, len(lines)) * line_height(look, len(lines), step, room.text * 1.3, below)
    return finish(figure, look, title, source, height=height, left=left, below=below)


def _add_uncorrected(figure: Any, known: Sequence[tuple[int, Measured]], look: Look) -> None:
    """Add the model's own shares as hollow points, each at its line."""
    ring = {"width": look.room.text * 0.12, "color": look.palette.edge}
    figure.add_scatter(
        x=[one.uncorrected for _, one in known],
        y=[at for at, _ in known],
        mode="markers",
        name="uncorrected",
        cliponaxis=False,
        marker={"color": look.palette.ground, "size": look.room.text * 0.75, "line": ring},
        hovertemplate="uncorrected %{x:.3f}<extra></extra>",
    )


def _line(figure: Any, at: int, one: Measured, text: float) -> None:
    ink = colour(one.colour)
    figure.add_scatter(
        x=[one.low, one.high],
        y=[at, at],
        mode="lines",
        line={"color": ink, "width": text * 0.3},
        opacity=0.5,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[one.value],
        y=[at],
        mode="markers",
        name="corrected",
        cliponaxis=False,
        marker={"size": text * 0.75, "color": ink, "line": {"width": 0}},
        hovertemplate=f"{plain(one.hover)}<extra></extra>",
    )


def _said(one: Measured, *, percent: bool) -> str:
    assert one.value is not None
    if math.isnan(one.value):
        return "no gold rows"
    form = ".0%" if percent else ".2f"
    if percent and one.high - one.low < 0.05:
        form = ".1%"
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"


def _right(one: Measured) -> float:
    """The right end of what is drawn of a line."""
    return max((value for value in (one.high, one.uncorrected) if not math.isnan(value)), default=0.0)


def _ends(lines: Sequence[Measured], *, percent: bool) -> tuple[float, float]:
    """Both ends of the axis: of shares from nought, of means around what there is."""
    values = [v for one in lines for v in (one.low, one.high, one.uncorrected) if not math.isnan(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if percent:
        return min(0.0, low), high or 1.0
    pad = (high - low) * 0.08 or 0.5
    return low - pad, high
