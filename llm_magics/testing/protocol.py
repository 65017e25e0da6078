"""HTTP/1.1 by hand: just enough of it, and fast enough that a benchmark measures the client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass
class Received:
    """One request as it arrived. Header names are lower case; ``at`` is ``time.monotonic()``."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as JSON; an empty dict where there is none."""
        loaded: dict[str, Any] = json.loads(self.body) if self.body else {}
        return loaded

    @property
    def route(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]


@dataclass(frozen=True)
class Reply:
    """What goes back.

    ``hangs``: nothing ever does; ``breaks``: the connection ends after that many bytes. ``pieces`` instead of
    a body go out one by one, ``pace`` seconds apart.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0
    hangs: bool = False
    breaks: int | None = None
    pieces: tuple[bytes, ...] = ()
    pace: float = 0.0

    def encode(self) -> bytes:
        """The reply as bytes on the wire."""
        return self.head() + (b"".join(self.chunks()) if self.pieces else self.body)

    def head(self) -> bytes:
        """Status line and headers."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        long = "transfer-encoding: chunked" if self.pieces else f"content-length: {len(self.body)}"
        head = (
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}\r\n"
            f"content-type: {self.content_type}\r\n{long}\r\n{more}\r\n"
        )
        return head.encode("latin-1")

    def chunks(self) -> list[bytes]:
        """The pieces in HTTP's chunked coding, the end included."""
        return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*self.pieces, b"")]


class Conversation(asyncio.Protocol):
    """One connection: requests come in one after the other, each answered by ``handle``."""

    def __init__(
        self,
        handle: Callable[[Received], Reply],
        opened: Callable[[Conversation], int],
        closed: Callable[[], None],
    ) -> None:
        self.handle = handle
        self.opened = opened
        self.closed = closed
        self.buffer = bytearray()
        self.number = 0
        self.transport: asyncio.Transport | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.number = self.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away: what it waited for is dropped."""
        self.transport = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
            self.closed()

    def data_received(self, data: bytes) -> None:
        """More bytes; answer every request that is complete."""
        self.buffer += data
        while (received := self.take()) is not None:
            self.answer(received)

    def take(self) -> Received | None:
        """The next complete request of the buffer, or None."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + 4 + int(headers.get("content-length", 0))
        if len(self.buffer) < whole:
            return None
        body = bytes(self.buffer[end + 4 : whole])
        del self.buffer[:whole]
        method, path, _ = first.split(" ", 2)
        return Received(method, path, headers, body, self.number)

    def answer(self, received: Received) -> None:
        """Reply now, later, partly or never."""
        reply = self.handle(received)
        if reply.delay <= 0 and not reply.hangs:
            self.send(reply)
            return
        delay = 86_400.0 if reply.hangs else reply.delay
        self.timer = asyncio.get_running_loop().call_later(delay, self.send, reply)

    def send(self, reply: Reply) -> None:
        """Write the reply; its time in flight is over."""
        self.timer = None
        if reply.pace and reply.pieces and reply.breaks is None and self.transport is not None:
            self.transport.write(reply.head())
            self.send_slowly(reply.chunks(), reply.pace)
            return
        self.closed()
        if self.transport is None:
            return
        if reply.breaks is None:
            self.transport.write(reply.encode())
        else:
            self.transport.write(reply.encode()[: reply.breaks])
            self.transport.close() if reply.breaks else self.transport.abort()

    def send_slowly(self, chunks: list[bytes], pace: float) -> None:
        """The next chunk now, the rest later."""
        self.timer = None
        if self.transport is None:
            return
        self.transport.write(chunks[0])
        if not chunks[1:]:
            self.closed()
            return
        self.timer = asyncio.get_running_loop().call_later(pace, self.send_slowly, chunks[1:], pace)
