"""Text in figures: how wide it is, where it wraps, and none of it markup."""

from __future__ import annotations

from llm_magics.widgets.html import cut, escape

_NARROW, _SLIM, _WIDE = frozenset("iljI.,:;'|!"), frozenset('ftr()[]/-" '), frozenset("mwMW@%&—")
BOLD = 1.06
SAFE = 1.05
"""Fonts differ; a text is taken to be this much wider than in Helvetica."""


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is, in the unit of ``size``: advance widths of Helvetica, in classes."""
    wide = sum(_advance(char) for char in text)
    return wide * size * SAFE * (BOLD if bold else 1.0)


def _advance(char: str) -> float:
    if char in _NARROW:
        return 0.26
    if char in _SLIM:
        return 0.33
    if char in _WIDE:
        return 0.86
    if ord(char) > 0x2E80:
        return 1.0
    return 0.69 if char.isupper() else 0.55


def lines_of(text: str, width: float, size: float, *, bold: bool = False, most: int = 6) -> list[str]:
    """The text in lines of at most ``width``, broken at spaces; beyond ``most`` lines it is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(fitting(word, width, size, bold=bold))
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]


def fitting(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``width``."""
    if width_of(text, size, bold=bold) <= width:
        return text
    kept = len(text)
    while kept > 1 and width_of(text[:kept] + "…", size, bold=bold) > width:
        kept -= 1
    return text[:kept].rstrip() + "…"


def plain(text: object, most: int = 400) -> str:
    """Text as plotly shows it: on one line, its own markup and ours escaped."""
    return escape(cut(" ".join(str(text).split()), most)).replace("&#x27;", "'").replace("&quot;", '"')
