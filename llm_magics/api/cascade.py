"""``--agree``: a cheap labeller takes the rows it is sure of, the model the rest, with a stated promise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.api.betting import Search
from llm_magics.api.embedding import Books, unit_vectors
from llm_magics.api.proxy import Proxy
from llm_magics.api.run import Plan, Run
from llm_magics.backends.base import Backend
from llm_magics.errors import UsageError
from llm_magics.motion.engine import Ask
from llm_magics.prompts import text_of
from llm_magics.tasks.cascade import CascadeLabel
from llm_magics.types import Result

LEAST = 400
"""Rows below which a promise costs more answers than it saves."""
WORTH = 0.1
"""The share of calls that must be saved for the cheap labeller to be used at all."""
_DRAWS = 50


@dataclass(frozen=True)
class Agreement:
    """What is promised: ``target`` of all labels equal to the model's, with probability ``confidence``.

    ``cheap`` gives the embeddings.
    """

    target: float
    cheap: Backend
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise UsageError(f"--agree {self.target} is no share of rows.", hint="--agree 0.95")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"--sure {self.confidence} is no confidence.", hint="--sure 0.9")

    @property
    def by(self) -> str:
        """The cheap labeller's name, as rows carry it."""
        return f"{self.cheap.name} + regression"

    def work(self) -> Callable[[Books, Run], Coroutine[Any, Any, None]]:
        """How a plan with this promise is carried out."""

        async def carry_out(books: Books, run: Run) -> None:
            await _Cascade(books, run, self).carry_out()

        return carry_out


class _Cascade:
    """One run of a cascade. Everything happens on the loop thread; fitting in a thread of its own."""

    def __init__(self, books: Books, run: Run, agreement: Agreement) -> None:
        import numpy as np

        assert isinstance(run.plan.task, CascadeLabel)
        self.books, self.run, self.agreement = books, run, agreement
        self.plan: Plan = run.plan
        self.task: CascadeLabel = run.plan.task
        self.answers: dict[int, str | None] = {}
        self.chance = np.random.default_rng(run.plan.seed)
        self.asks = list(run.plan.asks())
        self.rows = len(self.asks)

    async def carry_out(self) -> None:
        """Train, test, label; whatever the outcome, every row has its result in the end."""
        column = self.task.column
        texts = [text_of(ask.row[column]) for ask in self.asks]
        full = [i for i, text in enumerate(texts) if text.strip()]
        self.rows = len(full)
        if self.rows < LEAST:
            self._say(f"{self.rows:,} rows are too few for a promise to pay ({LEAST} are needed)", 0)
            return await self._ask(range(len(texts)))
        await self._ask([i for i, text in enumerate(texts) if not text.strip()])
        shuffled = self.chance.permutation(full)
        training = max(200, min(len(full) // 20, 2_000))
        vectors = await unit_vectors(self.books, self.plan, self.agreement.cheap, texts)
        await self._ask(shuffled[:training])
        known = [i for i in shuffled[:training] if self.answers.get(int(i))]
        if not known:
            return await self._ask(shuffled[training:])
        labels = [str(self.answers[int(i)]) for i in known]
        proxy = await asyncio.to_thread(Proxy, vectors[known], labels, self.plan.seed)
        return await self._search(shuffled[training:], vectors, proxy)

    async def _search(self, pool: Any, vectors: Any, proxy: Proxy) -> None:
        """Draw until the largest prefix that pays is certain, then share out the rows."""
        import numpy as np

        guesses, confidence = await asyncio.to_thread(proxy.label, vectors[pool])
        order = np.argsort(-confidence, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        rows = self.rows
        expected = proxy.expected(confidence[order])
        search = Search(rows, expected, self.agreement.target, self.agreement.confidence)
        # The pool is in random order already: its head is a uniform sample without replacement.
        while search.drawn < len(pool):
            outlook = search.outlook()
            if outlook.gain <= 0 or search.saved + outlook.gain < WORTH * rows:
                break
            drawn = np.arange(search.drawn, min(len(pool), search.drawn + _DRAWS))
            await self._ask(pool[drawn])
            agrees = [self.answers.get(int(pool[i])) == guesses[i] for i in drawn]
            search.add(rank[drawn], agrees)
        await self._share_out(pool, guesses, confidence, rank, search, proxy)

    async def _share_out(
        self, pool: Any, guesses: Sequence[str], confidence: Any, rank: Any, search: Search, proxy: Proxy
    ) -> None:
        left = range(search.drawn, len(pool))
        pays = search.saved >= WORTH * self.rows
        taken = [i for i in left if pays and rank[i] < search.size]
        for i in taken:
            self.run.deliver(self._by_proxy(int(pool[i]), guesses[i], float(confidence[i])))
        mine = set(taken)
        await self._ask([int(pool[i]) for i in left if i not in mine])
        if not pays:
            self._say(
                f"the cheap labeller agreed with it on {proxy.agreement:.0%} of the rows it learnt from, "
                "which would have saved too few calls to be worth it",
                0,
            )
        else:
            self._say("", len(taken))

    def _by_proxy(self, index: int, label: str, confidence: float) -> Result:
        values = self.task.by_proxy(label, confidence, self.agreement.by)
        return Result(index, "ok", values)

    async def _ask(self, indices: Any) -> None:
        """The model's labels for these rows, under what is left of the budget."""
        asks: list[Ask] = [self.asks[int(i)] for i in indices]
        if not asks:
            return
        plan, options = self.plan, self.plan.options
        if options.max_cost is not None:
            options = replace(options, max_cost=max(0.0, options.max_cost - self.run.meter.cost))
        await self.books.engine.run(asks, plan.task, plan.backend, plan.target, options, self._take)

    def _take(self, result: Result) -> None:
        label = result.values.get(self.task.output) if result.status in ("ok", "repaired") else None
        self.answers[result.index] = None if label is None else str(label)
        self.run.deliver(result)

    def _say(self, why: str, saved: int) -> None:
        """The sentence under the result, and the numbers in the manifest."""
        agreement, rows = self.agreement, self.rows
        head = f"--agree {agreement.target:g}: "
        if saved:
            said = (
                f"{head}{saved:,} of {rows:,} rows by {agreement.by}, the rest by {self.plan.backend.name}; "
                f"at least {agreement.target:.0%} of all labels are the model's own, with "
                f"{agreement.confidence:.0%} confidence; {saved:,} calls saved ({saved / rows:.0%})"
            )
        else:
            said = f"{head}the model labelled every row: {why}"
        self.run.notes.setdefault(said)
        self.run.details["agree"] = {
            "target": agreement.target,
            "confidence": agreement.confidence,
            "cheap": agreement.by,
            "calls_saved": saved,
        }
