"""Figures of one line a name: shares with intervals, and a matrix of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.core.intervals import wilson
from llm_magics.widgets.figures.template import Look, blend, finish, line_height, readable
from llm_magics.widgets.figures.text import lines_of, plain, width_of
from llm_magics.widgets.theme import colour

NAMES = 0.42
"""Most of the width that names may take."""


@dataclass(frozen=True)
class Estimate:
    """A name, its value with both ends of the interval, what is said beside it, and the place of its colour.

    The colour -1 is grey.
    """

    name: str
    value: float
    low: float
    high: float
    said: str
    colour: int = 0


def share_of(name: str, count: int, whole: int, colour: int = 0) -> Estimate:
    """The share of ``whole`` texts that ``count`` are, with its 95% Wilson interval."""
    low, high = wilson(count, whole)
    share = count / max(1, whole)
    told = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
    return Estimate(name, share, low, high, f"{told} ({count:,})", colour)


def estimates_figure(
    estimates: Sequence[Estimate], look: Look, title: str, source: str, axis: str, *, percent: bool = True
) -> Any:
    """A line a name, the first on top: a point at the value, a bar over its interval, and the figures."""
    import plotly.graph_objects as go

    room = look.room
    figure = go.Figure()
    for at, one in enumerate(estimates):
        _estimate(figure, at, one, look, percent=percent)
    _values(figure, estimates, look)
    left, step = names_down(figure, [one.name for one in estimates], look)
    top = max((one.high for one in estimates), default=1.0) or 1.0
    told = max((width_of(one.said, room.small) for one in estimates), default=0) + room.text * 1.2
    plot = room.width - left - 1.8 * room.text
    figure.update_xaxes(
        range=[0, top * plot / max(1.0, plot - told)],
        tickformat=".0%" if percent else ".1f",
        nticks=5 if plot < 400 else 8,
        title_text=axis,
    )
    below = room.text * 3.4
    step = line_height(look, len(estimates), step, room.text * 1.3, below)
    height = max(3, len(estimates)) * step
    return finish(figure, look, title, source, height=height, left=left, below=below)


def _estimate(figure: Any, at: int, one: Estimate, look: Look, *, percent: bool) -> None:
    ink, text = colour(one.colour, look.theme), look.room.text
    line = {"color": ink, "width": text * 0.3}
    figure.add_scatter(
        x=[one.low, one.high], y=[at, at], mode="lines", line=line, opacity=0.5, hoverinfo="skip"
    )
    form = ".1%" if percent else ".3f"
    ends = f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"
    figure.add_scatter(
        x=[one.value],
        y=[at],
        mode="markers",
        marker={"size": text * 0.75, "color": ink, "line": {"width": 0}},
        hovertemplate=f"{plain(one.name)}<br>{ends}<br>{plain(one.said)}<extra></extra>",
    )


def _values(figure: Any, estimates: Sequence[Estimate], look: Look) -> None:
    """What is said of each, at the end of its interval."""
    ends = [(one.high, float(at)) for at, one in enumerate(estimates)]
    values_beside(figure, ends, [f"  {plain(one.said)}" for one in estimates], look)


def values_beside(figure: Any, ends: Sequence[tuple[float, float]], texts: Sequence[str], look: Look) -> None:
    """Small texts right of the points ``ends``, which are (x, y)."""
    figure.add_scatter(
        x=[x for x, _ in ends],
        y=[y for _, y in ends],
        mode="text",
        text=list(texts),
        textposition="middle right",
        textfont={"size": look.room.small, "color": look.palette.dim},
        hoverinfo="skip",
        cliponaxis=False,
    )


def names_down(figure: Any, names: Sequence[str], look: Look, most: float = NAMES) -> tuple[float, float]:
    """Names as ticks of the y-axis, the first on top: the room that they take, and the height of a line.

    A name wider than the share ``most`` of the figure takes two lines.
    """
    room, colours = look.room, look.palette
    told = [lines_of(name, room.width * most, room.text, most=2) for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=["<br>".join(plain(line) + "  " for line in lines) for lines in told],
        tickfont={"size": room.text, "color": colours.ink},
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
    )
    wide = max((width_of(line, room.text) for lines in told for line in lines), default=0)
    two = any(len(lines) > 1 for lines in told)
    return wide + room.text * 0.8, room.text * (2.75 if two else 2.1)


def matrix_figure(
    names: Sequence[str],
    groups: Sequence[str],
    counts: Sequence[Sequence[int]],
    sizes: Sequence[int],
    look: Look,
    title: str,
    source: str,
) -> Any:
    """Names down, slices across: the share of the slice's texts that match, shaded and in figures."""
    shares = [[n / size if size else 0.0 for n, size in zip(row, sizes, strict=True)] for row in counts]
    largest = max((value for row in shares for value in row), default=0) or 1.0
    figure = _shaded(shares, counts, largest, look)
    left, step = names_down(figure, names, look, 0.3)
    cell = (look.room.width - left - 1.8 * look.room.text) / max(1, len(groups))
    _write_cells(figure, shares, _told(shares, counts, cell, look.room.small), largest, look)
    above = _groups_across(figure, groups, sizes, cell, look)
    height = max(3, len(names)) * line_height(look, len(names), step, look.room.text * 1.3, above)
    return finish(figure, look, title, source, height=height, left=left, above=above)


def _shaded(
    shares: Sequence[Sequence[float]], counts: Sequence[Sequence[int]], largest: float, look: Look
) -> Any:
    """A figure of shaded cells, without text; ``largest`` is the share with the full colour."""
    import plotly.graph_objects as go

    return go.Figure(
        go.Heatmap(
            z=shares,
            zmin=0,
            zmax=largest,
            colorscale=[[0, look.palette.ground], [1, colour(0, look.theme)]],
            showscale=False,
            xgap=2,
            ygap=2,
            customdata=[list(row) for row in counts],
            hovertemplate="%{customdata} texts, %{z:.1%} of the slice<extra></extra>",
        )
    )


def _write_cells(
    figure: Any,
    shares: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    largest: float,
    look: Look,
) -> None:
    """Write each cell's text in the ink that can be read on its shade."""
    colours = look.palette
    for row, values in enumerate(shares):
        for at, value in enumerate(values):
            ink = readable(blend(colour(0, look.theme), colours.ground, value / largest), colours)
            font = {"size": look.room.small, "color": ink}
            figure.add_annotation(x=at, y=row, text=texts[row][at], showarrow=False, font=font)


def _groups_across(
    figure: Any, groups: Sequence[str], sizes: Sequence[int], cell: float, look: Look
) -> float:
    """Write the groups as ticks above cells of this width; returns the height that they take."""
    room = look.room
    wide = max((width_of(word, 1.0) for group in groups for word in group.split()), default=1.0)
    small = max(0.78 * room.small, min(room.small, cell * 0.96 / wide))
    heads = [_head(group, size, cell, small) for group, size in zip(groups, sizes, strict=True)]
    figure.update_xaxes(
        side="top",
        tickvals=list(range(len(groups))),
        ticktext=heads,
        tickfont={"size": small, "color": look.palette.ink},
        showgrid=False,
        tickangle=0,
    )
    return small * 1.35 * (1 + max((head.count("<br>") for head in heads), default=0)) + room.text * 0.4


def _told(
    shares: Sequence[Sequence[float]], counts: Sequence[Sequence[int]], width: float, size: float
) -> list[list[str]]:
    """What stands in each cell: the share, and the count where all cells have room for it."""
    short = [
        ["0" if not n else "<1%" if share < 0.005 else f"{share:.0%}" for share, n in zip(*row, strict=True)]
        for row in zip(shares, counts, strict=True)
    ]
    long = [
        [f"{said} ({n:,})" if n else said for said, n in zip(*row, strict=True)]
        for row in zip(short, counts, strict=True)
    ]
    fits = all(width_of(said, size) < width * 0.94 for row in long for said in row)
    return [[plain(said) for said in row] for row in (long if fits else short)]


def _head(group: str, size: int, width: float, text: float) -> str:
    lines = [*lines_of(group, width * 0.98, text, most=3), f"n = {size:,}"]
    return "<br>".join(map(plain, lines))


def histogram_figure(values: Sequence[float], look: Look, title: str, source: str, axis: str) -> Any:
    """How often each tenth of confidence occurs: bars from 0 to 1, and the median as a line."""
    from statistics import median

    import plotly.graph_objects as go

    room, colours = look.room, look.palette
    bins = [0] * 20
    for value in values:
        bins[min(19, int(max(0.0, value) * 20))] += 1
    figure = go.Figure(
        go.Bar(
            x=[(i + 0.5) / 20 for i in range(20)],
            y=bins,
            width=0.046,
            marker={"color": colour(0, look.theme), "line": {"width": 0}},
            hovertemplate="%{y:,} rows<extra></extra>",
        )
    )
    if values:
        middle = median(values)
        figure.add_vline(x=middle, line={"color": colours.ink, "width": 1, "dash": "dot"})
        right = middle < 0.6
        figure.add_annotation(
            x=middle,
            y=1,
            yref="paper",
            yanchor="top",
            xanchor="left" if right else "right",
            text=f" median {middle:.2f} ",
            showarrow=False,
            font={"size": room.small, "color": colours.ink},
            bgcolor=colours.ground,
        )
    figure.update_xaxes(range=[0, 1.005], dtick=0.2, title_text=axis, showgrid=False)
    left = width_of(f"{max(bins):,}", room.small) + room.text * 2.4
    figure.update_yaxes(title_text="rows", rangemode="tozero", tickformat=",", nticks=6)
    height = room.height * 0.62
    return finish(figure, look, title, source, height=height, left=left, below=room.text * 3.4)
