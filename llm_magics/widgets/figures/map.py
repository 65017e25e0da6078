"""The map as a figure: texts as points, names at their texts, density behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.widgets.figures.placement import Label, anchors, place
from llm_magics.widgets.figures.shading import shading
from llm_magics.widgets.figures.template import Look, Palette, Size, finish
from llm_magics.widgets.figures.text import fitting, plain, width_of
from llm_magics.widgets.theme import colour

PAD = 0.06
"""Share of the map that stays free around the points."""


@dataclass(frozen=True)
class MapData:
    """What a map shows: ``places`` (n, 2), the number of each text's name (-1: none), names, hover texts."""

    places: Any
    owners: Any
    names: Sequence[str]
    texts: Sequence[str]


@dataclass(frozen=True)
class Layout:
    """A map laid out in pixels: points in the unit square, labels, and names that have no room."""

    unit: Any
    labels: Sequence[Label]
    unplaced: Sequence[int]
    image: str
    width: float
    height: float


def laid_out(data: MapData, width: float, height: float, size: float, theme: str = "light") -> Layout:
    """Points, shading and labels for a map of this size; ``size`` is the labels' type.

    Names are placed from the most frequent one down. The shading has the colours of ``theme``.
    """
    import numpy as np

    unit = unit_square(data.places)
    owners = np.asarray(data.owners)
    spots = anchors(unit, owners, len(data.names))
    order = sorted(range(len(data.names)), key=lambda n: -int((owners == n).sum()))
    pixels = [None if (s := spots[n]) is None else (s[0] * width, (1 - s[1]) * height) for n in order]
    most = max(width * 0.24, size * 6)
    labels, left = place([data.names[n] for n in order], pixels, width, height, size, most)
    moved = [Label(**{**vars(label), "number": order[label.number]}) for label in labels]
    image = shading(unit, owners, [colour(n, theme) for n in range(-1, len(data.names))], height / width)
    without = [order[n] for n in left if spots[order[n]] is not None]
    return Layout(unit, moved, without, image, width, height)


def unit_square(places: Any) -> Any:
    """Places moved into the unit square with a little room at its edges; each axis fills it."""
    import numpy as np

    spots = np.asarray(places, dtype=float)
    if not len(spots):
        return spots.reshape(0, 2)
    low, span = spots.min(axis=0), np.ptp(spots, axis=0)
    return PAD + (1 - 2 * PAD) * (spots - low) / np.where(span > 0, span, 1)


def map_figure(data: MapData, look: Look, title: str, source: str) -> Any:
    """The map as a plotly figure. Names that find no room are numbered, and listed below the map."""
    import numpy as np
    import plotly.graph_objects as go

    room, colours = look.room, look.palette
    width = room.width - 1.8 * room.text
    height = min(room.height * 0.84, width * 0.8) if room.width < 500 else room.height * 0.8
    made = laid_out(data, width, height, room.text, look.theme)
    owners = np.asarray(data.owners)
    figure = go.Figure()
    for number in [-1, *range(len(data.names))]:
        own = np.flatnonzero(owners == number)
        if len(own):
            figure.add_trace(_points(go, data, made.unit, own, number, look))
    figure.add_layout_image(
        source=made.image, x=0, y=1, sizex=1, sizey=1, xref="x", yref="y", sizing="stretch", layer="below"
    )
    for label in made.labels:
        _name(figure, label, made, room, colours)
    blank = {"range": [0, 1], "visible": False, "fixedrange": False}
    figure.update_layout(xaxis=blank, yaxis=blank, hovermode="closest")
    key = _key(figure, made, data.names, width, look)
    return finish(figure, look, title, source, height=height, below=key)


def _points(go: Any, data: MapData, unit: Any, own: Any, number: int, look: Look) -> Any:
    room, colours = look.room, look.palette
    many = len(data.owners)
    dot = room.text * (0.5 if many < 400 else 0.4 if many < 1500 else 0.28)
    kind = go.Scattergl if many > 4000 else go.Scatter
    name = "no concept" if number < 0 else data.names[number]
    return kind(
        x=unit[own, 0],
        y=unit[own, 1],
        mode="markers",
        name=plain(name),
        marker={
            "size": dot * (0.8 if number < 0 else 1.0),
            "color": colour(number, look.theme),
            "opacity": 0.5 if number < 0 else 0.85,
            "line": {"width": 0.4 if many < 1500 else 0, "color": colours.ground},
        },
        text=[_wrapped(data.texts[i]) for i in own],
        hovertemplate=f"<b>{plain(name)}</b><br>%{{text}}<extra></extra>",
    )


def _wrapped(text: str) -> str:
    """The start of a text in lines, for the card that a hover shows."""
    from llm_magics.widgets.figures.text import lines_of

    return "<br>".join(plain(line) for line in lines_of(text, 330, 12, most=5))


def _name(figure: Any, label: Label, made: Layout, room: Size, colours: Palette) -> None:
    """A label with a halo of the ground, and where it stands apart a line to its texts."""
    x, y = label.x / made.width, 1 - label.y / made.height
    ax, ay = label.anchor[0] / made.width, 1 - label.anchor[1] / made.height
    if label.led:
        line = {"color": colours.edge, "width": max(0.6, room.text * 0.07)}
        share = _outside(label, room.text * 0.2)
        begin = {"x0": x + share * (ax - x), "y0": y + share * (ay - y)}
        figure.add_shape(type="line", **begin, x1=ax, y1=ay, xref="x", yref="y", line=line)
    figure.add_annotation(
        x=x,
        y=y,
        text="<b>" + "<br>".join(map(plain, label.lines)) + "</b>",
        showarrow=False,
        font={"size": room.text, "color": colours.ink, "shadow": _halo(colours.ground)},
        borderpad=0,
    )


def _outside(label: Label, gap: float) -> float:
    """The part of the line from a label's middle to its place that lies under the label."""
    across, down = abs(label.anchor[0] - label.x), abs(label.anchor[1] - label.y)
    sides = ((label.width / 2 + gap) / max(across, 1e-9), (label.height / 2 + gap) / max(down, 1e-9))
    return min(1.0, *sides)


def _halo(ground: str) -> str:
    """A glow of the ground around letters, so that they are read over points."""
    return ", ".join(f"{x}px {y}px 2px {ground}" for x in (-1, 0, 1) for y in (-1, 0, 1))


def _key(figure: Any, made: Layout, names: Sequence[str], width: float, look: Look) -> float:
    """Names that found no room on the map, with their colour, in lines below it; the height they take."""
    room, colours = look.room, look.palette
    x = 0.0
    line = 0
    step = room.small * 1.5
    for number in made.unplaced:
        name = fitting(names[number], width * 0.9, room.small)
        long = width_of(name, room.small) + room.small * 2.4
        if x and x + long > width:
            x, line = 0.0, line + 1
        figure.add_annotation(
            text=f'<span style="color:{colour(number, look.theme)}">●</span> {plain(name)}',
            x=0,
            xref="paper",
            xanchor="left",
            xshift=x,
            y=0,
            yref="paper",
            yanchor="top",
            yshift=-room.text * 0.6 - line * step,
            showarrow=False,
            font={"size": room.small, "color": colours.ink},
        )
        x += long
    return (line + 1) * step + room.text * 0.8 if made.unplaced else 0.0
