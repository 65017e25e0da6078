"""``%llm_config COMMAND``, and the TOML cell ``%%llm_config``: the table of commands and its dispatcher."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.core.errors import UsageError
from llm_magics.notebook.config import models, overview, profiles, settings, stores
from llm_magics.notebook.config.command import MAGIC, ConfigCommand, ConfigContext, nothing
from llm_magics.notebook.history import keep_secrets_out
from llm_magics.notebook.tables import Reading, Table
from llm_magics.options import synonyms
from llm_magics.options.line_parser import HelpAsked, command, split, unsilenced
from llm_magics.settings.clear_text_keys import refuse_in_toml

if TYPE_CHECKING:
    from llm_magics.runs.session import Session


def config_command(session: Session, line: str, cell: str | None = None, shell: Any = None) -> Any:
    """Execute the line or cell; returns a Table (or, for ``--json``, plain data) for display.

    Raises:
        UsageError: It can't be done; nothing was changed.
        TypedKeyError: A key was typed; the cell was removed from the history, and the key was not used.
    """
    with keep_secrets_out(shell, session.keys, line, cell or ""):
        session.keys.refuse_key_in_line(cell or "")
        refuse_in_toml(cell or "")
        if cell is not None and cell.strip():
            return _cell(session, line, cell)
        words = split(unsilenced(line)[0])
        if not words:
            return overview.overview(session)
        if words[0] in ("-h", "--help"):
            return _help()
        chosen = COMMANDS[command(words[0], COMMANDS, MAGIC, synonyms.config_command(words[0]))]
        try:
            return chosen.act(ConfigContext(session, shell), chosen.parser.parse_line(words[1:]))
        except HelpAsked as asked:
            return Reading(asked.text, fixed=True)


def _cell(session: Session, line: str, cell: str) -> Reading:
    """``%%llm_config``: apply the body as a profile, all of it or nothing."""
    if line.strip():
        raise UsageError(
            "%%llm_config takes its settings from the body.", hint=f"On one line: {MAGIC} {line}"
        )
    profile = profiles.read(cell, "the cell")
    profiles.apply(profile, session)
    return stores.applied(profile)


def _help() -> Table:
    rows = [{"command": each.name, "does": each.help} for each in COMMANDS.values()]
    note = f"flags: {MAGIC} COMMAND -h; several at once as TOML: %%llm_config"
    columns = ["command", "does"]
    return Table(rows, caption=f"{MAGIC} COMMAND", columns=columns, heads=False, notes=[note])


def _show_help(_: ConfigContext, __: Namespace) -> Table:
    return _help()


_HELP = ConfigCommand("help", "this list", nothing, _show_help)
COMMANDS: Mapping[str, ConfigCommand] = {
    each.name: each
    for each in (*models.COMMANDS, *settings.COMMANDS, *settings.KEY_COMMANDS, *stores.COMMANDS, _HELP)
}
"""The commands by name."""
