"""Name: what the documents of a concept have in common, as a heading. One call a concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Request
from llm_magics.tasks.concepts.embedded.naming import described
from llm_magics.tasks.concepts.embedded.sentences import sentences
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.tasks.concepts.step_runner import StepRunner
from llm_magics.tasks.concepts.steps.settings import InductionSettings, value_or
from llm_magics.tasks.concepts.steps.structured_prompt import Structured, one_line
from llm_magics.text.cleaning import clean
from llm_magics.text.schemas import object_schema

QUOTES = 12
"""Documents of a concept that the prompt quotes."""
LONG = 300
MOST_WORDS = 8


@dataclass(frozen=True)
class NameConcept(Structured):
    """A name in the column ``name``. A row has ``texts``, numbered quotes, and ``others``, taken names."""

    name: ClassVar[str] = "name_concept"
    columns: ClassVar[tuple[str, ...]] = ("name",)
    FIELDS: ClassVar[tuple[str, ...]] = ("texts", "others")
    REQUIRED: ClassVar[tuple[str, ...]] = ("texts",)
    WORDING: ClassVar[str] = (
        "The first list quotes texts that belong together; the second has the names of other groups.\n"
        "Write a name for what the first list has in common: a heading of two to five words that says what "
        "the texts are about, and that cannot be confused with one of the other names.\n"
        'Answer {"name": "..."}.\n\n'
        "<text>\n{texts}\n</text>\n\n<text>\n{others}\n</text>"
    )

    def schema(self) -> dict[str, Any]:
        """One text."""
        return object_schema(name={"type": "string"})

    def values(self, request: Request, answer: Mapping[str, Any], last: bool) -> Mapping[str, Any]:
        """The name with a capital first, without quotation marks and full stop."""
        name = one_line(clean(str(answer.get("name") or "")), 80).strip(" .\"'“”")
        if not name or len(name.split()) > MOST_WORDS:
            raise AnswerError(f"the name has no words, or more than {MOST_WORDS}", answer=str(answer)[:200])
        return {"name": name[0].upper() + name[1:]}


async def name(
    runner: StepRunner, concepts: ConceptModel, ids: Sequence[str], settings: InductionSettings
) -> None:
    """Rename these concepts by what their documents say; each rename is an edit of its own.

    Locked concepts, and those whose name failed or is another concept's, keep the name they have. Without a
    model the names are phrases of the documents.
    """
    asked = [key for key in ids if not concepts[key].locked and _rows(concepts, key)]
    if not asked:
        return
    if runner.writes("concepts.synthesize"):
        task = NameConcept(**settings.wording("name_concept"))
        found = await runner.ask("name", task, [_asked(concepts, key) for key in asked])
        names = [value_or(result, "name", "") for result in found]
    else:
        names = await _locally(runner, concepts, asked)
    for key, made in zip(asked, names, strict=True):
        taken = {concept.name for concept in concepts}
        if made and made not in taken:
            concepts.rename(key, made)


def _rows(concepts: ConceptModel, key: str) -> list[int]:
    """The concept's documents, best first; its examples where nothing is scored."""
    return concepts.rows(key) or [row for row in concepts[key].examples if row < len(concepts.documents)]


def _asked(concepts: ConceptModel, key: str) -> dict[str, str]:
    quotes = concepts.quotes(key, QUOTES)
    if len(quotes) < QUOTES:
        texts = (concepts.documents.texts[row] for row in _rows(concepts, key)[:QUOTES])
        quotes += [first for text in texts if (first := next(iter(sentences(clean(text))), ""))]
    kept = list(dict.fromkeys(one_line(quote, LONG) for quote in quotes))[:QUOTES]
    others = [concept.name for concept in concepts if concept.id != concepts[key].id]
    return {
        "texts": "\n".join(f"{n}: {quote}" for n, quote in enumerate(kept, 1)),
        "others": "\n".join(others) or "(none)",
    }


async def _locally(runner: StepRunner, concepts: ConceptModel, asked: Sequence[str]) -> list[str]:
    texts = concepts.documents.texts
    groups = [_rows(concepts, key) for key in asked]
    inside = {concepts[key].id for key in asked}
    taken = [concept.name for concept in concepts if concept.id not in inside]
    free = runner.embeds_for_free
    found = await runner.in_thread(
        lambda embed: described(texts, groups, taken=taken, embed=embed if free else None)
    )
    return [one.name for one in found]
