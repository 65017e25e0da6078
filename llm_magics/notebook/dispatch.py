"""Dispatch of one magic call to its subcommand."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import LLMError
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.commands import parse
from llm_magics.notebook.config.magic import config_command
from llm_magics.notebook.history import keep_secrets_out
from llm_magics.notebook.namespace import Namespace
from llm_magics.notebook.subcommands import HANDLERS
from llm_magics.notebook.tables import Reading
from llm_magics.options.line_parser import HelpAsked
from llm_magics.runs import session as sessions


def llm(shell: Any, line: str, cell: str | None, local: dict[str, Any]) -> Any:
    """``%llm`` and ``%%llm``."""
    session = _session()
    space = Namespace(shell.user_ns, local, shell.user_ns_hidden)
    try:
        with keep_secrets_out(shell, session.keys, line, cell or ""):
            call = parse(line, cell)
            return HANDLERS[call.command.name](Cell(session, space, call, line))
    except HelpAsked as asked:
        return Reading(asked.text, fixed=True)


def llm_config(shell: Any, line: str, cell: str | None) -> Any:
    """``%llm_config`` and ``%%llm_config``."""
    return config_command(_session(), line, cell, shell)


def _session() -> sessions.Session:
    session = sessions.current()
    LLMError.debug = session.config.value("debug")
    return session
