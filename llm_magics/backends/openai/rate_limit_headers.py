"""Rate limits in a host's response headers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from llm_magics.backends.error_mapping import parse_duration

_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")


def rate_limits(headers: Mapping[str, str]) -> dict[str, float]:
    """The host's limits, only those that the headers name.

    ``limit_requests``, ``remaining_requests``, ``reset_requests`` (seconds from now), and the same for
    ``tokens``. Reads OpenAI's names (``x-ratelimit-remaining-requests: 59``, ``...-reset-requests:
    1m30s``), Anthropic's (``anthropic-ratelimit-requests-reset: 2025-01-01T00:00:00Z``) and the plain
    ``x-ratelimit-remaining``.
    """
    found: dict[str, float] = {}
    for header, value in headers.items():
        if "imit" not in header and "IMIT" not in header:  # nearly all: read for every answer
            continue
        name = header.lower()
        prefix = next((p for p in _PREFIXES if name.startswith(p)), "")
        if not prefix:
            continue
        fact = _fact(name.removeprefix(prefix))
        number = (_reset(value) if fact.startswith("reset") else parse_duration(value)) if fact else None
        if number is not None:
            found[fact] = min(number, found.get(fact, number))
    return found


def _fact(name: str) -> str:
    """``remaining-requests`` or ``requests-remaining`` as ``remaining_requests``; else empty."""
    what = next((word for word in ("limit", "remaining", "reset") if word in name.split("-")), "")
    if not what:
        return ""
    of = name.replace(what, "", 1).strip("-")
    if of in ("", "requests"):
        return f"{what}_requests"
    return f"{what}_tokens" if of in ("tokens", "input-tokens", "input_tokens") else ""


def _reset(value: str) -> float | None:
    """Seconds until a reset, given as a duration, as seconds, as a date (ISO), or as a Unix time."""
    seconds = parse_duration(value)
    if seconds is not None:
        return max(0.0, seconds - time.time()) if seconds > 1e9 else seconds
    try:
        return max(0.0, datetime.fromisoformat(value).timestamp() - time.time())
    except ValueError:
        return None
