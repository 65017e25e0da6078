"""Distill and group: documents to points, points to groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.tasks.concepts.embedded.clustering import cluster
from llm_magics.tasks.concepts.embedded.sentences import sentences, telling
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.steps.distill_prompts import DistillFilter, DistillSummarize
from llm_magics.tasks.concepts.steps.settings import Manner, Point, value_of
from llm_magics.tasks.concepts.workbench import Workbench


async def distill(bench: Workbench, documents: Documents, rows: Sequence[int], how: Manner) -> list[Point]:
    """What each document says, in quotes or short points. A document that fails stands for itself."""
    if not bench.writes("concepts.distill"):
        return await _distill_locally(bench, documents, rows, how)
    quoted = await _filter(bench, documents, rows, how)
    if how.skips("distill_summarize"):
        return [Point(row, quote) for row, quotes in quoted.items() for quote in quotes]
    task = DistillSummarize(
        seed=how.seed, n_bullets=how.n_bullets, n_words=how.n_words, **how.wording("distill_summarize")
    )
    asked = [{"text": "\n".join(quotes)} for quotes in quoted.values()]
    results = await bench.ask("distill", task, asked)
    points: list[Point] = []
    for (row, quotes), result in zip(quoted.items(), results, strict=True):
        said = value_of(result, "bullets", quotes)
        points += [Point(row, text) for text in said]
    return points


async def _filter(
    bench: Workbench, documents: Documents, rows: Sequence[int], how: Manner
) -> dict[int, tuple[str, ...]]:
    """Quotes by row; texts of a few sentences need no filter, unless a seed decides what matters."""
    texts = documents.texts
    found: dict[int, tuple[str, ...]] = {row: (texts[row],) for row in rows}
    if how.skips("distill_filter"):
        return found
    long = [row for row in rows if how.seed or len(sentences(texts[row])) > how.n_quotes]
    task = DistillFilter(seed=how.seed, n_quotes=how.n_quotes, **how.wording("distill_filter"))
    results = await bench.ask("filter", task, [{"text": texts[row]} for row in long])
    for row, result in zip(long, results, strict=True):
        found[row] = tuple(value_of(result, "quotes", found[row]))
    return {row: quotes for row, quotes in found.items() if quotes}


async def _distill_locally(
    bench: Workbench, documents: Documents, rows: Sequence[int], how: Manner
) -> list[Point]:
    texts = [documents.texts[row] for row in rows]
    found = await bench.aside(lambda embed: telling(texts, embed, how.n_quotes, how.seed))
    return [Point(row, " ".join(quotes)) for row, quotes in zip(rows, found, strict=True) if quotes]


async def group(
    bench: Workbench, documents: Documents, points: Sequence[Point], how: Manner
) -> tuple[list[int], Any]:
    """A group's number for each point (-1: none), and the documents' vectors where these were grouped.

    Without a model and without a seed a document's whole text places it, not its quotes alone: on long
    texts that agrees better with people's own topics.
    """
    whole = not bench.writes("concepts.distill") and not how.seed
    texts = [documents.texts[point.row] if whole else point.text for point in points]
    vectors = await bench.embed(texts)
    found = await bench.aside(lambda _: cluster(vectors, how.groups, seed=how.chance))
    labels = [int(label) for label in found.labels]
    return labels or [], vectors
