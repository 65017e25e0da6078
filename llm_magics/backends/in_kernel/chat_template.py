"""Chat templates: the model's own Jinja template formats messages, in a sandbox.

Control tokens in rows are masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from llm_magics.core.errors import ModelLoadError, UsageError
from llm_magics.core.prompt_formats import is_begun, message_dicts, prompt_of, render_format
from llm_magics.core.types import Message, Request

MARK = re.compile("\ue000(\\d+)\ue001")
"""The mark of a masked text: private-use characters around its number."""


def lookalikes(controls: Iterable[str]) -> re.Pattern[str]:
    """A pattern for the texts of control tokens, longest first, and for our own marks."""
    ordered = sorted(filter(None, controls), key=len, reverse=True)
    return re.compile("|".join((MARK.pattern, *map(re.escape, ordered))))


class ControlTokenMask:
    """Masks texts in a row that look like control tokens, so that a row can't end its own turn."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._hidden: list[str] = []

    def messages(self, turns: Iterable[Message]) -> tuple[Message, ...]:
        """The messages with every such text masked."""
        return tuple(Message(turn.role, self._pattern.sub(self._mark, turn.content)) for turn in turns)

    def pieces(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The formatted prompt in pieces, and whether each was masked; the first never was."""
        parts = MARK.split(rendered)  # text, number, text, number, ..., text
        yield parts[0], False
        for number, text in zip(parts[1::2], parts[2::2], strict=True):
            yield self._hidden[int(number)], True
            yield text, False

    def _mark(self, found: re.Match[str]) -> str:
        self._hidden.append(found[0])
        return f"\ue000{len(self._hidden) - 1}\ue001"


PROBE = "a system text 81b0"
OPEN, CLOSE = "<think>", "</think>"


class ChatTemplate:
    """Formats messages as the text a model was trained on; without ``source``, as plain lines.

    Templates come with downloaded files, so they run in Jinja's sandbox. Where a template has no place
    for system messages (it raises, or leaves them out), they are put before the first user message.
    """

    def __init__(self, source: str, begin: str = "", end: str = "") -> None:
        self._known = {"bos_token": begin, "eos_token": end}
        self._template = _compiled(source) if source.strip() else None
        self.folds = self._template is not None and not self._takes_system()

    def prompt(self, request: Request, disguise: ControlTokenMask, thinking: bool = False) -> str:
        """The request's prompt, by this template or as its parameters say, with control tokens masked."""
        rendered = prompt_of(replace(request, messages=disguise.messages(request.messages)))
        if isinstance(rendered, str):
            return rendered if thinking else closed(rendered)
        if is_begun(request.parameters) and rendered[-1].role == "assistant":
            return self.text(rendered[:-1]) + rendered[-1].content
        return self.text(rendered, thinking)

    def text(self, messages: Sequence[Message], thinking: bool = False) -> str:
        """The prompt, up to where the model's answer begins.

        With ``thinking`` a model that can reason aloud does so; otherwise reasoning that the template
        opened is closed at once.
        """
        if self._template is None:
            plain = render_format("default", messages)
            assert isinstance(plain, str)
            return plain + "\n"
        if self.folds:
            messages = folded(messages)
        text = self._render(messages, thinking)
        return text if thinking else closed(text)

    def _takes_system(self) -> bool:
        try:
            return PROBE in self._render([Message("system", PROBE), Message("user", "?")], False)
        except UsageError:
            return False

    def _render(self, messages: Sequence[Message], thinking: bool) -> str:
        import jinja2

        assert self._template is not None
        try:
            text: str = self._template.render(
                messages=message_dicts(messages),
                add_generation_prompt=True,
                enable_thinking=thinking,
                tools=None,
                documents=None,
                **self._known,
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise UsageError(
                f"the model's chat template refuses these messages: {error}",
                hint="Choose another with -p prompt_format=chatml (default, llama2, zephyr, notus).",
            ) from None
        return text


def folded(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system messages put before the first user message."""
    system = "\n\n".join(content for role, content in messages if role == "system")
    others = [message for message in messages if message.role != "system"]
    if not system:
        return others
    place = next((i for i, message in enumerate(others) if message.role == "user"), None)
    if place is None:
        return [Message("user", system), *others]
    joined = Message("user", f"{system}\n\n{others[place].content}")
    return [*others[:place], joined, *others[place + 1 :]]


def closed(text: str) -> str:
    """``text`` with reasoning that the template opened at its end closed, empty."""
    return f"{text.rstrip()}\n\n{CLOSE}\n\n" if text.rstrip().endswith(OPEN) else text


def _compiled(source: str) -> Any:
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise ModelLoadError(
            f"the chat template in the file is broken: {error}",
            hint="Choose another with -p prompt_format=chatml (default, llama2, zephyr, notus).",
        ) from None


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **_: Any) -> str:
    """Plain JSON: Jinja's own filter escapes HTML, which templates don't want."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)
