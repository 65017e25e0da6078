"""A set of concepts as figures to publish: map, matrix of slices, prevalence."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.tasks.concepts.explorer.figures import MAX_POINTS, best, sampled
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.text.cleaning import clean
from llm_magics.widgets.figures.map import MapData, map_figure
from llm_magics.widgets.figures.rows import estimates_figure, matrix_figure, share_of
from llm_magics.widgets.figures.template import Look

KINDS = ("map", "matrix", "prevalence")
TEXT = 400
"""Characters of a text that a point carries."""


def plot(concepts: ConceptModel, kind: str = "map", slice: str | None = None, **look: Any) -> Any:  # noqa: A002 - the flag's word
    """The figure of a kind; ``slice`` is the column of a matrix, or with prevalence one group of it.

    Raises NotFound for another kind, UsageError where there is nothing to draw.
    """
    if kind not in KINDS:
        raise NotFound.among("kind of figure", kind, KINDS)
    if not concepts.selected:
        raise UsageError("no concept is ticked, so there is nothing to draw.")
    made = Look(**look)
    if kind == "map":
        return _map(concepts, made)
    if kind == "matrix":
        return _matrix(concepts, slice or concepts.slice_shown, made)
    return _prevalence(concepts, made)


def map_data(concepts: ConceptModel, most: int = MAX_POINTS, *, told: bool = True) -> tuple[MapData, Any]:
    """The documents that a map shows, at most so many, and their row numbers; texts only if ``told``."""
    import numpy as np

    owners = best(concepts)
    rows = sampled(owners, most)
    texts = [clean(concepts.documents.texts[row][: 2 * TEXT])[:TEXT] for row in rows if told]
    places = np.asarray(concepts.place(), dtype=float)[rows]
    return MapData(places, owners[rows], [c.name for c in concepts.selected], texts), rows


def _map(concepts: ConceptModel, look: Look) -> Any:
    data, rows = map_data(concepts)
    of = len(concepts.documents)
    n = f"{len(rows):,} of {of:,} texts" if len(rows) < of else f"n = {of:,} texts"
    grey = f"{len(concepts.uncovered):,} in no concept (grey)"
    source = "; ".join(filter(None, [f"{n}, {grey}", _by(concepts), "near texts are alike (t-SNE)"]))
    return map_figure(data, look, f"{len(concepts.selected)} concepts in {of:,} texts", source)


def _by(concepts: ConceptModel) -> str:
    """What scored the concepts, as the report of the set says it."""
    said = concepts.report.splitlines()[0] if concepts.report else ""
    return said.split(":", 1)[0] if "::" not in said else said.split(": ", 1)[0]


def _matrix(concepts: ConceptModel, column: str | None, look: Look) -> Any:
    if column is None:
        raise UsageError(
            "which slices?", hint=f"slice= one of: {', '.join(concepts.sliceable) or 'no column'}"
        )
    groups, counts, sizes = concepts.counted(column)
    names = [concept.name for concept in concepts.selected]
    source = f"n = {len(concepts.documents):,} texts; cells: share of the slice that shows the concept"
    return matrix_figure(names, groups, counts, sizes, look, f"Concepts by {column}", source)


def _prevalence(concepts: ConceptModel, look: Look) -> Any:
    whole = len(concepts.documents) - len(concepts.documents.blank)
    counts = [(len(concepts.rows(c.id)), n, c.name) for n, c in enumerate(concepts.selected)]
    counts.sort(key=lambda one: -one[0])
    estimates = [share_of(name, count, whole, n) for count, n, name in counts]
    source = f"n = {whole:,} texts; a text may show several concepts; 95% Wilson intervals"
    axis = "share of texts, with 95% interval"
    return estimates_figure(estimates, look, "How many texts show each concept", source, axis)
