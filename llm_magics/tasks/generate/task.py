"""Generate: a template over a row's columns becomes text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Message, Request, Response
from llm_magics.data.templates import Template, text_of
from llm_magics.engine.task import Parsed, Row, Target
from llm_magics.text.loose_json import without_thinking

CUT = ("length", "max_tokens")
"""Finish reasons of an answer that stopped at the token limit."""


@dataclass(frozen=True)
class Generate:
    """Render ``template`` for each row and keep the model's text in the column ``output``.

    A row is skipped where every column the template names is null or blank. ``history`` are earlier
    turns, before the row's own.
    """

    template: Template
    output: str = "generation"
    system: str = ""
    history: tuple[Message, ...] = ()
    name: str = "generate"
    role: str = "generate"
    keep_thinking: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (self.output,)

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """The rendered prompt; a ``seed`` parameter moves on with each generation of one row."""
        texts = [text_of(row[name]) for name in self.template.columns]
        if texts and not any(text.strip() for text in texts):
            return None
        head = (Message("system", self.system),) if self.system else ()
        messages = (*head, *self.history, Message("user", self.template.render(row)))
        if sample:
            target = replace(target, parameters=_seeded(target.parameters, sample))
        return target.request(messages, subject=max(texts, key=len, default=""), sample=sample)

    def parse(self, request: Request, response: Response) -> Parsed:
        """The text as the model wrote it, without its thinking; an empty one is no answer."""
        text = response.text.strip() if self.keep_thinking else without_thinking(response.text)
        if not text:
            cut = " (it was cut at the token limit)" if response.finish_reason in CUT else ""
            raise AnswerError(f"the answer was empty{cut}", answer=response.text)
        return Parsed({self.output: text})

    def reask(self, request: Request, response: Response, error: AnswerError) -> Request | None:
        """An empty answer would be paid for twice: not asked again."""
        return None

    def default(self, request: Request) -> Parsed | None:
        """There is no default text."""
        return None


def _seeded(parameters: Mapping[str, Any], sample: int) -> Mapping[str, Any]:
    seed = parameters.get("seed")
    return {**parameters, "seed": seed + sample} if isinstance(seed, int) else parameters
