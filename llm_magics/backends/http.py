"""HTTP to one host: a long-lived connection pool, streamed responses, and transport errors as our own."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

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
import json
from abc import ABC, abstractmethod
from typing import Any

from llm_magics.backends.base import Listener

KINDS = ("text/event-stream", "application/x-ndjson")
"""Content types of streamed responses."""


class Pieces(ABC):
    """Collects a streamed response: tells the listener the text so far and builds the whole body."""

    def __init__(self, listener: Listener, host: str) -> None:
        self.listener = listener
        self.host = host
        self.begin()

    def begin(self) -> None:
        """Forget an earlier attempt."""
        self.ended = False
        self.text = ""
        self.error: Any = None
        self.last: dict[str, Any] = {}
        self._rest = b""

    def take(self, part: bytes) -> None:
        """Add bytes, split anywhere."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        before = self.text
        for line in lines:
            self._line(line.strip())
        if self.text != before:
            self.listener(self.text)

    def whole(self) -> bytes:
        """The body that the host would have sent without streaming.

        Raises ConnectionLost where the stream ended too early.
        """
        self._line(self._rest.strip())
        if self.error is not None:
            return json.dumps({"error": self.error}).encode()
        if not self.ended:
            raise ConnectionLost(f"{self.host} broke off in the middle of its answer.")
        return json.dumps(self.made()).encode()

    @property
    def status(self) -> int:
        """200, or the status of an error inside the stream."""
        if self.error is None:
            return 200
        code = self.error.get("code") if isinstance(self.error, Mapping) else None
        return code if isinstance(code, int) and 400 <= code < 600 else 502

    def _line(self, line: bytes) -> None:
        data = line.removeprefix(b"data:").strip()
        if not data or (line.startswith((b":", b"event:", b"id:", b"retry:"))):
            return
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        if event.get("error"):
            self.error = event["error"]
        self.add(event)

    @abstractmethod
    def add(self, event: dict[str, Any]) -> None:
        """Add one event."""

    @abstractmethod
    def made(self) -> dict[str, Any]:
        """The whole response."""


class CompletionPieces(Pieces):
    """``/chat/completions`` and ``/completions`` of the OpenAI format, as server-sent events."""

    def begin(self) -> None:
        """Forget an earlier attempt."""
        super().begin()
        self.refusal = ""
        self.thinking = ""
        self.finish = ""

    def add(self, event: dict[str, Any]) -> None:
        """Add a chunk: more text of the first choice; the last chunk may hold only the usage."""
        choices = event.get("choices")
        self.last |= {name: value for name, value in event.items() if name != "choices" and value}
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, Mapping):
            return
        delta = choice.get("delta")
        said = delta if isinstance(delta, Mapping) else {"content": choice.get("text")}
        self.text += _text(said.get("content"))
        self.refusal += _text(said.get("refusal"))
        self.thinking += _text(said.get("reasoning_content") or said.get("reasoning"))
        if choice.get("finish_reason"):
            self.finish, self.ended = str(choice["finish_reason"]), True

    def made(self) -> dict[str, Any]:
        """A completion of one choice."""
        message = {"role": "assistant", "content": self.text, "refusal": self.refusal or None}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        choice = {"index": 0, "message": message, "finish_reason": self.finish or "stop"}
        return {**self.last, "choices": [choice]}


class OllamaPieces(Pieces):
    """Ollama's own API: one JSON object a line, the last one with the token counts."""

    def begin(self) -> None:
        """Forget an earlier attempt."""
        super().begin()
        self.thinking = ""

    def add(self, event: dict[str, Any]) -> None:
        """Some more of the message, or of a raw prompt's response."""
        message = event.get("message")
        self.thinking += _text((message if isinstance(message, Mapping) else event).get("thinking"))
        self.text += _text(message.get("content") if isinstance(message, Mapping) else event.get("response"))
        self.last, self.ended = event, bool(event.get("done"))

    def made(self) -> dict[str, Any]:
        """The last object with the whole text in it."""
        chat = isinstance(self.last.get("message"), Mapping)
        thinking = {"thinking": self.thinking} if self.thinking else {}
        if chat:
            return {**self.last, "message": {"content": self.text, **thinking}}
        return {**self.last, "response": self.text, **thinking}


def _text(value: Any) -> str:
    """A chunk's text; some hosts send it as a list of parts."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""


KEEPALIVE = 30.0
"""Seconds that an idle connection is kept open."""


class Reply(NamedTuple):
    """An HTTP response: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Channel:
    """Sends requests to one host over one aiohttp session.

    The first call opens the session, also after ``close``.

    Redirects are never followed: a key is sent only to the host it was given for. The proxy comes from
    the environment, looked up once; a host on this machine is always reached directly.
    """

    def __init__(self, host: str, timeout: float) -> None:
        self.host = host
        self.timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._urls: dict[str, URL] = {}

    def open(self) -> aiohttp.ClientSession:
        """The session of the running loop."""
        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is loop and not self._session.closed:
            return self._session
        import aiohttp

        self._loop = loop
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(30.0, self.timeout)),
            proxy=proxy_for(self.host),
        )
        return self._session

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
        session = self.open()
        try:
            # One clock of the loop's own: aiohttp's ``total`` starts a timer and looks at it in each step.
            async with (
                asyncio.timeout(self.timeout),
                session.request(
                    method, self._url(url), data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if pieces is None or answer.status != 200 or answer.content_type not in KINDS:
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
        session, self._session = self._session, None
        if session is None or session.closed:
            return
        if self._loop is asyncio.get_running_loop():
            await session.close()
        elif session.connector is not None and (self._loop is None or self._loop.is_closed()):
            session.detach()


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
