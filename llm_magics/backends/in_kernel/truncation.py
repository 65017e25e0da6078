"""Truncation: a prompt is made to fit by cutting the row's own text at its end, never the instructions."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from llm_magics.core.errors import ContextOverflow
from llm_magics.core.types import Message, Request, Response

P = TypeVar("P", bound=Sized)

CUT = "prompt_cut"
"""The finish reason of a row whose text was truncated to fit the context."""

TRIES = 6
"""Attempts of truncating before giving up: a cut can change the tokens around it."""


@dataclass(frozen=True)
class Fitted(Generic[P]):
    """A ``prompt`` that fits, the rest of the row's text, and the number of its tokens that were left out."""

    prompt: P
    subject: str
    cut: int = 0


@dataclass(frozen=True)
class PromptTokenizer:
    """What truncation needs of a tokenizer: a text's tokens, and the text of tokens."""

    tokens: Callable[[str], Any]
    text: Callable[[Any], str]

    def shorter(self, text: str, excess: int) -> tuple[str, int]:
        """``text`` without its last ``excess`` tokens or a few more; how many were left out."""
        tokens = self.tokens(text)
        keep = len(tokens) - excess
        if keep <= 0:
            return "", len(tokens)
        kept = self.text(tokens[:keep])
        if not text.startswith(kept):  # a tokenizer that adds a space in front, or knows no such bytes
            kept = kept.lstrip()
        if not text.startswith(kept):
            kept = text[: len(text) * keep // len(tokens)]
        return kept, len(tokens) - keep


def truncated_prompt(
    request: Request,
    room: int,
    read: Callable[[Request], P],
    words: PromptTokenizer,
    *,
    more: str = "",
    hint: str = "",
) -> Fitted[P]:
    """What ``read`` makes of the request, truncated to ``room`` tokens.

    ``more`` follows the last user message.

    Raises ContextOverflow where the instructions alone are too long.
    """
    shown, cut, size = request.subject, 0, 0
    for _ in range(TRIES):
        made = read(showing(request, shown, more))
        size = len(made)
        if size <= room:
            return Fitted(made, shown, cut)
        shown, left_out = words.shorter(shown, size - room)
        cut += left_out
        if not left_out:
            break
    raise ContextOverflow(
        f"the prompt has {size:,} tokens beside the row's own text; {room:,} fit.", hint=hint
    )


def showing(request: Request, subject: str, more: str = "") -> Request:
    """The request with another text as its subject, and ``more`` behind its last user message."""
    messages = list(request.messages)
    place = place_of(request)
    if subject != request.subject and place is not None:
        before, _, after = messages[place].content.rpartition(request.subject)
        messages[place] = Message(messages[place].role, before + subject + after)
    if more:
        users = [i for i, message in enumerate(messages) if message.role == "user"]
        last = users[-1] if users else len(messages) - 1
        messages[last] = Message(messages[last].role, messages[last].content + more)
    return replace(request, messages=tuple(messages))


def place_of(request: Request) -> int | None:
    """The index of the message with the row's own text: the last one that contains it."""
    holding = [i for i, message in enumerate(request.messages) if request.subject in message.content]
    return holding[-1] if request.subject and holding else None


def with_truncation(response: Response, cut: int, context: int) -> Response:
    """The response, marked where its row was truncated to a context of so many tokens."""
    if not cut:
        return response
    finish = CUT if response.finish_reason == "stop" else response.finish_reason
    note = f"Texts too long for {context:,} tokens of context were cut at their end, never the instructions."
    return replace(response, finish_reason=finish, cut_to=context, notes=(*response.notes, note))
