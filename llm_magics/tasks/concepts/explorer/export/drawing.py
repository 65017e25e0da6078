"""The map as inline SVG: points, names at their documents, density behind. No script."""

from __future__ import annotations

from typing import Any

from llm_magics.tasks.concepts.explorer.plots import map_data
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.figures.map import Layout, laid_out
from llm_magics.widgets.figures.template import FONT
from llm_magics.widgets.html import escape
from llm_magics.widgets.theme import css_colour

TEXT = 13


def drawing(
    concepts: ConceptModel, most: int, width: int, height: int, *, places: dict[int, int] | None = None
) -> str:
    """The map of at most so many documents, of this size in pixels; empty without documents.

    ``places`` maps row numbers to what a script knows them by; points of other rows carry nothing.
    """
    if not len(concepts.documents):
        return ""
    data, rows = map_data(concepts, most, told=False)
    made = laid_out(data, width, height, TEXT)
    of = len(concepts.documents)
    said = f"{len(rows):,} of {of:,} documents" if len(rows) < of else f"{of:,} documents"
    inside = [
        f'<image href="{made.image}" width="{width}" height="{height}" preserveAspectRatio="none"/>',
        f'<g class="points">{_points(made, data.owners, rows, places or {})}</g>',
        f'<g class="names" font-family="{escape(FONT)}" font-size="{TEXT}" font-weight="700">',
        f"{_names(made)}</g>",
    ]
    left = "".join(
        f'<li><i style="background:{css_colour(n)}"></i>{escape(data.names[n])}</li>' for n in made.unplaced
    )
    key = f'<ul class="key">{left}</ul>' if left else ""
    return (
        f'<svg class="map" viewBox="0 0 {width} {height}" role="img" aria-label="Map of {said}">'
        f'<defs><circle id="p" r="{_radius(len(rows))}"/></defs>{"".join(inside)}</svg>{key}'
    )


def _radius(count: int) -> float:
    return 3.4 if count < 400 else 2.7 if count < 1500 else 2.1


def _points(made: Layout, owners: Any, rows: Any, places: dict[int, int]) -> str:
    """Grey points first, so that those of a concept lie over them."""
    drawn = []
    order = sorted(range(len(rows)), key=lambda i: int(owners[i]) >= 0)
    for i in order:
        owner, place = int(owners[i]), places.get(int(rows[i]))
        x, y = made.unit[i, 0] * made.width, (1 - made.unit[i, 1]) * made.height
        known = "" if place is None else f' data-i="{place}"'
        faint = ' opacity=".5"' if owner < 0 else ""
        drawn.append(f'<use href="#p" x="{x:.1f}" y="{y:.1f}" fill="{css_colour(owner)}"{faint}{known}/>')
    return "".join(drawn)


def _names(made: Layout) -> str:
    parts = []
    for label in made.labels:
        if label.led:
            x, y = label.anchor
            parts.append(f'<line x1="{label.x:.0f}" y1="{label.y:.0f}" x2="{x:.0f}" y2="{y:.0f}"/>')
    for label in made.labels:
        step = label.height / len(label.lines)
        first = label.y - label.height / 2 + step * 0.78
        spans = "".join(
            f'<tspan x="{label.x:.0f}" y="{first + i * step:.0f}">{escape(line)}</tspan>'
            for i, line in enumerate(label.lines)
        )
        parts.append(f'<text data-k="{label.number}">{spans}</text>')
    return "".join(parts)
