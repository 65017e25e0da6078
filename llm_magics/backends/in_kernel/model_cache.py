"""Models in the kernel: loaded once, shared by all cells, and closed when memory is short."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache as once
from typing import Any, Protocol

from llm_magics.backends.in_kernel.memory import give_back_memory, resident_memory, total_memory
from llm_magics.core.errors import BackendError, ModelLoadError, NotFound, UsageError

JOB: ContextVar[str] = ContextVar("llm_magics_job", default="a running cell")
"""What uses a model at the moment, in words for the user; a run sets it for its calls."""

SHARE = 0.8
"""The share of the machine's memory that models may take unless ``limit`` says otherwise."""


class ModelCleared(BackendError):
    """The model was closed while a request waited for it."""

    fatal = True


class Loaded(Protocol):
    """What the cache holds: a model of llama.cpp, of transformers or of vLLM.

    It may also have ``context``, the tokens it was loaded for, and ``remarks``, its own notes.
    """

    @property
    def size(self) -> int:
        """Bytes of memory it takes."""

    def close(self) -> None:
        """Cancel running work and free the memory; never hangs."""


@dataclass(frozen=True)
class Key:
    """What decides whether a loaded model can be used: the file and its load options.

    ``options`` are pairs of name and value, ``written`` is the file's time of change. ``name`` is what
    the user calls the model; it is not part of the identity, so that an alias and its path share one
    model.
    """

    file: str
    context: int = 0
    gpu_layers: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    name: str = field(default="", compare=False)
    written: float = 0.0

    def supersedes(self, other: Key) -> bool:
        """Whether ``other`` has the same name with earlier options or an earlier file."""
        return self != other and (self.file, self.name) == (other.file, other.name)

    def changes(self, other: Key) -> str:
        """How this key differs from ``other``, in words for the user."""
        told = []
        if self.context != other.context:
            told.append(f"context {other.context} -> {self.context}")
        if self.gpu_layers != other.gpu_layers:
            told.append(f"gpu_layers {other.gpu_layers} -> {self.gpu_layers}")
        mine, theirs = dict(self.options), dict(other.options)
        changed = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
        if self.written != other.written:
            told.append("its file was written anew")
        return ", ".join(told + [f"{name} {theirs.get(name)} -> {mine.get(name)}" for name in changed])


@dataclass(frozen=True)
class EntryInfo:
    """One model as ``%llm_config cache`` shows it; ``size`` in bytes, ``idle`` in seconds.

    ``jobs`` use it at the moment, ``remarks`` are the model's own notes (for the doctor).
    """

    name: str
    file: str
    size: int
    context: int
    gpu_layers: int
    idle: float
    pinned: bool
    in_use: bool
    jobs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cleared:
    """The result of ``clear``; ``freed`` in bytes of this process's memory, measured."""

    names: tuple[str, ...]
    freed: int

    def __str__(self) -> str:
        if not self.names:
            return "No model was loaded."
        return f"Closed {', '.join(self.names)}; {self.freed / 1e6:,.0f} MB of memory came back."


@dataclass(eq=False)
class _Entry:
    """A loaded (or loading) model; ``uses`` counts the calls by job."""

    key: Key
    lock: threading.Lock = field(default_factory=threading.Lock)
    model: Loaded | None = None
    size: int = 0
    used: float = 0.0
    pinned: bool = False
    uses: dict[str, int] = field(default_factory=dict)
    note: str = ""
    error: BaseException | None = None


class ModelCache:
    """Models by file and load options; the least recently used is closed first when memory is short.

    Each model has a lock of its own for loading, so that two models can load at once. A model in use or
    pinned is never closed to make room. Safe to use from any thread.
    """

    def __init__(self, budget: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[Key, _Entry] = {}
        self.loads = 0

    # -- using models

    @contextlib.contextmanager
    def use(self, key: Key, load: Callable[[], Loaded], size: int = 0) -> Iterator[Any]:
        """The model of ``key``, loaded with ``load()`` where necessary; in use until the block ends.

        ``size`` is the number of bytes it will take, as far as known before. Blocks while it loads: call
        it in a thread that may wait, or ask ``ready`` first. Raises what ``load`` raises, and
        ModelLoadError where there is no room.
        """
        job = JOB.get()
        entry = self._take(key, job)
        try:
            if entry.model is None:
                self._load(entry, load, size)
            yield entry.model
        finally:
            self._give_back(entry, job)

    def ready(self, key: Key) -> bool:
        """True where ``use`` won't have to load."""
        entry = self._entries.get(key)
        return entry is not None and entry.model is not None

    def note(self, key: Key) -> str:
        """A sentence about the last load of ``key`` for the user, mostly empty."""
        entry = self._entries.get(key)
        return entry.note if entry is not None else ""

    def _take(self, key: Key, job: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry(key))
            entry.uses[job] = entry.uses.get(job, 0) + 1
            entry.used = self._clock()
            return entry

    def _give_back(self, entry: _Entry, job: str) -> None:
        with self._lock:
            entry.used = self._clock()
            entry.uses[job] -= 1
            if not entry.uses[job]:
                del entry.uses[job]
            if entry.model is None and not entry.uses and self._entries.get(entry.key) is entry:
                del self._entries[entry.key]  # a load that failed leaves nothing behind

    def _load(self, entry: _Entry, load: Callable[[], Loaded], size: int) -> None:
        with entry.lock:
            if entry.model is not None:
                return
            if entry.error is not None:  # others waited for the same load: one failure is enough
                raise entry.error
            earlier = self._earlier(entry.key)
            try:
                self._make_room(entry, size)
                model = load()
            except BaseException as error:
                entry.error = error
                raise
            with self._lock:
                entry.model, entry.size = model, model.size
                entry.note = self._loaded_again(entry, earlier) if earlier is not None else ""
                entry.used = self._clock()
                self.loads += 1
            _close_at_exit()

    def _earlier(self, key: Key) -> _Entry | None:
        """The same file as it is loaded with other options, preferably under the same name."""
        with self._lock:
            loaded = [other for other in self._entries.values() if other.model is not None]
            same = [other for other in loaded if other.key.file == key.file and other.key != key]
            return max(same, key=lambda other: key.supersedes(other.key), default=None)

    def _loaded_again(self, entry: _Entry, earlier: _Entry) -> str:
        changes = _as_loaded(entry).changes(_as_loaded(earlier))
        if self._entries.get(earlier.key) is earlier:
            return f"{_called(entry.key)} was loaded once more: {changes}."
        return f"{_called(entry.key)} was loaded anew: {changes}."

    def _make_room(self, entry: _Entry, size: int) -> None:
        """Reserve ``size`` bytes for the entry by closing idle models; raises where that is not enough.

        A model that the entry supersedes is closed in any case: nobody would ask for it again.
        """
        with self._lock:
            budget, doomed = self.budget, []
            held = sum(other.size for other in self._entries.values() if other is not entry)
            idle = [other for other in self._entries.values() if self._may_go(other) and other is not entry]
            old = {id(other) for other in idle if entry.key.supersedes(other.key)}
            for other in sorted(idle, key=lambda other: (id(other) not in old, other.used)):
                if held + size <= budget and id(other) not in old:
                    break
                doomed.append(other)
                held -= other.size
            if held + size > budget:
                raise _no_room(entry.key, size, held, budget)
            self._forget(doomed)
            entry.size = size  # reserved while it loads
        _close(doomed)

    @staticmethod
    def _may_go(entry: _Entry) -> bool:
        return entry.model is not None and not entry.uses and not entry.pinned

    # -- what people do with it

    @property
    def budget(self) -> int:
        """Bytes that models may take together."""
        return self._budget if self._budget is not None else int(SHARE * total_memory())

    def limit(self, budget: int | None) -> None:
        """Set the budget in bytes and close idle models above it.

        None stands for four fifths of the machine's memory.
        """
        with self._lock:
            self._budget = budget
            idle = sorted(filter(self._may_go, self._entries.values()), key=lambda entry: entry.used)
            held = sum(entry.size for entry in self._entries.values())
            doomed = []
            while idle and held > self.budget:
                doomed.append(idle.pop(0))
                held -= doomed[-1].size
            self._forget(doomed)
        _close(doomed)

    def pin(self, name: str, pinned: bool = True) -> None:
        """Exclude the model from being closed for lack of memory, or include it again."""
        with self._lock:
            for entry in self._named(name):
                entry.pinned = pinned

    def entries(self) -> list[EntryInfo]:
        """The loaded models, most recently used first."""
        with self._lock:
            now = self._clock()
            loaded = [entry for entry in self._entries.values() if entry.model is not None]
            return [_info(entry, now) for entry in sorted(loaded, key=lambda entry: -entry.used)]

    def clear(self, name: str | None = None, *, force: bool = False) -> Cleared:
        """Close the named model, or all; reports the memory freed.

        Raises UsageError where a model is in use, naming the job; with ``force`` its waiting requests
        fail with ModelCleared instead. Raises NotFound for an unknown name.
        """
        with self._lock:
            chosen = [entry for entry in self._named(name) if entry.model is not None]
            busy = [entry for entry in chosen if entry.uses]
            if busy and not force:
                raise _in_use(busy[0])
            self._forget(chosen)
        before = resident_memory()
        _close(chosen)
        return Cleared(tuple(_called(entry.key) for entry in chosen), max(before - resident_memory(), 0))

    def _named(self, name: str | None) -> list[_Entry]:
        entries = list(self._entries.values())
        if name is None:
            return entries
        found = [entry for entry in entries if name in (entry.key.name, entry.key.file, _called(entry.key))]
        if not found:
            raise NotFound.among("loaded model", name, [_called(entry.key) for entry in entries])
        return found

    def _forget(self, doomed: list[_Entry]) -> None:
        for entry in doomed:
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]


def _close(doomed: list[_Entry]) -> None:
    """Close models that are no longer reachable; outside the lock, since a decode may have to end first."""
    for entry in doomed:
        if entry.model is not None:
            entry.model.close()
    if doomed:
        give_back_memory()


def _as_loaded(entry: _Entry) -> Key:
    """The key with the model's real context size where none was asked for."""
    return replace(entry.key, context=getattr(entry.model, "context", entry.key.context))


def _called(key: Key) -> str:
    return key.name or key.file.rsplit("/", 1)[-1]


def _info(entry: _Entry, now: float) -> EntryInfo:
    key = entry.key
    return EntryInfo(
        _called(key),
        key.file,
        entry.size,
        getattr(entry.model, "context", key.context),
        key.gpu_layers,
        now - entry.used,
        entry.pinned,
        bool(entry.uses),
        tuple(entry.uses),
        tuple(getattr(entry.model, "remarks", ())),
    )


def _no_room(key: Key, size: int, held: int, budget: int) -> ModelLoadError:
    return ModelLoadError(
        f"{_called(key)} needs about {_bytes(size)}; models in use or pinned take {_bytes(held)} "
        f"of the {_bytes(budget)} allowed.",
        hint="Free one (%llm_config cache clear NAME) or allow more (%llm_config cache limit 12GB).",
    )


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _in_use(entry: _Entry) -> UsageError:
    jobs = ", ".join(f"{job} ({count} calls)" for job, count in entry.uses.items())
    return UsageError(
        f"{_called(entry.key)} is in use by {jobs}.",
        hint="Wait, stop it, or %llm_config cache clear --force: its unanswered rows fail, answers are kept.",
    )


@once
def cache() -> ModelCache:
    """This kernel's cache."""
    return ModelCache()


@once
def _close_at_exit() -> None:
    """Stop the worker threads before the interpreter exits: llama.cpp can't be torn down during a decode."""
    atexit.register(_close_all)


def _close_all() -> None:
    with contextlib.suppress(Exception):
        cache().clear(force=True)
