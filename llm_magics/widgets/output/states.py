"""States as a sign and a word: what is well and what is not is told without colour too."""

from __future__ import annotations

from typing import Literal

from llm_magics.widgets.html import escape

Level = Literal["good", "warn", "bad", "plain"]

SIGNS: dict[Level, str] = {"good": "✓", "warn": "!", "bad": "✕", "plain": "–"}


def state_html(word: str, level: Level) -> str:
    """A state; the sign says nothing that the word does not, and is not read out."""
    tone = "llmx-dim" if level == "plain" else f"llmx-{level}"
    return f'<span class="llmx-state {tone}"><i aria-hidden="true">{SIGNS[level]}</i>{escape(word)}</span>'
