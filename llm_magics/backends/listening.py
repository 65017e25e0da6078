"""An answer heard while it is written: whoever listens is told the text so far."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeAlias

from llm_magics.core.types import Request, Text

Listener: TypeAlias = Callable[[str], object]
"""Told the whole text so far, again and again; from the loop thread or a model's own."""

LISTENER: ContextVar[Listener | None] = ContextVar("llm_magics_listener", default=None)
"""Who listens to the answers of this run; set by what runs it, for a single text only."""


def listener(request: Request) -> Listener | None:
    """Who listens to the answer of this request: None where nobody does, or it is no plain text."""
    return LISTENER.get() if isinstance(request.response_format, Text) else None
