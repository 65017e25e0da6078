"""A host of the OpenAI format on this machine: real HTTP, real quotas, and every fault on demand.

    with Server(answer=lambda request: "fine") as server:
        backend = create(BackendSpec("custom_url", "test-model", base_url=server.url))
        server.script("rate_limited", "reset", "ok")

It runs in a thread of the test's own process, or by itself: ``python -m llm_magics.testing.server``.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

from llm_magics.testing.faults import Chaos, Fault, as_fault
from llm_magics.testing.http_server import Listener, Received, Reply
from llm_magics.testing.openai_host import Host

Answer: TypeAlias = Callable[[Mapping[str, Any]], "str | Mapping[str, Any]"]


class Server:
    """An OpenAI-format server on a free port of 127.0.0.1.

    ``answer`` is the text of every answer, or a function: ``answer(request)`` gives the text, or a message
    dict (``content``, ``refusal``, ``finish_reason``, ``logprobs``, ``usage``; further fields, such as
    ``reasoning_content`` and ``tool_calls``, are sent as they are). The default echoes, or fills the schema.
    ``chances(request)`` gives label -> probability, from which exact logprobs are made. ``lacks`` names
    request fields refused with a 400 (``json_schema``, ``json_object``, ``response_format``, ``logprobs``,
    ``max_tokens``, ``temperature``, ...); ``strict`` refuses every field it doesn't know. ``key``: asked of
    every request. ``rpm`` and ``tpm`` are real quotas: a full bucket at the start, refilled evenly, 429 with
    the real Retry-After.
    ``latency`` in seconds, ``pace`` between the pieces of an answer that is asked for with ``stream``.
    ``chaos`` draws faults by seed; ``script(...)`` comes before it.
    """

    def __init__(
        self,
        answer: Answer | str | None = None,
        *,
        chances: Callable[[Mapping[str, Any]], Mapping[str, float]] | None = None,
        models: tuple[str, ...] = ("test-model",),
        any_model: bool = True,
        key: str = "",
        lacks: frozenset[str] | set[str] = frozenset(),
        strict: bool = False,
        rpm: float | None = None,
        tpm: float | None = None,
        latency: float = 0.0,
        pace: float = 0.0,
        chaos: Chaos | None = None,
        usage: bool = True,
        dimensions: int = 8,
        record: bool = True,
        port: int = 0,
    ) -> None:
        self.host = Host(
            _as_function(answer),
            chances,
            models,
            any_model,
            key,
            frozenset(lacks),
            strict,
            rpm,
            tpm,
            usage,
            dimensions,
            pace,
        )
        self.latency = latency
        self.chaos = chaos
        self.record = record
        self.port = port
        self.requests: list[Received] = []
        self.count = 0
        self.connections = 0
        self.in_flight = 0
        self.peak = 0
        self.script_left: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None

    # -- what a test says and asks

    @property
    def url(self) -> str:
        """The base URL, ``/v1`` included."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def root(self) -> str:
        """The URL without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON bodies received, in order."""
        return [received.json for received in self.requests]

    def script(self, *what: str | Fault | None, **more: Any) -> None:
        """The faults of the next requests, in order; ``more`` goes into each (``retry_after=1``)."""
        self.script_left.extend(as_fault(each, **more) if each not in (None, "ok") else None for each in what)

    def misbehave(self, what: str | Fault | None, **more: Any) -> None:
        """The fault of every request from now on; None or ``ok`` ends it."""
        self.always = as_fault(what, **more) if what not in (None, "ok") else None

    def forget(self) -> None:
        """Start counting and recording anew."""
        self.requests.clear()
        self.count = self.connections = self.peak = 0

    # -- answering (on the server's own loop)

    def handle(self, received: Received) -> Reply:
        """Count the request, choose its fault, respond."""
        self.count += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        if self.record:
            self.requests.append(received)
        return self.host.reply(received, self.fate(received), self.latency)

    def fate(self, received: Received) -> Fault | None:
        """The fault of this request, or None."""
        if self.script_left:
            return self.script_left.popleft()
        if self.always is not None:
            return self.always
        return self.chaos.draw(received.body) if self.chaos else None

    def _opened(self) -> int:
        self.connections += 1
        return self.connections

    def _answered(self) -> None:
        self.in_flight -= 1

    # -- living

    def start(self) -> Self:
        """Listen; returns once a client can connect."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(ready,), name="loopback server", daemon=True
        )
        self._thread.start()
        if not ready.wait(10) or self._listener is None:
            raise RuntimeError(f"the loopback server could not listen on port {self.port}")
        return self

    def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(self.listen())
        finally:
            ready.set()
        self._loop.run_forever()
        self._loop.close()

    async def listen(self) -> None:
        """Open the port on the running loop."""
        listener = Listener(self.handle, self._opened, self._answered)
        self.port = await listener.open(self.port)
        self._listener = listener

    def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        self._thread.join(10)
        self._loop = self._thread = None

    async def _close(self) -> None:
        assert self._listener is not None and self._loop is not None
        await self._listener.close()
        self._loop.call_soon(self._loop.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _as_function(answer: Answer | str | None) -> Answer | None:
    """The function that answers. Raises TypeError for what can't be one."""
    if isinstance(answer, str):
        return lambda _request: answer
    if answer is not None and not callable(answer):
        raise TypeError(f"answer is {answer!r}: give a text, or a function of the request.")
    return answer


def main(arguments: list[str] | None = None) -> None:
    """Serve until the process is ended; the first line printed is the base URL."""
    parser = argparse.ArgumentParser(description="An OpenAI-format server on this machine, for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--rpm", type=float, default=None)
    parser.add_argument("--tpm", type=float, default=None)
    parser.add_argument("--key", default="")
    parser.add_argument("--seconds", type=float, default=0.0, help="end after so long; 0 = never")
    parser.add_argument("--text", default="", help="the answer to everything; default: an echo")
    said = parser.parse_args(arguments)
    server = Server(
        said.text or None,
        port=said.port,
        latency=said.latency,
        rpm=said.rpm,
        tpm=said.tpm,
        key=said.key,
        record=False,
    ).start()
    print(server.url, flush=True)
    until = time.monotonic() + said.seconds
    while not said.seconds or time.monotonic() < until:
        time.sleep(min(1.0, said.seconds or 1.0))
    server.stop()


if __name__ == "__main__":
    main()
