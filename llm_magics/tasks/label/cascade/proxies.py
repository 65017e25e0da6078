"""The proxy models of a cascade: a regression on embeddings, or a small model's own labels."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from llm_magics.backends.base import Backend
from llm_magics.core.types import Result
from llm_magics.engine.request_queue import WorkItem
from llm_magics.runs.passes import RunContext, single_pass
from llm_magics.runs.planning import loaded_with_format
from llm_magics.runs.run import Plan, Run
from llm_magics.tasks.embed.plan import unit_vectors
from llm_magics.tasks.label.committee import TOGETHER, as_committee_label
from llm_magics.tasks.label.labellers import Labellers

_STRENGTHS = (1.0, 10.0, 100.0)
_FOLDS = 5


class LabelRegression:
    """A regularised logistic regression on embeddings, trained on rows that the model has labelled.

    ``expected`` turns a confidence into the agreement that held-out folds showed at it.
    """

    def __init__(self, vectors: Any, labels: Sequence[str], seed: int = 0) -> None:
        import numpy as np
        from threadpoolctl import threadpool_limits

        # Many small products: threads would spend ten times the work on waiting for each other.
        with threadpool_limits(limits=1):
            self._teach(vectors, labels, np.random.default_rng(seed))

    def _teach(self, vectors: Any, labels: Sequence[str], chance: Any) -> None:
        import numpy as np

        self.classes = sorted(set(labels))
        wanted = np.array([self.classes.index(label) for label in labels])
        folds = chance.permutation(len(wanted)) % min(_FOLDS, len(wanted))
        tries = [self._held_out(vectors, wanted, folds, strength) for strength in _STRENGTHS]
        best = int(np.argmax([(given == wanted).mean() for given, _ in tries]))
        given, confidence = tries[best]
        self.agreement = float((given == wanted).mean())
        self._calibration = isotonic(confidence, given == wanted)
        self._model = _fitted(vectors, wanted, _STRENGTHS[best])

    def _held_out(self, vectors: Any, wanted: Any, folds: Any, strength: float) -> tuple[Any, Any]:
        """Label numbers and confidences of each row by a regression that didn't see it."""
        import numpy as np

        given, confidence = np.zeros(len(wanted), dtype=int), np.zeros(len(wanted))
        for fold in range(int(folds.max()) + 1):
            held = folds == fold
            model = _fitted(vectors[~held], wanted[~held], strength)
            given[held], confidence[held] = _guess(model, vectors[held])
        return given, confidence

    def label(self, vectors: Any) -> tuple[list[str], Any]:
        """The labels of rows, and a confidence each (the probability of the label)."""
        numbers, confidence = _guess(self._model, vectors)
        return [self.classes[number] for number in numbers], confidence

    def expected(self, confidence: Any) -> Any:
        """The expected share of rows of this confidence that agree with the model."""
        return self._calibration.predict(confidence)


def _fitted(vectors: Any, wanted: Any, strength: float) -> Any:
    """The regression, or the only class's number where there is one class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(set(wanted.tolist())) < 2:
        return int(wanted[0]) if len(wanted) else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=200).fit(vectors, wanted)


def _guess(model: Any, vectors: Any) -> tuple[Any, Any]:
    import numpy as np

    if isinstance(model, int):
        return np.full(len(vectors), model), np.ones(len(vectors))
    chances = model.predict_proba(vectors)
    return model.classes_[chances.argmax(axis=1)], chances.max(axis=1)


def isotonic(confidence: Any, agrees: Any) -> Any:
    """Agreement as a rising function of confidence (isotonic regression; Zadrozny & Elkan 2002)."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
        confidence, agrees.astype(float)
    )


class ProxyUnusable(Exception):
    """The proxy model can't label these rows; the message says why."""


class ProxyModel(Protocol):
    """Learns from the model's labels, then labels other rows with a confidence each."""

    agreement: float
    calls: int
    cost: float
    trained: bool
    """Whether its labels depend on the rows it learns from; else those rows may test it, too."""

    @property
    def by(self) -> str:
        """The name in the column ``{output}_by``."""

    async def learn(self, places: Sequence[int], labels: Sequence[str]) -> None:
        """Learn from the model's labels of these rows. Raises ProxyUnusable."""

    async def label(self, places: Any) -> tuple[Sequence[str | None], Any]:
        """Labels of these rows, and confidences that sort the surest first: float (n,)."""

    def expected(self, confidence: Any) -> Any:
        """The expected share of rows of this confidence that agree with the model."""

    def preview(self, rows: int) -> Any:
        """What ``expected`` of so many rows will be, surest first, before they are asked about; or None."""


class EmbeddingProxy:
    """A logistic regression on embeddings, trained on the model's labels. Every row is embedded."""

    calls = 0
    cost = 0.0
    trained = True

    def __init__(self, context: RunContext, plan: Plan, backend: Backend, texts: Sequence[str]) -> None:
        self.context, self.plan, self.backend, self.texts = context, plan, backend, texts
        self.agreement = 0.0
        self._vectors: Any = None

    @property
    def by(self) -> str:
        """The embedding model's name, and what stands on it."""
        return f"{self.backend.name} + regression"

    async def learn(self, places: Sequence[int], labels: Sequence[str]) -> None:
        """Embed all rows, once, and fit."""
        if self._vectors is None:
            self._vectors = await unit_vectors(self.context, self.plan, self.backend, self.texts)
        self._proxy = await asyncio.to_thread(
            LabelRegression, self._vectors[list(places)], list(labels), self.plan.seed
        )
        self.agreement = self._proxy.agreement

    async def label(self, places: Any) -> tuple[Sequence[str | None], Any]:
        """The regression's label and its probability."""
        return await asyncio.to_thread(self._proxy.label, self._vectors[places])

    def expected(self, confidence: Any) -> Any:
        """By held-out folds of the rows it was trained on."""
        return self._proxy.expected(confidence)

    def preview(self, rows: int) -> None:
        """None: its labels cost no calls."""


class SmallModelProxy:
    """A small model's own labels with their probabilities; only what a probability means is learned.

    A small local model has its prior, and its bias is removed, as if it labelled alone.
    """

    trained = False

    def __init__(self, context: RunContext, run: Run, labellers: Labellers) -> None:
        self.context, self.run = context, run
        task = labellers.task if labellers.committee is None else as_committee_label(labellers.task)
        plan = replace(
            run.plan,
            task=task,
            backend=labellers.backend,
            target=labellers.target or run.plan.target,
            columns=task.columns,
            strategy=None,
            asker=labellers.committee,
            prepare=labellers.prepare,
            truth=None,
            evaluate=None,
            notes=(),
        )
        self.plan, self.asked = plan, Run(plan)
        names = [labellers.backend.name]
        if labellers.committee is not None:
            names = [member.backend.name for member in labellers.committee.members]
        self.by = TOGETHER.join(names)
        self.agreement, self.cost, self.calls = 0.0, 0.0, 0
        self._labels: dict[int, tuple[str | None, float]] = {}

    async def learn(self, places: Sequence[int], labels: Sequence[str]) -> None:
        """Ask it about the rows that the model has labelled. Raises ProxyUnusable without probabilities."""
        import numpy as np

        guesses, confidence = await self.label(np.asarray(places))
        if not (confidence > 0).any():
            raise ProxyUnusable(f"{self.by} gives no probabilities to tell sure rows from others")
        agrees = np.array([guess == label for guess, label in zip(guesses, labels, strict=True)])
        self.agreement = float(agrees.mean())
        self._calibration, self._seen = isotonic(confidence, agrees), confidence

    async def label(self, places: Any) -> tuple[Sequence[str | None], Any]:
        """Its label and the label's probability; a row without a label comes last."""
        import numpy as np

        new = [int(place) for place in places if int(place) not in self._labels]
        if new:
            await self._label_new(new)
        labels = [self._labels[int(place)] for place in places]
        return [name for name, _ in labels], np.array([confidence for _, confidence in labels])

    async def _label_new(self, places: Sequence[int]) -> None:
        """Ask it about rows that it has not labelled in this run."""
        self._labels.update((place, (None, 0.0)) for place in places)
        wanted = set(places)
        run = Run(replace(self.plan, rows=[self.plan.rows[place] for place in places]))

        def take(result: Result) -> None:
            run.meter.add(result)
            name = result.values.get(self.plan.output)
            if name is not None:
                confidence = result.values.get(f"{self.plan.output}_confidence") or 0.0
                self._labels[result.index] = (str(name), confidence)

        items = (item for item in self.plan.work_items() if item.index in wanted)
        await self._answer(items, take)
        run.finish()
        self.context.record(run)
        self.calls += run.meter.done - run.meter.cached
        self.cost += run.meter.cost

    async def _answer(self, work_items: Iterable[WorkItem], take: Callable[[Result], None]) -> None:
        """Ask it, within the rest of the whole run's budget."""
        options = self.plan.options
        if options.max_cost is not None:
            left = options.max_cost - self.run.meter.cost - self.cost
            options = replace(options, max_cost=max(0.0, left))
        self.plan = self.asked.plan = await loaded_with_format(self.plan)
        self.asked.sample = self.run.sample
        await single_pass(self.context, self.asked, work_items, take, options)

    def expected(self, confidence: Any) -> Any:
        """The agreement that the rows labelled by the model showed at this confidence."""
        return self._calibration.predict(confidence)

    def preview(self, rows: int) -> Any:
        """As if the other rows were like those that it was asked about."""
        import numpy as np

        return self.expected(np.quantile(self._seen, np.linspace(1, 0, rows)))
