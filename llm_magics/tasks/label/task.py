"""The task of ``label``: its prompt, and how an answer becomes a label, several labels, or an error."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from llm_magics.core.errors import AnswerError
from llm_magics.core.prompt_formats import is_begun, is_completion
from llm_magics.core.types import Choice, Message, OneOf, Request, Response, ResponseFormat, Schema
from llm_magics.data.templates import cell_text
from llm_magics.engine.task import Parsed, Part, Row, Target, retry_request
from llm_magics.tasks.label.columns import LabelColumns
from llm_magics.tasks.label.completion import begun_answer, completion
from llm_magics.tasks.label.votes import all_labels, mean_scores, most_voted
from llm_magics.text.json_parsing import parse_json, strip_thinking_and_fences
from llm_magics.text.label_answers import parse_label, parse_labels
from llm_magics.text.label_names import Labels

Example: TypeAlias = tuple[str, str | Sequence[str]]
"""A text and its label, or labels."""

Explain: TypeAlias = Literal[False, True, "before", "after"]
"""Whether a reason is asked for, and before or after the label; True means ``before``."""

NONE_MEANS = "none of the other labels fits the text"
"""The description of the label of ``none``."""

RANDOM = "random"
"""The ``--default`` that draws a random label, seeded; only where the user asked for it."""


@dataclass(frozen=True)
class Label:
    """Assign each row's text to one of ``choices``; with ``many``, to all that apply.

    ``none`` names a choice that means "none of the others". ``default`` fills rows whose answer stayed
    unusable (a name, or ``random`` with ``seed``); None leaves them null. ``scores`` adds a probability
    column per label, ``explain`` a reason, written before the label is chosen or (``after``) when it is.
    ``examples`` are (text, label) pairs shown as earlier turns; a row that is one of them doesn't see it.
    ``without`` has, for texts that are examples of the choices themselves, the choices that don't hold
    them. ``wide`` makes one true/false column per label. ``values`` has the labels that were given as numbers
    or truth values, by name: here a label is its name, in the result it is as it was given.
    """

    choices: tuple[Choice, ...]
    column: str
    output: str = "label"
    many: bool = False
    max_choices: int | None = None
    none: str | None = None
    default_label: str | None = None
    scores: bool = False
    explain: Explain = False
    wide: bool = False
    guidance: str = ""
    examples: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    without: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict, compare=False, repr=False)
    seed: int = 0
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    name: str = "label"
    role: str = "label"

    @cached_property
    def all_choices(self) -> tuple[Choice, ...]:
        """The labels in the user's order.

        ``none`` last, or where the user listed it, with its description.
        """
        if self.none is None:
            return self.choices
        if all(choice.name != self.none for choice in self.choices):
            return (*self.choices, Choice(self.none, NONE_MEANS))
        return tuple(
            replace(choice, description="; ".join(filter(None, (choice.description, NONE_MEANS))))
            if choice.name == self.none
            else choice
            for choice in self.choices
        )

    @cached_property
    def labels(self) -> Labels:
        """The names, prepared for recognising them in answers."""
        return Labels([choice.name for choice in self.all_choices])

    @cached_property
    def format(self) -> ResponseFormat:
        """The response format; the same for every row."""
        if self.explain:
            return Schema(_explained(self), "explained_label")
        return OneOf(self.all_choices, self.many, self.max_choices, self.scores)

    @cached_property
    def system(self) -> str:
        """The instructions; they come first and never vary, so that servers can cache them."""
        return "\n".join(part for part in (*_task_lines(self), "", _answer_line(self)) if part is not None)

    @cached_property
    def prefix(self) -> tuple[Message, ...]:
        """The messages before the row's own."""
        return (Message("system", self.system), *self.shots(self.examples))

    def _examples_of(self, text: str) -> Sequence[Example]:
        """The examples without the row itself: an example that is the row would give its label away."""
        if text not in self._shown_texts:
            return self.examples
        return [pair for pair in self.examples if pair[0] != text]

    def _messages(self, text: str, examples: Sequence[Example], target: Target) -> tuple[Message, ...]:
        """The prompt about a row: a text to continue or an answer begun where the format is one of them."""
        if not self.many and not self.explain:
            if is_completion(target.parameters):
                return completion(self.all_choices, self.guidance, examples, text)
            if is_begun(target.parameters):
                return begun_answer(self.all_choices, self.guidance, examples, text)
        head = self.prefix if examples is self.examples else (self.prefix[0], *self.shots(examples))
        return (*head, Message("user", _quote(text)))

    @cached_property
    def _shown_texts(self) -> frozenset[str]:
        return frozenset(text for text, _ in self.examples)

    @cached_property
    def _formats(self) -> dict[str, ResponseFormat]:
        """The response formats of the texts in ``without``, one object for equal choices."""
        made: dict[int, ResponseFormat] = {}
        for choices in self.without.values():
            if id(choices) not in made:
                made[id(choices)] = replace(self, choices=choices, without={}).format
        return {text: made[id(choices)] for text, choices in self.without.items()}

    def shots(self, examples: Sequence[Example]) -> tuple[Message, ...]:
        """Examples as earlier turns of the conversation, answered in the wanted format."""
        turns = (
            (Message("user", _quote(text)), Message("assistant", self._shown(label)))
            for text, label in examples
        )
        return tuple(message for pair in turns for message in pair)

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        label = tuple(self.output + name for name in self.labels.names) if self.wide else (self.output,)
        confidence = () if self.wide else (f"{self.output}_confidence",)
        reason = (f"{self.output}_explanation",) if self.explain else ()
        scores = tuple(f"{self.output}_score_{name}" for name in self.labels.names) if self.scores else ()
        return (*label, *confidence, *reason, *scores)

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """Ask for the row's label; None for a null or blank text."""
        text = cell_text(row[self.column])
        if not text.strip():
            return None
        messages = self._messages(text, self._examples_of(text), target)
        return target.request(messages, text, self._formats.get(text, self.format), sample)

    def parse(self, request: Request, response: Response) -> Parsed:
        """The label, enforced by the backend or read from the text, with its confidence."""
        reason = ""
        if self.explain:
            reason, answer = _reason_and_label(response)
            label, mended = self._read(answer)
        elif response.parsed is not None:
            label, mended = self._native(response.parsed)
        else:
            label, mended = self._read(response.text)
        return Parsed(self._values(label, response.scores, reason), "repaired" if mended else "ok")

    def reask(self, request: Request, response: Response, error: AnswerError) -> Request | None:
        """The conversation with the unusable answer and what was wrong with it."""
        return retry_request(request, response, error, _answer_line(self))

    def default(self, request: Request) -> Parsed | None:
        """The default label, where one was asked for."""
        if self.default_label is None:
            return None
        name = self.default_label
        if name == RANDOM:
            name = random.Random(f"{self.seed}:{request.key}").choice(self.labels.names)  # noqa: S311 - not a secret
        return Parsed(self._values([name] if self.many else name, None, ""), "defaulted")

    def scored(self, scores: Mapping[str, float]) -> dict[str, Any]:
        """The values for these probabilities: the likeliest label, its confidence, a column a label."""
        best = max(scores, key=lambda name: scores[name])
        return self._values(best, scores, "") if not self.explain else {}

    @property
    def can_merge(self) -> bool:
        """Labels of parts make a label of the whole."""
        return True

    @property
    def merges_again(self) -> bool:
        """The merged label is final."""
        return False

    def merge(self, parts: Sequence[Part]) -> Mapping[str, Any]:
        """Probabilities averaged by length where all parts have them; else votes; of several labels all."""
        columns = LabelColumns(self.output, self.labels.names, self.many, self.wide)
        scores = [part.result.response.scores if part.result.response else None for part in parts]
        if all(scores) and not self.many and not self.explain:
            lengths = [len(part.text) for part in parts]
            return self.scored(mean_scores([dict(each or {}) for each in scores], lengths))
        found = [part.result.values for part in parts]
        return all_labels(columns, found) if self.many else most_voted(columns, found)

    def _native(self, parsed: Any) -> tuple[Any, bool]:
        if self.many:
            names = (
                [self.labels.match(item) for item in parsed] if isinstance(parsed, list | tuple) else [None]
            )
            if None in names:
                raise AnswerError(
                    f"the answer {parsed!r} holds something that is no label", answer=str(parsed)
                )
            return [name for name in self.labels.names if name in names][: self.max_choices], False
        name = self.labels.match(parsed)
        if name is None:
            raise AnswerError(f"the answer {parsed!r} is none of the labels", answer=str(parsed))
        return name, False

    def _read(self, text: str) -> tuple[Any, bool]:
        return (
            parse_labels(text, self.labels, self.max_choices) if self.many else parse_label(text, self.labels)
        )

    def _values(self, label: Any, scores: Mapping[str, float] | None, reason: str) -> dict[str, Any]:
        values: dict[str, Any]
        if self.wide:
            values = {
                self.output + name: name in (label if self.many else [label]) for name in self.labels.names
            }
        else:
            values = {self.output: label, f"{self.output}_confidence": _confidence(label, scores)}
        if self.explain:
            values[f"{self.output}_explanation"] = reason
        if self.scores:
            values |= {f"{self.output}_score_{name}": (scores or {}).get(name) for name in self.labels.names}
        return values

    def _shown(self, label: str | Sequence[str]) -> str:
        names = [label] if isinstance(label, str) else list(label)
        if not self.explain:
            return json.dumps(names, ensure_ascii=False) if self.many else names[0]
        # Nobody wrote a reason for this row; an invented one would teach the model to invent.
        return json.dumps({"labels": names} if self.many else {"label": names[0]}, ensure_ascii=False)


def _task_lines(task: Label) -> list[str]:
    some = f", at most {task.max_choices}" if task.max_choices else ""
    aim = (
        f"Choose every label that applies to the text{some}."
        if task.many
        else "Choose the label that fits the text best."
    )
    lines = [aim, *([task.guidance] if task.guidance else []), "", "Labels:"]
    for choice in task.all_choices:
        lines.append(f"- {choice.name}: {choice.description}" if choice.description else f"- {choice.name}")
        lines += [f"  for example: {_short(text)}" for text in choice.examples]
        lines += [f"  but not: {_short(text)}" for text in choice.counterexamples]
    return lines


def _answer_line(task: Label) -> str:
    if task.explain:
        what = "labels, a list of label names" if task.many else "label, one label name"
        parts = ["explanation, one or two sentences about the text", f"{what} from the list"]
        first, then = reversed(parts) if task.explain == "after" else parts
        return f"Answer with a JSON object: {first}; then {then}."
    if task.many:
        return "Answer with a JSON list of label names from the list, [] if none applies, and nothing else."
    return "Answer with one label name, exactly as written in the list, and nothing else."


def _quote(text: str) -> str:
    return f"Text:\n{text}"


def _short(text: str) -> str:
    """An example on one line."""
    return " ".join(text.split())


def _confidence(label: Any, scores: Mapping[str, float] | None) -> float | None:
    """The probability of the label; of several labels, the smallest one."""
    if not scores or not label:
        return None
    known = [scores[name] for name in ([label] if isinstance(label, str) else label) if name in scores]
    return min(known, default=None)


def _reason_and_label(response: Response) -> tuple[str, str]:
    found, value = (
        (True, response.parsed)
        if response.parsed is not None
        else parse_json(strip_thinking_and_fences(response.text))
    )
    if not found or not isinstance(value, Mapping):
        return "", response.text
    rest = {key: part for key, part in value.items() if key != "explanation"}
    return str(value.get("explanation") or ""), json.dumps(rest, ensure_ascii=False)


def _explained(task: Label) -> dict[str, Any]:
    """The schema of a reasoned label. Models write an object's keys in the schema's order."""
    most = task.max_choices
    one: dict[str, Any] = {"type": "string", "enum": list(task.labels.names)}
    several: dict[str, Any] = {"type": "array", "items": one} | ({"maxItems": most} if most else {})
    key = "labels" if task.many else "label"
    parts: dict[str, Any] = {"explanation": {"type": "string"}, key: several if task.many else one}
    properties = dict(reversed(parts.items())) if task.explain == "after" else parts
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class NearestLabel(Label):
    """``Label`` whose examples are looked up by the row's text in ``found``.

    ``found`` (text -> examples) is filled before the first row is asked about. ``examples`` replace them
    for a text that is not there, as in a preview of the prompt before anything is embedded.
    """

    found: dict[str, tuple[tuple[str, Any], ...]] = field(default_factory=dict, compare=False, repr=False)

    def _examples_of(self, text: str) -> Sequence[Example]:
        """The row's own examples."""
        own = self.found.get(text)
        return super()._examples_of(text) if own is None else own


@dataclass(frozen=True)
class CascadeLabel(Label):
    """``Label`` with the column ``{output}_by``: the name of the model, or of the proxy model."""

    model: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return (*super().columns, f"{self.output}_by")

    def parse(self, request: Request, response: Response) -> Parsed:
        """The model's label, under its name."""
        return self._signed(super().parse(request, response), self.model)

    def default(self, request: Request) -> Parsed | None:
        """The default label: nobody's."""
        made = super().default(request)
        return None if made is None else self._signed(made, "default")

    def by_proxy(self, label: str, confidence: float, by: str) -> Mapping[str, object]:
        """The values of a row that the proxy model labels."""
        return self._signed(Parsed(self._values(label, {label: confidence}, "")), by).values

    def _signed(self, parsed: Parsed, by: str) -> Parsed:
        return replace(parsed, values={**parsed.values, f"{self.output}_by": by})
