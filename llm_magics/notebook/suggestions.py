"""Suggestions for a magic's line or cell body; without any of IPython."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_magics.core import parameters
from llm_magics.notebook.commands import ALIASES, COMMANDS
from llm_magics.notebook.config.overview import Row, known_names
from llm_magics.notebook.namespace import Namespace
from llm_magics.options.line_parser import LineParser
from llm_magics.settings.table import SETTINGS


@dataclass(frozen=True)
class Suggested:
    """Texts that replace ``fragment``, which ends at the cursor."""

    fragment: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Words:
    """The words before the cursor and the partial word at it; ``raw`` as typed, with its quote."""

    done: tuple[str, ...]
    raw: str

    @property
    def value(self) -> str:
        """The partial word without its opening quote."""
        return self.raw.lstrip("\"'")


@dataclass(frozen=True)
class Around:
    """What suggestions are made from: the notebook's variables, and the session where there is one."""

    variables: Mapping[str, Any]
    session: Row | None = None

    @property
    def space(self) -> Namespace:
        """The variables by their data."""
        return Namespace(dict(self.variables))

    def models(self) -> list[str]:
        """The names that ``-m`` takes."""
        return known_names(self.session) if self.session is not None else []

    def columns(self, data: str) -> list[str]:
        """The columns of the frame a word names."""
        return columns_of(self.variables.get(data.partition(".")[0]))

    def names(self) -> list[str]:
        """The variables that the user defined."""
        return [name for name in self.variables if not name.startswith("_")]


class Commands(Protocol):
    """What suggestions need of a command of ``%llm_config``."""

    @property
    def parser(self) -> LineParser:
        """The parser of its line."""


def words(text: str) -> Words:
    """``text`` split at spaces as a shell does, the last word left as typed."""
    done: list[str] = []
    start, quote, piece = 0, "", ""
    for i, char in enumerate(text):
        if quote:
            quote, piece = ("", piece) if char == quote else (quote, piece + char)
        elif char in "\"'":
            quote = char
        elif char.isspace():
            if i > start:
                done.append(piece)
            start, piece = i + 1, ""
        else:
            piece += char
    return Words(tuple(done), text[start:])


def columns_of(value: Any) -> list[str]:
    """The column names of a frame of any library; nothing for anything else."""
    names = getattr(value, "column_names", None)
    names = getattr(value, "columns", None) if names is None else names
    if names is None or callable(names) or isinstance(names, str):
        return []
    return list(dict.fromkeys(str(name) for name in names))


def in_llm_line(text: str, around: Around) -> Suggested:
    """After ``%llm`` or ``%%llm``: subcommands, data, columns, flags and what flags take."""
    split = words(text)
    done = split.done
    # These two take another subcommand's line; a flag right after them is their own.
    if done[:1] in (("estimate",), ("help",)) and (len(done) > 1 or not split.raw.startswith("-")):
        done = done[1:]
    if not done:
        return _starting(split, [*COMMANDS, *ALIASES])
    command = COMMANDS.get(ALIASES.get(done[0], done[0]))
    if command is None:
        return Suggested(split.raw)
    return _arguments(split, done[1:], command.parser, around, _LLM_VALUES)


def in_config_line(text: str, around: Around, commands: Mapping[str, Commands]) -> Suggested:
    """After ``%llm_config``: commands, verbs, settings, names, flags."""
    split = words(text)
    if not split.done:
        return _starting(split, commands)
    command = split.done[0]
    if command not in commands:
        return Suggested(split.raw)
    if command in ("set", "get", "unset", "reset") and not split.raw.startswith("-"):
        return _setting(split, command, around)
    return _arguments(
        split, split.done[1:], commands[command].parser, around, _CONFIG_VALUES.get(command, {})
    )


def in_llm_body(line: str, before: str, after: str, around: Around) -> Suggested:
    """In the body of ``%%llm``: ``{column`` and ``{@variable``."""
    start = before.rfind("{")
    if start < 0 or "}" in before[start:] or before[start - 1 : start] == "{":
        return Suggested("")
    piece = before[start + 1 :]
    close = "" if after.startswith("}") else "}"
    if piece.startswith("@"):
        names = around.names()
        return Suggested(piece, tuple(f"@{name}{close}" for name in names if name.startswith(piece[1:])))
    data = next(
        (name for word in words(f"{line} ").done if (name := word.partition(".")[0]) in around.variables), ""
    )
    return Suggested(piece, tuple(f"{name}{close}" for name in around.columns(data) if _fits(name, piece)))


def in_config_body(lines: Sequence[str], before: str) -> Suggested:
    """In the TOML of ``%%llm_config``: tables and settings; ``lines`` are those above."""
    piece = before.lstrip()
    if piece.startswith("["):
        return _starting(Words((), piece[1:]), ["settings]", "roles]", "aliases]", "backends."])
    table = next((line.strip() for line in reversed(lines) if line.strip().startswith("[")), "")
    if table != "[settings]" or "=" in piece:
        return Suggested("")
    return Suggested(piece, tuple(f"{name} = " for name in SETTINGS if name.startswith(piece)))


# --- arguments by their parser -----------------------------------------------------------------------

Values = Callable[[Words, tuple[str, ...], Around], Iterable[str]]


def _arguments(
    split: Words, done: tuple[str, ...], parser: LineParser, around: Around, values: Mapping[str, Values]
) -> Suggested:
    flags = parser.flags()
    awaited = flags.get(done[-1]) if done else None
    if awaited is not None and awaited.nargs != 0:
        return _quoted(split, _of(awaited, split, done, around, values))
    if split.raw.startswith("-"):
        return _starting(split, [flag for flag in flags if flag.startswith("--") or flag == split.raw])
    given = _positionals(done, flags)
    waiting = parser.positionals()[given:]
    if waiting:
        return _quoted(split, _of(waiting[0], split, done, around, values))
    return Suggested(split.raw) if split.raw else _starting(split, [f for f in flags if f.startswith("--")])


def _of(
    action: argparse.Action, split: Words, done: tuple[str, ...], around: Around, values: Mapping[str, Values]
) -> Iterable[str]:
    """The values of an argument: its choices, or what its name stands for."""
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    return values[action.dest](split, done, around) if action.dest in values else ()


def _positionals(done: Sequence[str], flags: Mapping[str, argparse.Action]) -> int:
    """How many of the words are arguments without a flag."""
    count, skip = 0, False
    for word in done:
        if skip:
            skip = False
        elif word.startswith("-"):
            action = flags.get(word.partition("=")[0])
            skip = action is not None and action.nargs != 0 and "=" not in word
        else:
            count += 1
    return count


def _starting(split: Words, known: Iterable[str]) -> Suggested:
    return Suggested(split.raw, tuple(name for name in known if name.startswith(split.raw)))


def _quoted(split: Words, known: Iterable[str]) -> Suggested:
    """Matching values, in quotes where they contain spaces or a quote was opened."""
    mark = split.raw[:1] if split.raw[:1] in ('"', "'") else ""
    hits = [name for name in known if _fits(name, split.value)]
    return Suggested(split.raw, tuple(_in_quotes(name, mark) for name in hits))


def _fits(name: str, piece: str) -> bool:
    return name.casefold().startswith(piece.casefold())


def _in_quotes(name: str, mark: str) -> str:
    if not mark and not any(char.isspace() or char in "\"'\\" for char in name):
        return name
    mark = mark or ('"' if '"' not in name else "'")
    return f"{mark}{name}{mark}"


def _data(split: Words, _: tuple[str, ...], around: Around) -> Iterable[str]:
    """Frames, and ``frame.column`` after a dot (only columns that are identifiers)."""
    frame, dot, _rest = split.value.partition(".")
    if not dot:
        return around.space.frames()
    return [f"{frame}.{name}" for name in around.columns(frame)]


def _columns(split: Words, done: tuple[str, ...], around: Around) -> Iterable[str]:
    """Columns of the frame named before, also after a comma."""
    data = next((word for word in done if around.columns(word)), "")
    head, comma, _ = split.value.rpartition(",")
    return [f"{head}{comma}{name}" for name in around.columns(data)]


def _columns_or_names(split: Words, done: tuple[str, ...], around: Around) -> Iterable[str]:
    return [*_columns(split, done, around), *around.names()]


def _frames(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return around.space.frames()


def _names(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return around.names()


def _models(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return around.models()


def _parameters(_: Words, __: tuple[str, ...], ___: Around) -> Iterable[str]:
    return [f"{name}=" for name in parameters.KNOWN_PARAMETERS]


def _profiles(_: Words, done: tuple[str, ...], ___: Around) -> Iterable[str]:
    from llm_magics.notebook.config.profiles import names

    return names() if done[:1] == ("load",) else ()


def _registered(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return around.session.registry.specs() if around.session is not None else ()


def _aliases(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return around.session.registry.aliases() if around.session is not None else ()


def _functions(_: Words, __: tuple[str, ...], around: Around) -> Iterable[str]:
    return [name for name in around.names() if callable(around.variables[name])]


_LLM_VALUES: Mapping[str, Values] = {
    "data": _data,
    "on": _columns,
    "truth": _columns,
    "slice": _columns,
    "labels_from": _columns_or_names,
    "system": _names,
    "context": _frames,
    "examples": _frames,
    "model": _models,
    "with": _models,
    "cheap": _models,
    "parameters": _parameters,
}
_CONFIG_VALUES: Mapping[str, Mapping[str, Values]] = {
    "use": {"name": _models},
    "show": {"name": _models},
    "test": {"name": _models},
    "remove": {"name": _registered},
    "unalias": {"name": _aliases},
    "profile": {"name": _profiles},
    "add": {
        "call": _functions,
        "embed": _functions,
        "setup": _functions,
        "client": _names,
        "process": _registered,
        "parameters": _parameters,
    },
}


def _setting(split: Words, command: str, around: Around) -> Suggested:
    """Settings; for ``set``, also the values after ``=``."""
    name, equals, _ = split.value.partition("=")
    if command != "set":
        return _quoted(split, SETTINGS)
    if not equals:
        return Suggested(split.raw, tuple(f"{known}=" for known in SETTINGS if known.startswith(name)))
    declared = SETTINGS.get(name)
    if declared is None:
        return Suggested(split.raw)
    kinds = {"flag": ("true", "false"), "text": declared.choices}
    known = around.models() if declared.names_a_model else kinds.get(declared.kind, ())
    return _quoted(split, [f"{name}={value}" for value in known])
