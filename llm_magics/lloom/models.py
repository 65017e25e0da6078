"""LLooM's model classes: a user's functions, or a model's name and key, as backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from llm_magics.backends.base import Backend
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec, Limits, Price

Cost = float | Sequence[float]
"""US dollars per token: a number, or (input, output)."""


class _Model:
    """What the four classes share. ``api_key`` reaches the setup function or the host, nothing else."""

    namespace: ClassVar[str] = "custom"
    function: ClassVar[str] = "fn"

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        setup_fn: Callable[[str | None], Any] | None = None,
        fn: Callable[..., Any] | None = None,
        rate_limit: tuple[int, float] | None = None,
        cost: Cost | None = None,
        context_window: int | None = None,
        batch_size: int | None = None,
        base_url: str = "",
        **args: Any,
    ) -> None:
        self.name = name
        self.setup_fn = setup_fn
        self.fn = fn
        self.rate_limit = rate_limit
        self.cost = cost
        self.context_window = context_window
        self.batch_size = batch_size
        self.base_url = base_url
        self.args: dict[str, Any] = args
        self.client: Any = None
        self._api_key = api_key
        self._backend: Backend | None = None

    @property
    def api_key(self) -> str | None:
        """The key as it was given."""
        return self._api_key

    def spec(self) -> BackendSpec:
        """This model as a backend's description; the key is not in it."""
        window = (int(self.rate_limit[0]), float(self.rate_limit[1])) if self.rate_limit else None
        return BackendSpec(
            self.namespace,
            self.name or getattr(self.fn, "__name__", "model"),
            base_url=self.base_url,
            key="session:lloom" if self._api_key else "",
            limits=Limits(window=window),
            price=_price(self.cost),
            options=self._options(),
        )

    def _options(self) -> Mapping[str, Any]:
        given = {"context_window": self.context_window, "batch_size": self.batch_size}
        return {name: value for name, value in given.items() if value is not None}

    def to_backend(self) -> Backend:
        """The backend that asks this model, the same one each time."""
        if self._backend is None:
            from llm_magics.backends.namespaces import create

            self._backend = create(self.spec(), _OneKey(self._api_key))
        return self._backend

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class Model(_Model):
    """A text model behind two functions.

    ``setup_fn(api_key)`` returns the client that ``fn`` finds at ``model.client``; ``fn(model, prompt)``,
    sync or async, returns ``(text, (input tokens, output tokens))``. ``rate_limit`` is at most n
    requests in that many seconds, ``cost`` US dollars per input and output token, further keywords
    are in ``model.args``.
    """

    def _options(self) -> Mapping[str, Any]:
        if self.fn is None:
            raise UsageError(f"{self!r} has no function.", hint="Give fn=, a function of (model, prompt).")
        return {**super()._options(), self.function: self.fn, "setup_fn": self.setup_fn, "target": self}


class EmbedModel(Model):
    """An embedding model behind two functions.

    ``fn(model, texts)`` returns ``(vectors, tokens)`` for a list of at most ``batch_size`` texts; a
    function that takes one text at a time is found out and called so.
    """

    function: ClassVar[str] = "embed_fn"


class OpenAIModel(_Model):
    """An OpenAI text model by name; ``base_url`` for a server that speaks its format."""

    namespace: ClassVar[str] = "openai"


class OpenAIEmbedModel(OpenAIModel):
    """An OpenAI embedding model by name."""


class _OneKey:
    """The one key a model object was given, for its own backend only."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def resolve(self, reference: str) -> str | None:
        """The key, whatever it is called."""
        del reference
        return self._key


def _price(cost: Cost | None) -> Price | None:
    """LLooM's dollars per token as dollars per million."""
    if cost is None:
        return None
    pair = list(cost) if isinstance(cost, Sequence) else [cost, 0.0]
    ahead, after = (float(pair[0]), float(pair[-1] if len(pair) > 1 else 0.0))
    return Price(ahead * 1e6, after * 1e6, source="given with the model")
