"""The first rows of a run, answered before any is delivered: a correction is estimated from them.

The bias of a model towards some labels is such a correction; it then changes every result of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from llm_magics.core.types import Result
from llm_magics.engine.request_queue import WorkItem

Decide: TypeAlias = Callable[[Result], Result]
"""The result as it is delivered, made from the model's own."""


@dataclass
class Preparation:
    """The outcome of ``Plan.prepare``.

    ``decide`` is applied to every result of the run. ``held`` are the results of rows that were asked
    about first, by index with their work item; each is delivered in its turn and not asked about again.
    """

    decide: Decide
    held: dict[int, tuple[WorkItem, Result]] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """US dollars that the held results cost and that no meter has counted yet."""
        return sum(result.usage.cost or 0.0 for _, result in self.held.values())

    def ask(self, items: Iterable[WorkItem], take: Callable[[Result], None]) -> Iterator[WorkItem]:
        """The items that are left to ask about; what is held is decided and taken on the way."""
        for item in items:
            known = self.held.get(item.index)
            if known is not None and known[0] == item:
                del self.held[item.index]
                take(self.decide(known[1]))
            else:
                yield item

    def taking(self, take: Callable[[Result], None]) -> Callable[[Result], None]:
        """``take`` for results as they are decided."""
        return lambda result: take(self.decide(result))


def first_by_hash(
    items: Iterable[WorkItem], text: Callable[[Mapping[str, object]], str], count: int, seed: int
) -> list[WorkItem]:
    """``count`` items with distinct texts, chosen by their content and the seed, whatever their order."""
    import heapq
    from hashlib import blake2b

    found: dict[bytes, WorkItem] = {}
    for item in items:
        words = text(item.row)
        if words.strip():
            whole = f"{seed}\0{words}".encode("utf-8", "surrogatepass")
            found.setdefault(blake2b(whole, digest_size=16).digest(), item)
        if len(found) > 64 * count:
            found = {place: found[place] for place in heapq.nsmallest(count, found)}
    return [found[place] for place in heapq.nsmallest(count, found)]
