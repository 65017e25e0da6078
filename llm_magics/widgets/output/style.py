"""The style sheet of outputs without script, and the frame around their parts."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from llm_magics.text.markdown_html import NO_MATH
from llm_magics.widgets.frontend.bundle import tokens

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_USED = re.compile(r"var\((--llmx-[\w-]+)\)")
_TOKEN = re.compile(r"(--llmx-[\w-]+):[^;]*;")
_SPACES = re.compile(r" ?([{};,]) ?|(?<=:) ")
"""Spaces that say nothing: around braces, semicolons and commas, and after colons."""


@cache
def style() -> str:
    """The design tokens that the sheet uses and the sheet itself, without comments and line ends.

    Every output carries it, in the saved notebook too: some 10 kB.
    """
    sheet = _COMMENT.sub("", (Path(__file__).parent / "output.css").read_text(encoding="utf-8"))
    used = set(_USED.findall(sheet))
    own = _COMMENT.sub("", tokens())
    for both in (":is(.llmx-root, .llmx)", ".llmx-root, .llmx"):
        own = own.replace(both, ".llmx-out")
    own = _TOKEN.sub(lambda found: found[0] if found[1] in used else "", own)
    return _SPACES.sub(r"\1", " ".join(f"{own}{sheet}".split()))


def output_block(*parts: str, name: str, kind: str = "", role: str = "group", more: str = "") -> str:
    """The parts as one piece in the style of outputs; ``name`` is escaped HTML for screen readers.

    ``kind`` are further classes, ``more`` is CSS that goes with this piece alone.
    """
    inside = "".join(parts)
    classes = " ".join(filter(None, ["llmx-out", kind, NO_MATH]))
    label = f'class="{classes}" role="{role}" aria-label="{name}"'
    return f'<style>{style()}{more}</style><div class="llmx-outer"><div {label}>{inside}</div></div>'


def scrolled(table: str, name: str) -> str:
    """A table that scrolls sideways where the page is too narrow, also by keyboard."""
    return f'<div class="llmx-scroll" role="group" aria-label="{name}" tabindex="0">{table}</div>'
