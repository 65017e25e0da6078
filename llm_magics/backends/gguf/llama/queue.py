"""The line in front of a model's workers: rows wait in it, one prompt's rows are claimed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from llm_magics.backends.gguf.llama.work_items import Kind, Work

PATIENCE = 2.0
"""Seconds a row of another prompt waits before the prompt under way takes no more rows."""
SIGHT = 64
"""Waiting rows looked at to find what they share and which fit together."""


class Line:
    """Works in the order they came. Every method may be called from any thread.

    ``changed`` guards it and wakes who waits for work; ``closed`` is True once no more is taken.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closed = False
        self._waiting: list[Work] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next(self) -> Kind | None:
        """What the oldest is of; None where nothing waits."""
        return self._waiting[0].kind if self._waiting else None

    def put(self, work: Work) -> bool:
        """Queue a work; False where the line is closed."""
        with self.changed:
            if not self.closed:
                work.arrived = time.monotonic()
                self._waiting.append(work)
                self.changed.notify_all()
            return not self.closed

    def back(self, works: Sequence[Work]) -> None:
        """Put claimed works where they were."""
        if works:
            with self.changed:
                self._waiting = sorted([*works, *self._waiting], key=lambda work: work.arrived)
                self.changed.notify_all()

    def claim(self, last: Kind, most: int = SIGHT) -> list[Work]:
        """Up to ``most`` works of one group and kind: the last one's, unless others wait too long."""
        with self.changed:
            self._waiting = [work for work in self._waiting if not work.dropped]
            if not self._waiting:
                return []
            first = self._waiting[0]
            patient = time.monotonic() - first.arrived < PATIENCE
            return (patient and self._take(last, most)) or self._take(first.kind, most)

    def more(self, kind: Kind, most: int) -> list[Work]:
        """Up to ``most`` further works of one kind; none where another has waited too long."""
        with self.changed:
            others = (work.arrived for work in self._waiting if work.kind != kind)
            first = min(others, default=None)
            if first is not None and time.monotonic() - first > PATIENCE:
                return []
            return self._take(kind, most)

    def drain(self) -> list[Work]:
        """All that wait; nobody will come for them."""
        with self.changed:
            left, self._waiting = self._waiting, []
            return left

    def _take(self, kind: Kind, most: int) -> list[Work]:
        taken: list[Work] = []
        left: list[Work] = []
        for work in self._waiting:
            fits = len(taken) < most and work.kind == kind and not work.dropped
            (taken if fits else left).append(work)
        self._waiting = left
        return taken
