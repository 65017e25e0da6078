"""Colours for light and dark, each with a symbol beside it; and a probe that tells which theme is on."""

from __future__ import annotations

from typing import Any

COLOURS: tuple[str, ...] = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#b8a200",
    "#8c6bb1",
)
"""Okabe and Ito's colours for colour-blind readers (2008), yellow darkened, violet for black."""

SYMBOLS: tuple[int, ...] = (0, 1, 2, 5, 3, 4, 17, 6)
"""Plotly's numbers for circle, square, diamond, triangle-up, cross, x, star, triangle-down."""

GLYPHS: tuple[str, ...] = ("●", "■", "◆", "▲", "✚", "✖", "★", "▼")
NO_COLOUR = "#9a9a9a"
INK = {"light": "#1f1f1f", "dark": "#e6e6e6"}
GRID = {"light": "rgba(0,0,0,.12)", "dark": "rgba(255,255,255,.16)"}


def colour(n: int) -> str:
    """The n-th concept's colour; -1 is none."""
    return NO_COLOUR if n < 0 else COLOURS[n % len(COLOURS)]


def shape(n: int) -> int:
    """Which of the shapes the n-th concept has; colour and shape together tell 64 concepts apart."""
    return 0 if n < 0 else (n + n // len(SYMBOLS)) % len(SYMBOLS)


def glyph(n: int) -> str:
    """That symbol as a character."""
    return "·" if n < 0 else GLYPHS[shape(n)]


_PROBE = """
export default { render({ model, el }) {
  el.style.display = "none";
  const tell = () => {
    const body = document.body, data = body.dataset;
    let dark = matchMedia("(prefers-color-scheme: dark)").matches;
    if (data.jpThemeLight !== undefined) dark = data.jpThemeLight === "false";
    else if (data.vscodeThemeKind) dark = data.vscodeThemeKind.includes("dark");
    else if (document.documentElement.getAttribute("theme")) {
      dark = document.documentElement.getAttribute("theme") === "dark";
    }
    model.set("theme", dark ? "dark" : "light"); model.save_changes();
  };
  const watch = new MutationObserver(tell);
  watch.observe(document.body, { attributes: true });
  watch.observe(document.documentElement, { attributes: true });
  tell();
  return () => watch.disconnect();
} };
"""


def probe() -> Any:
    """An invisible widget whose ``theme`` is ``light`` or ``dark`` and follows the front end."""
    import anywidget
    import traitlets

    class ThemeProbe(anywidget.AnyWidget):
        """Tells the theme of JupyterLab, Notebook, VS Code, Colab, or else of the system."""

        _esm = _PROBE
        theme = traitlets.Unicode("light").tag(sync=True)

    return ThemeProbe()
