"""Connections are closed by whoever opened them: at the session's end, on another loop, or when nobody is left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest

from llm_magics import label
from llm_magics.backends.base import Backend
from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec, Message, Request
from llm_magics.runs import session as sessions
from llm_magics.testing import Server

ASK = Request("custom_url", "test-model", (Message("user", "billing or outage?"),))


@pytest.fixture(autouse=True)
def no_open_session(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What aiohttp warns of, or logs, when it finds a session that nobody closed is a failure."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    said = [str(each.message) for each in caught] + [record.getMessage() for record in caplog.records]
    assert not [each for each in said if "Unclosed" in each]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("billing") as host:
        yield host


def made(server: Server) -> Backend:
    return create(BackendSpec("custom_url", "test-model", base_url=server.url))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_backend_given_as_an_object_is_closed_with_the_session(server: Server) -> None:
    """It stays alive, and opens again when it is asked again."""
    backend = made(server)
    assert label(["charged twice"], ["billing", "outage"], model=backend)["label"][0] == "billing"
    open_ones = list(backend.channel._sessions.values())
    assert len(open_ones) == 1 and not open_ones[0].closed
    sessions.end()
    assert open_ones[0].closed
    assert label(["charged twice"], ["billing", "outage"], model=backend)["label"][0] == "billing"


def test_each_loop_has_a_session_of_its_own(server: Server) -> None:
    """A session whose loop has ended is closed as soon as another loop asks."""
    backend = made(server)
    for _ in range(3):
        assert asyncio.run(backend.complete(ASK)).text == "billing"
    assert len(backend.channel._sessions) == 1


def test_a_second_loop_breaks_nothing_that_is_under_way() -> None:
    """One loop waits for its answer while another one asks the same backend and is done with it."""
    texts: list[str] = []
    with Server("billing", latency=0.5) as host:
        backend = made(host)

        async def ask() -> None:
            texts.append((await backend.complete(ASK)).text)

        thread = threading.Thread(target=lambda: asyncio.run(ask()))
        thread.start()
        until(lambda: len(host.requests) == 1)
        asyncio.run(ask())
        thread.join(10)
    assert texts == ["billing", "billing"]


@pytest.mark.parametrize("loop_goes_on", [True, False])
def test_a_backend_that_is_forgotten_is_closed(server: Server, loop_goes_on: bool) -> None:
    """Nobody called ``close``: the last reference is gone."""

    async def ask_and_forget() -> None:
        backend = made(server)
        await backend.complete(ASK)
        if loop_goes_on:
            [open_one] = backend.channel._sessions.values()
            del backend
            gc.collect()
            await asyncio.sleep(0.1)
            assert open_one.closed

    asyncio.run(ask_and_forget())
