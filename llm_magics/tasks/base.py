"""A task is pure: a row becomes a Request, a Response becomes values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from llm_magics.errors import AnswerError
from llm_magics.types import Request, Response, Status

Row: TypeAlias = Mapping[str, Any]
"""One row's values by column name, only the columns the task named."""


@dataclass(frozen=True)
class Target:
    """Where a request goes: the parts of a Request that come from the backend, not the task."""

    backend: str
    model: str
    base_url: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parsed:
    """Values by output column; ``status`` is ``ok`` unless the answer had to be mended."""

    values: Mapping[str, Any]
    status: Status = "ok"


@runtime_checkable
class Task(Protocol):
    """What the engine needs of a task."""

    @property
    def name(self) -> str:
        """What it is called in footers and manifests."""

    @property
    def role(self) -> str:
        """The role whose backend answers it."""

    def request(self, row: Row, target: Target, sample: int = 0) -> Request | None:
        """The row as a Request; None where there is nothing to ask (an empty row)."""

    def parse(self, request: Request, response: Response) -> Parsed:
        """The response as values. Raises AnswerError where it is not usable."""

    def reask(self, request: Request, response: Response, error: AnswerError) -> Request | None:
        """A new Request that tells the model what was wrong, or None to give up."""

    def default(self, request: Request) -> Parsed | None:
        """The values of a row whose answer stayed unusable; None leaves it null and ``failed``."""


@runtime_checkable
class ColumnTask(Task, Protocol):
    """A task whose values become columns of the user's frame."""

    @property
    def output(self) -> str:
        """The name of its column (the prefix of several)."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The output columns, in order; ``parse`` gives a value for each."""
