"""Review: which concepts to drop, to merge, to keep; always by number, never by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, items, one_line
from llm_magics.text.fields import record, strings


@dataclass(frozen=True)
class _Review(Structured):
    """A row's ``concepts`` are lines ``number: name: criterion``."""

    seed: str = ""
    role: ClassVar[str] = "concepts.synthesize"
    FIELDS: ClassVar[tuple[str, ...]] = ("concepts",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("concepts",)

    def settings(self) -> Mapping[str, Any]:
        """The topic, for custom wordings too."""
        return {"seed": self.seed, "about": f" that has to do with {self.seed}" if self.seed else ""}


@dataclass(frozen=True)
class ReviewRemove(_Review):
    """The numbers of concepts that are of no use, in the column ``remove``."""

    name: ClassVar[str] = "review_remove"
    columns: ClassVar[tuple[str, ...]] = ("remove",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "A useful concept is a pattern{about} that some of the texts show and others don't. Which of these "
        "are of no use, because they fit one single case, or nearly anything, or nothing relevant?\n"
        'Answer {"remove": ["2"]} with their numbers; the list may be empty.\n\n'
        "<text>\n{concepts}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of numbers."""
        return record(remove=strings())

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The numbers that stand in the list."""
        known = numbers(request)
        return {"remove": tuple(n for n in picked(items(answer, "remove")) if n in known)}


@dataclass(frozen=True)
class ReviewMerge(_Review):
    """Groups of concepts that mean the same, in the column ``merge``; no concept stands in two.

    Each is a mapping with ``ids``, ``name``, ``criterion``.
    """

    name: ClassVar[str] = "review_merge"
    columns: ClassVar[tuple[str, ...]] = ("merge",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "Which of them say nearly the same, so that one concept could stand for both? For each such group "
        "give the numbers, a name of two to four words and one yes/no criterion that covers the group. "
        "A number may stand in one group only.\n"
        'Answer {"merge": [{"ids": ["1", "4"], "name": "...", "criterion": "..."}]}; the list may be '
        "empty.\n\n<text>\n{concepts}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of groups."""
        one = record(ids=strings(), name={"type": "string"}, criterion={"type": "string"})
        return record(merge={"type": "array", "items": one})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The groups of two and more; a number that stood in an earlier group is left out."""
        left, groups = numbers(request), []
        for item in items(answer, "merge"):
            given = item if isinstance(item, Mapping) else {}
            ids = [n for n in picked(given.get("ids")) if n in left]
            name, criterion = one_line(given.get("name"), 80), one_line(given.get("criterion"))
            if len(ids) >= 2 and name and criterion:
                groups.append({"ids": tuple(ids), "name": name, "criterion": criterion})
                left -= set(ids)
        return {"merge": tuple(groups)}


@dataclass(frozen=True)
class ReviewSelect(_Review):
    """The numbers of the best ``most`` concepts, best first, in the column ``keep``."""

    most: int = 8
    name: ClassVar[str] = "review_select"
    columns: ClassVar[tuple[str, ...]] = ("keep",)
    WORDING: ClassVar[str] = (
        "Each line is a concept found in a collection of texts: number, name, criterion.\n"
        "Choose the {most} that together tell the most{about} and overlap the least.\n"
        'Answer {"keep": ["3", "1"]}, the most telling first.\n\n'
        "<text>\n{concepts}\n</text>"
    )

    def settings(self) -> Mapping[str, Any]:
        """The number, for custom wordings too."""
        return {**super().settings(), "most": self.most}

    def schema(self) -> dict[str, Any]:
        """A list of numbers."""
        return record(keep=strings(maximum=self.most))

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The numbers that stand in the list, at most ``most``."""
        known = numbers(request)
        kept = tuple(n for n in picked(items(answer, "keep")) if n in known)[: self.most]
        if not kept:
            raise AnswerError("it keeps none of the concepts", answer=str(answer)[:200])
        return {"keep": kept}


@dataclass(frozen=True)
class MatchConcepts(_Review):
    """Which concepts mean the same as an item of a reference list, in the column ``same``.

    A row has ``concepts`` and ``reference``, lines ``number: text`` each; ``same`` maps reference
    numbers to concept numbers.
    """

    name: ClassVar[str] = "match_concepts"
    columns: ClassVar[tuple[str, ...]] = ("same",)
    FIELDS: ClassVar[tuple[str, ...]] = ("concepts", "reference")
    REQUIRED: ClassVar[tuple[str, ...]] = ("concepts", "reference")
    WORDING: ClassVar[str] = (
        "Two lists of concepts, numbered. For each line of the second list: is there one in the first that "
        "means the same? Loosely related is not the same.\n"
        'Answer {"same": [{"reference": "1", "concept": "3"}]}; leave out those without a match.\n\n'
        "<text>\n{concepts}\n</text>\n\n<text>\n{reference}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """A list of pairs."""
        pair = record(reference={"type": "string"}, concept={"type": "string"})
        return record(same={"type": "array", "items": pair})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """Each reference number at most once, with a concept that exists."""
        known, same = numbers(request), dict[str, str]()
        for item in items(answer, "same"):
            given = item if isinstance(item, Mapping) else {}
            reference, concept = (
                str(given.get("reference", "")).strip(),
                str(given.get("concept", "")).strip(),
            )
            if reference and concept in known:
                same.setdefault(reference, concept)
        return {"same": same}


def numbers(request: Request) -> set[str]:
    """The numbers of the lines that were asked about."""
    return {line.partition(":")[0].strip() for line in request.subject.splitlines()}


def picked(values: Any) -> list[str]:
    """Numbers as text, each once, in order."""
    return list(dict.fromkeys(str(value).strip() for value in values)) if isinstance(values, list) else []


def listed(lines: list[tuple[str, str]]) -> str:
    """Names and criteria as numbered lines, from 1."""
    return "\n".join(f"{i}: {one_line(name)}: {one_line(said)}" for i, (name, said) in enumerate(lines, 1))
