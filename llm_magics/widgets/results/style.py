"""The style sheet of a result, and the frame around its parts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from llm_magics.text.markdown_html import NO_MATH


@cache
def style() -> str:
    """The style sheet, without the comments and the line ends that no reader of a notebook needs."""
    lines = (Path(__file__).parent / "results.css").read_text(encoding="utf-8").splitlines()
    return "".join(line.strip() for line in lines if not line.lstrip().startswith(("/*", "   ")))


def result_block(*parts: str, name: str) -> str:
    """The parts as one piece in the style of results; ``name`` is escaped HTML for screen readers."""
    inside = "".join(parts)
    label = f'class="llmx-result {NO_MATH}" role="group" aria-label="{name}"'
    return f"<style>{style()}</style><div {label}>{inside}</div>"


def scrolled(table: str, name: str) -> str:
    """A table that scrolls sideways where the page is too narrow, also by keyboard."""
    return f'<div class="llmx-scroll" role="group" aria-label="{name}" tabindex="0">{table}</div>'
