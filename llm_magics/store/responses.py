"""The response store: SQLite at ``<home>/responses.sqlite3``, one response a row.

WAL with ``synchronous=NORMAL``: safe against a killed process, and for several kernels at once. Failures
are never stored. Prompts are not stored, only their hash.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.core.errors import StoreError
from llm_magics.core.types import NO_USAGE, Request, Response, Usage

VERSION = 1
LIMIT = 2 * 1024**3
"""The size of the file in bytes above which the oldest responses are deleted."""

_CREATE = """
CREATE TABLE IF NOT EXISTS responses (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    created REAL NOT NULL,
    backend TEXT NOT NULL,
    model TEXT NOT NULL,
    answer TEXT NOT NULL,
    vector BLOB
)
"""
_PUT = """
INSERT OR REPLACE INTO responses (key, created, backend, model, answer, vector) VALUES (?, ?, ?, ?, ?, ?)
"""
_MIGRATIONS: dict[int, Callable[[sqlite3.Connection], object]] = {
    0: lambda connection: connection.execute(_CREATE),
}
"""Schema version n -> the change that makes it version n + 1."""


@dataclass(frozen=True)
class StoreStats:
    """Statistics of the store; ``size`` in bytes on disk, ``oldest`` as a ``time.time()``."""

    path: Path
    rows: int
    size: int
    models: Mapping[str, int]
    oldest: float | None = None


class ResponseStore:
    """The response store. Its file is opened on first use; safe to use from several threads.

    ``limit`` is the size in bytes above which the oldest responses are deleted. Every method raises
    ``StoreError`` where the file can't be used.
    """

    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self.path = Path(path)
        self.limit = limit
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._since_check = 0

    @classmethod
    def temporary(cls) -> ResponseStore:
        """A store for one session only, deleted with it (``--no-store``)."""
        folder = tempfile.TemporaryDirectory(prefix="llm_magics_")
        store = cls(Path(folder.name) / "responses.sqlite3")
        store._folder = folder
        return store

    def get(self, key: str, newer_than: float | None = None) -> Response | None:
        """The stored response (``cached`` is True), or None; ``newer_than`` is a ``time.time()``."""
        return self.get_many((key,), newer_than).get(key)

    def get_many(self, keys: Sequence[str], newer_than: float | None = None) -> dict[str, Response]:
        """The stored responses among ``keys``, some hundreds a query."""
        rows = self._rows("key, answer, vector", keys, newer_than or 0.0)
        return {key.hex(): _decode(answer, vector) for key, answer, vector in rows}

    def known(self, keys: Sequence[str]) -> set[str]:
        """Those among ``keys`` that have a response; only the index is read."""
        return {key.hex() for (key,) in self._rows("key", keys)}

    def _rows(self, columns: str, keys: Sequence[str], since: float | None = None) -> Iterator[Any]:
        """These columns of the responses among ``keys``.

        With ``since`` only of those stored from then on.
        """
        later = "" if since is None else " AND created >= ?"
        with self._open() as connection:
            for start in range(0, len(keys), 500):
                part = [bytes.fromhex(key) for key in keys[start : start + 500]]
                marks = ",".join("?" * len(part))
                yield from connection.execute(
                    f"SELECT {columns} FROM responses WHERE key IN ({marks}){later}",  # noqa: S608 - our own words
                    part if since is None else (*part, since),
                )

    def put(self, request: Request, response: Response) -> None:
        """Store a response; it is on disk when this returns."""
        self.put_many(((request, response),))

    def put_many(self, pairs: Iterable[tuple[Request, Response]]) -> None:
        """Store several responses in one transaction."""
        now = time.time()
        rows = [_encode(request, response, now) for request, response in pairs]
        with self._open() as connection:
            if len(rows) == 1:
                connection.execute(_PUT, rows[0])
            else:
                _commit(connection, rows)
            self._since_check += len(rows)
            if self._since_check >= 1000:
                self._since_check = 0
                self._shrink(connection)

    def drop(self, keys: Sequence[str]) -> None:
        """Delete the responses with these keys."""
        with self._open() as connection:
            for start in range(0, len(keys), 500):
                part = [(bytes.fromhex(key),) for key in keys[start : start + 500]]
                connection.executemany("DELETE FROM responses WHERE key = ?", part)

    def stats(self) -> StoreStats:
        """Count what is stored."""
        with self._open() as connection:
            models = dict(
                connection.execute("SELECT model, count(*) FROM responses GROUP BY model ORDER BY 2 DESC")
            )
            oldest = connection.execute("SELECT min(created) FROM responses").fetchone()[0]
            return StoreStats(self.path, sum(models.values()), _size(connection), models, oldest)

    def clear(self, model: str | None = None, older_than: float | None = None) -> int:
        """Delete all responses, or those of ``model``, or older than so many seconds; returns how many."""
        where: list[str] = ["1"]
        values: list[str | float] = []
        if model is not None:
            where.append("(model = ? OR backend || '::' || model = ?)")
            values += [model, model]
        if older_than is not None:
            where.append("created < ?")
            values.append(time.time() - older_than)
        with self._open() as connection:
            gone = connection.execute(f"DELETE FROM responses WHERE {' AND '.join(where)}", values).rowcount  # noqa: S608 - no text of the user's
            # The room on disk comes back later where another kernel is reading just now.
            with suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(gone)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, locked; SQLite's errors become StoreError."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self.path)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise _explain(self.path, error) from error

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Delete the oldest responses where the file is over its limit, until it is well under it."""
        size = _size(connection)
        if size <= self.limit:
            return
        rows = connection.execute("SELECT count(*) FROM responses").fetchone()[0]
        surplus = math.ceil(rows * (1 - 0.8 * self.limit / size))
        connection.execute(
            "DELETE FROM responses WHERE id IN (SELECT id FROM responses ORDER BY created LIMIT ?)",
            (surplus,),
        )
        connection.execute("PRAGMA incremental_vacuum").fetchall()  # it frees a page a step


def _commit(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write all rows or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_PUT, rows)
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, readable by its owner only, at the newest schema."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema from the file's version to the current one, in one transaction."""
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        if found > VERSION:
            raise StoreError(
                f"the response store {path} is of a newer llm_magics (schema {found}, here {VERSION}).",
                hint="%pip install -U llm_magics, or set LLM_MAGICS_HOME to another folder, or --no-store",
            )
        for number in range(found, VERSION):
            _MIGRATIONS[number](connection)
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _size(connection: sqlite3.Connection) -> int:
    """Bytes in use, without the write-ahead log and free pages."""
    count, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((count - free) * size)


def _explain(path: Path, error: Exception) -> StoreError:
    """SQLite's error as a StoreError that says what to do."""
    said = str(error)
    if "not a database" in said or "malformed" in said:
        return StoreError(
            f"the response store {path} is damaged ({said}).",
            hint="move the file away (the next run makes a new one), or add --no-store",
        )
    if "full" in said or "No space" in said:
        return StoreError(
            f"no room on the disk for the response store {path} ({said}).",
            hint="free some space, or %llm_config responses clear --older-than 30d, or add --no-store",
        )
    if "locked" in said or "busy" in said:
        return StoreError(
            f"another kernel keeps the response store {path} busy ({said}).",
            hint="run the cell again, or add --no-store",
        )
    return StoreError(
        f"the response store {path} can't be used ({said}).",
        hint="set LLM_MAGICS_HOME to a folder you may write to, or add --no-store",
    )


def _encode(request: Request, response: Response, now: float) -> tuple[Any, ...]:
    """A response as a row: JSON of its non-empty fields, and the vector as float32 bytes."""
    whole: dict[str, Any] = {name: said for name in _WORDS if (said := getattr(response, name))}
    if response.parsed is not None:
        whole["parsed"] = response.parsed
    if response.scores is not None:
        whole["scores"] = dict(response.scores)
    if response.finish_reason != _BLANK.finish_reason:
        whole["finish_reason"] = response.finish_reason
    if response.usage != NO_USAGE:
        used = response.usage
        whole["usage"] = (
            *(used.input_tokens, used.output_tokens, used.cached_input_tokens),
            *(used.cost, used.estimated),
        )
    if response.latency:
        whole["latency"] = round(response.latency, 4)
    vector = None
    if response.vector is not None:
        import numpy as np

        vector = np.ascontiguousarray(response.vector, dtype="<f4").tobytes()
    return bytes.fromhex(request.key), now, request.backend, request.model, _json(whole), vector


_WORDS = ("text", "method", "model", "request_id", "notes", "cut_to")
"""Fields of a response that are left out where they are empty."""

_BLANK = Response()
_json = json.JSONEncoder(separators=(",", ":"), default=str).encode
_parse = json.JSONDecoder().raw_decode
"""``json.loads`` without its search for white space around the value."""


def _decode(answer: str, vector: bytes | None) -> Response:
    """A row as a response."""
    whole, _ = _parse(answer)
    whole["usage"] = Usage(*whole["usage"]) if "usage" in whole else NO_USAGE
    whole["notes"] = tuple(whole.get("notes", ()))
    if vector is not None:
        import numpy as np

        whole["vector"] = np.frombuffer(vector, dtype="<f4")
    return Response(**whole, cached=True)
