"""HTTP to one host: long-lived connections, streamed responses, and transport errors as our own."""

from __future__ import annotations

import asyncio
import urllib.request
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from llm_magics.backends.streaming import CONTENT_TYPES, Pieces
from llm_magics.core.errors import (
    AuthError,
    BackendError,
    BadRequest,
    ConnectionLost,
    LLMError,
    MalformedAnswer,
    Timeout,
    redact,
)

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

KEEPALIVE = 30.0
"""Seconds that an idle connection is kept open."""


class Reply(NamedTuple):
    """An HTTP response: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Sessions: TypeAlias = "dict[asyncio.AbstractEventLoop, aiohttp.ClientSession]"


class Channel:
    """Sends requests to one host over one aiohttp session for each event loop that calls it.

    The first call opens the session, also after ``close``; what is left open when the channel is no longer
    used is closed then.

    Redirects are never followed: a key is sent only to the host it was given for. The proxy comes from
    the environment, looked up once; a host on this machine is always reached directly.
    """

    def __init__(self, host: str, timeout: float) -> None:
        self.host = host
        self.timeout = timeout
        self._sessions: Sessions = {}
        self._urls: dict[str, URL] = {}
        # At the interpreter's exit the operating system closes them.
        weakref.finalize(self, _close_unused, self._sessions).atexit = False

    async def open(self) -> aiohttp.ClientSession:
        """The session of the running loop."""
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is not None and not session.closed:
            return session
        import aiohttp

        for other in [other for other in self._sessions if other.is_closed()]:
            await self._sessions.pop(other).close()
        session = self._sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(30.0, self.timeout)),
            proxy=proxy_for(self.host),
        )
        return session

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], pieces: Pieces | None = None
    ) -> Reply:
        """Send ``body`` and return the response, whatever its status.

        ``pieces`` collects a streamed response.

        Raises:
            Timeout: No complete response in time.
            ConnectionLost: Refused, reset, no such host, or broken before the response was complete.
        """
        return await self._send("POST", url, body, headers, pieces)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Fetch ``url``; raises like ``post``."""
        return await self._send("GET", url, None, headers)

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        pieces: Pieces | None = None,
    ) -> Reply:
        session = await self.open()
        try:
            # One clock of the loop's own: aiohttp's ``total`` starts a timer and looks at it in each step.
            async with (
                asyncio.timeout(self.timeout),
                session.request(
                    method, self._url(url), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if pieces is None or answer.status != 200 or answer.content_type not in CONTENT_TYPES:
                    return Reply(answer.status, answer.headers, await answer.read())
                pieces.begin()
                async for part in answer.content.iter_any():
                    pieces.take(part)
                body = pieces.whole()
                return Reply(pieces.status, answer.headers, body)
        except LLMError:
            raise
        except Exception as error:
            if "Proxy" in type(error).__name__:  # what aiohttp says of a proxy holds its password
                raise transport_error(error, self.host, self.timeout) from None
            raise transport_error(error, self.host, self.timeout) from error

    def _url(self, text: str) -> URL:
        """The parsed URL, cached: a channel has two or three of them."""
        found = self._urls.get(text)
        if found is None:
            from yarl import URL

            found = self._urls[text] = URL(text)
        return found

    async def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        own = self._sessions.pop(asyncio.get_running_loop(), None)
        _close_unused(self._sessions)
        if own is not None:
            await own.close()


def _close_unused(sessions: Sessions) -> None:
    """Close each session on the loop that it was opened on, and forget them all."""
    while sessions:
        loop, session = sessions.popitem()
        try:
            loop.call_soon_threadsafe(_start_closing, loop, session)
        except RuntimeError:
            # The loop is closed and its connections with it: nothing is left to wait for.
            with suppress(StopIteration):
                session.close().send(None)


def _start_closing(loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession) -> None:
    """Close the session on this loop, the running one."""
    task = loop.create_task(session.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
"""A loop keeps only weak references to its tasks."""


def proxy_for(host: str) -> str | None:
    """The proxy that the environment names for ``host``, if any."""
    name = urlsplit(f"//{host}").hostname or ""
    if name in ("localhost", "::1") or name.startswith("127."):
        return None
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(name):
        return None
    return proxies.get("https") or proxies.get("all")


def transport_error(error: Exception, host: str, timeout: float) -> BackendError:
    """An exception of asyncio or aiohttp as one of our errors, with the original as its cause."""
    import aiohttp

    what = redact(str(error)) or type(error).__name__
    if isinstance(error, TimeoutError):
        return Timeout(
            f"{host} gave no answer within {timeout:g} s.", hint="Give it longer: %llm_config set timeout=300"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return ConnectionLost(
            f"no safe connection to {host}: {what}", hint="Is it http:// rather than https://?"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionLost(
            f"nothing answers at {host}: {what}", hint="Is the server running, and the URL right?"
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        kind = AuthError if getattr(error, "status", 0) == 407 else ConnectionLost
        return kind(
            f"the proxy on the way to {host} answered {what}",
            hint="It is the one that HTTPS_PROXY names; NO_PROXY lists the hosts reached without it.",
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return MalformedAnswer(f"{host} does not speak HTTP as it should: {what}")
    unsendable = (aiohttp.InvalidURL, aiohttp.RedirectClientError, aiohttp.NonHttpUrlClientError)
    if isinstance(error, aiohttp.ClientError | OSError) and not isinstance(error, unsendable):
        return ConnectionLost(f"the connection to {host} broke: {what}")
    return BadRequest(f"the request to {host} could not be made: {type(error).__name__}: {what}")
