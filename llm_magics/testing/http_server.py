"""The HTTP side of the loopback server, on aiohttp: requests in, responses and broken responses out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

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
    """The response to send.

    With ``hangs`` nothing is ever sent; with ``breaks`` the connection ends after that many bytes. ``pieces``
    in place of a body are sent one by one, ``pace`` seconds apart. ``delay`` is in seconds.
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
        """The whole response as bytes on the wire, for one that breaks off among them."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        long = "transfer-encoding: chunked" if self.pieces else f"content-length: {len(self.body)}"
        head = (
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}\r\n"
            f"content-type: {self.content_type}\r\n{long}\r\n{more}\r\n"
        )
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*self.pieces, b"")]
        return head.encode("latin-1") + (b"".join(chunks) if self.pieces else self.body)


class Listener:
    """One port of 127.0.0.1 on which each request is answered by ``handle``.

    ``opened`` and ``answered`` are called for each new connection and for each request that is over.
    """

    def __init__(
        self, handle: Callable[[Received], Reply], opened: Callable[[], int], answered: Callable[[], None]
    ) -> None:
        self.handle = handle
        self.opened = opened
        self.answered = answered
        self._connections: dict[int, tuple[Any, int]] = {}
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None

    async def open(self, port: int) -> int:
        """Listen on the running loop; returns the port."""
        from aiohttp import web

        def request(*parts: Any) -> web.BaseRequest:
            message, payload, protocol, writer, task = parts
            loop = asyncio.get_running_loop()
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=0)

        self._server = web.Server(
            self._respond,
            request_factory=request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=600.0,
        )
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._server, "127.0.0.1", port, backlog=2048)
        made: int = self._listening.sockets[0].getsockname()[1]
        return made

    async def close(self) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None and self._listening is not None
        self._listening.close()
        for protocol in self._server.connections:
            if protocol.transport is not None:
                protocol.transport.abort()
        await self._server.shutdown(0.0)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        number = self._number(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.method, str(request.raw_path), headers, await request.read(), number)
        reply = self.handle(received)
        try:
            if reply.delay > 0 or reply.hangs:
                await asyncio.sleep(86_400.0 if reply.hangs else reply.delay)
            if reply.pieces and reply.breaks is None and reply.pace:
                return await self._stream(request, reply)
        finally:
            self.answered()
        if reply.breaks is not None:
            return self._break(request, reply)
        body = b"".join(reply.pieces) or reply.body
        kinds = {"content-type": reply.content_type, **reply.headers}
        return web.Response(status=reply.status, body=body, headers=kinds)

    def _number(self, request: web.BaseRequest) -> int:
        """The number of the request's connection."""
        protocol = request.protocol
        if id(protocol) not in self._connections:
            self._connections[id(protocol)] = (protocol, self.opened())
        return self._connections[id(protocol)][1]

    async def _stream(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(
            status=reply.status, headers={"content-type": reply.content_type, **reply.headers}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        for number, piece in enumerate(reply.pieces):
            if number:
                await asyncio.sleep(reply.pace)
            await response.write(piece)
        await response.write_eof()
        return response

    def _break(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        from aiohttp import web

        transport = request.transport
        if transport is not None:
            if reply.breaks:
                transport.write(reply.encode()[: reply.breaks])
                transport.close()
            else:
                transport.abort()
        return web.Response()
