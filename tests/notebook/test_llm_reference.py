"""The reference page is the table."""

from __future__ import annotations

from pathlib import Path

from llm_magics.notebook.commands import COMMANDS
from llm_magics.notebook.reference.llm import PAGE, render

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    """python -m llm_magics.notebook.reference.llm > docs/reference/llm.md"""
    assert (ROOT / PAGE).read_text() == render()


def test_every_subcommand_and_flag_is_on_it() -> None:
    """Nothing the parser takes is missing."""
    page = render()
    for command in COMMANDS.values():
        assert f"## {command.name}" in page
        for action in command.parser.flags():
            assert action in page or action in ("-h", "--help")
