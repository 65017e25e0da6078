"""The template of all figures: type, colours, sizes, title, source line.

Colours are those of the design tokens (``widgets/frontend/tokens.css``) and of ``widgets/theme.py``, which
the explorer draws with; a figure has its own ground, so that it looks the same wherever it is put.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magics.core.errors import NotFound
from llm_magics.widgets.chart import UPLOADS
from llm_magics.widgets.figures.text import lines_of, plain
from llm_magics.widgets.theme import COLOURS, DARK

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Size:
    """A figure's room: ``width`` and ``height`` in CSS pixels (96 an inch), ``text`` the size of its type.

    ``height`` is the height of pictures without rows; one with rows is as high as they need.
    """

    width: int
    height: int
    text: float

    @property
    def small(self) -> float:
        """The size of the smaller type: ticks, the source line."""
        return round(self.text * 0.86, 1)

    @property
    def line(self) -> float:
        """The height of a line of text."""
        return self.text * 1.3


SIZES: Mapping[str, Size] = {
    "notebook": Size(760, 500, 13),
    "column": Size(336, 300, 9.4),
    "page": Size(672, 430, 9.4),
    "slide": Size(1280, 720, 21),
}
"""``column`` is 3.5 inches, a column of a two-column paper, ``page`` is 7 inches, both in type of 7 points
(Nature and IEEE ask for 5 to 8, or 8 to 10 at most); ``slide`` is 13.3 inches, a slide of 16 to 9."""


@dataclass(frozen=True)
class Palette:
    """The colours of a figure on a light or on a dark ground."""

    ground: str
    ink: str
    dim: str
    grid: str
    edge: str


PALETTES: Mapping[str, Palette] = {
    "light": Palette("#ffffff", "#1c2128", "#57606a", "#e6e9ee", "#808995"),
    "dark": Palette("#16181c", "#e6e9ed", "#a7b0bb", "#2c313a", "#78818d"),
}


@dataclass(frozen=True)
class Look:
    """How a figure is to look and what stands around it.

    ``size`` is one of ``notebook``, ``column``, ``page``, ``slide``; ``theme`` ``light`` or ``dark``;
    ``title`` None is the figure's own, empty for none; ``source`` is the line at its foot, which names the
    number of texts and the model, None for the figure's own.
    """

    size: str = "notebook"
    theme: str = "light"
    title: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for what, value, known in (("size", self.size, SIZES), ("theme", self.theme, PALETTES)):
            if value not in known:
                raise NotFound.among(what, value, list(known))

    @property
    def room(self) -> Size:
        """The figure's size."""
        return SIZES[self.size]

    @property
    def palette(self) -> Palette:
        """The figure's colours."""
        return PALETTES[self.theme]


def finish(
    figure: Any,
    look: Look,
    title: str,
    source: str,
    *,
    height: float,
    left: float = 0,
    above: float = 0,
    below: float = 0,
) -> Any:
    """Put template, title and source line on a figure; ``height`` is that of the plot, in pixels.

    ``left`` is the room for names beside the plot, ``above`` and ``below`` that for an axis.
    """
    room, colours = look.room, look.palette
    margin = room.text * 0.9
    inside = room.width - 2 * margin
    own, foot = _or(look.title, title), _or(look.source, source)
    heads = lines_of(own, inside, room.text * HEAD, bold=True)
    feet = lines_of(foot, inside, room.small)
    top = margin + (len(heads) * room.text * HEAD * 1.25 + room.text * 0.6 if heads else 0) + above
    under = len(feet) * room.small * 1.35 + room.text * 0.5 if feet else 0
    bottom = below + under + margin * 0.7
    whole = top + height + bottom
    figure.update_layout(
        template=_template(look),
        width=room.width,
        height=round(whole),
        autosize=False,
        margin={"l": left + margin, "r": margin, "t": top, "b": bottom, "pad": 0},
        modebar={"remove": [*UPLOADS, *UNUSED]},
    )
    if heads:
        place = {"x": margin / room.width, "y": 1 - margin / whole, "xanchor": "left", "yanchor": "top"}
        text = "<br>".join(map(plain, heads))
        figure.update_layout(
            title={"text": f"<b>{text}</b>", "xref": "container", "yref": "container", **place}
        )
    if feet:
        text = "<br>".join(map(plain, feet))
        _foot(figure, text, {"xshift": -left, "yshift": margin * 0.5 - bottom}, room, colours)
    return figure


UNUSED = ("lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d")
"""Plotly's buttons that wheel and double click do too; in a column's width they would hide the title."""

HEAD = 1.15
"""The size of a title beside the text's."""


def line_height(look: Look, lines: int, wanted: float, least: float, around: float) -> float:
    """The height of each of ``lines``: as wanted, on a slide less where they would not fit on it.

    ``around`` is the height of an axis and names outside the plot; ``least`` is the least that can be read.
    """
    room = look.room
    if look.size != "slide" or not lines:
        return wanted
    free = (
        room.height
        - around
        - room.text * (0.9 * 1.7 + HEAD * 1.25 + 0.6)
        - room.small * 2.7
        - room.text * 0.5
    )
    return max(least, min(wanted, free / lines))


def _or(given: str | None, own: str) -> str:
    return own if given is None else given


def _foot(figure: Any, text: str, shift: dict[str, float], room: Size, colours: Palette) -> None:
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0, "yref": "paper", "yanchor": "bottom"}
    font = {"size": room.small, "color": colours.dim}
    plain_box = {"borderpad": 0, "borderwidth": 0, "showarrow": False, "align": "left"}
    figure.add_annotation(text=text, font=font, **plain_box, **place, **shift)


def _template(look: Look) -> Any:
    """Plotly's template of a size and palette."""
    import plotly.graph_objects as go

    room, colours = look.room, look.palette
    axis = {
        "gridcolor": colours.grid,
        "linecolor": colours.edge,
        "tickcolor": "rgba(0,0,0,0)",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": room.text * 0.35,
        "tickfont": {"size": room.small, "color": colours.dim},
        "title": {"font": {"size": room.small, "color": colours.dim}, "standoff": room.text * 0.6},
        "automargin": False,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": room.text, "color": colours.ink},
            "title": {"font": {"size": room.text * HEAD, "color": colours.ink}},
            "colorway": list(DARK if look.theme == "dark" else COLOURS),
            "paper_bgcolor": colours.ground,
            "plot_bgcolor": colours.ground,
            "xaxis": axis,
            "yaxis": axis,
            "showlegend": False,
            "hoverlabel": {
                "bgcolor": colours.ground,
                "bordercolor": colours.edge,
                "font": {"family": FONT, "size": max(12, room.small), "color": colours.ink},
                "align": "left",
            },
        }
    )


def blend(ink: str, ground: str, share: float) -> tuple[float, float, float]:
    """The colour of a cell: so much of the ink on the ground."""
    pairs = zip(rgb(ink), rgb(ground), strict=True)
    red, green, blue = (share * a + (1 - share) * b for a, b in pairs)
    return red, green, blue


def readable(cell: tuple[float, float, float], colours: Palette) -> str:
    """White, black or the palette's ink, whichever has most contrast with the cell: 4.5:1 and more."""
    inks = (colours.ink, "#ffffff", "#000000")
    return max(inks, key=lambda ink: _contrast(rgb(ink), cell))


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour written ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: tuple[float, float, float]) -> float:
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
