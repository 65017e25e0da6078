"""Distill: a document becomes its most telling quotes, or a few short points; points become groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.embedded.clustering import cluster
from llm_magics.tasks.concepts.embedded.sentences import informative, sentences
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps.settings import InductionSettings, Point, value_or
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.cleaning import clean_texts
from llm_magics.text.schemas import object_schema, string_list_schema


@dataclass(frozen=True)
class _Distill(Structured):
    """``seed`` is the topic that decides what matters; empty for whatever the text says."""

    seed: str = ""
    role: ClassVar[str] = "concepts.distill"
    FIELDS: ClassVar[tuple[str, ...]] = ("text",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def about(self) -> str:
        """The topic as the prompt says it."""
        return f" about {self.seed}" if self.seed else ""


@dataclass(frozen=True)
class DistillFilter(_Distill):
    """Up to ``n_quotes`` sentences that the document really holds, in the column ``quotes``.

    A quote that doesn't stand in the text (but for white space and case) is dropped; with a ``seed``
    none may be left, which means that the text says nothing about it.
    """

    n_quotes: int = 3
    name: ClassVar[str] = "distill_filter"
    columns: ClassVar[tuple[str, ...]] = ("quotes",)
    WORDING: ClassVar[str] = (
        "Pick the parts of this text that say the most{about}.\n"
        "Copy at most {n_quotes} of them word for word, each a sentence or less; change nothing. "
        'Answer {"quotes": ["...", "..."]}; the list is empty if nothing in the text fits.\n\n'
        "<text>\n{text}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """Fields for custom wordings too."""
        return {"n_quotes": self.n_quotes, "seed": self.seed, "about": self.about}

    def schema(self) -> dict[str, Any]:
        """A list of quotes."""
        return object_schema(quotes=string_list_schema(maximum=self.n_quotes))

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The quotes that are quotes."""
        given = [one_line(quote, 2000) for quote in items(answer, "quotes")]
        text = _folded(request.subject)
        real = [quote for quote in given if quote and _folded(quote) in text]
        if given and not real:
            raise AnswerError("none of the quotes stands in the text", answer=str(given)[:200])
        return {"quotes": tuple(dict.fromkeys(real))[: self.n_quotes]}


@dataclass(frozen=True)
class DistillSummarize(_Distill):
    """The document in ``n_bullets`` short points of ``n_words`` words, in the column ``bullets``."""

    n_bullets: str = "2-4"
    n_words: str = "5-8"
    name: ClassVar[str] = "distill_summarize"
    columns: ClassVar[tuple[str, ...]] = ("bullets",)
    WORDING: ClassVar[str] = (
        "Note what this text says{about}, as {n_bullets} separate points of {n_words} words each.\n"
        'Answer {"bullets": ["...", "..."]}.\n\n'
        "<text>\n{text}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """Fields for custom wordings too."""
        return {
            "n_bullets": self.n_bullets,
            "n_words": self.n_words,
            "seed": self.seed,
            "about": self.about,
        }

    def schema(self) -> dict[str, Any]:
        """A list of points."""
        return object_schema(bullets=string_list_schema())

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The points, each once."""
        points = [one_line(point) for point in items(answer, "bullets")]
        kept = tuple(dict.fromkeys(point for point in points if point))
        if not kept and not self.seed:
            raise AnswerError("there is no point in the list", answer=str(answer)[:200])
        return {"bullets": kept}


def _folded(text: str) -> str:
    """Text as quotes are compared: white space, case and typographic quotes don't count."""
    plain = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(plain.casefold().split())


async def distill(
    runner: StepRunner, documents: Documents, rows: Sequence[int], settings: InductionSettings
) -> list[Point]:
    """What each document says, in quotes or short points. A document that fails stands for itself."""
    if not runner.writes("concepts.distill"):
        return await _distill_locally(runner, documents, rows, settings)
    quoted = await _filter(runner, documents, rows, settings)
    if settings.skips("distill_summarize"):
        return [Point(row, quote) for row, quotes in quoted.items() for quote in quotes]
    task = DistillSummarize(
        seed=settings.seed,
        n_bullets=settings.n_bullets,
        n_words=settings.n_words,
        **settings.wording("distill_summarize"),
    )
    asked = [{"text": "\n".join(quotes)} for quotes in quoted.values()]
    results = await runner.ask("distill", task, asked)
    points: list[Point] = []
    for (row, quotes), result in zip(quoted.items(), results, strict=True):
        said = value_or(result, "bullets", quotes)
        points += [Point(row, text) for text in said]
    return points


async def _filter(
    runner: StepRunner, documents: Documents, rows: Sequence[int], settings: InductionSettings
) -> dict[int, tuple[str, ...]]:
    """Quotes by row; texts of a few sentences need no filter, unless a seed decides what matters."""
    texts = documents.texts
    found: dict[int, tuple[str, ...]] = {row: (texts[row],) for row in rows}
    if settings.skips("distill_filter"):
        return found
    long = [row for row in rows if settings.seed or len(sentences(texts[row])) > settings.n_quotes]
    task = DistillFilter(seed=settings.seed, n_quotes=settings.n_quotes, **settings.wording("distill_filter"))
    results = await runner.ask("filter", task, [{"text": texts[row]} for row in long])
    for row, result in zip(long, results, strict=True):
        found[row] = tuple(value_or(result, "quotes", found[row]))
    return {row: quotes for row, quotes in found.items() if quotes}


async def _distill_locally(
    runner: StepRunner, documents: Documents, rows: Sequence[int], settings: InductionSettings
) -> list[Point]:
    """The most informative sentences of each text, cleaned of markup, datelines and boilerplate."""
    texts = clean_texts([documents.texts[row] for row in rows])
    found = await runner.in_thread(lambda embed: informative(texts, embed, settings.n_quotes, settings.seed))
    return [Point(row, " ".join(quotes)) for row, quotes in zip(rows, found, strict=True) if quotes]


async def group(
    runner: StepRunner, documents: Documents, points: Sequence[Point], settings: InductionSettings
) -> tuple[list[int], Any]:
    """A group's number for each point (-1: none), and the documents' vectors where these were grouped.

    Without a model and without a seed a document's whole text places it, not its quotes alone: on long
    texts that agrees better with people's own topics.
    """
    whole = not runner.writes("concepts.distill") and not settings.seed
    texts = [documents.texts[point.row] if whole else point.text for point in points]
    vectors = await runner.embed(texts)
    found = await runner.in_thread(lambda _: cluster(vectors, settings.groups, seed=settings.chance))
    labels = [int(label) for label in found.labels]
    return labels or [], vectors
