"""How an option is declared: once, as a field of a record.

A subcommand declares its options as an ``options_record``, a class whose fields are made by ``option``. The
flags of the magic (``add_flags``), the signature of the Python function (``signature``), the help, the
completion and the reference page are all read from that class, so that an option is written once.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from llm_magics.core.errors import NotFound

O = TypeVar("O")  # noqa: E741 - the type of a record of options
_METADATA = "option"


@dataclass(frozen=True)
class Option:
    """What a dataclass field says beyond its name, type and default.

    Attributes:
        help: one line, for the flag's help and the Python docstring.
        flags: the spellings in a magic's line; empty where the option exists in Python alone.
        metavar: what stands for the value in the help; empty for a switch that takes no value.
        parse: the typed text to a value; raises ``argparse.ArgumentTypeError``.
        choices: the only values a flag takes.
        repeat: the flag may be typed several times; its values are a list.
        switch: the value that a flag without an argument gives.
        python: False where only a magic's line has the option.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str = ""
    parse: Callable[[str], Any] | None = None
    choices: tuple[str, ...] | None = None
    repeat: bool = False
    switch: Any = True
    python: bool = True


def option(
    help: str,  # noqa: A002 - argparse's word
    *,
    default: Any = dataclasses.MISSING,
    flags: str | None = None,
    metavar: str = "",
    parse: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] | None = None,
    repeat: bool = False,
    switch: Any = True,
    python: bool = True,
    kw_only: bool = True,
) -> Any:
    """A field of a record of options.

    ``flags`` are the spellings, separated by spaces; None makes one of the field's name
    (``max_cost`` -> ``--max-cost``), an empty text makes none. Without a ``default`` Python callers have to
    give the value; with ``kw_only`` False they may give it without its name. The other arguments are those
    of ``Option``.
    """
    given = None if flags is None else tuple(flags.split())
    meta = (given, help, metavar, parse, choices, repeat, switch, python)
    return dataclasses.field(default=default, kw_only=kw_only, metadata={_METADATA: meta})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
def options_record(kind: type[O]) -> type[O]:
    """Make a class whose fields are made by ``option`` a frozen dataclass."""
    return dataclass(frozen=True, kw_only=True)(kind)


def options_of(kind: type[Any]) -> dict[str, Option]:
    """The options of a dataclass by field name: those of its own class first, then those it inherits."""
    found: dict[str, Option] = {}
    by_name = {field.name: field for field in dataclasses.fields(kind)}
    for owner in kind.__mro__:
        for name in vars(owner).get("__annotations__", ()):
            field = by_name.get(name)
            if field is not None and _METADATA in field.metadata and name not in found:
                flags, *rest = field.metadata[_METADATA]
                spelled = (f"--{name.replace('_', '-')}",) if flags is None else flags
                found[name] = Option(rest[0], spelled, *rest[1:])
    return found


def default_of(kind: type[Any], name: str) -> Any:
    """The default of an option."""
    return next(field.default for field in dataclasses.fields(kind) if field.name == name)


def add_flags(parser: argparse.ArgumentParser, kind: type[Any], without: Iterable[str] = ()) -> None:
    """Add a flag for each option that has one, but those named in ``without``."""
    for name, declared in options_of(kind).items():
        if declared.flags and name not in without:
            parser.add_argument(*declared.flags, **_argparse(kind, name, declared))


def _argparse(kind: type[Any], name: str, declared: Option) -> dict[str, Any]:
    """The keyword arguments of ``add_argument``."""
    same: dict[str, Any] = {"dest": name, "help": declared.help, "default": default_of(kind, name)}
    if not (declared.metavar or declared.choices):
        return {**same, "action": "store_const", "const": declared.switch}
    if declared.repeat:
        same |= {"action": "append", "default": None}
    if declared.choices:
        same["choices"] = declared.choices
    return {**same, "type": declared.parse, "metavar": declared.metavar or None}


def signature(kind: type[Any]) -> inspect.Signature:
    """The signature of a Python function that takes these options."""
    options = options_of(kind)
    parameters = []
    for field in dataclasses.fields(kind):
        if field.name in options and not options[field.name].python:
            continue
        how = inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        parameters.append(inspect.Parameter(field.name, how, default=default, annotation=field.type))
    return inspect.Signature(sorted(parameters, key=lambda parameter: parameter.kind))


def described(kind: type[Any]) -> str:
    """The options as the ``Args`` section of a docstring."""
    python = signature(kind).parameters
    lines = [f"    {name}: {one.help}." for name, one in options_of(kind).items() if name in python]
    return "\n".join(["Args:", *lines])


def build(kind: type[O], arguments: Sequence[Any], named: Mapping[str, Any]) -> O:
    """The record of the options that a Python caller gave.

    Raises NotFound, with the near names, for an option that there isn't, TypeError as a function does.
    """
    known = signature(kind)
    unknown = next((name for name in named if name not in known.parameters), None)
    if unknown is not None:
        raise NotFound.among("option", unknown, known.parameters)
    bound = known.bind(*arguments, **named)
    return kind(**bound.arguments)


def given(kind: type[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of flags that differ from the default, for the options that Python has too."""
    for name, declared in options_of(kind).items():
        value = values.get(name)
        if declared.python and declared.flags and value is not None and value != default_of(kind, name):
            yield name, value
