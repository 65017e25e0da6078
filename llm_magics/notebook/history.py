"""Cells with keys are removed from IPython's history."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from llm_magics.settings.clear_text_keys import TypedKeyError
from llm_magics.settings.keys import Keys

BLANK = "# this cell held a key; llm_magics took it out of the history"


@contextlib.contextmanager
def keep_secrets_out(shell: Any, keys: Keys, line: str, body: str = "") -> Iterator[None]:
    """Refuse a key in the cell; where one is refused, also later on, the cell leaves the history.

    A body is free text, which may be about keys: only a key of the user's own is refused there.

    Raises:
        TypedKeyError: A key was typed.
    """
    try:
        keys.refuse_key_in_line(line)
        keys.refuse_known_key(body)
        yield
    except TypedKeyError:
        forget_cells(shell, [text.strip() for text in (line, body) if text.strip()])
        raise


def forget_cells(shell: Any, typed: Sequence[str]) -> None:
    """Blank the cells that contain all of the texts, in memory and in the history's file; never raises.

    The front end's own copy is out of reach: the user has to delete it there.
    """
    manager = getattr(shell, "history_manager", None)
    if manager is None:
        return
    raw = manager.input_hist_raw
    numbers = [i for i, source in enumerate(raw) if all(text in source for text in typed)]
    with contextlib.suppress(Exception):
        _blank_memory(shell, manager, numbers)
    with contextlib.suppress(Exception):
        _blank_file(manager, numbers)


def _blank_memory(shell: Any, manager: Any, numbers: Sequence[int]) -> None:
    for number in numbers:
        manager.input_hist_raw[number] = manager.input_hist_parsed[number] = BLANK
        shell.user_ns[f"_i{number}"] = BLANK
    if len(manager.input_hist_raw) - 1 in numbers:
        manager._i00 = BLANK  # noqa: SLF001  (what the next cell will find as _i)


def _blank_file(manager: Any, numbers: Sequence[int]) -> None:
    """IPython writes inputs from a thread: flush what waits, then overwrite the lines in place."""
    if not manager.enabled:
        return
    manager.writeout_cache()
    lines = [(BLANK, BLANK, manager.session_number, number) for number in numbers]
    with manager.db:
        manager.db.execute("PRAGMA secure_delete = ON")
        manager.db.executemany(
            "UPDATE history SET source = ?, source_raw = ? WHERE session = ? AND line = ?", lines
        )
