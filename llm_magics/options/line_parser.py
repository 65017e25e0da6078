"""The parser of a magic's line: words are split as a shell does, errors never exit the kernel."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from llm_magics.core.errors import NotFound, UsageError, closest_matches
from llm_magics.core.parameters import KNOWN_PARAMETERS

_NUMBER = re.compile(r"[+-]?(\d[\d_]*)?\.?\d[\d_]*([eE][+-]?\d+)?|[+-]?\d+\.")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None}


LIST = 'A list takes no space after a comma, or quotation marks around all of it: --labels "a, b"'


class HelpAsked(Exception):
    """Raised by ``-h`` or ``--help``; ``text`` is the help. The magics catch it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def split(line: str) -> list[str]:
    """The words of a line by POSIX shell rules.

    Raises:
        UsageError: A quotation mark is left open.
    """
    try:
        return shlex.split(line, posix=True)
    except ValueError as error:
        raise UsageError(
            f"can't split the line into words: {str(error).lower()}.",
            hint="""Quote a value that holds an apostrophe: --focus "the customer's tone".""",
        ) from None


def unsilenced(line: str) -> tuple[str, bool]:
    """The line of a magic without the trailing semicolons that hide its value, and whether it had one."""
    bare = line.rstrip("; \t")
    hidden = ";" in line[len(bare) :]
    return (bare, True) if hidden and not bare.endswith("\\") else (line, False)


def scalar(text: str) -> Any:
    """A value as typed after ``=``: true, false, null, a number, JSON, else the text itself.

    >>> scalar("0.2"), scalar("true"), scalar('["a"]'), scalar("gpt-4.1")
    (0.2, True, ['a'], 'gpt-4.1')
    """
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    if _NUMBER.fullmatch(text):
        return _number(text)
    if text[:1] in ("[", "{", '"'):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def assignment(text: str) -> tuple[str, str]:
    """``name=value`` as two texts; for argparse's ``type=``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, without spaces")
    return name.strip(), value.strip()


def parameter(text: str) -> tuple[str, Any]:
    """``temperature=0.2`` as name and typed value, ``stop=5`` as text; for ``-p`` (repeatable)."""
    name, value = assignment(text)
    typed = scalar(value)
    fits, _ = KNOWN_PARAMETERS.get(name, (None, ""))
    return name, value if fits is not None and not fits(typed) and fits(value) else typed


class _Help(argparse.Action):
    """``-h``: the parser's help as an exception instead of an exit."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show this help")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        raise HelpAsked(parser.format_help())


class LineParser(argparse.ArgumentParser):
    """The parser of one subcommand; errors are UsageErrors that name similar words.

    Build it like any argparse parser. ``parse_line`` takes the rest of the line after the subcommand.
    ``instead`` says what to type in place of other tools' flags, ``surplus`` is the hint about one
    argument too many.
    """

    color = False  # Python 3.14 would paint the help text
    surplus = 'Quote what holds a space: --on "review body", --where "stars <= 2"'

    def __init__(self, prog: str, description: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(prog=prog, description=description, add_help=False, allow_abbrev=False, **kwargs)
        self.color = False
        self.instead: dict[str, str] = {}
        self.add_argument("-h", "--help", action=_Help)

    def parse_line(self, line: str | Sequence[str]) -> argparse.Namespace:
        """The line's values.

        Raises:
            UsageError: A flag, value or argument that this subcommand doesn't take.
            HelpAsked: ``-h`` was typed.
        """
        words = split(line) if isinstance(line, str) else list(line)
        values, rest = self.parse_known_args(words)
        if rest:
            self._refuse(rest, words)
        return values

    def flags(self) -> dict[str, argparse.Action]:
        """Every spelling of every flag, for completion and the reference page."""
        return {flag: action for action in self._actions for flag in action.option_strings}

    def own_flags(self) -> list[argparse.Action]:
        """The flags but ``-h``, one action each, in order."""
        return [action for action in self._actions if action.option_strings and action.dest != "help"]

    def positionals(self) -> list[argparse.Action]:
        """The arguments without a flag, in order."""
        return [action for action in self._actions if not action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raise instead of argparse's print and exit."""
        hint = self._usage()
        if "expected one argument" in message:  # argparse takes -1 for a flag
            flag = message.removeprefix("argument ").partition(":")[0].rpartition("/")[2]
            hint = f"A value that starts with a dash is joined on: {flag}=-1\n{hint}"
        raise UsageError(f"{self.prog}: {message}.", hint=hint)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise instead of leaving the kernel."""
        raise UsageError(f"{self.prog}: {message or status}", hint=self._usage())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        what = "/".join(action.option_strings) or action.metavar or action.dest
        raise NotFound.among(f"choice for {what}", str(value), map(str, action.choices), hint=self._usage())

    def _refuse(self, rest: Sequence[str], words: Sequence[str]) -> NoReturn:
        """Raise for what was left over: an unknown flag, or one argument too many."""
        unknown = next((word for word in rest if word.startswith("-")), None)
        if unknown is None:
            before = words[words.index(rest[0]) - 1]
            hint = f"{LIST if before.endswith(',') else self.surplus}\n{self._usage()}"
            raise UsageError(f"{self.prog}: {rest[0]!r} is one argument too many.", hint=hint)
        flag = unknown.partition("=")[0]
        close = closest_matches(flag, self.flags())
        meant = f"Did you mean {' or '.join(close)}?" if close else ""
        said = filter(None, (self._instead(flag) or meant, self._usage()))
        raise NotFound(f"{self.prog} has no flag {flag!r}.", hint="\n".join(said))

    def _instead(self, flag: str) -> str:
        """What to type for another tool's flag, where this subcommand has it."""
        said = self.instead.get(flag, "")
        ours = said.split()[1] if said.startswith("Type -") else ""
        return said if not ours or ours in self.flags() else ""

    def _usage(self) -> str:
        return f"See {self.prog} -h"


def command(name: str, commands: Iterable[str], magic: str, instead: str = "") -> str:
    """``name`` if it is one of the commands; ``instead`` is what to type for a word of another tool.

    Raises:
        NotFound: With ``instead``, or with the near ones.
    """
    known = list(commands)
    if name in known:
        return name
    if instead:
        raise NotFound(f"no {magic} command {name!r}.", hint=f"Here it is {instead}\nSee {magic} help")
    raise NotFound.among(f"{magic} command", name, known, hint=f"See {magic} help")
