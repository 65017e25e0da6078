"""Keeping answers: one commit a turn of the loop, what follows only when it is on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llm_magics.core.types import Message, Request, Response
from llm_magics.engine.persistence import CommitQueue
from llm_magics.store.responses import ResponseStore


class Counting(ResponseStore):
    """A store that counts its commits."""

    commits = 0

    def put_many(self, pairs) -> None:
        self.commits += 1
        super().put_many(pairs)


def pair(text: str) -> tuple[Request, Response]:
    return Request("host", "m", (Message("user", text),)), Response(text)


@pytest.mark.checklist("R2")
async def test_what_comes_in_one_turn_is_one_commit_and_what_follows_waits_for_it(tmp_path: Path) -> None:
    """A frame's rows are shown when they are on disk, and not a moment before."""
    store, told = Counting(tmp_path / "r.sqlite3"), []
    keeper = CommitQueue(store)
    for text in "abc":
        keeper.add([pair(text)])
        keeper.after_commit(lambda text=text: told.append((text, store.stats().rows)))
    assert (store.commits, told) == (0, [])
    await asyncio.sleep(0)
    assert (store.commits, told) == (1, [("a", 3), ("b", 3), ("c", 3)])
    keeper.after_commit(lambda: told.append("at once"))
    assert told[-1] == "at once"
    store.close()


async def test_what_fails_afterwards_is_raised_to_whoever_asks_next(tmp_path: Path) -> None:
    """A fault in a task's own code has nobody to be raised to; the first one is not lost."""
    store = ResponseStore(tmp_path / "r.sqlite3")
    keeper = CommitQueue(store)
    keeper.add([pair("a")])
    keeper.after_commit(lambda: 1 / 0)
    keeper.after_commit(lambda: int("x"))
    keeper.raise_errors()
    await asyncio.sleep(0)
    assert store.stats().rows == 1
    with pytest.raises(ZeroDivisionError):
        keeper.raise_errors()
    with pytest.raises(ZeroDivisionError):
        keeper.after_commit(lambda: None)
    assert keeper.problem() == ""
    store.close()
