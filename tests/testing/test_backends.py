"""Backends without a model."""

from __future__ import annotations

import asyncio

import pytest

from llm_magics.backends.registry import create
from llm_magics.core.errors import LLMError, RateLimited
from llm_magics.core.types import (
    TEXT,
    BackendSpec,
    Choice,
    Message,
    OneOf,
    Request,
    Response,
    ResponseFormat,
    Schema,
)
from llm_magics.testing import FakeBackend

CHOICES = (Choice("billing"), Choice("outage"))


def ask(text: str, form: ResponseFormat = TEXT) -> Request:
    return Request("fake", "m", (Message("user", f"What is this? {text}"),), form, subject=text)


async def test_answers_in_order() -> None:
    """Texts, responses, functions and faults, in the order they were queued; then the default."""
    fake = FakeBackend("one", RateLimited("wait"), default="end").enqueue(
        Response(text="two"), lambda request: request.subject.upper()
    )
    assert (await fake.complete(ask("a"))).text == "one"
    with pytest.raises(RateLimited):
        await fake.complete(ask("a"))
    assert [(await fake.complete(ask("b"))).text for _ in range(3)] == ["two", "B", "end"]
    assert [request.subject for request in fake.history] == ["a", "a", "b", "b", "b"]


async def test_nothing_left() -> None:
    """An empty queue says so."""
    with pytest.raises(LLMError, match="no answer left"):
        await FakeBackend().complete(ask("a"))


async def test_peak() -> None:
    """The most requests in flight at once."""
    fake = FakeBackend(default="x", latency=0.02)
    await asyncio.gather(*(fake.complete(ask(str(n))) for n in range(7)))
    assert fake.peak == 7


@pytest.mark.checklist("B8")
async def test_echo() -> None:
    """``echo::any`` works with no key and no network, for every kind of answer, and says what it is."""
    echo = create(BackendSpec("echo", "any"))
    assert (await echo.complete(ask("hello"))).text == "hello"
    assert (await echo.complete(ask("an outage!", OneOf(CHOICES)))).parsed == "outage"
    assert (await echo.complete(ask("outage, billing", OneOf(CHOICES, many=True)))).parsed == [
        "billing",
        "outage",
    ]
    assert (await echo.complete(ask("none", OneOf(CHOICES, many=True)))).parsed == []
    schema = Schema({"type": "object", "properties": {"n": {"type": "integer"}}})
    assert (await echo.complete(ask("x", schema))).parsed == {"n": 1}
    assert (await echo.embed(["a", "b"])).vectors.shape == (2, 32)
    assert "echo" in echo.announcement
