"""Text that only looks like a control token: hidden while a chat template runs, then read as letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llm_magics.core.types import Message

MARK = re.compile("\ue000(\\d+)\ue001")
"""Stands for a hidden text (private-use characters around its number)."""


def lookalikes(controls: Iterable[str]) -> re.Pattern[str]:
    """Matches the texts of control tokens, longest first, and our own marks."""
    ordered = sorted(filter(None, controls), key=len, reverse=True)
    return re.compile("|".join((MARK.pattern, *map(re.escape, ordered))))


class Disguise:
    """One prompt's look-alikes of control tokens: a row must not end its own turn."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._hidden: list[str] = []

    def messages(self, turns: Iterable[Message]) -> tuple[Message, ...]:
        """The turns with every look-alike marked."""
        return tuple(Message(turn.role, self._pattern.sub(self._mark, turn.content)) for turn in turns)

    def pieces(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The rendered prompt piece by piece, and whether each was hidden; the first never was."""
        parts = MARK.split(rendered)  # text, number, text, number, ..., text
        yield parts[0], False
        for number, text in zip(parts[1::2], parts[2::2], strict=True):
            yield self._hidden[int(number)], True
            yield text, False

    def _mark(self, found: re.Match[str]) -> str:
        self._hidden.append(found[0])
        return f"\ue000{len(self._hidden) - 1}\ue001"
