"""The options of ``concepts``, and how a cell gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from llm_magics.options.cell import CellInput, Named
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RowOptions
from llm_magics.options.values import count

Stage = Literal["distill", "cluster", "synthesize", "review", "score"]
STAGES: tuple[Stage, ...] = ("distill", "cluster", "synthesize", "review", "score")
"""The steps of concept induction, in order."""

THRESHOLD = 0.5
"""A document matches where its score is above this: "agree" and "strongly agree", or more likely than not."""


@options_record
class ConceptsOptions(RowOptions):
    """What ``concepts`` takes."""

    without_flags: ClassVar[frozenset[str]] = frozenset({"rows_per_request"})

    guidance: str = option(
        "what you would tell a person who did this, added to each prompt but the scores'",
        default="",
        flags="",
    )
    seed_term: str = option(
        "only what has to do with this topic; a text or a variable",
        default="",
        flags="--seed",
        metavar="TEXT",
    )
    slice: str | None = option("compare the concepts by this column", default=None, metavar="COL")
    max_concepts: int = option("keep and score at most N (default 20)", default=20, metavar="N", parse=count)
    induce_on: int | None = option(
        "look for concepts in N rows, score all", default=None, metavar="N", parse=count
    )
    groups: int | None = option(
        "group into N instead of as many as there are", default=None, metavar="N", parse=count
    )
    nearest: int | None = option(
        "score only the N nearest rows a concept", default=None, metavar="N", parse=count
    )
    stage: Stage = option(
        "stop after this step: a frame of points, one with their groups, or an unscored set",
        default="score",
        choices=STAGES,
    )
    points: Any = option("go on from this frame of points", default=None, metavar="NAME")
    concepts: Any = option("score these concepts instead of looking for some", default=None, metavar="NAME")
    static: bool = option("the summary without the widget", default=False, python=False)
    batch: int = option("criteria asked about in one scoring call", default=8, flags="")
    threshold: float = option("the score above which a document matches", default=THRESHOLD, flags="")
    prompts: Mapping[str, str | None] | None = option(
        "other wordings by step (distill_filter distill_summarize synthesize review_remove review_merge"
        " review_select score summarize_concept); None skips the step",
        default=None,
        flags="",
    )
    models: Mapping[str, str] | None = option(
        "a backend by role (concepts.distill concepts.synthesize concepts.score embed)",
        default=None,
        flags="",
    )


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a ``concepts`` cell: ``given`` by its flags, the guidance by its body."""
    read = dict(given)
    if cell.body.strip():
        read["guidance"] = cell.body.strip()
    if cell.flags.seed_term:
        read["seed_term"] = cell.text(cell.flags.seed_term)
    for name in ("concepts", "points"):
        variable = getattr(cell.flags, name)
        if variable:
            read[name] = Named(variable, cell.space.variable(variable))
    return read
