"""Colours of concepts, slices and labels on light and on dark ground, each with a symbol beside it."""

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
    "#863636",
    "#512836",
    "#511b79",
    "#86000d",
    "#a179d7",
    "#6b0051",
    "#0d43a1",
    "#5e5186",
    "#28430d",
    "#36791b",
    "#866b43",
    "#516b51",
)
"""Twenty colours on light ground. The first eight are Okabe and Ito's (2008), moved until each has a contrast
of 3:1 and more with white (WCAG 1.4.11); the others were searched for. Any two stay apart for full colour
vision (at least 20 in CIELAB) and with protanopia, deuteranopia and tritanopia (at least 11), as Machado,
Oliveira and Fernandes (2009) simulate them."""

DARK: tuple[str, ...] = (
    "#4679fe",
    "#d5890c",
    "#3adc99",
    "#dc5d54",
    "#fbadd3",
    "#a4bbff",
    "#b2ce6c",
    "#ad68c2",
    "#a186ae",
    "#c9e4ff",
    "#00a1ff",
    "#ffd7c9",
    "#289451",
    "#6b9479",
    "#a1f2a1",
    "#f286d7",
    "#868628",
    "#aeae79",
    "#5ebc94",
    "#c9ae43",
)
"""The same places on dark ground, in kindred hues: a contrast of 4.5:1 and more, as far apart."""

ON_BOTH = COLOURS[:8]
"""Those that can be seen on both grounds, for HTML that can't tell on which it stands."""

SYMBOLS: tuple[int, ...] = (0, 1, 2, 5, 3, 4, 17, 6)
"""Plotly's numbers for circle, square, diamond, triangle-up, cross, x, star, triangle-down."""

NO_COLOUR = "#858585"
NO_COLOUR_DARK = "#8b8f94"
INK = {"light": "#1f1f1f", "dark": "#e6e6e6"}


def colour(n: int, theme: str = "light") -> str:
    """The n-th concept's colour on ``light`` or ``dark`` ground; -1 is none."""
    colours, none = (DARK, NO_COLOUR_DARK) if theme == "dark" else (COLOURS, NO_COLOUR)
    return none if n < 0 else colours[n % len(colours)]


def css_colour(n: int) -> str:
    """Both as one CSS value, which follows the page: only under a ``color-scheme``, as ``.llmx`` sets it."""
    return f"light-dark({colour(n)}, {colour(n, 'dark')})"


def shape(n: int) -> int:
    """Which of the shapes the n-th concept has; colour and shape together tell 64 concepts apart.

    The first eight are circles: on a map their names stand beside them, and one shape is calmer than eight.
    From the ninth on the shape tells apart what small points of near colours don't.
    """
    return 0 if n < 0 else n // len(SYMBOLS) % len(SYMBOLS)
