"""The explorer's detail pane as escaped HTML: a concept, a page of documents, one document."""

from __future__ import annotations

import math
from collections.abc import Sequence

from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.html import block, cut, definitions, escape, heading, line, marked, table
from llm_magics.widgets.theme import colour, glyph

PAGE = 20
LONG = 1500
QUOTES = 3
MODES = ("matches", "non-matches", "failed", "not asked")


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
        low = {
            row: s.value for row, s in enumerate(scores) if s is not None and s.value <= concepts.threshold
        }
        found = sorted(low, key=lambda row: (-low[row], row))
    if group is None:
        return found
    inside = set(concepts.slice(group[0]).rows(group[1]))
    return [row for row in found if row in inside]


def concept_pane(
    concepts: ConceptModel, concept: Concept, rows: Sequence[int], page: int, mode: str, where: str = ""
) -> str:
    """Criterion, summary, quotes, and a page of the documents of a mode."""
    matching = concepts.rows(concept.id)
    whole = max(1, len(concepts.documents) - len(concepts.documents.blank))
    number = next((n for n, c in enumerate(concepts.selected) if c.id == concept.id), -1)
    share = f"{len(matching):,} of {whole:,} documents ({len(matching) / whole:.0%}) match"
    facts = {
        "Criterion:": concept.criterion,
        "Summary:": concept.summary,
        "Keywords:": ", ".join(concept.keywords),
        "Seed:": concept.seed,
    }
    state = " ".join(
        filter(None, ["" if concept.selected else "not ticked", "locked" if concept.locked else ""])
    )
    parts = [
        f"<h3>{mark(number)} {escape(concept.name)}</h3>",
        definitions(facts),
        line(share + (f" · {state}" if state else ""), dim=True),
        _quotes(concepts, concept, matching),
        heading(_pages(mode + where, len(rows), page), 4),
        *(document(concepts, concept, row) for row in rows[page * PAGE : (page + 1) * PAGE]),
    ]
    return block(*parts)


def _quotes(concepts: ConceptModel, concept: Concept, matching: Sequence[int]) -> str:
    scores = concepts.column(concept.id).scores
    marks = (score.highlight for row in matching if (score := scores[row]) is not None and score.highlight)
    found = list(dict.fromkeys(marks))[:QUOTES]
    if not found:
        return ""
    return heading("In their words", 4) + "".join(
        f"<div>“{escape(cut(quote, 300))}”</div>" for quote in found
    )


def _pages(what: str, count: int, page: int) -> str:
    if not count:
        return f"{what}: none"
    last = min(count, (page + 1) * PAGE)
    return f"{what}: {page * PAGE + 1:,}–{last:,} of {count:,}"


def document(concepts: ConceptModel, concept: Concept | None, row: int) -> str:
    """A document with its score, the reason, and what decided marked."""
    score = concepts.column(concept.id).scores[row] if concept is not None else None
    text = concepts.documents.texts[row]
    said = [f"document {concepts.documents.labels[row]}"]
    if score is not None:
        said.append("failed: " + cut(score.error, 200) if score.failed else f"score {score.value:.2f}")
        if score.rationale:
            said.append(score.rationale)
    shown = marked(text, score.highlight if score is not None else "", LONG)
    return f'<div class="doc"><div class="dim">{escape(" · ".join(said))}</div>{shown}</div>'


def document_pane(concepts: ConceptModel, row: int) -> str:
    """One document and how far it shows each ticked concept."""
    lines = []
    for number, concept in enumerate(concepts.selected):
        score = concepts.column(concept.id).scores[row]
        value = math.nan if score is None else score.value
        lines.append(
            (f"{glyph(number)} {cut(concept.name, 40)}", "–" if math.isnan(value) else f"{value:.2f}")
        )
    lines.sort(key=lambda item: item[1], reverse=True)
    return block(
        heading(f"Document {concepts.documents.labels[row]}"),
        f'<div class="doc">{escape(cut(concepts.documents.texts[row], 4 * LONG))}</div>',
        table(["concept", "score"], lines),
    )


def selection_pane(concepts: ConceptModel, rows: Sequence[int], page: int, what: str) -> str:
    """A page of chosen documents, without a concept."""
    shown = rows[page * PAGE : (page + 1) * PAGE]
    return block(
        heading(what),
        heading(_pages("documents", len(rows), page), 4),
        *(document(concepts, None, row) for row in shown),
    )


def legend(entries: Sequence[tuple[int, str]], notice: str = "") -> str:
    """Which colour and symbol is which concept."""
    items = [
        f'<span class=w style="margin-right:1em">{mark(n)} {escape(cut(name, 40))}</span>'
        for n, name in entries[:24]
    ]
    more = f"<span class=dim>and {len(entries) - 24} more</span> " if len(entries) > 24 else ""
    said = f"<span class=dim>{escape(notice)}</span>" if notice else ""
    return block(" ".join(items), " ", more, said)


def mark(number: int) -> str:
    """A concept's symbol in its colour."""
    return f'<span style="color:{colour(number)}" aria-hidden="true">{glyph(number)}</span>'


BLOCKS = "▁▂▃▄▅▆▇█"


def spark(counts: Sequence[int], sizes: Sequence[int]) -> str:
    """The share of each slice that matches, as little bars relative to the largest."""
    shares = [count / size if size else 0.0 for count, size in zip(counts, sizes, strict=True)]
    top = max(shares, default=0)
    return "".join(" " if not share else BLOCKS[min(7, int(share / top * 7.999))] for share in shares)


def entries(concepts: ConceptModel, column: str | None, search: str = "") -> list[tuple[str, str]]:
    """The concept list: what a line says, and the concept's id; ticked ones with slice bars."""
    _, counts, sizes = concepts.counted(column)
    known = {c.id: (n, line) for n, (c, line) in enumerate(zip(concepts.selected, counts, strict=True))}
    stale = {concept.id for concept in concepts.stale}
    wide = len(f"{len(concepts.documents):,}")
    found = []
    for concept in concepts.concepts:
        if search.casefold() not in f"{concept.name} {concept.criterion}".casefold():
            continue
        number, line_ = known.get(concept.id, (-1, [len(concepts.rows(concept.id))]))
        asked = concept.id not in stale and (concept.selected or line_[0])
        count = f"{line_[0]:,}" if asked else "–"
        bars = spark(line_[1:], sizes[1:]) if number >= 0 and len(line_) > 1 else " " * (len(sizes) - 1)
        tick = "☑" if concept.selected else "☐"
        lock = " 🔒" if concept.locked else ""
        found.append(
            (
                f"{tick} {glyph(number)} {count:>{wide}} {bars} {concept.name}{lock}".replace(" ", "\u00a0"),
                concept.id,
            )
        )
    return found
