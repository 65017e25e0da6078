"""The codebook store: versions of label definitions, and how well each did, in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.core.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    book TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, author TEXT NOT NULL,
    reason TEXT NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (book, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    book TEXT NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL, how TEXT NOT NULL, at REAL NOT NULL,
    gold INTEGER NOT NULL, accuracy REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, kappa REAL,
    PRIMARY KEY (book, number, model, how)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chosen (book TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class StoredVersion:
    """One version: its number from 1, when (``time.time()``), who, why, and the labels as JSON."""

    number: int
    at: float
    author: str
    reason: str
    labels: str


@dataclass(frozen=True)
class StoredScore:
    """How a version did with a model on gold rows; ``how`` says which rows. ``kappa`` may be undefined."""

    number: int
    model: str
    how: str
    gold: int
    accuracy: float
    low: float
    high: float
    kappa: float | None


class CodebookStore:
    """Codebooks by name. Every method raises StoreError where the file can't be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def books(self) -> list[str]:
        """The names of the codebooks."""
        return [name for (name,) in self._rows("SELECT DISTINCT book FROM versions ORDER BY book")]

    def versions(self, book: str) -> list[StoredVersion]:
        """The versions of a codebook, oldest first."""
        query = "SELECT number, at, author, reason, labels FROM versions WHERE book = ? ORDER BY number"
        return [StoredVersion(*row) for row in self._rows(query, book)]

    def scores(self, book: str) -> list[StoredScore]:
        """The scores of all versions of a codebook."""
        query = (
            "SELECT number, model, how, gold, accuracy, low, high, kappa FROM scores WHERE book = ? "
            "ORDER BY number, at"
        )
        return [StoredScore(*row) for row in self._rows(query, book)]

    def chosen(self, book: str) -> int | None:
        """The number of the version in use; None where nobody chose one."""
        return next(
            (number for (number,) in self._rows("SELECT number FROM chosen WHERE book = ?", book)), None
        )

    def add(self, book: str, labels: str, author: str, reason: str) -> int:
        """Store a new version; returns its number."""
        with self._open() as database:
            # The number is drawn and used in one transaction, so that two kernels never share one.
            database.execute("BEGIN IMMEDIATE")
            found = database.execute("SELECT max(number) FROM versions WHERE book = ?", (book,)).fetchone()[0]
            number = (found or 0) + 1
            database.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)",
                (book, number, time.time(), author, reason, labels),
            )
            database.commit()
        return number

    def choose(self, book: str, number: int) -> None:
        """Make a version the one in use."""
        with self._open() as database, database:
            database.execute("INSERT OR REPLACE INTO chosen VALUES (?, ?)", (book, number))

    def score(self, book: str, score: StoredScore) -> None:
        """Store how a version did, in place of an older score of the same kind."""
        with self._open() as database, database:
            database.execute(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(book, score.number, score.model, score.how, time.time()),
                    *(score.gold, score.accuracy, score.low, score.high, score.kappa),
                ),
            )

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._open() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, readable by its owner only."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(_SCHEMA)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the codebook store {self.path} can't be used ({error}).",
                hint="set LLM_MAGICS_HOME to a folder you may write to",
            ) from error
