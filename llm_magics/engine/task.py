"""The task protocol: a row becomes a Request, a Response becomes values. Tasks have no side effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from llm_magics.core.errors import AnswerError
from llm_magics.core.prompt_formats import is_begun
from llm_magics.core.types import TEXT, Message, Request, Response, ResponseFormat, Result, Status
from llm_magics.text.json_objects import find_object
from llm_magics.text.json_parsing import find_json_values, strip_thinking_and_fences

Row: TypeAlias = Mapping[str, Any]
"""One row's values by column name; only the columns that the task reads."""


class Part(NamedTuple):
    """The result about one part of a long text, and that part of the text."""

    result: Result
    text: str


@dataclass(frozen=True)
class Target:
    """The parts of a Request that come from the backend, not from the task.

    ``rows_per_request`` rows share one request.
    """

    backend: str
    model: str
    base_url: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rows_per_request: int = 1

    def request(
        self, messages: tuple[Message, ...], subject: str, form: ResponseFormat = TEXT, sample: int = 0
    ) -> Request:
        """A Request with these messages. ``subject`` is the row's own text in them."""
        return Request(
            *(self.backend, self.model, messages, form, self.parameters, self.base_url, subject, sample),
            rows_per_request=self.rows_per_request,
        )


@dataclass(frozen=True)
class Parsed:
    """Values by output column; ``status`` is ``repaired`` where the answer had to be corrected."""

    values: Mapping[str, Any]
    status: Status = "ok"


@runtime_checkable
class Task(Protocol):
    """What the engine needs of a task."""

    @property
    def name(self) -> str:
        """The name in footers and manifests."""

    @property
    def role(self) -> str:
        """The role whose backend answers the task."""

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """The row as a Request; None for a row that needs no answer, such as an empty text."""

    def parse(self, request: Request, response: Response) -> Parsed:
        """The response as values. Raises AnswerError where it can't be used."""

    def reask(self, request: Request, response: Response, error: AnswerError) -> Request | None:
        """A new Request that tells the model what was wrong, or None to give up."""

    def default(self, request: Request) -> Parsed | None:
        """The values of a row without a usable answer; None makes the row null and ``failed``."""


@runtime_checkable
class ColumnTask(Task, Protocol):
    """A task whose values become columns of the user's frame."""

    @property
    def output(self) -> str:
        """The name of the column, or the prefix of several."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order; ``parse`` gives a value for each."""


@runtime_checkable
class MergeableTask(ColumnTask, Protocol):
    """A task whose answers about the parts of a long text can be merged into one about the whole text."""

    @property
    def can_merge(self) -> bool:
        """Whether this very task can: of a class that can, some can't."""

    @property
    def merges_again(self) -> bool:
        """Whether the merged text is asked about again, as a summary of summaries is."""

    def merge(self, parts: Sequence[Part]) -> Mapping[str, Any]:
        """The values of the whole text from those of its parts, in order; there is at least one part."""


def retry_request(request: Request, response: Response, error: AnswerError, wanted: str) -> Request:
    """The request with the unusable answer, what was wrong with it, and what is ``wanted`` appended."""
    said = Message("assistant", response.text or "(no answer)")
    why = Message("user", f"That can't be used: {error.message}. {wanted}")
    return replace(request, messages=(*request.messages, said, why))


def is_retry(request: Request) -> bool:
    """Whether this request asks for an answer again; for tasks that show no examples as earlier answers."""
    answers = sum(message.role == "assistant" for message in request.messages)
    return answers > is_begun(request.parameters)


def answer_values(response: Response) -> list[Any]:
    """The JSON values of an answer, the likeliest first: the one that the backend enforced, or the text's.

    Raises AnswerError where there is none.
    """
    if response.parsed is not None:
        return [response.parsed]
    values = list(find_json_values(strip_thinking_and_fences(response.text)))
    if not values:
        raise AnswerError("the answer holds no JSON", answer=response.text)
    return values


def answer_object(response: Response, names: Sequence[str]) -> dict[str, Any]:
    """The values that an answer's JSON object has under ``names``, in whatever envelope and spelling.

    Raises AnswerError where there is no such object.
    """
    try:
        return find_object(names, answer_values(response))[0]
    except ValueError as error:
        raise AnswerError(str(error), answer=response.text) from error
