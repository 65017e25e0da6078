"""Error mapping: HTTP statuses, error bodies and exceptions of SDKs become our errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from llm_magics.core.errors import (
    AuthError,
    BackendError,
    BadRequest,
    ConnectionLost,
    ContentFiltered,
    ContextOverflow,
    LLMError,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Timeout,
    Unsupported,
    redact,
)

LONGEST = 400
"""Characters of a host's message that an error repeats."""

_OVERFLOW = re.compile(
    r"context.{0,12}(length|window|size)|maximum.{0,20}(context|tokens)|too many (input )?tokens"
    r"|(prompt|input|request|message)s? (is |are )?too (long|large)|reduce the length"
    r"|exceeds? .{0,30}context",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content[ _-]?(filter|policy|management)|responsible ?ai|safety (system|filter)|moderation",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,80}(does not exist|not found|is (unknown|unavailable))|model_not_found|unknown_model",
    re.IGNORECASE,
)
_NO_KEY = re.compile(
    r"(api|access)[ _-]?key (is )?(not valid|invalid|missing)|invalid[ _]api[ _]key", re.IGNORECASE
)
_QUOTA = re.compile(
    r"insufficient[ _](quota|balance|funds|credits?)|billing|exceeded your current quota|credit balance"
    r"|payment",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"(?:(?:try again|retry|retry (?:your|the|this) request|wait|available)\s+(?:in|after|for)|wait)\s+"
    r"(?:about |approximately |at least )?((?:\d[\d.]*\s*[a-z]+\s*)+)",
    re.IGNORECASE,
)
_WAIT_FIELDS: Mapping[str, float] = {
    "estimatedtime": 1.0,
    "retrydelay": 1.0,
    "retryafter": 1.0,
    "retryafterseconds": 1.0,
    "retryafterms": 0.001,
}
"""Fields of error bodies that ask to wait, without their underscores, and their unit in seconds."""
_PER_MINUTE = "quota_per_minute"
_DEPTH = 6
"""Levels of an error body that are searched for such a field."""
_NO_EMBEDDINGS = re.compile(
    r"embedding=True|(?:does not|doesn't|do not) support (?:the )?embeddings?"
    r"|embeddings? (?:api )?(?:is |are )?(?:not supported|not enabled|disabled)|--embeddings?\b"
    r"|is not an embeddings? model",
    re.IGNORECASE,
)
_NO_CHAT = re.compile(
    r"(?:does not|doesn't) support (?:the )?(?:chat|generate|(?:chat )?completions?)\b", re.IGNORECASE
)
_SPAN = re.compile(
    r"([\d.]+)\s*(ms|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)(?![a-z])", re.IGNORECASE
)
_UNITS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "d": 86400.0}


class HostMessage(NamedTuple):
    """The message, code and parameter of a host's error body; ``wait`` is in seconds."""

    message: str = ""
    code: str = ""
    kind: str = ""
    param: str = ""
    wait: float | None = None


def said(body: bytes) -> HostMessage:
    """The error message of a body, in any of the formats in use; never fails."""
    try:
        whole = json.loads(body)
    except ValueError:
        return HostMessage(_plain(body))
    return host_message(whole)


def host_message(whole: Any) -> HostMessage:
    """The error message of a parsed body."""
    if isinstance(whole, list) and whole:
        whole = whole[0]
    if not isinstance(whole, Mapping):
        return HostMessage(str(whole))
    error = whole.get("error", whole)
    if not isinstance(error, Mapping):
        error = {**whole, "message": error}
    detail = error.get("message") or error.get("detail") or error.get("msg") or ""
    inner = error.get("innererror")
    inner = inner if isinstance(inner, Mapping) else {}
    return HostMessage(
        message=detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False),
        code=f"{error.get('code') or inner.get('code') or ''}{_quota_code(error.get('details'))}",
        kind=str(error.get("type") or ""),
        param=str(error.get("param") or ""),
        wait=wait_in(whole),
    )


def _quota_code(details: Any) -> str:
    """A code for the span of a Google quota: one of a day is used up, one of a minute fills up again."""
    named = json.dumps(details, default=str)
    if "PerDay" in named:
        return " insufficient_quota"
    return f" {_PER_MINUTE}" if "PerMinute" in named else ""


def wait_in(body: Any, depth: int = _DEPTH) -> float | None:
    """The seconds that a parsed error body asks to wait, in whatever field; None where it doesn't say.

    Reads Google's ``{"details": [{"retryDelay": "3s"}]}``, Hugging Face's ``estimated_time``, and
    ``retry_after`` in its usual spellings.
    """
    if depth == 0 or not isinstance(body, Mapping | list):
        return None
    if isinstance(body, list):
        return next((wait for part in body if (wait := wait_in(part, depth - 1)) is not None), None)
    for name, value in body.items():
        unit = _WAIT_FIELDS.get(str(name).replace("_", "").replace("-", "").lower())
        seconds = _seconds(value) if unit is not None else None
        if unit is not None and seconds is not None:
            return seconds * unit
    return wait_in(list(body.values()), depth - 1)


def _seconds(value: Any) -> float | None:
    """A number, a text such as ``1.5s``, or Google's ``{"seconds": 1, "nanos": 500000000}``."""
    if isinstance(value, Mapping) and "seconds" in value:
        whole, rest = _seconds(value["seconds"]), _seconds(value.get("nanos") or 0)
        return None if whole is None else whole + (rest or 0.0) / 1e9
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    seconds = parse_duration(str(value))
    return seconds if seconds is not None and seconds >= 0 else None


def error_from_status(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    host: str,
    model: str,
) -> LLMError:
    """The error for an HTTP response that is no success."""
    return _told_error(status, said(body), headers, host, model)


def _told_error(status: int, told: HostMessage, headers: Any, who: str, model: str) -> LLMError:
    """The error for a status and what the host said with it."""
    unable = unsupported(told.message, f"{who} answered {status}", model)
    if unable is not None:
        return unable
    kind, hint = kind_of(status, told, model)
    return kind(
        f"{who} answered {status}: {short(told.message) or 'no reason given'}",
        hint=hint,
        status=status,
        request_id=request_id(headers),
        retry_after=wait_asked(headers, told),
    )


def unsupported(message: str, who: str, model: str) -> Unsupported | None:
    """The error for a model that lacks the task, whatever status the host gave; None for other messages."""
    if _NO_EMBEDDINGS.search(message):
        return Unsupported(
            f"{who}: {short(message)}. The model {model!r} gives no embeddings there.",
            hint="Start the server with embeddings (llama.cpp: --embedding), or name a model that embeds: "
            "-m embedded::wordllama",
        )
    if _NO_CHAT.search(message):
        return Unsupported(
            f"{who}: {short(message)}. The model {model!r} writes no text there.",
            hint="Name a model that writes text; one that embeds serves %llm embed and %llm concepts.",
        )
    return None


def kind_of(status: int, told: HostMessage, model: str) -> tuple[type[BackendError], str]:
    """The class of error for a status and message, and the hint what to do."""
    words = f"{told.code} {told.kind} {told.message}"
    if status in (401, 403):
        return AuthError, "Look at the key: %llm_config key list"
    if status == 402 or (status == 429 and _QUOTA.search(words) and not _refills(told)):
        return QuotaExhausted, "The account has no credit left: see the provider's billing page."
    if status == 429:
        return _too_many(words)
    if status == 404:
        return ModelNotFound, f"Does the host serve {model!r}? Is the URL right (most end in /v1)?"
    if status == 413:
        return ContextOverflow, "Shorten the text, or take a model with a larger context window."
    if status == 408:
        return Timeout, ""
    if status == 500 and _OVERFLOW.search(words):
        return _bad(words, model)
    if status in (409, 425) or (status >= 500 and status != 501):
        return Overloaded, ""
    return _bad(words, model)


def _refills(told: HostMessage) -> bool:
    """Whether a used-up quota fills up again: one of a minute, for which Google has the words of a plan."""
    if "insufficient_quota" in f"{told.code} {told.kind}":
        return False
    return _PER_MINUTE in told.code or bool(_WAIT.search(told.message))


def _too_many(words: str) -> tuple[type[BackendError], str]:
    """The class for a 429: wait, except for a single request larger than the quota of a minute."""
    if "request too large" in words.lower():
        return ContextOverflow, "This row alone is more than the account's tokens a minute: shorten it."
    return RateLimited, "Lower it for good with: %llm_config add ... --rpm N"


def _bad(words: str, model: str) -> tuple[type[BackendError], str]:
    """The class for a 400."""
    if _FILTERED.search(words):
        return ContentFiltered, "The provider's filter refused this row; the others go on."
    if _OVERFLOW.search(words):
        return ContextOverflow, "Shorten the text, or take a model with a larger context window."
    if _NO_KEY.search(words):
        return AuthError, "Look at the key: %llm_config key list"
    if _NO_MODEL.search(words):
        return ModelNotFound, f"Does the host serve {model!r}?"
    return BadRequest, ""


def short(text: str) -> str:
    """A host's message on one line, without keys, of limited length."""
    clean = redact(" ".join(text.split()))
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 4] + " ..."


def _plain(body: bytes) -> str:
    """The text of a body that is no JSON, without HTML tags."""
    text = body[:20_000].decode("utf-8", "replace")
    if "<" in text:
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]+>", " ", text)
    return " ".join(text.split())


def request_id(headers: Mapping[str, str]) -> str:
    """The provider's id of the request."""
    for name in ("x-request-id", "apim-request-id", "request-id", "cf-ray"):
        if name in headers:
            return headers[name]
    return ""


def retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait, None where the host doesn't say.

    Read from ``retry-after-ms``, ``retry-after`` (seconds or a date), or the message's "try again in
    1.2s".
    """
    return wait_asked(headers, HostMessage(message))


def wait_asked(headers: Mapping[str, str], told: HostMessage) -> float | None:
    """Seconds to wait by the headers, else by a field of the body, else by the message."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return max(0.0, exact / 1000)
    header = headers.get("retry-after")
    if header is not None:
        wait = _number(header)
        return max(0.0, wait) if wait is not None else _until(header)
    if told.wait is not None:
        return told.wait
    found = _WAIT.search(told.message)
    return parse_duration(found.group(1)) if found else None


def parse_duration(text: str) -> float | None:
    """Seconds of ``6ms``, ``1m30s``, ``20 seconds``, or of a plain number; None for anything else."""
    plain = _number(text)
    if plain is not None:
        return plain
    parts = _SPAN.findall(text)
    try:
        return sum(float(n) * _unit(unit) for n, unit in parts) if parts else None
    except ValueError:
        return None


def _unit(name: str) -> float:
    name = name.lower()
    return _UNITS["ms" if name.startswith(("ms", "milli")) else name[0]]


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= abs(number) < float("inf") else None


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


TIMEOUT_HINT = "Give it longer: --timeout SECONDS"


def from_status(
    status: int,
    message: str,
    *,
    who: str,
    model: str,
    code: str = "",
    headers: Any = None,
    body: Any = None,
) -> LLMError:
    """An HTTP status and the host's message as one of our errors; ``code`` is the host's own error code.

    ``body`` is the parsed error body, where it is known.
    """
    told = HostMessage(message=message, code=code, wait=wait_in(body))
    return _told_error(status, told, headers if headers is not None else {}, who, model)


def from_exception(error: BaseException, *, who: str, model: str = "") -> LLMError:
    """Any exception as one of our errors, with the original as its cause; ours are returned unchanged."""
    if isinstance(error, LLMError):
        return error
    said = f"{type(error).__name__}: {error}"
    name = type(error).__name__.lower()
    status = _status(error)
    if status is not None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        body = getattr(error, "body", None) or getattr(error, "details", None)
        mapped = from_status(status, said, who=who, model=model or who, headers=headers, body=body)
    elif isinstance(error, TimeoutError) or "timeout" in name:
        mapped = Timeout(f"{who} gave no answer in time ({said}).", hint=TIMEOUT_HINT)
    elif isinstance(error, OSError) or "connect" in name:
        mapped = ConnectionLost(
            f"{who} can't be reached ({said}).", hint="Is the server running, and the URL right?"
        )
    elif "contentfilter" in name:
        mapped = ContentFiltered(f"{who}: {said}", hint="The provider's filter refused this row.")
    else:
        mapped = BadRequest(
            f"{who} raised {said}", hint="It is the function's own error; run it once by hand."
        )
    mapped.__cause__ = error
    return mapped


def _status(error: BaseException) -> int | None:
    """The HTTP status of an SDK's exception, whatever its attribute is called."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return None
