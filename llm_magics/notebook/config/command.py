"""One command of ``%llm_config``, and the context it runs in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llm_magics.notebook.namespace import user_variables
from llm_magics.options.line_parser import LineParser

if TYPE_CHECKING:
    from llm_magics.runs.session import Session

MAGIC = "%llm_config"


@dataclass(frozen=True)
class ConfigContext:
    """The context of a command: the session, and the notebook's shell where there is one."""

    session: Session
    shell: Any = None

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the notebook's cells."""
        if self.shell is None:
            return {}
        return user_variables(self.shell.user_ns, self.shell.user_ns_hidden)


@dataclass(frozen=True)
class ConfigCommand:
    """One command of ``%llm_config``: its help, its flags, its function."""

    name: str
    help: str
    line: Callable[[LineParser], Any]
    act: Callable[[ConfigContext, Namespace], Any]

    @cached_property
    def parser(self) -> LineParser:
        """The parser of the rest of its line."""
        parser = LineParser(f"{MAGIC} {self.name}", self.help)
        self.line(parser)
        return parser


def nothing(p: LineParser) -> None:
    """No flags."""
