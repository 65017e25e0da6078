"""A request as the tokens a model reads, cut to fit where it must be."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_magics.backends.cutting import Words, fitted, place_of, showing
from llm_magics.backends.llama.model import Model
from llm_magics.backends.llama.templates import ChatTemplate, closed
from llm_magics.prompt_formats import prompt_of
from llm_magics.types import Message, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARK = re.compile("\ue000(\\d+)\ue001")
"""Stands for text that looks like a control token while the template runs (private-use characters)."""

TAIL = 64
"""Characters of a prompt's end that decide how a label behind it is spelt."""


@dataclass(frozen=True)
class Prompt:
    """``tokens`` of the whole prompt; ``group`` is equal for prompts with the same beginning.

    ``cut`` tells how many of the row's own tokens were left out to fit the context, ``subject`` what is
    left of the row's text.
    """

    tokens: NDArray[Any]
    text: str
    group: Hashable = 0
    subject: str = ""
    cut: int = 0

    def shown(self, request: Request) -> Request:
        """The request with its text cut as it was for this prompt."""
        return replace(showing(request, self.subject), subject=self.subject) if self.cut else request

    def __len__(self) -> int:
        return len(self.tokens)


class Prompter:
    """Makes prompts for one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._template = ChatTemplate(model.template, model.begin, model.end_text)
        self._words = Words(lambda text: model.tokens(text, start=False, special=False), model.text)

    def prompt(self, request: Request, room: int, *, thinking: bool = False, more: str = "") -> Prompt:
        """The request's prompt in at most ``room`` tokens; ``more`` is put behind the last user message.

        Only ``request.subject`` is cut, from its end. Raises ContextOverflow where the rest is too long.
        """
        hint = "Shorten the instructions, or: %llm_config set gguf.context=8192"
        made = fitted(
            request, room, lambda shown: self._whole(shown, thinking), self._words, more=more, hint=hint
        )
        return replace(made.prompt, group=_group(request), subject=made.subject, cut=made.cut)

    def _whole(self, request: Request, thinking: bool) -> Prompt:
        text, hidden = self._text(request, thinking)
        return Prompt(self._tokens(text, hidden), text)

    def label_tokens(self, prompt: str, label: str) -> list[int]:
        """The tokens of ``label`` as it would be written behind ``prompt``."""
        alone = [int(token) for token in self._model.tokens(label, start=False, special=False)]
        tail = prompt[-TAIL:]
        before = self._model.tokens(tail, start=False)
        whole = self._model.tokens(tail + label, start=False)
        joined = len(whole) > len(before) and bool((whole[: len(before)] == before).all())
        return [int(token) for token in whole[len(before) :]] if joined else alone

    def _text(self, request: Request, thinking: bool) -> tuple[str, list[str]]:
        """The prompt as text, and the pieces of it that only look like control tokens."""
        hidden: list[str] = []
        if self._model.control is not None:
            messages = tuple(self._hide(message, hidden) for message in request.messages)
            request = replace(request, messages=messages) if hidden else request
        rendered = prompt_of(request)
        if isinstance(rendered, str):
            return rendered if thinking else closed(rendered), hidden
        return self._template.text(rendered, thinking), hidden

    def _hide(self, message: Message, hidden: list[str]) -> Message:
        """The message with look-alikes of control tokens marked: a row must not end its own turn."""

        def mark(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue000{len(hidden) - 1}\ue001"

        assert self._model.control is not None
        return Message(message.role, self._model.control.sub(mark, message.content))

    def _tokens(self, text: str, hidden: Sequence[str]) -> NDArray[Any]:
        import numpy as np

        if not hidden:
            return self._model.tokens(text)
        pieces = MARK.split(text)  # text, number, text, number, ..., text
        found = [self._model.tokens(pieces[0])]
        for number, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            found.append(self._model.tokens(hidden[int(number)], start=False, special=False))
            found.append(self._model.tokens(piece, start=False))
        return np.concatenate(found)


def _group(request: Request) -> Hashable:
    """What stands before the row's own text."""
    place = place_of(request)
    if place is None:
        return hash(request.messages[0].content[:256])
    before, _, _ = request.messages[place].content.rpartition(request.subject)
    return hash((request.messages[:place], before))
