"""Requests as token ids: the model's chat template, and control tokens only where the template put them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from llm_magics.backends.in_kernel.chat_template import ChatTemplate, ControlTokenMask, lookalikes
from llm_magics.backends.in_kernel.truncation import PromptTokenizer, showing, truncated_prompt
from llm_magics.core.types import Request

TAIL = 64
"""Characters at a prompt's end that decide how a label behind it is tokenised."""


@dataclass(frozen=True)
class Prompt:
    """A prompt's tokens, and its last characters, behind which labels are written.

    ``cut`` is the number of the row's tokens left out to fit the context, ``subject`` the rest of the
    row's text.
    """

    ids: list[int]
    tail: str
    subject: str = ""
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def shown(self, request: Request) -> Request:
        """The request with its text truncated as for this prompt."""
        return replace(showing(request, self.subject), subject=self.subject) if self.cut else request


class Prompter:
    """Makes the prompts of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.begin = tokenizer.bos_token or ""
        source = tokenizer.chat_template or ""
        self.template = ChatTemplate(
            source if isinstance(source, str) else "", self.begin, tokenizer.eos_token or ""
        )
        self.special = lookalikes(tokenizer.all_special_tokens)
        self.words = PromptTokenizer(
            lambda text: self._ids(text, split_special_tokens=True),
            lambda tokens: str(tokenizer.decode(tokens, **_AS_IS)),
        )

    def prompt(self, request: Request, room: int, *, thinking: bool = False, more: str = "") -> Prompt:
        """The request's prompt in at most ``room`` tokens; ``more`` follows the last user message.

        Only ``request.subject`` is truncated, at its end. Raises ContextOverflow where the rest is too
        long.
        """
        hint = "Shorten the instructions, lower max_new_tokens, or take a model with a longer context."
        made = truncated_prompt(
            request, room, lambda shown: self._whole(shown, thinking), self.words, more=more, hint=hint
        )
        return replace(made.prompt, subject=made.subject, cut=made.cut)

    def _whole(self, request: Request, thinking: bool) -> Prompt:
        disguise = ControlTokenMask(self.special)
        text = self.template.prompt(request, disguise, thinking)
        return Prompt(self._tokens(text, disguise), text[-TAIL:])

    def label(self, tail: str, name: str) -> list[int]:
        """The tokens of ``name`` as it would be written behind a prompt that ends with ``tail``."""
        before, whole = self._ids(tail), self._ids(tail + name)
        joined = len(whole) > len(before) and whole[: len(before)] == before
        return whole[len(before) :] if joined else self._ids(name)

    def _tokens(self, text: str, disguise: ControlTokenMask) -> list[int]:
        """The tokens, with BOS only where the tokenizer adds one and the template has not."""
        adds = not (self.begin and text.startswith(self.begin))
        (first, _), *others = disguise.pieces(text)
        found = self._ids(first, add_special_tokens=adds)
        if adds and found and found[-1] == self.tokenizer.eos_token_id and first:
            found.pop()  # some tokenizers end every text
        for piece, hidden in others:
            found += self._ids(piece, split_special_tokens=hidden)
        return found

    def _ids(self, text: str, **how: bool) -> list[int]:
        """A text's tokens; half of a surrogate pair, which no tokenizer takes, becomes ``?``."""
        whole = text.encode("utf-8", "replace").decode()
        return list(self.tokenizer.encode(whole, **{"add_special_tokens": False, **how}))


_AS_IS = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
