"""The backend interface. One method makes a backend: ``async complete(request) -> Response``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from llm_magics.core.errors import LLMError, Unsupported
from llm_magics.core.types import (
    EMPTY,
    BackendSpec,
    Capabilities,
    Embedding,
    Limits,
    Price,
    Request,
    Response,
    ResponseFormat,
    Text,
)

if TYPE_CHECKING:
    from llm_magics.core.limits import RateLimiter

Listener: TypeAlias = Callable[[str], object]
"""Called with the whole text so far, again and again, on the loop thread or a model's own."""

LISTENER: ContextVar[Listener | None] = ContextVar("llm_magics_listener", default=None)
"""The listener of this run's answer; only a run of a single text has one."""


def listener(request: Request) -> Listener | None:
    """The listener for this request's answer: None where there is none, or the answer is not plain text."""
    return LISTENER.get() if isinstance(request.response_format, Text) else None


def unused_parameters(backend: str, names: Iterable[str]) -> tuple[str, ...]:
    """The notes about parameters that the backend can't use."""
    return tuple(f"{backend} takes no {name}; it was not used." for name in names)


class Secrets(Protocol):
    """Resolves references to keys at the moment of a call; keys are never stored."""

    def resolve(self, reference: str) -> str | None:
        """The secret behind ``env:NAME``, ``keyring:NAME``, ``session:NAME``, or None."""


class Backend:
    """One configured way to reach a model.

    Subclasses implement ``complete`` and state their capabilities.

    A constructor opens nothing: connections and models are opened by the first call, on the loop thread.
    ``name`` is the registered name, ``namespace::model`` otherwise. ``parameters`` are this backend's
    defaults, which a cell's flags override.
    """

    capabilities: Capabilities = Capabilities()
    keeps_time = False
    """Whether ``complete`` and ``embed`` end by themselves within ``limits.timeout``."""

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        self.spec = spec
        self.secrets = secrets
        self.namespace: str = spec.namespace
        self.model: str = spec.model
        self.base_url: str = spec.base_url
        self.name: str = spec.name or f"{spec.namespace}::{spec.model}"
        self.limits: Limits = spec.limits
        self.price: Price | None = spec.price
        self.parameters: Mapping[str, Any] = spec.parameters

    @property
    def begins(self) -> bool:
        """Whether it computes label scores behind an answer that the prompt has begun."""
        return False

    @property
    def completes(self) -> bool | None:
        """Whether the model has no chat template and continues texts; None where it has to be loaded first.

        Prompts for such a model are texts to continue, not messages.
        """
        return False

    def request_seconds(self, response_format: ResponseFormat) -> float:
        """About how many seconds one request, or one batch of ``batch_size``, takes, for estimates."""
        return 1.0

    @property
    def announcement(self) -> str:
        """One sentence that the footer shows with every result, such as a warning about its quality."""
        return ""

    def outgrown(self, stored: Response) -> bool:
        """Whether a stored response was made from less of its row's text than the model would read now."""
        window = self.capabilities.context_window
        return bool(stored.cut_to and window and stored.cut_to < window)

    async def open(self) -> None:
        """Prepare for calls: load a library or a model, find a key.

        Called before each run, so it returns quickly where nothing is left to do. Raises what would make
        every call fail.
        """

    async def load(self) -> None:
        """Load what ``completes`` depends on; called only where that is None."""
        await self.open()

    async def complete(self, request: Request) -> Response:
        """Answer one request, or raise a ``BackendError``."""
        raise Unsupported(f"{self.name} gives no text.")

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Answer several requests at once, in order; called only where ``capabilities.batch_size`` > 1."""
        return [await self.complete(request) for request in requests]

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """The vectors of the texts, in order; no text is truncated."""
        raise Unsupported(f"{self.name} gives no embeddings.")

    async def close(self) -> None:
        """Close connections and release memory; the next call opens them again."""

    def observe(self) -> Mapping[str, float]:
        """The host's newest rate limits; empty where it reports none.

        ``limit_requests``, ``remaining_requests``, ``reset_requests`` (seconds), and the same for
        ``tokens``.
        """
        return EMPTY

    def share(self, limiter: Callable[[Backend], RateLimiter]) -> None:
        """Take the function that gives the limiter of a backend; for backends that call other ones."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class BatchBackend(Backend):
    """A backend whose one method is ``complete_many``; a single request is a batch of one."""

    async def complete(self, request: Request) -> Response:
        """One response; raises the error in its place."""
        outcome = (await self.complete_many([request]))[0]
        if isinstance(outcome, LLMError):
            raise outcome
        return outcome
