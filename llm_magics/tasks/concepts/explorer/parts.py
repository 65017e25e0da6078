"""Builds the data of each part of the explorer's page (list, matrix, detail) from the explorer's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.tasks.concepts.explorer.compare import Share, difference, shares
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.model.edits import Edit


def list_part(concepts: ConceptModel, column: str | None, hits: frozenset[int] | None) -> dict[str, Any]:
    """A line a concept: count, share, shares of the slices, and how many of the ``hits`` are its own."""
    groups, lines = shares(concepts, column)
    known = {c.id: (n, line) for n, (c, line) in enumerate(zip(concepts.selected, lines, strict=True))}
    stale = {concept.id for concept in concepts.stale}
    whole = len(concepts.documents) - len(concepts.documents.blank)
    rows = []
    for concept in concepts.concepts:
        matching = concepts.rows(concept.id)
        number, line = known.get(concept.id, (-1, [Share.of(len(matching), whole)]))
        asked = concept.id not in stale and (concept.selected or bool(matching))
        rows.append(
            {
                "id": concept.id,
                "name": concept.name,
                "number": number,
                "ticked": concept.selected,
                "locked": concept.locked,
                "count": len(matching) if asked else None,
                "share": line[0].value,
                "bars": [[one.value, one.count] for one in line[1:]],
                "hits": len(hits.intersection(matching)) if hits is not None else None,
            }
        )
    return {"rows": rows, "groups": groups[1:], "rest": len(concepts.uncovered) if concepts.selected else 0}


def matrix_part(concepts: ConceptModel, column: str | None, by: str | None) -> dict[str, Any]:
    """Counts of concepts by slice with the share ``by`` concept or slice, and what differs most."""
    groups, lines = shares(concepts, column)
    rows = []
    for number, (concept, line) in enumerate(zip(concepts.selected, lines, strict=True)):
        total = line[0].count
        cells = [[one.count, one.value, one.count / total if total else 0.0] for one in line]
        rows.append({"id": concept.id, "name": concept.name, "number": number, "cells": cells})
    sizes = [one.size for one in lines[0]] if lines else [0] * len(groups)
    return {
        "rows": rows,
        "groups": groups,
        "sizes": sizes,
        "by": by or "",
        "column": column or "",
        "sentence": difference(concepts, column),
    }


def prevalence_part(concepts: ConceptModel, column: str | None) -> dict[str, Any]:
    """The share of each concept with its interval, most first, in all documents and in each slice."""
    groups, lines = shares(concepts, column)
    rows = [
        {
            "id": concept.id,
            "name": concept.name,
            "number": number,
            "shares": [[one.count, one.value, one.low, one.high, one.size] for one in line],
        }
        for number, (concept, line) in enumerate(zip(concepts.selected, lines, strict=True))
    ]
    rows.sort(key=lambda row: -row["shares"][0][0])  # type: ignore[index]
    return {"rows": rows, "groups": groups, "column": column or "", "sentence": difference(concepts, column)}


_DID: dict[str, str] = {
    "add": "adding {0}",
    "rename": "renaming {0} to {1}",
    "edit": "the change of {0}",
    "merge": "merging {0}",
    "split": "splitting {0}",
    "delete": "deleting {0}",
    "lock": "locking {0}",
    "unlock": "unlocking {0}",
    "select": "ticking {0}",
    "deselect": "unticking {0}",
}


def described(edit: Edit | None) -> list[str] | None:
    """An edit's word for a button, and a phrase that says what undoing it takes back."""
    if edit is None:
        return None
    names: Sequence[Any] = edit.names
    if edit.verb in ("rename", "split", "add"):
        said = _DID[edit.verb].format(*(f"“{name}”" for name in names[:2]), "")
    else:
        listed = " and ".join(f"“{name}”" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        said = _DID.get(edit.verb, edit.verb + " {0}").format(listed + more)
    words = {"select": "tick", "deselect": "untick"}
    return [words.get(edit.verb, edit.verb), said]
