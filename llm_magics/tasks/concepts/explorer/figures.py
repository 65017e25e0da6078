"""The explorer's figures as data for one scattergl trace: a map, a matrix of slices, prevalence.

No side effects: a set of concepts in, numbers and labels out. ``keys`` tells what each point is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.theme import GRID, INK, SYMBOLS, colour, shape

MAX_POINTS = 20_000
HEIGHT = 430
"""Pixels of the figure; more where many lines need them."""
FLOOR = 50
NAME = 30


@dataclass(frozen=True)
class Picture:
    """What the one trace shows. ``keys`` tells what each point stands for; ``notice`` what is left out."""

    trace: dict[str, Any]
    layout: dict[str, Any]
    keys: Any
    notice: str = ""
    legend: list[tuple[int, str]] = field(default_factory=list)


def plain(text: str) -> str:
    """A name as an axis may show it: short, one line, without plotly's own markup."""
    return escape(cut(" ".join(text.split()), NAME)).replace("&#x27;", "'").replace("&quot;", '"')


def best(concepts: ConceptModel) -> Any:
    """The number of each document's best matching ticked concept, -1 where none matches: shape (n,)."""
    import numpy as np

    if not concepts.selected or not len(concepts.documents):
        return np.full(len(concepts.documents), -1, dtype=np.int16)
    scores = np.array([concepts.column(c.id).values for c in concepts.selected], dtype=np.float32)
    scores = np.where(np.isnan(scores) | (scores <= concepts.threshold), -1, scores)
    return np.where(scores.max(axis=0) < 0, -1, scores.argmax(axis=0)).astype(np.int16)


def map_picture(concepts: ConceptModel, chosen: Sequence[str] = (), most: int = MAX_POINTS) -> Picture:
    """Each document at its place, coloured by its best concept; with ``chosen``, only theirs stand out."""
    import numpy as np

    owners = best(concepts)
    ids = [concept.id for concept in concepts.selected]
    if chosen:
        owners = _of_chosen(concepts, ids, chosen)
    rows = sampled(owners, most)
    shown = owners[rows]
    places = np.asarray(concepts.place(), dtype=np.float32)[rows]
    levels = [colour(-1), *(colour(n) for n in range(8))]
    trace = {
        # A comm sends whole memory only, no strided view.
        "x": np.ascontiguousarray(places[:, 0]),
        "y": np.ascontiguousarray(places[:, 1]),
        "mode": "markers",
        "text": None,
        "error_x": {"visible": False},
        "marker": {
            "color": np.where(shown < 0, 0, shown % 8 + 1).astype(np.uint8),
            "colorscale": _steps(levels),
            "cmin": -0.5,
            "cmax": 8.5,
            "symbol": _symbols(shown),
            "size": _sizes(shown),
            "opacity": 0.8,
            "line": {"width": 0},
        },
    }
    of = len(concepts.documents)
    notice = f"showing {len(rows):,} of {of:,} documents" if len(rows) < of else ""
    legend = [
        (n, c.name) for n, c in enumerate(concepts.selected) if not chosen or c.id in _ids(concepts, chosen)
    ]
    bare = {
        "showticklabels": False,
        "showgrid": False,
        "zeroline": False,
        "title": {"text": ""},
        "type": "linear",
    }
    layout = {"xaxis": {**_AXIS, **bare}, "yaxis": {**_AXIS, **bare}, "height": HEIGHT}
    return Picture(trace, layout, rows, notice, legend)


def _ids(concepts: ConceptModel, chosen: Sequence[str]) -> set[str]:
    return {concepts[name].id for name in chosen}


def _of_chosen(concepts: ConceptModel, ids: Sequence[str], chosen: Sequence[str]) -> Any:
    """Like ``best``, among the chosen concepts alone."""
    import numpy as np

    owners = np.full(len(concepts.documents), -1, dtype=np.int16)
    for name in reversed(list(chosen)):
        concept = concepts[name]
        number = ids.index(concept.id) if concept.id in ids else len(ids)
        owners[concepts.rows(concept.id)] = number
    return owners


def _symbols(owners: Any) -> Any:
    import numpy as np

    shapes = np.where(owners < 0, 0, (owners + owners // 8) % 8)
    return np.array(SYMBOLS, dtype=np.uint8)[shapes]


def _sizes(owners: Any) -> Any:
    import numpy as np

    return np.where(owners < 0, 5, 7).astype(np.uint8)


def _steps(colours: Sequence[str]) -> list[list[Any]]:
    """A colour scale of flat steps."""
    n = len(colours)
    return [[edge, c] for i, c in enumerate(colours) for edge in (i / n, (i + 1) / n)]


def sampled(owners: Any, most: int, seed: int = 0) -> Any:
    """At most ``most`` rows, in order, drawn by group: every concept keeps at least 50 where it has them."""
    import numpy as np

    if len(owners) <= most:
        return np.arange(len(owners))
    draw = np.random.default_rng(seed)
    groups = [np.flatnonzero(owners == value) for value in np.unique(owners)]
    share = most / len(owners)
    wanted = [min(len(group), max(FLOOR, int(len(group) * share))) for group in groups]
    # What the floors take, and what rounding leaves, is the largest group's.
    largest = int(np.argmax([len(group) for group in groups]))
    wanted[largest] = min(len(groups[largest]), wanted[largest] + most - sum(wanted))
    kept = [draw.choice(group, max(0, n), replace=False) for group, n in zip(groups, wanted, strict=True)]
    return np.sort(np.concatenate(kept))


def matrix_picture(concepts: ConceptModel, column: str | None, by: str | None = None) -> Picture:
    """A bubble for each concept and slice; its area is the count, or the share ``by`` concept or slice."""
    import numpy as np

    groups, counts, _ = concepts.counted(column)
    table = concepts.matrix(column, by)
    shares = np.nan_to_num(table.to_numpy(dtype=float))
    names = [concept.name for concept in concepts.selected]
    cells = [(i, j) for i in range(len(names)) for j in range(len(groups))]
    values = [shares[i, j] for i, j in cells]
    largest = max(values, default=0) or 1
    text = [f"{value:.0%}" if by else f"{int(value):,}" for value in values]
    trace = {
        "x": np.array([j for _, j in cells], dtype=np.float32),
        "y": np.array([i for i, _ in cells], dtype=np.float32),
        "mode": "markers+text",
        "text": text,
        "textposition": "middle center",
        "error_x": {"visible": False},
        "marker": _flat([6 + 24 * (value / largest) ** 0.5 for value in values], [i for i, _ in cells], 0.55),
    }
    layout = {
        # No grid: its lines would strike the numbers through.
        "xaxis": {**_AXIS, **_ticks([plain(group) for group in groups]), "side": "top", "showgrid": False},
        "yaxis": {**_AXIS, **_ticks([plain(name) for name in names], down=True), "showgrid": False},
        "height": _tall(len(names)),
    }
    return Picture(trace, layout, [(names[i], groups[j]) for i, j in cells], f"{len(counts)} concepts")


def _flat(sizes: Sequence[float], owners: Sequence[int], opacity: float) -> dict[str, Any]:
    """A marker whose colour is its concept's."""
    import numpy as np

    return {
        "color": np.array([n % 8 + 1 for n in owners], dtype=np.uint8),
        "colorscale": _steps([colour(-1), *(colour(n) for n in range(8))]),
        "cmin": -0.5,
        "cmax": 8.5,
        "symbol": np.array([0 if opacity < 0.8 else SYMBOLS[shape(n)] for n in owners], dtype=np.uint8),
        "size": np.array(sizes, dtype=np.float32),
        "opacity": opacity,
        "line": {"width": 0},
    }


def prevalence_picture(concepts: ConceptModel) -> Picture:
    """How many documents show each concept, most first: a mark at the count, a line to zero."""
    import numpy as np

    counts = [(len(concepts.rows(c.id)), n, c.name) for n, c in enumerate(concepts.selected)]
    counts.sort(key=lambda item: -item[0])
    whole = max(1, len(concepts.documents) - len(concepts.documents.blank))
    x = np.array([count for count, _, _ in counts], dtype=np.float32)
    trace = {
        "x": x,
        "y": np.arange(len(counts), dtype=np.float32),
        "mode": "markers+text",
        "text": [f"{count:,} ({count / whole:.0%})" for count, _, _ in counts],
        "textposition": "middle right",
        "error_x": {
            "visible": True,
            "type": "data",
            "symmetric": False,
            "array": np.zeros_like(x),
            "arrayminus": x,
            "thickness": 3,
            "width": 0,
            "color": "#7f7f7f",
        },
        "marker": _flat([13.0] * len(counts), [n for _, n, _ in counts], 1.0),
    }
    names = [name for _, _, name in counts]
    top = float(x.max(initial=1)) * 1.7  # room for the number beside the longest line
    numbers = {"range": [0, top], "autorange": False, "showgrid": True, "title": {"text": "documents"}}
    layout = {
        "xaxis": {**_AXIS, **numbers, "side": "bottom", "showticklabels": True},
        "yaxis": {**_AXIS, **_ticks([plain(name) for name in names], down=True)},
        "height": _tall(len(names)),
    }
    return Picture(trace, layout, [(name, "all") for name in names])


_AXIS: dict[str, Any] = {
    "showgrid": True,
    "showline": False,
    "zeroline": False,
    "showticklabels": True,
    "tickmode": "auto",
    "tickvals": None,
    "ticktext": None,
    "range": None,
    "autorange": True,
    "automargin": True,
    "side": None,
    "title": {"text": ""},
    "fixedrange": False,
}
"""All of an axis that a view may set, so that no view inherits another's."""


def _tall(lines: int) -> int:
    return max(HEIGHT, 100 + 30 * lines)


def _ticks(names: Sequence[str], *, down: bool = False) -> dict[str, Any]:
    ends = [-0.7, len(names) - 0.3]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": ends[::-1] if down else ends,
        "autorange": False,
    }


def paths(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as plotly's dotted paths."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from paths(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def painted(layout: dict[str, Any], theme: str) -> dict[str, Any]:
    """The layout in a theme's colours, on whatever the page's ground is."""
    ink, grid = INK[theme], GRID[theme]
    axes = {
        name: {**layout.get(name, {}), "gridcolor": grid, "linecolor": grid} for name in ("xaxis", "yaxis")
    }
    return {
        **layout,
        **axes,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": ink, "size": 12},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": ink, "activecolor": colour(0)},
    }
