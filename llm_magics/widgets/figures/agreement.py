"""Figures of labels against the truth: confusion and reliability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.widgets.figures.template import Look, blend, finish, line_height, readable
from llm_magics.widgets.figures.text import fitting, lines_of, plain, width_of
from llm_magics.widgets.theme import colour

RIGHT, WRONG = colour(0), colour(3)
"""Blue for labels that are right, brown for wrong ones: told apart by every kind of colour vision."""


def confusion_figure(counts: Any, look: Look, title: str, source: str) -> Any:
    """The confusion matrix: true labels down, given ones across, shaded by the share of the true label.

    ``counts`` is a frame. Right answers are blue, wrong ones brown; the numbers stand in the cells.
    """
    import numpy as np

    room = look.room
    values = counts.to_numpy()
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    right = np.array([[true == given for given in counts.columns] for true in counts.index])
    rows, columns = [str(name) for name in counts.index], [str(name) for name in counts.columns]
    most = room.width * 0.34
    down = [fitting(name, most, room.small) for name in rows]
    left = max(width_of(name, room.small) for name in down) + room.text * 2.6
    cell = (room.width - left - 1.8 * room.text) / len(columns)
    figure = _shaded(values, shares, right, look)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plain(name) + " " for name in down],
        tickfont={"color": look.palette.ink},
        title_text="true",
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
    )
    below = _names_across(figure, columns, cell, most, look) + room.text * 2.6
    step = max(min(cell, room.text * 4.2), room.small * 1.5)
    step = line_height(look, len(rows), step, room.small * 1.25, below)
    _cells(figure, values, shares, right, min(cell, step * 1.6), look)
    return finish(figure, look, title, source, height=len(rows) * step, left=left, below=below)


def _shaded(values: Any, shares: Any, right: Any, look: Look) -> Any:
    """A figure of the cells, shaded by share: right answers in one colour, wrong ones in the other."""
    import numpy as np
    import plotly.graph_objects as go

    figure = go.Figure()
    for where, ink in ((right, RIGHT), (~right, WRONG)):
        figure.add_heatmap(
            z=np.where(where, shares, np.nan),
            zmin=0,
            zmax=1,
            colorscale=[[0, look.palette.ground], [1, ink]],
            showscale=False,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            customdata=values,
            hovertemplate="true %{y}, given %{x}<br>%{customdata} rows, %{z:.0%}<extra></extra>",
        )
    return figure


def _names_across(figure: Any, names: Sequence[str], cell: float, most: float, look: Look) -> float:
    """Write the given labels under their columns, ``cell`` wide; returns how high they stand, in pixels.

    They are broken into lines; where a word or four lines are too much for a column, they are turned, at
    most ``most`` long.
    """
    size, fits = look.room.small, cell * 0.95
    lines = [lines_of(name, fits, size) for name in names]
    turned = any(len(one) > 3 for one in lines) or any(
        width_of(word, size) > fits for name in names for word in name.split()
    )
    if turned:
        short = [fitting(name, most, size) for name in names]
        texts, high = [plain(name) for name in short], max(width_of(name, size) for name in short)
    else:
        texts = ["<br>".join(map(plain, one)) for one in lines]
        high = max(map(len, lines)) * size * 1.3
    figure.update_xaxes(
        tickvals=list(range(len(names))),
        ticktext=texts,
        tickangle=-90 if turned else 0,
        tickfont={"color": look.palette.ink},
        title_text="given",
        showgrid=False,
    )
    return high


def _cells(figure: Any, values: Any, shares: Any, right: Any, cell: float, look: Look) -> None:
    """The counts in the cells, where they fit; what is zero stays empty."""
    room, colours = look.room, look.palette
    size = min(room.small, cell * 0.42)
    if size < 5:
        return
    for row, line in enumerate(values):
        for at, count in enumerate(line):
            if count:
                cell_colour = RIGHT if right[row][at] else WRONG
                ink = readable(blend(cell_colour, colours.ground, float(shares[row][at])), colours)
                font = {"size": size, "color": ink}
                figure.add_annotation(x=at, y=row, text=f"{int(count):,}", showarrow=False, font=font)


def reliability_figure(table: Any, error: float | None, look: Look, title: str, source: str) -> Any:
    """Accuracy by confidence: a point a bin with its 95% interval, its area the share of rows.

    ``table`` has the columns confidence, accuracy, low, high, rows. Points on the dotted line are calibrated.
    """
    import plotly.graph_objects as go

    room, colours = look.room, look.palette
    figure = go.Figure()
    line = {"dash": "dot", "color": colours.edge, "width": max(1, room.text * 0.1)}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip")
    _add_bins(figure, table, look)
    if error is not None:
        figure.add_annotation(
            x=0.02,
            y=0.99,
            xanchor="left",
            yanchor="top",
            text=f"calibration error {error:.3f}",
            showarrow=False,
            font={"size": room.small, "color": colours.ink},
        )
    side = min(room.height * 0.72, room.width * 0.8)
    figure.update_xaxes(title_text="confidence", range=[0, 1.0], dtick=0.2)
    figure.update_yaxes(title_text="share that is right", range=[0, 1.02], dtick=0.2)
    left, below = room.text * 4, room.text * 3.6
    return finish(figure, look, title, source, height=side, left=left, below=below)


def _add_bins(figure: Any, table: Any, look: Look) -> None:
    """Add a point a bin, joined by a line, with its interval; its area is the share of rows."""
    text = look.room.text
    share = table["rows"] / table["rows"].sum()
    figure.add_scatter(
        x=table["confidence"],
        y=table["accuracy"],
        mode="lines+markers",
        cliponaxis=False,
        line={"color": RIGHT, "width": text * 0.12},
        marker={
            "size": text * (0.5 + 1.6 * share**0.5),
            "color": RIGHT,
            "opacity": 1,
            "line": {"width": 1, "color": look.palette.ground},
        },
        error_y={
            "type": "data",
            "symmetric": False,
            "array": table["high"] - table["accuracy"],
            "arrayminus": table["accuracy"] - table["low"],
            "color": RIGHT,
            "thickness": text * 0.1,
            "width": text * 0.25,
        },
        text=table["rows"],
        hovertemplate="confidence %{x:.2f}<br>right %{y:.2f}<br>%{text} rows<extra></extra>",
    )
