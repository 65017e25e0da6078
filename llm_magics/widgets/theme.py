"""Colours for light and dark, each with a symbol beside it."""

from __future__ import annotations

COLOURS: tuple[str, ...] = (
    "#0066aa",
    "#cf8400",
    "#009f72",
    "#b53f0b",
    "#c87ab4",
    "#5d88ff",
    "#7a9247",
    "#756273",
)
"""Okabe and Ito's colours (2008), moved until each has a contrast of 3:1 and more with white and with
JupyterLab's dark ground (WCAG 1.4.11), and any two stay apart for readers with protanopia, deuteranopia and
tritanopia: no pair is nearer than 11 in CIELAB, as Machado, Oliveira and Fernandes (2009) simulate it."""

SYMBOLS: tuple[int, ...] = (0, 1, 2, 5, 3, 4, 17, 6)
"""Plotly's numbers for circle, square, diamond, triangle-up, cross, x, star, triangle-down."""

GLYPHS: tuple[str, ...] = ("●", "■", "◆", "▲", "✚", "✖", "★", "▼")
NO_COLOUR = "#858585"
INK = {"light": "#1f1f1f", "dark": "#e6e6e6"}
GRID = {"light": "rgba(0,0,0,.12)", "dark": "rgba(255,255,255,.16)"}


def colour(n: int) -> str:
    """The n-th concept's colour; -1 is none."""
    return NO_COLOUR if n < 0 else COLOURS[n % len(COLOURS)]


def shape(n: int) -> int:
    """Which of the shapes the n-th concept has; colour and shape together tell 64 concepts apart.

    The first eight are circles: on a map their names stand beside them, and one shape is calmer than eight.
    """
    return 0 if n < 0 else n // len(SYMBOLS) % len(SYMBOLS)


def glyph(n: int) -> str:
    """That symbol as a character."""
    return "·" if n < 0 else GLYPHS[shape(n)]
