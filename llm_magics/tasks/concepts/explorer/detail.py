"""The explorer's detail as plain data: a concept, a page of documents, one document. Text in, text out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.explorer.compare import Share, difference
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import cut, parts_of

PAGE = 20
LONG = 1500
QUOTES = 3
MODES = ("matches", "near misses", "non-matches", "failed", "not asked")
NEAR = 0.5
"""Non-matches of at least this part of the threshold are near misses."""


def rows_of(
    concepts: ConceptModel, concept: Concept, mode: str, group: tuple[str, str] | None = None
) -> list[int]:
    """The rows of a mode, in the order they are worth reading."""
    if mode == "matches":
        return concepts.rows(concept.id, group)
    scores = concepts.column(concept.id).scores
    blank = concepts.documents.blank
    if mode == "failed":
        found = [row for row, score in enumerate(scores) if score is not None and score.failed]
    elif mode == "not asked":
        found = [row for row, score in enumerate(scores) if score is None and row not in blank]
    else:
        least = NEAR * concepts.threshold if mode == "near misses" else -math.inf
        low = {
            row: s.value
            for row, s in enumerate(scores)
            if s is not None and least <= s.value <= concepts.threshold
        }
        found = sorted(low, key=lambda row: (-low[row], row))
    if group is None:
        return found
    inside = set(concepts.slice(group[0]).rows(group[1]))
    return [row for row in found if row in inside]


def number_of(concepts: ConceptModel, key: str) -> int:
    """A ticked concept's place, which decides its colour; -1 for others."""
    return next((n for n, c in enumerate(concepts.selected) if c.id == key), -1)


def concept_facts(concepts: ConceptModel, concept: Concept, column: str | None) -> dict[str, Any]:
    """What is known of a concept: criterion, count and share with its interval, quotes, keywords."""
    matching = concepts.rows(concept.id)
    share = Share.of(len(matching), len(concepts.documents) - len(concepts.documents.blank))
    return {
        "id": concept.id,
        "name": concept.name,
        "number": number_of(concepts, concept.id),
        "criterion": concept.criterion,
        "summary": concept.summary,
        "keywords": list(concept.keywords),
        "seed": concept.seed,
        "locked": concept.locked,
        "ticked": concept.selected,
        "share": [share.count, share.size, share.value, share.low, share.high],
        "quotes": quotes(concepts, concept, matching),
        "difference": difference(concepts, column, concept.id) if concept.selected else "",
    }


def quotes(concepts: ConceptModel, concept: Concept, matching: Sequence[int]) -> list[str]:
    """The first few different highlights of the best matches."""
    scores = concepts.column(concept.id).scores
    marks = (score.highlight for row in matching if (score := scores[row]) is not None and score.highlight)
    return [cut(quote, 240) for quote in list(dict.fromkeys(marks))[:QUOTES]]


def modes_of(
    concepts: ConceptModel, concept: Concept, group: tuple[str, str] | None
) -> list[tuple[str, int]]:
    """The modes with the number of their rows; failed and not asked only where there are some."""
    counts = [(mode, len(rows_of(concepts, concept, mode, group))) for mode in MODES]
    return [(mode, n) for mode, n in counts if n or mode not in ("failed", "not asked")]


def document(
    concepts: ConceptModel,
    concept: Concept | None,
    row: int,
    *,
    query: str = "",
    column: str | None = None,
    most: int = LONG,
) -> dict[str, Any]:
    """A document with its score, the reason, and what decided marked, or the words that were looked for."""
    score = concepts.column(concept.id).scores[row] if concept is not None else None
    text = concepts.documents.texts[row]
    highlight = score.highlight if score is not None else ""
    known = score is not None and not score.failed
    return {
        "row": row,
        "label": str(concepts.documents.labels[row]),
        "parts": found_parts(text, query, most) if query else parts_of(text, highlight, most),
        "score": round(score.value, 2) if score is not None and known else None,
        "error": cut(score.error, 200) if score is not None and score.failed else "",
        "why": score.rationale if score is not None else "",
        "group": group_of(concepts, column, row),
    }


def group_of(concepts: ConceptModel, column: str | None, row: int) -> str:
    """The slice that a document lies in."""
    if column is None:
        return ""
    parts = concepts.slice(column)
    return parts.groups[parts.codes[row]]


def found_parts(text: str, query: str, most: int = LONG) -> list[str]:
    """The text with each place of ``query`` in it marked: every second part is one."""
    shown = cut(text, most)
    pieces = re.split(f"({re.escape(query)})", shown, flags=re.IGNORECASE)
    return pieces if len(pieces) > 1 else parts_of(text, query, most)


def document_scores(concepts: ConceptModel, row: int) -> list[dict[str, Any]]:
    """How far a document shows each ticked concept, most first; None where that is not known."""
    lines = []
    for number, concept in enumerate(concepts.selected):
        score = concepts.column(concept.id).scores[row]
        value = None if score is None or score.failed else round(score.value, 2)
        lines.append(
            {
                "id": concept.id,
                "name": concept.name,
                "number": number,
                "value": value,
                "yes": value is not None and value > concepts.threshold,
            }
        )
    return sorted(lines, key=lambda one: -1.0 if one["value"] is None else one["value"], reverse=True)
