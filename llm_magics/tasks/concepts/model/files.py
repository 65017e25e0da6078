"""A set of concepts as JSON and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.edits import Edit, frozen
from llm_magics.tasks.concepts.model.scored_concepts import ScoredConcepts
from llm_magics.tasks.concepts.model.scores import Scores

S = TypeVar("S", bound=ScoredConcepts)
VERSION = 1


def to_json(concepts: ScoredConcepts, *, texts: bool = True) -> dict[str, Any]:
    """Concepts as they began, the edits since, scores, threshold, map; with ``texts`` the documents."""
    data: dict[str, Any] = {
        "version": VERSION,
        "documents": len(concepts.documents),
        "column": concepts.documents.column,
        "threshold": concepts.threshold,
        "begun": [asdict(concept) for concept in concepts._begun.concepts],  # noqa: SLF001 - one class in two files
        "edits": [asdict(edit) for edit in concepts.history],
        "settled": concepts.settled,
        "concepts": [asdict(concept) for concept in concepts.concepts],
        "scores": concepts.score_table.json(),
    }
    if texts:
        data["texts"] = list(concepts.documents.texts)
    if concepts.places is not None:
        data["places"] = [[round(float(x), 3), round(float(y), 3)] for x, y in concepts.places]
    return json.loads(json.dumps(data))  # type: ignore[no-any-return]


def from_json(kind: type[S], data: Mapping[str, Any], documents: Any = None, on: str | None = None) -> S:
    """The set again, with its log. Raises UsageError where it doesn't fit the documents, or isn't one."""
    if data.get("version") != VERSION or "concepts" not in data:
        raise UsageError("this is no set of concepts that this version can read.")
    held = _documents(data, documents, on)
    made = kind(
        [_concept(item) for item in data["begun"]],
        held,
        scores=Scores.from_json(len(held), data["scores"]) if len(held) == data["documents"] else None,
        threshold=data["threshold"],
        places=_places(data, len(held)),
    )
    for item in data["edits"]:
        made._do(Edit(item["verb"], tuple(map(frozen, item["names"])), _fields(item["arguments"])))  # noqa: SLF001
    made.settle(int(data.get("settled", 0)))
    return made


def _documents(data: Mapping[str, Any], documents: Any, on: str | None) -> Documents:
    if documents is None:
        return Documents.of(data.get("texts", []))
    held = documents if isinstance(documents, Documents) else Documents.read(documents, on or data["column"])
    if len(held) != data["documents"]:
        raise UsageError(
            f"the scores are of {data['documents']:,} documents, these are {len(held):,}.",
            hint="Load without documents, then .apply(NEW_DATA).",
        )
    return held


def _places(data: Mapping[str, Any], n: int) -> Any:
    import numpy as np

    places = data.get("places")
    return np.array(places, dtype=np.float32) if places and len(places) == n else None


def _concept(item: Mapping[str, Any]) -> Concept:
    known = {spec.name for spec in fields(Concept)}
    return Concept(**{key: frozen(value) for key, value in item.items() if key in known})


def _fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: frozen(value) for key, value in arguments.items()}


def save(concepts: ScoredConcepts, path: Any, *, texts: bool = True) -> None:
    """Write the set to a file, whole or not at all; readable by its owner only."""
    target = Path(path)
    part = target.with_name(target.name + ".part")
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(to_json(concepts, texts=texts), file, ensure_ascii=False)
    part.replace(target)


def load(kind: type[S], path: Any, documents: Any = None, on: str | None = None) -> S:
    """Read such a file."""
    return from_json(kind, json.loads(Path(path).read_text(encoding="utf-8")), documents, on)
