"""The first rows of a run, answered before any is delivered: a correction is estimated from them.

The bias of a model towards some labels is such a correction; it then changes every result of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from llm_magics.backends.base import Backend
from llm_magics.core.types import Result
from llm_magics.engine.engine import Engine
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Target, Task
from llm_magics.engine.worker_pool import Options

Decide: TypeAlias = Callable[[Result], Result]
"""The result as it is delivered, made from the model's own."""


class Asked(Protocol):
    """What is asked, of a plan."""

    @property
    def task(self) -> Task:
        """How a row becomes a request, and an answer values."""

    @property
    def backend(self) -> Backend:
        """Who is asked."""

    @property
    def target(self) -> Target:
        """Where requests go."""


@dataclass
class SecondPass:
    """Rows that are asked about once more after the first pass, in another form of the task.

    ``wanted`` says of a decided result whether its row is; ``joined`` makes what is delivered from the
    model's own results in both forms. ``held`` are results of the second form that are known already.
    """

    task: Task
    wanted: Callable[[Result], bool]
    joined: Callable[[Result, Result], Result]
    held: dict[int, Result] = field(default_factory=dict)
    asked: dict[int, WorkItem] = field(default_factory=dict)
    waiting: dict[int, tuple[WorkItem, Result]] = field(default_factory=dict)
    cost: float = 0.0

    def items(self) -> list[WorkItem]:
        """The rows that wait for the second form, in their order."""
        return [self.waiting[index][0] for index in sorted(self.waiting)]

    def taking(self, take: Callable[[Result], None]) -> Callable[[Result], None]:
        """``take`` for results of the second form, joined to those of the first."""
        return lambda result: take(self.joined(self.waiting.pop(result.index)[1], result))


@dataclass
class Preparation:
    """The outcome of ``Plan.prepare``.

    ``decide`` is applied to every result of the run. ``held`` are the results of rows that were asked
    about first, by index with their work item; each is delivered in its turn and not asked about again.
    """

    decide: Decide
    held: dict[int, tuple[WorkItem, Result]] = field(default_factory=dict)
    second: SecondPass | None = None

    @property
    def cost(self) -> float:
        """US dollars that the held results cost and that no meter has counted yet."""
        held = [result for _, result in self.held.values()]
        held += self.second.held.values() if self.second is not None else ()
        return sum(result.usage.cost or 0.0 for result in held)

    async def execute(
        self,
        engine: Engine,
        plan: Asked,
        items: Iterable[WorkItem],
        take: Callable[[Result], None],
        options: Options,
    ) -> None:
        """Ask about the items, and once more about those that the second form is for."""
        second, options = self.second, less(options, self.cost)
        asked, taken = self.ask(items, take), self.taking(take)
        await engine.run(asked, plan.task, plan.backend, plan.target, options, taken)
        if second is not None and second.waiting:
            options, taken = less(options, second.cost), second.taking(take)
            await engine.run(second.items(), second.task, plan.backend, plan.target, options, taken)

    def ask(self, items: Iterable[WorkItem], take: Callable[[Result], None]) -> Iterator[WorkItem]:
        """The items that are left to ask about; what is held is decided and taken on the way."""
        second = self.second
        for item in items:
            known = self.held.get(item.index)
            if known is not None and known[0] == item:
                del self.held[item.index]
                twice = second.held.pop(item.index, None) if second is not None else None
                if second is not None and twice is not None:
                    take(second.joined(known[1], twice))
                else:
                    take(self.decide(known[1]))
                continue
            if second is not None:
                second.asked[item.index] = item
            yield item

    def taking(self, take: Callable[[Result], None]) -> Callable[[Result], None]:
        """``take`` for results as they are decided; those of rows that are asked about again wait."""
        second = self.second
        if second is None:
            return lambda result: take(self.decide(result))

        def taken(result: Result) -> None:
            item, decided = second.asked.pop(result.index), self.decide(result)
            second.cost += result.usage.cost or 0.0
            if second.wanted(decided):
                second.waiting[result.index] = item, result
            else:
                take(decided)

        return taken


def less(options: Options, cost: float) -> Options:
    """The options with what was spent, in US dollars, taken off the most that a run may cost."""
    return (
        options if options.max_cost is None else replace(options, max_cost=max(0.0, options.max_cost - cost))
    )


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
