"""The cascade (``--agree``): a proxy model labels the rows it is sure of, with a guarantee."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.errors import Unsupported, UsageError
from llm_magics.core.types import Result
from llm_magics.data.templates import cell_text
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs.passes import RunContext, Strategy, single_pass
from llm_magics.runs.run import Plan, Run
from llm_magics.tasks.label.bias.removal import ROWS as BIAS_ROWS
from llm_magics.tasks.label.cascade.design import best_design, rough_design
from llm_magics.tasks.label.cascade.guarantee import Guarantee
from llm_magics.tasks.label.cascade.proxies import EmbeddingProxy, ProxyModel, ProxyUnusable, SmallModelProxy
from llm_magics.tasks.label.labellers import Labellers
from llm_magics.tasks.label.task import CascadeLabel

LEAST = 400
"""With fewer rows than this a guarantee costs more answers than it saves."""
WORTH = 0.1
"""The share of calls that must be saved for the proxy model to be used."""
_FEW = 10
"""Fewer rows than this teach nothing."""


def first_rows(rows: int) -> int:
    """How many random rows the model labels first: an eightieth, to teach a proxy and to judge it."""
    return max(125, min(rows // 80, 1_000))


def unsure_rows(guarantee: Guarantee, expected: Any, known: int) -> int:
    """How many of the rows that a proxy is least sure of teach it, too, after so many random ones.

    At most four times as many, and half of those that the model is likely to label in the end.
    """
    design = rough_design(guarantee, expected)
    return min(4 * known, int((len(expected) - design.draws - design.saved) / 2))


def random_numbers(texts: Sequence[str], seed: int) -> Any:
    """Two random numbers for each text that follow from what it says and the seed, not from its place.

    Equal texts have numbers that are independent of each other's, too: uint64 (n, 2).
    """
    import numpy as np

    met: dict[str, int] = {}
    digests = []
    for text in texts:
        met[text] = met.get(text, -1) + 1
        digest = blake2b(f"{seed} {met[text]} {text}".encode(errors="surrogatepass"), digest_size=16)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


@dataclass(frozen=True)
class CascadeSettings:
    """The guarantee: ``target`` of all labels equal to the model's, with probability ``confidence``.

    ``cheap`` is the embedding model, or with ``proxy`` (its task, its prior, where its requests go) a small
    model that labels rows.
    """

    target: float
    cheap: Backend
    confidence: float = 0.9
    proxy: Labellers | None = None

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise UsageError(f"--agree {self.target:g} is no share of rows.", hint="--agree 0.95")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"--sure {self.confidence:g} is no confidence.", hint="--sure 0.9")

    def strategy(self) -> Strategy:
        """The strategy that executes a plan with this guarantee."""

        async def carry_out(context: RunContext, run: Run) -> None:
            await _Cascade(context, run, self).carry_out()

        return carry_out


@dataclass(frozen=True)
class _Labelled:
    """A pool of rows with the proxy model's labels.

    ``rank`` is each row's place in the order of confidence, ``expected`` the expected agreement by place.
    """

    pool: Any
    guesses: Sequence[str | None]
    confidence: Any
    rank: Any
    expected: Any


class _Cascade:
    """One run of a cascade. Everything happens on the loop thread, fitting in a thread of its own."""

    def __init__(self, context: RunContext, run: Run, agreement: CascadeSettings) -> None:
        assert isinstance(run.plan.task, CascadeLabel)
        self.context, self.run, self.agreement = context, run, agreement
        self.plan: Plan = run.plan
        self.task: CascadeLabel = run.plan.task
        self.answers: dict[int, str | None] = {}
        self.work_items = list(run.plan.work_items())
        self.texts = [cell_text(item.row[self.task.column]) for item in self.work_items]
        self.rows = sum(bool(text.strip()) for text in self.texts)
        self.keys: Any = None
        self.cheap = self._labeller()
        self.guarantee = Guarantee(self.rows, agreement.target, agreement.confidence)

    def _labeller(self) -> ProxyModel:
        backend, proxy = self.agreement.cheap, self.agreement.proxy
        if proxy is not None:
            return SmallModelProxy(self.context, self.run, proxy)
        return EmbeddingProxy(self.context, self.plan, backend, self.texts)

    async def carry_out(self) -> None:
        """Train, test, label; whatever the outcome, every row has its result in the end."""
        import numpy as np

        full = [i for i, text in enumerate(self.texts) if text.strip()]
        if self.rows < LEAST:
            self._gave_up(f"{self.rows:,} rows are too few for a promise to pay ({LEAST} are needed)")
            await self._ask(range(len(self.texts)))
            return
        await self._ask([i for i, text in enumerate(self.texts) if not text.strip()])
        numbers = random_numbers(self.texts, self.plan.seed)
        self.keys = numbers[:, 1]
        shuffled = np.array(full)[np.argsort(numbers[full, 0], kind="stable")]
        training = first_rows(len(full))
        self.run.sample = [self.work_items[int(i)] for i in shuffled[:BIAS_ROWS]]
        await self._ask(shuffled[:training])
        known = [int(i) for i in shuffled[:training] if self.answers.get(int(i))]
        if not known:
            self._gave_up("it labelled none of the rows that the cheap labeller was to learn from")
            await self._ask(shuffled[training:])
            return
        try:
            await self._learn(known)
        except ProxyUnusable as unfit:
            self._gave_up(str(unfit))
            await self._ask(shuffled[training:])
            return
        pool = shuffled[training:]
        await self._test(await self._teach_more(pool, known) if self.cheap.trained else pool)

    async def _learn(self, known: Sequence[int]) -> None:
        """Train the proxy; a model that turns out to give only embeddings is asked for those."""
        labels = [str(self.answers[i]) for i in known]
        try:
            await self.cheap.learn(known, labels)
        except Unsupported:
            if self.agreement.proxy is None or not self.agreement.cheap.capabilities.embed:
                raise
            self.cheap = EmbeddingProxy(self.context, self.plan, self.agreement.cheap, self.texts)
            await self.cheap.learn(known, labels)

    async def _teach_more(self, pool: Any, known: Sequence[int]) -> Any:
        """Train the proxy on rows that it is least sure of, too: the model would label them anyway.

        The other rows come back; no label of theirs was seen.
        """
        labelled = await self._by_confidence(pool)
        count = unsure_rows(self.guarantee, labelled.expected, len(known))
        if count < _FEW:
            return pool
        unsure = labelled.rank >= len(pool) - count
        await self._ask(pool[unsure])
        more = [int(i) for i in pool[unsure] if self.answers.get(int(i))]
        await self._learn([*known, *more])
        return pool[~unsure]

    async def _test(self, pool: Any) -> None:
        """Compare proxy and model on a sample of the pool, and divide the other rows between them."""
        preview = self.cheap.preview(len(pool))
        if preview is not None and not self._pays(rough_design(self.guarantee, preview).saved):
            await self._not_worth_it(pool)
            return
        labelled = await self._by_confidence(pool)
        design = await asyncio.to_thread(best_design, self.guarantee, labelled.expected)
        if not self._pays(design.saved):
            await self._not_worth_it(pool)
            return
        drawn = design.strata.drawn(labelled.rank, self.keys[pool])
        await self._ask(pool[drawn])
        agrees = [
            labelled.guesses[i] is not None and self.answers.get(int(pool[i])) == labelled.guesses[i]
            for i in drawn.nonzero()[0]
        ]
        size = self.guarantee.certified(design.strata, design.limits, labelled.rank[drawn], agrees)
        await self._share_out(labelled, drawn, size)

    async def _by_confidence(self, pool: Any) -> _Labelled:
        """The proxy model's labels of these rows, and their order."""
        import numpy as np

        guesses, confidence = await self.cheap.label(pool)
        order = np.argsort(-confidence, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return _Labelled(pool, guesses, confidence, rank, self.cheap.expected(confidence[order]))

    async def _share_out(self, labelled: _Labelled, drawn: Any, size: int) -> None:
        """The proxy model labels those of the ``size`` surest rows that were not drawn."""
        left = (~drawn).nonzero()[0]
        taken = {
            i: name for i in left if labelled.rank[i] < size and (name := labelled.guesses[i]) is not None
        }
        if not self._pays(len(taken)):
            await self._not_worth_it(labelled.pool[left])
            return
        # What a row shows is the chance that its label is the model's: a regression's own is far too low.
        chances = self.cheap.expected(labelled.confidence[list(taken)])
        for (i, name), chance in zip(taken.items(), chances, strict=True):
            self.run.deliver(self._by_proxy(int(labelled.pool[i]), name, float(chance)))
        await self._ask([labelled.pool[i] for i in left if i not in taken])
        self._promise(len(taken))

    def _pays(self, saved: float) -> bool:
        return saved >= WORTH * self.rows

    async def _not_worth_it(self, rest: Any) -> None:
        await self._ask(rest)
        self._gave_up(
            f"the cheap labeller agreed with it on {self.cheap.agreement:.0%} of the rows it learnt "
            "from, which would have saved too few calls to be worth it"
        )

    def _by_proxy(self, index: int, label: str, confidence: float) -> Result:
        return Result(index, "ok", self.task.by_proxy(label, confidence, self.cheap.by))

    async def _ask(self, indices: Any) -> None:
        """The model's labels for these rows, within the rest of the budget."""
        items: list[WorkItem] = [self.work_items[int(i)] for i in indices]
        if not items:
            return
        options = self.plan.options
        if options.max_cost is not None:
            left = options.max_cost - self.run.meter.cost - self.cheap.cost
            options = replace(options, max_cost=max(0.0, left))
        await single_pass(self.context, self.run, items, self._take, options)

    def _take(self, result: Result) -> None:
        label = result.values.get(self.task.output) if result.status in ("ok", "repaired") else None
        self.answers[result.index] = None if label is None else str(label)
        self.run.deliver(result)

    def _promise(self, saved: int) -> None:
        """The sentence under the result, and the numbers in the manifest."""
        agreement, rows, calls = self.agreement, self.rows, self.cheap.calls
        price = f" for {calls:,} to {self.cheap.by}" if calls else ""
        self._say(
            f"{saved:,} of {rows:,} rows by {self.cheap.by}, the rest by {self.plan.backend.name}; "
            f"at least {agreement.target:.0%} of all labels are the model's own, with "
            f"{agreement.confidence:.0%} confidence; {saved:,} calls saved ({saved / rows:.0%}){price}",
            saved,
        )

    def _gave_up(self, why: str) -> None:
        self._say(f"the model labelled every row: {why}", 0)

    def _say(self, said: str, saved: int) -> None:
        agreement = self.agreement
        self.run.notes.setdefault(f"--agree {agreement.target:g}: {said}")
        self.run.details["agree"] = {
            "target": agreement.target,
            "confidence": agreement.confidence,
            "cheap": self.cheap.by,
            "calls_saved": saved,
            "cheap_calls": self.cheap.calls,
        }
