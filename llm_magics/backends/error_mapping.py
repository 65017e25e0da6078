"""Exceptions of SDKs and of users' functions as our errors."""

from __future__ import annotations

from typing import Any

from llm_magics.backends.http_errors import Said, kind_of, request_id, retry_after, short
from llm_magics.core.errors import (
    BackendError,
    BadRequest,
    ConnectionLost,
    ContentFiltered,
    LLMError,
    Timeout,
)

TIMEOUT_HINT = "Give it longer: --timeout SECONDS"


def from_status(
    status: int, message: str, *, who: str, model: str, code: str = "", headers: Any = None
) -> BackendError:
    """An HTTP status and what the host said, as one of our errors. ``code`` is the host's own word for it."""
    told = Said(message=message, code=code)
    kind, hint = kind_of(status, told, model)
    known = headers if headers is not None else {}
    return kind(
        f"{who} answered {status}: {short(message) or 'no reason given'}",
        hint=hint,
        status=status,
        request_id=request_id(known),
        retry_after=retry_after(known, message),
    )


def from_exception(error: BaseException, *, who: str, model: str = "") -> LLMError:
    """Any exception as one of ours, with the original as its cause; ours stay as they are."""
    if isinstance(error, LLMError):
        return error
    said = f"{type(error).__name__}: {error}"
    name = type(error).__name__.lower()
    status = _status(error)
    if status is not None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        mapped: LLMError = from_status(status, said, who=who, model=model or who, headers=headers)
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
    """The HTTP status an SDK's exception carries, under whichever name."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return None
