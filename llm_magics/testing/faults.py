"""Faults of a model's host: by name, scripted or drawn from a seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

FAULTS: tuple[str, ...] = (
    "rate_limited",  # 429 with Retry-After
    "quota",  # 429 insufficient_quota
    "error",  # 500
    "unavailable",  # 503
    "overloaded",  # 529
    "auth",  # 401
    "no_model",  # 404
    "context",  # 400 context_length_exceeded
    "filtered",  # 400 content_filter
    "filtered_finish",  # 200, finish_reason content_filter
    "bad_request",  # 400 for this row
    "hang",  # no answer
    "reset",  # the connection breaks before the answer
    "cut",  # the connection breaks inside the answer
    "truncated",  # a whole body whose JSON ends early
    "html",  # 200 with a web page
    "null",  # content null
    "empty",  # content ""
    "refusal",  # content null, refusal set
    "length",  # cut by the token limit
    "off_label",  # an answer nobody asked for
    "left_out",  # of several rows in one request, the last gets no answer
    "twice",  # ... the last id stands there twice
    "strange",  # ... the last answer comes under an id that nobody gave
    "redirect",  # 307 to ``location``
)


@dataclass(frozen=True)
class Fault:
    """One fault. ``retry_after`` in seconds; ``message`` replaces the server's own message."""

    kind: str
    retry_after: float | None = None
    message: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    location: str = ""

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(FAULTS)}")


class Chaos:
    """Faults by seed: the n-th arrival of a body always meets the same fault, whatever comes between.

    ``rates`` gives each fault its probability; the rest is answered without one.
    """

    def __init__(self, rates: Mapping[str, float], seed: int = 0) -> None:
        if sum(rates.values()) > 1:
            raise ValueError("the rates of all faults together are more than 1")
        self.rates = {Fault(kind).kind: rate for kind, rate in rates.items()}
        self.seed = seed
        self.seen: Counter[bytes] = Counter()

    def draw(self, body: bytes) -> Fault | None:
        """The fault that this arrival of ``body`` meets, or None."""
        self.seen[body] += 1
        token = f"{self.seed}:{self.seen[body]}:".encode() + body
        point = int.from_bytes(hashlib.sha256(token).digest()[:8], "big") / 2**64
        for kind, rate in self.rates.items():
            if point < rate:
                return Fault(kind)
            point -= rate
        return None


def as_fault(what: str | Fault | None, **more: object) -> Fault | None:
    """A fault from its name (``ok`` or None is no fault)."""
    if what is None or what == "ok":
        return None
    made = what if isinstance(what, Fault) else Fault(what)
    return replace(made, **more) if more else made  # type: ignore[arg-type]


_HTTP_ERRORS: Mapping[str, tuple[int, str, str, str]] = {
    "rate_limited": (429, "rate_limit_exceeded", "requests", "Rate limit reached. Please try again in 20ms."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "error": (500, "server_error", "server_error", "The server had an error."),
    "unavailable": (503, "service_unavailable", "server_error", "The engine is currently overloaded."),
    "overloaded": (529, "overloaded_error", "server_error", "Overloaded."),
    "auth": (401, "invalid_api_key", "invalid_request_error", "Incorrect API key provided."),
    "no_model": (404, "model_not_found", "invalid_request_error", "The model does not exist."),
    "context": (
        400,
        "context_length_exceeded",
        "invalid_request_error",
        "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.",
    ),
    "filtered": (400, "content_filter", "invalid_request_error", "The response was filtered by the policy."),
    "bad_request": (400, "invalid_value", "invalid_request_error", "Invalid value in 'messages'."),
}


def http_error_of(fault: Fault) -> tuple[int, str, str, str] | None:
    """``(status, code, type, message)`` of a fault that is an HTTP error, else None."""
    said = _HTTP_ERRORS.get(fault.kind)
    if said is None:
        return None
    status, code, kind, message = said
    return fault.status or status, code, kind, fault.message or message
