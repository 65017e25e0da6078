"""Requests as token ids: the model's chat template, special tokens only where the template put them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.backends.llama.templates import ChatTemplate, closed
from llm_magics.errors import ContextOverflow
from llm_magics.prompt_formats import prompt_of
from llm_magics.types import Message, Request

MARK = re.compile("\ue000(\\d+)\ue001")
"""Stands for text that looks like a special token while the template runs (private-use characters)."""

TAIL = 64
"""Characters of a prompt's end that decide how a label behind it is spelt."""


@dataclass(frozen=True)
class Prompt:
    """A prompt's tokens, and its last characters: labels are spelt behind them."""

    ids: list[int]
    tail: str

    def __len__(self) -> int:
        return len(self.ids)


class Prompter:
    """Makes token ids for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.begin = tokenizer.bos_token or ""
        source = tokenizer.chat_template or ""
        self.template = ChatTemplate(
            source if isinstance(source, str) else "", self.begin, tokenizer.eos_token or ""
        )
        special = sorted(filter(None, tokenizer.all_special_tokens), key=len, reverse=True)
        self.special = re.compile("|".join(map(re.escape, special))) if special else None

    def prompt(self, request: Request, room: int, *, thinking: bool = False, more: str = "") -> Prompt:
        """The request's prompt; ``more`` stands behind the last user message.

        Raises ContextOverflow where they are more than ``room``.
        """
        hidden: list[str] = []
        messages = _with(request.messages, more)
        if self.special is not None:
            messages = tuple(Message(role, self._hide(text, hidden)) for role, text in messages)
        rendered = prompt_of(replace(request, messages=messages))
        if isinstance(rendered, str):
            text = rendered if thinking else closed(rendered)
        else:
            text = self.template.text(rendered, thinking)
        found = self._tokens(text, hidden)
        if len(found) > room:
            raise ContextOverflow(
                f"the prompt has {len(found):,} tokens; {room:,} fit.",
                hint="Shorten the text, lower max_new_tokens, or take a model with a longer context.",
            )
        return Prompt(found, text[-TAIL:])

    def label(self, tail: str, name: str) -> list[int]:
        """The tokens of ``name`` as it would be written behind a prompt that ends with ``tail``."""
        before = self.tokenizer.encode(tail, add_special_tokens=False)
        whole = self.tokenizer.encode(tail + name, add_special_tokens=False)
        joined = len(whole) > len(before) and whole[: len(before)] == before
        found: list[int] = (
            whole[len(before) :] if joined else self.tokenizer.encode(name, add_special_tokens=False)
        )
        return found

    def _hide(self, text: str, hidden: list[str]) -> str:
        """The text with look-alikes of special tokens marked: a row must not end its own turn."""

        def mark(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue000{len(hidden) - 1}\ue001"

        assert self.special is not None
        return self.special.sub(mark, text)

    def _tokens(self, text: str, hidden: Sequence[str]) -> list[int]:
        """BOS in front only where the tokenizer adds one and the template has not."""
        adds = not (self.begin and text.startswith(self.begin))
        pieces = MARK.split(text)  # text, number, text, number, ..., text
        found: list[int] = list(self.tokenizer.encode(pieces[0], add_special_tokens=adds))
        if adds and found and found[-1] == self.tokenizer.eos_token_id and pieces[0]:
            found.pop()  # some tokenizers end every text
        for number, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            literal = hidden[int(number)]
            found += self.tokenizer.encode(literal, add_special_tokens=False, split_special_tokens=True)
            found += self.tokenizer.encode(piece, add_special_tokens=False)
        return found


def _with(messages: Sequence[Message], more: str) -> tuple[Message, ...]:
    """The messages with ``more`` behind the last user's."""
    made = list(messages)
    if more:
        place = max((i for i, message in enumerate(made) if message.role == "user"), default=len(made) - 1)
        made[place] = Message(made[place].role, made[place].content + more)
    return tuple(made)
