"""Requests as token ids: the model's chat template, special tokens only where the template put them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.backends.cutting import Words, fitted, showing
from llm_magics.backends.llama.templates import ChatTemplate, closed
from llm_magics.prompt_formats import prompt_of
from llm_magics.types import Message, Request

MARK = re.compile("\ue000(\\d+)\ue001")
"""Stands for text that looks like a special token while the template runs (private-use characters)."""

TAIL = 64
"""Characters of a prompt's end that decide how a label behind it is spelt."""


@dataclass(frozen=True)
class Prompt:
    """A prompt's tokens, and its last characters: labels are spelt behind them.

    ``cut`` tells how many of the row's own tokens were left out to fit the context, ``subject`` what is
    left of the row's text.
    """

    ids: list[int]
    tail: str
    subject: str = ""
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def shown(self, request: Request) -> Request:
        """The request with its text cut as it was for this prompt."""
        return replace(showing(request, self.subject), subject=self.subject) if self.cut else request


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
        self.special = re.compile("|".join((MARK.pattern, *map(re.escape, special))))
        self.words = Words(
            lambda text: self._ids(text, split_special_tokens=True),
            lambda tokens: str(tokenizer.decode(tokens, **_AS_IS)),
        )

    def prompt(self, request: Request, room: int, *, thinking: bool = False, more: str = "") -> Prompt:
        """The request's prompt in at most ``room`` tokens; ``more`` stands behind the last user message.

        Only ``request.subject`` is cut, from its end. Raises ContextOverflow where the rest is too long.
        """
        hint = "Shorten the instructions, lower max_new_tokens, or take a model with a longer context."
        made = fitted(
            request, room, lambda shown: self._whole(shown, thinking), self.words, more=more, hint=hint
        )
        return replace(made.prompt, subject=made.subject, cut=made.cut)

    def _whole(self, request: Request, thinking: bool) -> Prompt:
        hidden: list[str] = []
        turns = tuple(Message(role, self._hide(text, hidden)) for role, text in request.messages)
        rendered = prompt_of(replace(request, messages=turns))
        if isinstance(rendered, str):
            text = rendered if thinking else closed(rendered)
        else:
            text = self.template.text(rendered, thinking)
        return Prompt(self._tokens(text, hidden), text[-TAIL:])

    def label(self, tail: str, name: str) -> list[int]:
        """The tokens of ``name`` as it would be written behind a prompt that ends with ``tail``."""
        before, whole = self._ids(tail), self._ids(tail + name)
        joined = len(whole) > len(before) and whole[: len(before)] == before
        return whole[len(before) :] if joined else self._ids(name)

    def _hide(self, text: str, hidden: list[str]) -> str:
        """The text with look-alikes of special tokens marked: a row must not end its own turn."""

        def mark(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue000{len(hidden) - 1}\ue001"

        return self.special.sub(mark, text)

    def _tokens(self, text: str, hidden: Sequence[str]) -> list[int]:
        """BOS in front only where the tokenizer adds one and the template has not."""
        adds = not (self.begin and text.startswith(self.begin))
        pieces = MARK.split(text)  # text, number, text, number, ..., text
        found = self._ids(pieces[0], add_special_tokens=adds)
        if adds and found and found[-1] == self.tokenizer.eos_token_id and pieces[0]:
            found.pop()  # some tokenizers end every text
        for number, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            found += self._ids(hidden[int(number)], split_special_tokens=True)
            found += self._ids(piece)
        return found

    def _ids(self, text: str, **how: bool) -> list[int]:
        """A text's tokens; half of a surrogate pair, which no tokenizer takes, is read as ``?``."""
        whole = text.encode("utf-8", "replace").decode()
        return list(self.tokenizer.encode(whole, **{"add_special_tokens": False, **how}))


_AS_IS = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
