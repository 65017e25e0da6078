"""One method makes a backend: ``async complete(request) -> Response``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

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
)

if TYPE_CHECKING:
    from llm_magics.core.limits import Limiter
from contextvars import ContextVar
from typing import TypeAlias

from llm_magics.core.types import Text

Listener: TypeAlias = Callable[[str], object]
"""Told the whole text so far, again and again; from the loop thread or a model's own."""

LISTENER: ContextVar[Listener | None] = ContextVar("llm_magics_listener", default=None)
"""Who listens to the answers of this run; set by what runs it, for a single text only."""


def listener(request: Request) -> Listener | None:
    """Who listens to the answer of this request: None where nobody does, or it is no plain text."""
    return LISTENER.get() if isinstance(request.response_format, Text) else None


def unused_parameters(backend: str, names: Iterable[str]) -> tuple[str, ...]:
    """What is said of parameters that an engine in the kernel has no use for."""
    return tuple(f"{backend} takes no {name}; it was not used." for name in names)


class Secrets(Protocol):
    """Where keys come from: references are resolved at the moment of a call, never kept."""

    def resolve(self, reference: str) -> str | None:
        """The secret behind ``env:NAME``, ``keyring:NAME``, ``session:NAME``, or None."""


class Backend:
    """One configured way to reach a model. Subclasses override ``complete`` and say what they can.

    A constructor opens nothing: connections and models come with the first call, on the loop thread.
    ``name`` is the registered name, ``namespace::model`` otherwise. ``parameters`` are this backend's
    defaults, under the flags of a cell.
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
    def announcement(self) -> str:
        """One sentence the footer shows with every result (``rough: similarity, no model``)."""
        return ""

    def outgrown(self, stored: Response) -> bool:
        """Whether a stored answer saw less of its row's text than this backend would show the model now."""
        window = self.capabilities.context_window
        return bool(stored.cut_to and window and stored.cut_to < window)

    async def open(self) -> None:
        """Make ready for calls: what a first call would wait for (a library, a model, a key).

        Called before each run, so it is quick where nothing is left to do. Raises what makes every
        call fail, before any is made.
        """

    async def complete(self, request: Request) -> Response:
        """Answer one request, or raise one of ``errors.BackendError``'s kinds."""
        raise Unsupported(f"{self.name} gives no text.")

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Answer several at once, in order; called only where ``capabilities.batch_size`` > 1."""
        return [await self.complete(request) for request in requests]

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors of the texts, in order, each text in full."""
        raise Unsupported(f"{self.name} gives no embeddings.")

    async def close(self) -> None:
        """Let go of connections and memory; the next call opens them again."""

    def observe(self) -> Mapping[str, float]:
        """The newest rate-limit facts of the host, empty where it says nothing.

        ``limit_requests``, ``remaining_requests``, ``reset_requests`` (seconds), the same for ``tokens``.
        """
        return EMPTY

    def share(self, limiter: Callable[[Backend], Limiter]) -> None:
        """Hear of the engine's limiters, one a backend for all runs; who asks others asks under theirs."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class BatchBackend(Backend):
    """A backend whose one method is ``complete_many``; a request alone is a batch of one."""

    async def complete(self, request: Request) -> Response:
        """One answer; raises what stands in its place."""
        outcome = (await self.complete_many([request]))[0]
        if isinstance(outcome, LLMError):
            raise outcome
        return outcome
