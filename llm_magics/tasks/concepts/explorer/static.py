"""The explorer as static HTML without script: the summary in a saved notebook, and the exported page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer.figures import best, sampled
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import bar, block, cut, escape, heading, line, marked, table
from llm_magics.widgets.theme import COLOURS, NO_COLOUR, colour, glyph, shape

POINTS = 3000
QUOTES = 2
PAGE_DOCUMENTS = 20
MOST = 60


def summary(concepts: ConceptModel, column: str | None = None) -> str:
    """The concepts with counts and quotes, and the matrix of a slice column: a few kB of HTML."""
    parts = [heading(title(concepts)), _concept_table(concepts)]
    if column is not None:
        parts.append(_matrix(concepts, column))
    parts += [line(said, dim=True) for said in concepts.report.splitlines()]
    return block(*parts, role="figure", said=title(concepts))


def title(concepts: ConceptModel) -> str:
    """What this is, in a few words."""
    uncovered = len(concepts.uncovered)
    rest = f", {uncovered:,} show none" if concepts.selected else ""
    return f"{len(concepts.selected)} concepts in {len(concepts.documents):,} documents{rest}"


def _concept_table(concepts: ConceptModel) -> str:
    whole = max(1, len(concepts.documents) - len(concepts.documents.blank))
    lines = []
    for number, concept in enumerate(concepts.selected[:MOST]):
        count = len(concepts.rows(concept.id))
        quotes = "".join(
            f"<div>“{escape(cut(quote, 140))}”</div>" for quote in _highlights(concepts, concept)
        )
        mark = f'<span style="color:{colour(number)}">{glyph(number)}</span>'
        lines.append(
            f'<tr><th scope="row">{mark} {escape(concept.name)}</th><td class=n>{count:,}</td>'
            f"<td class=n>{count / whole:.0%} {bar(count / whole, 5)}</td>"
            f"<td>{escape(cut(concept.criterion, 240))}{_dim(concept.summary)}{quotes}</td></tr>"
        )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("concept", "documents", "share", "criterion"))
    more = len(concepts.selected) - MOST
    rest = line(f"and {more} more", dim=True) if more > 0 else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>{rest}"


def _dim(text: str) -> str:
    return f"<div class=dim>{escape(cut(text, 300))}</div>" if text else ""


def _highlights(concepts: ConceptModel, concept: Concept) -> list[str]:
    scores = concepts.column(concept.id).scores
    found = (
        s.highlight for row in concepts.rows(concept.id) if (s := scores[row]) is not None and s.highlight
    )
    return list(dict.fromkeys(found))[:QUOTES]


def _matrix(concepts: ConceptModel, column: str) -> str:
    groups, counts, sizes = concepts.counted(column)
    heads = ["", *(f"{group} ({size:,})" for group, size in zip(groups, sizes, strict=True))]
    rows = [
        [concept.name, *(_count(n, size) for n, size in zip(counted, sizes, strict=True))]
        for concept, counted in zip(concepts.selected[:MOST], counts, strict=False)
    ]
    caption = f"Documents that match, by {column}; in brackets the share of the slice"
    return table(heads, rows, caption=caption)


def _count(count: int, size: int) -> str:
    return f"{count:,} ({count / size:.0%})" if size else "0"


def text(concepts: ConceptModel) -> str:
    """The same as plain text."""
    return repr(concepts)


def page(concepts: ConceptModel, column: str | None = None) -> str:
    """A whole HTML document: summary, map, and each concept with its best documents. No scripts."""
    name = escape(title(concepts))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    dark = "@media(prefers-color-scheme:dark){body{background:#151515;color:#e6e6e6}}"
    style = f"body{{max-width:70em;margin:2em auto;padding:0 1em;font-family:system-ui,sans-serif}}{dark}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{name}</title><style>{style}</style></head><body>"
        f"{summary(concepts, column)}{block(heading('Map', 3), drawing(concepts), _sections(concepts))}"
        "</body></html>"
    )


def _sections(concepts: ConceptModel) -> str:
    return "".join(_section(concepts, number, concept) for number, concept in enumerate(concepts.selected))


def _section(concepts: ConceptModel, number: int, concept: Concept) -> str:
    rows = concepts.rows(concept.id)
    scores = concepts.column(concept.id).scores
    documents = "".join(
        f'<div class="doc"><div class="dim">{escape(_said(concepts, scores, row))}</div>'
        f"{marked(concepts.documents.texts[row], _highlight(scores, row), 800)}</div>"
        for row in rows[:PAGE_DOCUMENTS]
    )
    head = (
        f'<span style="color:{colour(number)}">{glyph(number)}</span> {escape(concept.name)} ({len(rows):,})'
    )
    return (
        f"<details><summary>{head}</summary><div>{escape(concept.criterion)}</div>"
        f"{_dim(concept.summary)}{documents}</details>"
    )


def _highlight(scores: Sequence[Any], row: int) -> str:
    return scores[row].highlight if scores[row] is not None else ""


def _said(concepts: ConceptModel, scores: Sequence[Any], row: int) -> str:
    score = scores[row]
    said = f"document {concepts.documents.labels[row]} · score {score.value:.2f}"
    return f"{said} · {score.rationale}" if score.rationale else said


_SHAPES = (
    '<circle id="{i}" r="3"/>',
    '<rect id="{i}" x="-2.7" y="-2.7" width="5.4" height="5.4"/>',
    '<path id="{i}" d="M0-3.8 3.8 0 0 3.8-3.8 0z"/>',
    '<path id="{i}" d="M0-3.6 3.4 2.6-3.4 2.6z"/>',
    '<path id="{i}" d="M-1-3.4h2v2.4h2.4v2h-2.4v2.4h-2v-2.4h-2.4v-2h2.4z"/>',
    '<path id="{i}" d="M-3-2-2-3 0-1 2-3 3-2 1 0 3 2 2 3 0 1-2 3-3 2-1 0z"/>',
    '<path id="{i}" d="M0-4 1-1 4-1 1.6.8 2.5 4 0 2-2.5 4-1.6.8-4-1-1-1z"/>',
    '<path id="{i}" d="M0 3.6 3.4-2.6-3.4-2.6z"/>',
)


def drawing(concepts: ConceptModel, width: int = 720, height: int = 480) -> str:
    """The map as SVG, up to 3,000 documents; colour and shape tell the concept."""
    import numpy as np

    if not len(concepts.documents):
        return ""
    owners = best(concepts)
    rows = sampled(owners, POINTS)
    places = np.asarray(concepts.place(), dtype=float)[rows]
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), 1e-9)
    spots = (places - low) / span * [width - 20, height - 20] + 10
    shapes = "".join(drawn.format(i=f"s{i}") for i, drawn in enumerate(_SHAPES))
    points = "".join(
        f'<use href="#s{shape(int(owner))}" x="{x:.0f}" y="{height - y:.0f}" '
        f'fill="{NO_COLOUR if owner < 0 else COLOURS[int(owner) % 8]}"/>'
        for (x, y), owner in zip(spots, owners[rows], strict=True)
    )
    of = len(concepts.documents)
    said = f"{len(rows):,} of {of:,} documents" if len(rows) < of else f"{of:,} documents"
    return (
        f'<svg viewBox="0 0 {width} {height}" width="100%" role="img" '
        f'aria-label="Map of {said}"><defs>{shapes}</defs>{points}</svg>{line(said, dim=True)}'
    )
