"""The explorer as static HTML without script: the twin that a saved notebook keeps, and the exported page."""

from __future__ import annotations

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer.export import page as exported
from llm_magics.tasks.concepts.explorer.export.drawing import drawing
from llm_magics.tasks.concepts.explorer.export.style import style
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import block, cut, escape, heading, table
from llm_magics.widgets.theme import css_colour

MAP = 600, 440
POINTS = 1000
"""Documents on the map of the twin, which every saved notebook carries."""
MOST = 60


def summary(concepts: ConceptModel, column: str | None = None) -> str:
    """Concepts with counts and a quote beside the map, then the matrix of a slice column: some 100 kB."""
    name = title(concepts)
    drawn = drawing(concepts, POINTS, *MAP) if concepts.selected else ""
    seen = f'<div class="seen">{drawn}{matrix(concepts, column)}</div>'
    report = "<br>".join(map(escape, concepts.report.splitlines()))
    parts = [
        f"<style>{style('twin.css')}</style>",
        heading(name),
        f'<div class="both"><div class="list">{_concept_table(concepts)}</div>{seen}</div>',
        f'<div class="report">{report}</div>' if report else "",
    ]
    return block(f'<div class="llmx-twin">{"".join(parts)}</div>', role="figure", said=name)


def title(concepts: ConceptModel) -> str:
    """What this is, in a few words."""
    uncovered = len(concepts.uncovered)
    rest = f", {uncovered:,} match none" if concepts.selected else ""
    return f"{len(concepts.selected)} concepts in {len(concepts.documents):,} documents{rest}"


def _concept_table(concepts: ConceptModel) -> str:
    lines = "".join(_line(concepts, k, concept) for k, concept in enumerate(concepts.selected[:MOST]))
    more = len(concepts.selected) - MOST
    rest = f'<div class="said">and {more:,} more</div>' if more > 0 else ""
    heads = '<th scope="col">concept</th><th scope="col" class="n">documents</th><th scope="col">share</th>'
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>{rest}"


def _line(concepts: ConceptModel, k: int, concept: Concept) -> str:
    count = len(concepts.rows(concept.id))
    share = count / max(1, len(concepts.documents) - len(concepts.documents.blank))
    said = concept.summary or next(
        (f"“{quote}”" for quote in concepts.quotes(concept.id, 1)), concept.criterion
    )
    bar = f'<span style="width:{100 * share:.1f}%;background:{css_colour(k)}"></span>'
    return (
        f'<tr><th scope="row"><i style="background:{css_colour(k)}"></i>{escape(concept.name)}'
        f'<div class="said">{escape(cut(said, 150))}</div></th><td class="n">{count:,}</td>'
        f'<td>{share:.0%}<span class="track" aria-hidden="true">{bar}</span></td></tr>'
    )


def matrix(concepts: ConceptModel, column: str | None) -> str:
    """The table of concepts by slice: share of the slice, and count; empty without a column."""
    if column is None or not concepts.selected:
        return ""
    groups, counts, sizes = concepts.counted(column)
    heads = ["", *(f"{group} ({size:,})" for group, size in zip(groups, sizes, strict=True))]
    lines = [
        [concept.name, *(_count(n, size) for n, size in zip(row, sizes, strict=True))]
        for concept, row in zip(concepts.selected[:MOST], counts, strict=False)
    ]
    caption = f"Documents that match, by {column}: share of the slice, and count"
    return f'<div class="wide">{table(heads, lines, caption=caption)}</div>'


def _count(count: int, size: int) -> str:
    return f"{count / size:.0%} ({count:,})" if size and count else "0"


def text(concepts: ConceptModel) -> str:
    """The same as plain text."""
    return repr(concepts)


def page(concepts: ConceptModel, column: str | None = None) -> str:
    """A whole HTML document with map, search and documents, which opens without a network."""
    return exported.page(concepts, title(concepts), matrix(concepts, column))
