"""The map as data: places and colours of the documents, density, where the concepts' names belong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.tasks.concepts.explorer.figures import best, sampled
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.figures.smoothing import smoothed

CELLS = 72
"""Cells of the density on each side."""

SMOOTH = 2.2
"""Standard deviation of the density's Gaussian kernel, in cells."""


def map_part(concepts: ConceptModel, colour: str, concept: str | None, most: int) -> dict[str, Any]:
    """The drawn documents: rows, places, colours by ``colour``; the density of all; the names' places.

    ``colour`` is "concept", "slice:COLUMN" or "score" (of the concept with this id).
    """
    import numpy as np

    owners = best(concepts)
    places = np.asarray(concepts.place(), dtype=np.float32)
    rows = sampled(owners, most)
    return {
        "rows": rows.astype(np.uint32),
        # A comm sends whole memory only, no strided view.
        "x": np.ascontiguousarray(places[rows, 0]),
        "y": np.ascontiguousarray(places[rows, 1]),
        "owners": owners[rows].astype(np.int16),
        **_colours(concepts, colour, concept, rows, owners),
        "density": density(places),
        "names": _names(concepts, places, owners),
        "of": len(concepts.documents),
    }


def _colours(
    concepts: ConceptModel, colour: str, concept: str | None, rows: Any, owners: Any
) -> dict[str, Any]:
    """Codes into a palette with their legend, or values from 0 to 1 (-1: none) with a threshold."""
    import numpy as np

    if colour == "score" and concept is not None and concept in concepts:
        values = np.nan_to_num(concepts.column(concept).array.astype(np.float32), nan=-1)
        return {"values": values[rows], "threshold": concepts.threshold, "title": concepts[concept].name}
    if colour.startswith("slice:"):
        parts = concepts.slice(colour.removeprefix("slice:"))
        codes = np.array(parts.codes, dtype=np.int16)
        return {"codes": codes[rows], "groups": list(parts.groups), "title": parts.column}
    return {"codes": owners[rows].astype(np.int16), "groups": [], "title": ""}


def density(places: Any) -> dict[str, Any]:
    """How close the documents lie, from 0 to 1, on a grid a little larger than the map."""
    import numpy as np

    if len(places) < 2:
        return {"z": np.zeros(0, dtype=np.float32), "size": 0, "x": [0, 1], "y": [0, 1]}
    low, high = places.min(axis=0), places.max(axis=0)
    margin = np.maximum((high - low) * 0.08, 1e-6)
    box = [[float(a), float(b)] for a, b in zip(low - margin, high + margin, strict=True)]
    counts, _, _ = np.histogram2d(places[:, 0], places[:, 1], bins=CELLS, range=box)
    smooth = smoothed(counts.T, SMOOTH)
    top = smooth.max() or 1.0
    return {"z": np.sqrt(smooth / top).astype(np.float32).ravel(), "size": CELLS, "x": box[0], "y": box[1]}


def _names(concepts: ConceptModel, places: Any, owners: Any) -> list[dict[str, Any]]:
    """Each ticked concept's name with the place where its own documents lie closest."""
    import numpy as np

    found = []
    for number, concept in enumerate(concepts.selected):
        mine = places[np.flatnonzero(owners == number)]
        if len(mine):
            x, y = closest(mine)
            found.append(
                {"id": concept.id, "name": concept.name, "number": number, "x": x, "y": y, "n": len(mine)}
            )
    return found


def closest(points: Any) -> tuple[float, float]:
    """The middle of the half of the points that lies closest together, by coordinate-wise medians."""
    import numpy as np

    middle = np.median(points, axis=0)
    for _ in range(5):
        distance = ((points - middle) ** 2).sum(axis=1)
        near = points[np.argsort(distance, kind="stable")[: max(1, (len(points) + 1) // 2)]]
        middle = np.median(near, axis=0)
    return float(middle[0]), float(middle[1])


def lit_part(rows_drawn: Any, rows: Sequence[int] | None, why: str, here: int | None) -> dict[str, Any]:
    """Which of the drawn documents stand out, and why; None for ``rows``: none does, all look alike."""
    import numpy as np

    where = np.flatnonzero(rows_drawn == here) if here is not None else np.zeros(0, dtype=np.int64)
    spot = int(where[0]) if len(where) else None
    if rows is None:
        return {"mask": None, "why": "", "here": spot, "count": 0}
    mask = np.isin(rows_drawn, np.asarray(list(rows), dtype=np.int64)).astype(np.uint8)
    return {"mask": mask, "why": why, "here": spot, "count": len(rows)}
