"""The queue in front of a model's workers: rows wait in it, rows with one prompt are claimed together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_magics.backends.base import Listener
from llm_magics.backends.in_kernel.label_trie import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


Kind: TypeAlias = "tuple[Hashable, type[WorkItem]]"
"""What may go into one decode: the group of a prompt and the kind of item."""


@dataclass(eq=False)
class WorkItem:
    """One row's work. ``group`` is equal for rows that share a prompt, which go into the same decode."""

    group: Hashable
    future: Future[Any] = field(default_factory=Future, init=False)
    arrived: float = field(default=0.0, init=False)

    @property
    def kind(self) -> Kind:
        """Equal for items that may go into one decode."""
        return self.group, type(self)

    @property
    def dropped(self) -> bool:
        """True where nobody waits for the answer any more."""
        return self.future.cancelled()

    def answer(self, value: Any) -> None:
        """Set the answer; nothing happens where nobody waits."""
        if not self.future.cancelled():
            with contextlib.suppress(InvalidStateError):
                self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Set the error in place of an answer."""
        if not self.future.cancelled():
            with contextlib.suppress(InvalidStateError):
                self.future.set_exception(error)


@dataclass(eq=False)
class ScoringItem(WorkItem):
    """Evaluate a tree. ``read(number, logits)`` keeps what is needed of an output's row of logits.

    The answer is a ScoringResult.
    """

    tree: Tree
    read: Callable[[int, NDArray[Any]], Any]
    pieces: dict[int, Any] = field(default_factory=dict, init=False)

    @property
    def prompt(self) -> NDArray[Any]:
        """The tokens that a shared prefix may be taken from."""
        return self.tree.tokens[: self.tree.chain]


@dataclass(frozen=True)
class ScoringResult:
    """The values by output number, and the number of prompt tokens that were not evaluated again."""

    pieces: Mapping[int, Any]
    reused: int


@dataclass(eq=False)
class GenerationItem(WorkItem):
    """Continue a prompt by up to ``most`` tokens. ``sampling`` holds the parameters and the seed.

    ``stop`` are byte strings that end the text, ``heard`` is called with the text so far. ``json``: the
    grammar is that of a JSON schema, whose texts and lists end where they repeat themselves. The answer is a
    GenerationResult.
    """

    prompt: NDArray[Any]
    most: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[bytes, ...] = ()
    grammar: str = ""
    heard: Listener | None = None
    json: bool = False


@dataclass(frozen=True)
class GenerationResult:
    """The text, why it ended (``stop`` or ``length``), its tokens, and the prompt tokens reused.

    ``shortened``: the model repeated itself without end, and what it said again is left out.
    """

    text: str
    finish: str
    tokens: int
    reused: int
    shortened: bool = False


@dataclass(eq=False)
class EmbeddingItem(WorkItem):
    """Embed the tokens; the answer is a float32 array."""

    tokens: NDArray[Any]


MAX_WAIT = 2.0
"""Seconds that a row of another prompt waits before the current prompt takes no more rows."""
LOOK_AHEAD = 64
"""Waiting rows that are examined for a common prefix and for what fits together."""


class WorkQueue:
    """Work items in the order they arrived. Every method may be called from any thread.

    ``changed`` guards the queue and wakes waiting workers; ``closed`` is True once no more items are
    taken.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closed = False
        self._waiting: list[WorkItem] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next(self) -> Kind | None:
        """The kind of the oldest item; None where nothing waits."""
        return self._waiting[0].kind if self._waiting else None

    def put(self, work: WorkItem) -> bool:
        """Add an item; False where the queue is closed."""
        with self.changed:
            if not self.closed:
                work.arrived = time.monotonic()
                self._waiting.append(work)
                self.changed.notify_all()
            return not self.closed

    def back(self, works: Sequence[WorkItem]) -> None:
        """Put claimed items back to their places."""
        if works:
            with self.changed:
                self._waiting = sorted([*works, *self._waiting], key=lambda work: work.arrived)
                self.changed.notify_all()

    def claim(self, last: Kind, most: int = LOOK_AHEAD) -> list[WorkItem]:
        """Up to ``most`` items of one group and kind: the last one's, unless others have waited too long."""
        with self.changed:
            self._waiting = [work for work in self._waiting if not work.dropped]
            if not self._waiting:
                return []
            first = self._waiting[0]
            patient = time.monotonic() - first.arrived < MAX_WAIT
            return (patient and self._take(last, most)) or self._take(first.kind, most)

    def more(self, kind: Kind, most: int) -> list[WorkItem]:
        """Up to ``most`` further items of one kind; none where another has waited too long."""
        with self.changed:
            others = (work.arrived for work in self._waiting if work.kind != kind)
            first = min(others, default=None)
            if first is not None and time.monotonic() - first > MAX_WAIT:
                return []
            return self._take(kind, most)

    def drain(self) -> list[WorkItem]:
        """All waiting items, which nobody will claim any more."""
        with self.changed:
            left, self._waiting = self._waiting, []
            return left

    def _take(self, kind: Kind, most: int) -> list[WorkItem]:
        taken: list[WorkItem] = []
        left: list[WorkItem] = []
        for work in self._waiting:
            fits = len(taken) < most and work.kind == kind and not work.dropped
            (taken if fits else left).append(work)
        self._waiting = left
        return taken
