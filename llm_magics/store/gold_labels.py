"""Gold labels: labels that a person gave, stored by the hash of their text."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS gold (
    task TEXT NOT NULL, text TEXT NOT NULL, label TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (task, text)
) WITHOUT ROWID
"""
_AT_ONCE = 500


class GoldLabelStore:
    """Gold labels in one SQLite file.

    A task is a column's name with its labels; texts are stored as hashes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, task: str, words: Mapping[str, str | None]) -> None:
        """Store labels by text, replacing older ones; None deletes one."""
        put = [(task, _hashed(text), word, time.time()) for text, word in words.items() if word is not None]
        gone = [(task, _hashed(text)) for text, word in words.items() if word is None]
        with closing(self._open()) as database, database:
            database.executemany("INSERT OR REPLACE INTO gold VALUES (?, ?, ?, ?)", put)
            database.executemany("DELETE FROM gold WHERE task = ? AND text = ?", gone)

    def get(self, task: str, texts: Sequence[str]) -> dict[str, str]:
        """The labels of those texts that have one."""
        if not self.path.exists():
            return {}
        hashes = {_hashed(text): text for text in texts}
        found: dict[str, str] = {}
        with closing(self._open()) as database:
            keys = list(hashes)
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT text, label FROM gold WHERE task = ? AND text IN ({marks})"  # noqa: S608 - marks
                found |= {hashes[key]: label for key, label in database.execute(query, (task, *some))}
        return found

    def _open(self) -> sqlite3.Connection:
        fresh = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        database = sqlite3.connect(self.path, timeout=10.0)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(_SCHEMA)
        return database


def task_key(column: str, labels: Sequence[str], *, many: bool = False) -> str:
    """The key that gold labels belong to: the column, the set of its labels, whether a row has several."""
    return _hashed("\x1f".join([column, *sorted(labels), *(["several labels a row"] if many else [])]))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
