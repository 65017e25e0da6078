"""A set of concepts as frames: scores wide and long, the matrix of slices, LLooM's export."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model.scored_concepts import ScoredConcepts

ALL = "all"


def wide(concepts: ScoredConcepts) -> Any:
    """Documents x ticked concepts; the documents' own index, NaN where there is no score."""
    import pandas as pd

    columns = {concept.name: concepts.column(concept.id).values for concept in concepts.selected}
    return pd.DataFrame(columns, index=pd.Index(concepts.documents.labels, name="document"), dtype=float)


def long(concepts: ScoredConcepts, id_col: str | None = None) -> Any:
    """A row for each document asked about a ticked concept, with LLooM's column names and status, error.

    Documents go by their own index (``doc_id``), or by the column ``id_col``, under its name.
    """
    import pandas as pd

    named = concepts.documents
    ids = named.labels if id_col is None else named.frame.values(id_col)
    rows = [
        {
            "doc_id": ids[row],
            "text": concepts.documents.texts[row],
            "concept_id": concept.id,
            "concept_name": concept.name,
            "concept_prompt": concept.criterion,
            "score": score.value,
            "rationale": score.rationale,
            "highlight": score.highlight,
            "concept_seed": concept.seed,
            "status": "failed" if score.failed else "ok",
            "error": score.error,
        }
        for concept in concepts.selected
        for row, score in enumerate(concepts.column(concept.id).scores)
        if score is not None
    ]
    return pd.DataFrame(rows, columns=_LONG).rename(columns={"doc_id": id_col or "doc_id"})


_LONG = [
    "doc_id", "text", "concept_id", "concept_name", "concept_prompt", "score", "rationale", "highlight",
    "concept_seed", "status", "error",
]  # fmt: skip


def matrix(concepts: ScoredConcepts, column: str | None = None, by: str | None = None) -> Any:
    """Matches of each ticked concept, in all documents and in each group of a slice column.

    ``by="concept"``: the share of the concept's matches that lies in the group. ``by="slice"``: the
    share of the group's documents that match.
    """
    import pandas as pd

    if by not in (None, "concept", "slice"):
        raise UsageError(f"by={by!r} is not known.", hint='by="concept" or by="slice"')
    groups, counts, sizes = counted(concepts, column)
    table = pd.DataFrame(counts, index=[c.name for c in concepts.selected], columns=groups, dtype=float)
    if by == "concept":
        table = table.div(table[ALL].where(table[ALL] > 0), axis=0)
    elif by == "slice":
        table = table.div(pd.Series(sizes, index=groups, dtype=float).where(lambda size: size > 0), axis=1)
    return table if by else table.astype(int)


def counted(concepts: ScoredConcepts, column: str | None) -> tuple[list[str], list[list[int]], list[int]]:
    """Groups (all documents first), matches by concept and group, and documents in each group."""
    parts = concepts.slice(column) if column else None
    groups, codes = (list(parts.groups), parts.codes) if parts else ([], ())
    counts = []
    for concept in concepts.selected:
        rows = concepts.column(concept.id).rows(concepts.threshold)
        line = [len(rows), *([0] * len(groups))]
        for row in rows if parts else ():
            line[codes[row] + 1] += 1
        counts.append(line)
    sizes = [len(concepts.documents), *(parts.sizes if parts else [])]
    return [ALL, *groups], counts, sizes


def export(concepts: ScoredConcepts) -> Any:
    """LLooM's table: concept, criteria, summary, rep_examples, prevalence, n_matches, highlights."""
    import pandas as pd

    documents = concepts.documents
    n = max(1, len(documents) - len(documents.blank))
    rows = []
    for concept in concepts.selected:
        matching = concepts.rows(concept.id)
        scores = concepts.column(concept.id).scores
        marks = [score.highlight for row in matching if (score := scores[row]) and score.highlight]
        rows.append(
            {
                "concept": concept.name,
                "criteria": concept.criterion,
                "summary": concept.summary,
                "rep_examples": [documents.texts[row] for row in concept.examples if row < len(documents)],
                "prevalence": round(len(matching) / n, 4),
                "n_matches": len(matching),
                "highlights": marks[:5],
            }
        )
    columns = ["concept", "criteria", "summary", "rep_examples", "prevalence", "n_matches", "highlights"]
    return pd.DataFrame(rows, columns=columns)


def listing(concepts: ScoredConcepts) -> str:
    """The set in plain text, a line a concept."""
    n = len(concepts.documents)
    head = f"{len(concepts)} concepts over {n:,} documents"
    lines = [_line(concepts, concept, n) for concept in concepts.concepts]
    return "\n".join([head, *lines, *filter(None, [concepts.report])])


def _line(concepts: ScoredConcepts, concept: Concept, n: int) -> str:
    column = concepts.column(concept.id)
    asked = n - len(column.missing(failed=False))
    failed = sum(score is not None and score.failed for score in column.scores)
    count = f"{len(column.rows(concepts.threshold)):,}" if asked else "-"
    marks = "".join([" " if concept.selected else "x", "L" if concept.locked else " "])
    tail = f"  ({failed} failed)" if failed else ""
    return f"{marks} {count:>6}  {concept.name}: {concept.criterion}{tail}"
