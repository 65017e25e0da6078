"""One HTML file: concepts, map, search, documents. It needs a browser, and neither kernel nor network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer.export.drawing import drawing
from llm_magics.tasks.concepts.explorer.export.style import style
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.text.cleaning import clean
from llm_magics.widgets.html import cut, escape, marked
from llm_magics.widgets.theme import css_colour

MAP = 720, 500
POINTS = 3000
"""Documents that have a point on the map."""
CHARACTERS = 1_200_000
"""Room for the documents' texts; with many documents each is cut."""
SHORTEST, LONGEST = 120, 1500
SHOWN = 10
"""Documents of each concept that a reader without script sees."""


def page(concepts: ConceptModel, title: str, matrix: str = "") -> str:
    """The whole document; ``matrix`` is a table of slices as HTML, which stands under the map.

    A policy allows the page's own script by its hash and forbids everything else.
    """
    script = _file("page.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{allowed}'"
    rows = [row for row in range(len(concepts.documents)) if row not in concepts.documents.blank]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style('page.css')}</style></head><body>"
        f'<main class="llmx llmx-page"><h1>{escape(title)}</h1>'
        f'<p class="about">{"<br>".join(map(escape, concepts.report.splitlines()))}</p>'
        f"{_columns(concepts, rows, matrix)}</main>"
        f'<script type="application/json" id="llmx-data">{_json(_data(concepts, rows))}</script>'
        f"<script>{script}</script></body></html>"
    )


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    """JSON that no HTML parser reads as markup."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(concepts: ConceptModel, rows: Sequence[int]) -> dict[str, Any]:
    """What the script reads: documents with their texts, scores and quotes, and each concept's documents."""
    most = max(SHORTEST, min(LONGEST, CHARACTERS // max(1, len(rows))))
    documents: list[dict[str, Any]] = [
        {
            "label": str(concepts.documents.labels[row]),
            "text": cut(concepts.documents.texts[row], most),
            "scores": {},
            "quotes": {},
        }
        for row in rows
    ]
    places = {row: place for place, row in enumerate(rows)}
    told = [_concept(concepts, concept, k, documents, places) for k, concept in enumerate(concepts.selected)]
    return {"documents": documents, "concepts": told}


def _concept(
    concepts: ConceptModel, concept: Concept, k: int, documents: list[dict[str, Any]], places: dict[int, int]
) -> dict[str, Any]:
    scores = concepts.column(concept.id).scores
    matching = [row for row in concepts.rows(concept.id) if row in places]
    for row in matching:
        score, document = scores[row], documents[places[row]]
        if score is not None:
            document["scores"][k] = f"{score.value:.2f}"
            if score.highlight:
                document["quotes"][k] = score.highlight
    return {
        "name": concept.name,
        "criterion": concept.criterion,
        "colour": css_colour(k),
        "rows": [places[row] for row in matching],
    }


def _columns(concepts: ConceptModel, rows: Sequence[int], matrix: str) -> str:
    places = {row: place for place, row in enumerate(rows)}
    listed = "".join(_row(concepts, k, concept) for k, concept in enumerate(concepts.selected))
    caption = "Each point is a document; near ones are alike. Grey: in no concept."
    search = (
        '<div class="scripted" hidden><input type="search" id="llmx-search" '
        'placeholder="Search the documents" aria-label="Search the documents"></div>'
    )
    drawn = drawing(concepts, POINTS, *MAP, places=places)
    return (
        f'<div class="columns"><section aria-label="concepts">{search}'
        f'<ol class="concepts">{listed}</ol></section>'
        f'<div class="middle"><figure>{drawn}<figcaption>{caption}</figcaption></figure>{matrix}</div>'
        f'<section class="reading" aria-label="documents">{_READING}'
        f'<div class="unscripted">{_sections(concepts)}</div></section>'
        '<div id="llmx-card" class="card" aria-hidden="true" hidden></div></div>'
    )


_READING = (
    '<div class="scripted" hidden><div id="llmx-head"></div><div id="llmx-documents"></div>'
    '<div class="pager"><button type="button" id="llmx-before">Previous</button>'
    '<button type="button" id="llmx-after">Next</button>'
    '<span id="llmx-said" class="dim" role="status"></span></div></div>'
)


def _row(concepts: ConceptModel, k: int, concept: Concept) -> str:
    count = len(concepts.rows(concept.id))
    share = count / max(1, len(concepts.documents) - len(concepts.documents.blank))
    ink = css_colour(k)
    return (
        f'<li><div class="concept" data-k="{k}"><i style="background:{ink}"></i>'
        f'<b>{escape(concept.name)}</b><span class="n">{count:,} · {share:.0%}</span>'
        f'<span class="track"><span style="width:{100 * share:.1f}%;background:{ink}"></span></span>'
        "</div></li>"
    )


def _sections(concepts: ConceptModel) -> str:
    return "".join(_section(concepts, k, concept) for k, concept in enumerate(concepts.selected))


def _section(concepts: ConceptModel, k: int, concept: Concept) -> str:
    """A concept with its best documents, for readers without script and for print."""
    rows, scores = concepts.rows(concept.id), concepts.column(concept.id).scores
    documents = []
    for row in rows[:SHOWN]:
        score = scores[row]
        quote = score.highlight if score is not None else ""
        said = escape(f"document {concepts.documents.labels[row]}")
        text = marked(concepts.documents.texts[row], quote, 600)
        documents.append(f'<div class="doc"><span class="dim">{said}</span>{text}</div>')
    name = f'<i style="background:{css_colour(k)}"></i> {escape(concept.name)} ({len(rows):,})'
    about = "".join(
        f'<p class="dim">{escape(clean(said))}</p>' for said in (concept.criterion, concept.summary) if said
    )
    return f"<details><summary>{name}</summary>{about}{''.join(documents)}</details>"
