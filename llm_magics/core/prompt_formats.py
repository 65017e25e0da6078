"""Prompt formats: named formats that turn messages into raw text, and the user's own formatting function.

By default messages are sent as messages and the model's own chat template formats them. The named formats
are those of distilabel 0.x, for models without a chat template or trained on another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, TypeAlias

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Message, Request

RAW = "raw"
"""The format of a typed template that the model continues: the texts as they are, nothing added."""
COMPLETION = "completion"
"""The format of a label prompt that ends where the label would stand; rendered as ``raw`` is."""
BEGUN = "begun_answer"
"""The format of a conversation whose last message is the beginning of the answer, to be continued."""

Rendered: TypeAlias = str | tuple[Message, ...]
"""Raw text that is sent as it is, or messages for the model's own chat template."""


class Prompt(list[dict[str, str]]):
    """The argument of a ``prompt_formatting_fn``: the messages as ``{"role", "content"}`` dicts.

    ``system_prompt`` and ``formatted_prompt`` are distilabel's names for the two texts of one turn.
    """

    @property
    def system_prompt(self) -> str:
        """The system messages' text, empty without one."""
        return "\n".join(turn["content"] for turn in self if turn["role"] == "system")

    @property
    def formatted_prompt(self) -> str:
        """The last user message's text."""
        return next((turn["content"] for turn in reversed(self) if turn["role"] == "user"), "")

    def format_as(self, name: str) -> str | list[dict[str, str]]:
        """This prompt in the named format."""
        rendered = render_format(name, [Message(turn["role"], turn["content"]) for turn in self])
        return rendered if isinstance(rendered, str) else message_dicts(rendered)


class FormattingFn:
    """A ``prompt_formatting_fn`` whose ``repr`` changes when its code changes.

    The ``repr`` is part of a request's key: a changed function leads to a new request, and the same
    function in a later kernel finds its stored answers. Values that the function reads from outside
    (globals, closures) are not part of the ``repr``.
    """

    def __init__(self, fn: Callable[[Prompt], Any]) -> None:
        self.fn = fn

    def __call__(self, messages: Iterable[Message]) -> Rendered:
        """Call the function; raises UsageError where it fails or returns no prompt."""
        try:
            answer = self.fn(Prompt(message_dicts(messages)))
        except Exception as error:
            raise UsageError(
                f"prompt_formatting_fn {self!r} raised {type(error).__name__}: {error}",
                hint="It is given the messages (a list of dicts; .formatted_prompt is the last user's text).",
            ) from error
        return _check_rendered(answer, self)

    def __repr__(self) -> str:
        return f"{getattr(self.fn, '__name__', type(self.fn).__name__)}#{fingerprint(self.fn)}"


def prompt_of(request: Request) -> Rendered:
    """Return the prompt to send for ``request``.

    The parameters ``prompt_formatting_fn`` and ``prompt_format`` of the request decide how it is
    formatted; without them the messages stay messages. Raises NotFound for an unknown format and
    UsageError for a function that returns no prompt.
    """
    fn = request.parameters.get("prompt_formatting_fn")
    if fn is not None:
        return as_formatting_fn(fn)(request.messages)
    name = request.parameters.get("prompt_format")
    return render_format(name, request.messages) if name else request.messages


def is_completion(parameters: Mapping[str, Any]) -> bool:
    """Whether a prompt with these parameters is a text that the model continues."""
    own = parameters.get("prompt_formatting_fn") is not None
    return not own and parameters.get("prompt_format") in (RAW, COMPLETION)


def is_begun(parameters: Mapping[str, Any]) -> bool:
    """Whether a prompt with these parameters is a conversation whose answer is begun."""
    return parameters.get("prompt_formatting_fn") is None and parameters.get("prompt_format") == BEGUN


def is_before_label(parameters: Mapping[str, Any]) -> bool:
    """Whether the next word of a prompt with these parameters is the label: a text, or an answer begun."""
    return is_completion(parameters) or is_begun(parameters)


def prompt_form(parameters: Mapping[str, Any]) -> str:
    """What these parameters make of the messages: a format's name, or ``conversation``."""
    if parameters.get("prompt_formatting_fn") is not None:
        return repr(parameters["prompt_formatting_fn"])
    return str(parameters.get("prompt_format") or "conversation")


def as_formatting_fn(fn: Any) -> FormattingFn:
    """Wrap ``fn`` as a FormattingFn; raises UsageError where it can't be called."""
    if isinstance(fn, FormattingFn):
        return fn
    if not callable(fn):
        raise UsageError(
            f"prompt_formatting_fn is {fn!r}, not a function.",
            hint="Give a function of the messages that returns a text or a list of messages.",
        )
    return FormattingFn(fn)


def as_messages(rendered: Rendered) -> tuple[Message, ...]:
    """Return messages for an API that takes only messages: raw text becomes one user message."""
    return (Message("user", rendered),) if isinstance(rendered, str) else rendered


def join_prompts(several: Sequence[Rendered]) -> str | list[dict[str, str]]:
    """Join several prompts for display: the messages of all in order, or their texts."""
    if any(isinstance(each, str) for each in several):
        return "\n\n".join(message.content for each in several for message in as_messages(each))
    return [turn for each in several for turn in message_dicts(as_messages(each))]


def render_format(name: str, messages: Sequence[Message]) -> Rendered:
    """Format ``messages`` in the format ``name``; raises NotFound with the known names."""
    if name not in FORMATS:
        raise NotFound.among("prompt format", name, FORMATS)
    return FORMATS[name](messages)


def message_dicts(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Return messages as the dicts that chat APIs and chat templates take."""
    return [{"role": role, "content": content} for role, content in messages]


def fingerprint(*functions: Any) -> str:
    """Return twelve hex digits that change when a function's code, names, constants or defaults change."""
    digest = hashlib.sha256()
    for function in functions:
        _hash_callable(digest.update, function)
    return digest.hexdigest()[:12]


def _hash_callable(update: Callable[[bytes], None], function: Any) -> None:
    """Hash a callable: its code, or the name of a built-in."""
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if code is None:
        update(
            f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}".encode()
        )
        return
    _hash_code(update, code)
    update(repr(getattr(function, "__defaults__", None)).encode())


def _hash_code(update: Callable[[bytes], None], code: CodeType) -> None:
    """Hash a code object without its file and line numbers, which change when a cell moves."""
    update(code.co_code)
    update(repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _hash_code(update, constant)
        else:
            update(repr(constant).encode())


def _check_rendered(answer: Any, fn: FormattingFn) -> Rendered:
    """Return a formatting function's result as text or messages; raises UsageError for anything else."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Sequence) and answer:
        turns = [_as_message(turn) for turn in answer]
        if all(turns):
            return tuple(turn for turn in turns if turn)
    raise UsageError(
        f"prompt_formatting_fn {fn!r} returned {type(answer).__name__}, no prompt.",
        hint="Return a text, or a list of {'role': ..., 'content': ...}.",
    )


def _as_message(turn: Any) -> Message | None:
    """Return one turn as a Message; None where it has no role and content."""
    if isinstance(turn, Mapping) and {"role", "content"} <= turn.keys():
        return Message(str(turn["role"]), str(turn["content"]))
    if isinstance(turn, tuple) and len(turn) == 2:
        return Message(str(turn[0]), str(turn[1]))
    return None


def _plain(messages: Sequence[Message]) -> str:
    """Every message's text on lines of its own, no markers."""
    return "\n".join(content for _, content in messages)


def _openai(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages themselves."""
    return tuple(messages)


def _llama2(messages: Sequence[Message]) -> str:
    """Meta's Llama-2-chat markers; the system text stands inside the first user turn."""
    system = "\n".join(content for role, content in messages if role == "system")
    pending = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
    text = ""
    for role, content in messages:
        if role == "user":
            text += f"<s>[INST] {pending}{content} [/INST]"
            pending = ""
        elif role == "assistant":
            text += f" {content} </s>"
    return text


def _chatml(messages: Sequence[Message]) -> str:
    """OpenAI's ChatML markers."""
    turns = (f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
    return "".join(turns) + "<|im_start|>assistant\n"


def _zephyr(messages: Sequence[Message]) -> str:
    """Zephyr's markers, which Notus was trained on too."""
    turns = (f"<|{role}|>\n{content}</s>\n" for role, content in messages)
    return "".join(turns) + "<|assistant|>\n"


FORMATS: Mapping[str, Callable[[Sequence[Message]], Rendered]] = {
    "default": _plain,
    RAW: _plain,
    COMPLETION: _plain,
    BEGUN: _openai,
    "openai": _openai,
    "llama2": _llama2,
    "chatml": _chatml,
    "zephyr": _zephyr,
    "notus": _zephyr,
}
"""The formats by name."""
