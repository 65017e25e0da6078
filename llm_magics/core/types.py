"""Requests, responses, response formats, limits and prices: the frozen records that all folders share.

This module imports no other module of the package and no heavy library. The fields of a ``Request``
and of the response formats are part of the keys of the response store: renaming one would lose stored
answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

Status: TypeAlias = Literal["ok", "repaired", "defaulted", "failed", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "repaired", "defaulted", "failed", "skipped")

ROLES: tuple[str, ...] = (
    "default",
    "label",
    "generate",
    "extract",
    "chat",
    "embed",
    "concepts.distill",
    "concepts.synthesize",
    "concepts.score",
)
"""The purposes a backend can be bound to; a role without a backend of its own uses ``default``."""

EMPTY: Mapping[str, Any] = MappingProxyType({})


class Message(NamedTuple):
    """One turn of a prompt; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


@dataclass(frozen=True)
class Choice:
    """A label: its name, its meaning, texts that have it and texts that only look like it."""

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    counterexamples: tuple[str, ...] = ()


class Format:
    """The base class of the response formats."""

    kind = ""

    @cached_property
    def canonical(self) -> str:
        """The format as JSON, equal for equal formats; computed once and shared by all rows of a run."""
        return _encode({"kind": self.kind, **_plain(self)})


@dataclass(frozen=True)
class Text(Format):
    """Any text."""

    kind = "text"


@dataclass(frozen=True)
class OneOf(Format):
    """One of the choices; with ``many`` any number of them, up to ``max_choices``.

    ``scores`` asks for a probability per choice where the backend can give one.
    """

    choices: tuple[Choice, ...]
    many: bool = False
    max_choices: int | None = None
    scores: bool = False
    kind = "one_of"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the choices, in the user's order."""
        return tuple(choice.name for choice in self.choices)


@dataclass(frozen=True)
class Schema(Format):
    """A JSON value that satisfies the JSON schema ``schema``."""

    schema: Mapping[str, Any]
    name: str = "answer"
    kind = "schema"


@dataclass(frozen=True)
class Vector(Format):
    """An embedding of the request's ``subject``."""

    dimensions: int | None = None
    kind = "vector"


ResponseFormat: TypeAlias = Text | OneOf | Schema | Vector
TEXT = Text()


@dataclass(frozen=True)
class Request:
    """What is asked of a model about one row.

    ``backend`` is the namespace and ``base_url`` the host: equal model names on two hosts have different
    keys, and a backend that the user renamed keeps its keys. ``subject`` is the row's own text inside
    ``messages``: it is what is embedded, and the only part of a prompt that is truncated where the
    prompt is too long. ``sample`` numbers the generations of one prompt, ``rows_per_request`` says how
    many rows may share one request. A request never contains a secret.
    """

    backend: str
    model: str
    messages: tuple[Message, ...]
    response_format: ResponseFormat = TEXT
    parameters: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = ""
    subject: str = ""
    sample: int = 0
    rows_per_request: int = 1

    @cached_property
    def key(self) -> str:
        """The key in the response store: SHA-256 of the JSON of everything that decides the answer."""
        return hashlib.sha256(self.canonical().encode("utf-8", "surrogatepass")).hexdigest()

    def canonical(self) -> str:
        """The request as JSON with sorted keys and no spaces, equal for equal requests."""
        whole = {
            "backend": self.backend,
            "base_url": self.base_url,
            "model": self.model,
            "messages": self.messages,
            "format": self.response_format.canonical,
            "parameters": dict(self.parameters),
            "sample": self.sample,
        }
        # Answers of batched requests have keys of their own; the keys of single rows don't change.
        return _encode(whole if self.rows_per_request == 1 else {**whole, "together": self.rows_per_request})


def _plain(value: Any) -> Any:
    """Return a record as a dict of its fields, and any other value that JSON lacks as its ``repr``."""
    if isinstance(value, Mapping):
        return dict(value)
    names = getattr(value, "__dataclass_fields__", None)
    return {name: getattr(value, name) for name in names} if names is not None else repr(value)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain).encode


@dataclass(frozen=True)
class Usage:
    """The tokens of one answer; ``cost`` is in US dollars, None where the price is unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost: float | None = None
    estimated: bool = False


NO_USAGE = Usage()


CUT = ("length", "max_tokens")
"""Finish reasons of an answer that stopped at the token limit."""


@dataclass(frozen=True)
class Response:
    """A model's answer.

    ``parsed`` is the value where the backend enforced the format itself (a label, a list of labels, a
    JSON value), else None, and the task parses ``text``. ``scores`` are probabilities of the choices,
    ``method`` names how they were computed (``logprobs``, ``trie``, ``similarity``, ``votes``).
    ``vector`` is a float32 array of shape (d,). ``notes`` are sentences shown once per run. ``latency`` is
    in seconds. ``cut_to`` is the context size in tokens that the row's text was truncated to, 0 where the
    model read all of it.
    """

    text: str = ""
    parsed: Any = None
    scores: Mapping[str, float] | None = None
    method: str = ""
    vector: Any = None
    finish_reason: str = "stop"
    usage: Usage = NO_USAGE
    model: str = ""
    request_id: str = ""
    latency: float = 0.0
    cached: bool = False
    notes: tuple[str, ...] = ()
    cut_to: int = 0


@dataclass(frozen=True)
class Result:
    """The outcome of one row: its values by column, or the error in their place."""

    index: int
    status: Status
    values: Mapping[str, Any] = field(default_factory=dict)
    response: Response | None = None
    key: str = ""
    error: BaseException | None = None
    attempts: int = 0
    usage: Usage = NO_USAGE


@dataclass(frozen=True)
class Limits:
    """The limits of a backend.

    ``rpm`` and ``tpm`` are requests and tokens per minute; ``window`` = (n, seconds) allows at most n
    requests in any span of that length (LLooM's tuple); ``concurrency`` limits the requests in flight;
    ``retries`` is the number of attempts after the first, per row and for retryable errors only;
    ``timeout`` is in seconds for one attempt.
    """

    rpm: float | None = None
    tpm: float | None = None
    window: tuple[int, float] | None = None
    concurrency: int | None = None
    retries: int = 5
    timeout: float = 120.0


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as of ``date`` (ISO) from ``source``."""

    input: float
    output: float = 0.0
    cached_input: float | None = None
    date: str = ""
    source: str = ""


FREE = Price(0.0, 0.0, 0.0, source="runs on this machine")


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do by itself, and how the engine should call it.

    ``text``, ``one_of`` and ``schema`` are the response formats that the backend enforces itself,
    ``max_concurrency`` is the upper end of adaptive concurrency. With ``batch_size`` > 1 the engine passes
    that many requests at once to ``complete_many``; ``embed_batch`` is the number of texts per ``embed``.
    ``context_window`` is in tokens. ``stored`` is False where computing an answer again is cheaper than
    storing it. ``exact_scores``: every single label comes with a probability of each choice, at no cost.
    ``parameters`` are the names that the backend takes; None passes all of them on.
    """

    text: bool = True
    one_of: bool = False
    schema: bool = False
    logprobs: bool = False
    embed: bool = False
    max_concurrency: int = 64
    batch_size: int = 1
    embed_batch: int = 64
    context_window: int | None = None
    stored: bool = True
    exact_scores: bool = False
    parameters: frozenset[str] | None = None


@dataclass(frozen=True)
class BackendSpec:
    """A backend as the user described it: held by the registry, saved in profiles, without any secret.

    ``key`` and the values of ``headers`` may be references (``env:NAME``, ``keyring:NAME``,
    ``session:NAME``), which are resolved at the time of a call and sent to this backend's own host only.
    ``base_url`` is a URL, an Azure endpoint, or empty for the namespace's default. ``options`` belong to
    one family of backends (``api_version``, ``context``, ``gpu_layers``, ``fn``, ``members``, ...).
    """

    namespace: str
    model: str
    name: str = ""
    base_url: str = ""
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    price: Price | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Embedding:
    """Vectors of several texts: ``vectors`` is float32 of shape (n, d)."""

    vectors: Any
    usage: Usage = NO_USAGE
    model: str = ""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Concept:
    """A pattern that a text may show, induced from many texts (LLooM).

    ``criterion`` is a yes/no question about one text; scores belong to the criterion, so that a renamed
    concept keeps them. ``examples`` are row numbers of texts that show the concept, ``seed`` is the topic
    it was induced for. A ``locked`` concept can't be changed; a ``selected`` one takes part in scoring.
    """

    id: str
    name: str
    criterion: str = ""
    examples: tuple[int, ...] = ()
    summary: str = ""
    seed: str = ""
    keywords: tuple[str, ...] = ()
    locked: bool = False
    selected: bool = True
