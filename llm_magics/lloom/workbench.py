"""LLooM's workbench: its steps by their names there, over a ConceptSet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data import frames
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.model.tables import long
from llm_magics.tasks.concepts.pipeline import concepts

MOST = 20
"""Concepts that ``gen`` keeps at most; LLooM's own target number."""


class Instance:
    """Texts, models by step, and the concepts found so far (``concepts``, a ConceptSet).

    Every method is one or two calls on the ConceptSet, which can do more: edit, merge, split, lock,
    undo, slice, save. Costs are told before and after; ``max_cost`` stops a step in time.
    """

    def __init__(
        self,
        df: Any,
        text_col: str,
        id_col: str | None = None,
        *,
        distill_model: Any = None,
        cluster_model: Any = None,
        synth_model: Any = None,
        score_model: Any = None,
        debug: bool = False,
        max_cost: float | None = None,
    ) -> None:
        frame, _ = frames.read(df, "df", text_col)
        if id_col is not None:
            frame.require(id_col)
        self.df = df
        self.text_col = text_col
        self.id_col = id_col
        models = {
            "concepts.distill": distill_model,
            "embed": cluster_model,
            "concepts.synthesize": synth_model,
            "concepts.score": score_model,
        }
        self.models = {role: model for role, model in models.items() if model is not None}
        self.debug = debug
        self.max_cost = max_cost
        self._concepts: ConceptSet | None = None

    @property
    def concepts(self) -> ConceptSet:
        """What ``gen`` found. Raises UsageError before it."""
        if self._concepts is None:
            raise UsageError("no concepts yet.", hint='Type: await l.gen(seed="what to look for")')
        return self._concepts

    async def gen(
        self,
        seed: str | None = None,
        params: Mapping[str, Any] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, str | None] | None = None,
        auto_review: bool = True,
        debug: bool | None = None,
        *,
        max_concepts: int = MOST,
        **options: Any,
    ) -> ConceptSet:
        """Distill, cluster, synthesize and (``auto_review``) review; scores come with ``score``.

        ``custom_prompts`` replaces a step's wording, None skips it. ``debug`` needs nothing here: no step
        asks for input, and each can be looked at. Raises UsageError for what has no meaning here.
        """
        _refuse(params, n_synth)
        stage = "review" if auto_review else "synthesize"
        self._concepts = self._run(
            stage=stage, seed_term=seed or "", max_concepts=max_concepts, prompts=custom_prompts, **options
        )
        return self._concepts

    async def gen_auto(
        self,
        max_concepts: int = 8,
        seed: str | None = None,
        params: Mapping[str, Any] | None = None,
        n_synth: int = 1,
        custom_prompts: Mapping[str, str | None] | None = None,
        debug: bool | None = None,
        **options: Any,
    ) -> Any:
        """All steps at once, scores included; returns the score table."""
        _refuse(params, n_synth)
        self._concepts = self._run(
            stage="score",
            seed_term=seed or "",
            max_concepts=max_concepts,
            prompts=custom_prompts,
            **options,
        )
        return self.get_score_df()

    def _run(self, **asked: Any) -> ConceptSet:
        given = {"on": self.text_col, "models": self.models, "max_cost": self.max_cost, **asked}
        made = concepts(self.df, **{name: value for name, value in given.items() if value is not None})
        assert isinstance(made, ConceptSet)
        return made

    async def score(self, c_ids: Sequence[str] | None = None, **_: Any) -> Any:
        """Score what is not scored yet, of all ticked concepts or those named; returns the score table."""
        await self.concepts.rescore(*(c_ids or ()))
        return self.get_score_df()

    async def add(self, name: str, prompt: str, ex_ids: Sequence[int] = (), **_: Any) -> Any:
        """Add a concept by its yes/no question, and score it."""
        made = self.concepts.add(name, prompt, examples=tuple(ex_ids))
        return await self.score([made.id])

    def select(self) -> Any:
        """The explorer: tick, rename, merge, split, add; its state is ``concepts`` at once."""
        return self.concepts.explore()

    def vis(self, slice_col: str | None = None, **_: Any) -> Any:
        """The explorer with the concepts compared by a column."""
        return self.concepts.explore(slice_col)

    def show_selected(self) -> list[str]:
        """The ticked concepts' names."""
        return [concept.name for concept in self.concepts.selected]

    def get_score_df(self) -> Any:
        """One row a document (by ``id_col``) and concept: score, rationale, highlight, status, error."""
        return long(self.concepts, self.id_col)

    def export_df(self) -> Any:
        """One row a concept, with LLooM's columns."""
        return self.concepts.export()

    def export_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return self.concepts.to_json()

    def estimate_gen_cost(self, **options: Any) -> Any:
        """What ``gen`` would send and cost, by step; nothing is sent."""
        return concepts(
            self.df, on=self.text_col, models=self.models, stage="review", dry_run=True, **options
        )

    def estimate_score_cost(self, *c_ids: str) -> Any:
        """What ``score`` would send and cost; nothing is sent."""
        return self.concepts.estimate(*c_ids)

    def save(self, folder: str, file_name: str = "concepts") -> Path:
        """Save as JSON (no pickle, no models, no keys); ``ConceptSet.load(path)`` reads it."""
        path = Path(folder) / f"{file_name}.json"
        self.concepts.save(path)
        return path


def _refuse(params: Mapping[str, Any] | None, n_synth: int) -> None:
    """LLooM's two ways to make more or fewer concepts, which are one number here."""
    said = [*(params or ()), *(["n_synth"] if n_synth != 1 else ())]
    if said:
        raise UsageError(
            f"{', '.join(said)} can't be set here.",
            hint="How many concepts: gen(max_concepts=12). What a step says of a text: custom_prompts={...}",
        )


def lloom(df: Any, text_col: str, id_col: str | None = None, **models: Any) -> Instance:
    """A LLooM instance: ``distill_model``, ``cluster_model``, ``synth_model``, ``score_model`` by step.

    A step without a model uses the backend bound to its role (``%llm_config use NAME --for ROLE``).
    """
    return Instance(df, text_col, id_col, **models)
