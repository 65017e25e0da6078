"""The reference page of ``%%llm``, made by ``python -m llm_magics.notebook.reference.llm``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from llm_magics.notebook.commands import ALIASES, COMMANDS, Command

PAGE = "docs/reference/llm.md"

_INTRODUCTION = """
# `%%llm` and `%llm`

<!-- Made by `python -m llm_magics.notebook.reference.llm`; a test fails when it is not up to date. -->

`%%llm SUB DATA [flags]` with the content in the cell's body; `%llm SUB ...` where flags say it all, and
for what has no body. DATA is a name: `reviews`, `reviews.text`, `reviews --on "review body"`. The result is
a new frame, shown, in `_`, and bound by `-o NAME` on success; `llm.last` always has the run, even a partial
one.
`%llm SUB -h` says the same in the notebook.

In a template `{column}` or `{two words}` is the row's value and `{@name}` a notebook variable; other braces
stay as typed, and `{{ }}` are literal braces.
"""


def render() -> str:
    """The whole page."""
    return "\n\n".join([_INTRODUCTION.strip(), *map(_section, COMMANDS.values())]) + "\n"


def _section(command: Command) -> str:
    others = [alias for alias, name in ALIASES.items() if name == command.name]
    also = f" Also `{'`, `'.join(others)}`." if others else ""
    body = {"none": "No body.", "optional": "Body or flags.", "required": "With a body."}[command.body]
    rows = "\n".join(_rows(command.parser._actions))  # noqa: SLF001 - argparse has no public list
    table = f"\n\n| flag | meaning |\n|---|---|\n{rows}" if rows else ""
    return f"## {command.name}\n\n{command.help} {body}{also}{table}"


def _rows(actions: Iterable[argparse.Action]) -> Iterable[str]:
    for action in actions:
        if "--help" in action.option_strings:
            continue
        value = "" if action.nargs == 0 else f" {_value(action)}"
        name = ", ".join(action.option_strings)
        shown = f"{name}{value}".strip()
        yield f"| `{shown.replace('|', chr(92) + '|')}` | {(action.help or '').replace('|', chr(92) + '|')} |"


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "\\|".join(map(str, action.choices)).replace("\\", "")
    metavar = action.metavar or action.dest.upper()
    return metavar if isinstance(metavar, str) else " ".join(metavar)


if __name__ == "__main__":
    print(render(), end="")
