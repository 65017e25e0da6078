"""Claude models through Anthropic's SDK."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from llm_magics.backends.anthropic import wire
from llm_magics.backends.anthropic.wire import Body
from llm_magics.backends.base import Listener, Secrets, listener
from llm_magics.backends.error_mapping import TIMEOUT_HINT, kind_of, short, unsupported, wait_asked
from llm_magics.backends.format_probe import FormatProbe
from llm_magics.backends.openai.capabilities import LEARNABLE
from llm_magics.backends.openai.rate_limit_headers import rate_limits
from llm_magics.backends.sdk import SDKBackend
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    LLMError,
    MalformedAnswer,
    MissingPackage,
    Overloaded,
    QuotaExhausted,
    Timeout,
)
from llm_magics.core.types import EMPTY, BackendSpec, Capabilities, Request, Response, ResponseFormat

LESSONS = 6
"""Refusals that one request may learn from before the last one is its error."""

_CREDIT = re.compile(r"credit balance|billing", re.IGNORECASE)


class AnthropicBackend(SDKBackend):
    """Claude models by API key.

    Labels and schemas are enforced by the API's own structured output where the model has it, by a forced
    tool call on hosts that ignore that, else by prompt. ``spec.options``: ``max_tokens``, the output tokens
    of an answer where the user sets no ``max_new_tokens`` (4,096; the API requires a number). Further
    parameters of the API (``thinking``, ``metadata``, ``service_tier``) are passed on.
    """

    key_variable = "ANTHROPIC_API_KEY"
    key_page = "https://platform.claude.com/settings/keys"
    capabilities = Capabilities(one_of=True, schema=True, parameters=frozenset(wire.WORDS) | wire.OURS)

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self._headers: Mapping[str, str] = EMPTY
        self._dialect = wire.OUTPUT_CONFIG
        self._is_confirmed = False
        self.probe = FormatProbe(self.name, self)

    def dialect(self, form: ResponseFormat) -> str:
        """The dialect of the API in which a format is asked for; empty where no other one is to be tried."""
        asked = bool(wire.answer_format(form)) and wire.OUTPUT_CONFIG not in self.refused
        return self._dialect if asked and self._dialect != wire.PLAIN else ""

    def move_on(self, form: ResponseFormat) -> bool:
        """After structured output, which compatible hosts may ignore, a forced tool call."""
        is_first = self._dialect == wire.OUTPUT_CONFIG
        self._dialect = wire.TOOL_CALL if is_first else wire.PLAIN
        return is_first

    def settle(self, dialect: str) -> None:
        """Ask for formats in this dialect from now on."""
        self._dialect, self._is_confirmed = dialect, True

    async def open(self) -> None:
        """Import the SDK and find the key. Raises MissingPackage, MissingKey."""
        await in_thread(_library)  # a second the first time
        self._open()

    async def complete(self, request: Request) -> Response:
        """One response. Fields that the model refuses are left out from then on, with a note."""
        if request.rows_per_request > 1:
            return (await self._complete(request))[0]
        return await self.probe.ask(request.response_format, partial(self._complete, request))

    async def _complete(self, request: Request) -> tuple[Response, str]:
        """The response, and the dialect in which its format was asked for."""
        client = self._open()
        began = time.perf_counter()
        self._headers, answer, dialect = await self._ask(client, request)
        notes = self.notes + wire.unsupported(request.parameters, self.name)
        return wire.response(request, answer, self.name, time.perf_counter() - began, notes), dialect

    async def _ask(self, client: Any, request: Request) -> tuple[Mapping[str, str], Any, str]:
        """Send, and send again without refused fields, as long as refusals teach something.

        Returns the response's headers, the message, and the dialect in which it was asked for.
        """
        heard = listener(request)
        for left in reversed(range(LESSONS)):
            dialect = self.dialect(request.response_format)
            body = wire.body(request, self.model, self.refused, self.spec.options, self._dialect)
            try:
                told = await (_heard(client, body, heard) if heard is not None else _whole(client, body))
            except Exception as error:
                if left and self._passes_over(error, dialect):
                    continue
                if not left or not self._learn(error, body):
                    raise fault(error, self.name, self.model) from error
            else:
                return *told, dialect
        raise AssertionError

    def _passes_over(self, error: Exception, dialect: str) -> bool:
        """Give up a forced tool call that was only tried, where the host refuses it (as beside thinking)."""
        refused = getattr(error, "status_code", None) in LEARNABLE
        if not refused or dialect != wire.TOOL_CALL or self._is_confirmed:
            return False
        self._dialect = wire.PLAIN
        return True

    def _learn(self, error: Exception, body: Body) -> bool:
        """Learn from the refusal of a field; False where it is no such refusal."""
        if getattr(error, "status_code", None) != 400:
            return False
        said = str(getattr(error, "api_message", None) or error)
        names = wire.lesson(said, body.extra)
        return self._learned(names, f"takes no {', '.join(names)}; sent without")

    async def count_tokens(self, request: Request) -> int:
        """The tokens of a request's prompt, by the API's own count (free of charge)."""
        body = wire.body(request, self.model, self.refused, self.spec.options).typed
        counted = {name: body[name] for name in ("model", "messages", "system") if name in body}
        try:
            answer = await self._open().messages.count_tokens(**counted)
        except Exception as error:
            raise fault(error, self.name, self.model) from error
        return int(answer.input_tokens)

    def observe(self) -> Mapping[str, float]:
        """The rate limits in the newest response headers."""
        return rate_limits(self._headers)

    def _open(self) -> Any:
        """The one client of this backend."""
        if self._client is None:
            library = _library()
            self._client = library.AsyncAnthropic(
                api_key=self._key(),
                base_url=self.spec.base_url or None,
                timeout=self.limits.timeout,
                max_retries=0,  # the engine does that, and sees what happens
                default_headers=self._headers_given(),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections; the next call opens them again, with the key as it is then."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


async def _whole(client: Any, body: Body) -> tuple[Mapping[str, str], Any]:
    """The answer without streaming."""
    raw = await client.messages.with_raw_response.create(**body.typed, extra_body=body.extra)
    answer = raw.parse()
    return raw.headers, await answer if inspect.isawaitable(answer) else answer


async def _heard(client: Any, body: Body, heard: Listener) -> tuple[Mapping[str, str], Any]:
    """The streamed answer; ``heard`` is called with the text so far."""
    text = ""
    async with client.messages.stream(**body.typed, extra_body=body.extra) as pieces:
        async for piece in pieces.text_stream:
            text += piece
            heard(text)
        answer = await pieces.get_final_message()
    if answer.stop_reason is None:
        raise ConnectionLost("the answer broke off in the middle.")
    return pieces.response.headers, answer


def fault(error: Exception, who: str, model: str) -> LLMError:
    """An exception of the SDK as one of our errors."""
    if isinstance(error, LLMError):
        return error
    library = _library()
    said = short(f"{type(error).__name__}: {error}")
    if isinstance(error, library.APIStatusError):
        return _refusal(error, who, model)
    if isinstance(error, library.APITimeoutError):
        return Timeout(f"{who} gave no answer in time.", hint=TIMEOUT_HINT)
    if isinstance(error, library.APIConnectionError):
        return ConnectionLost(
            f"{who} can't be reached: {said}", hint="Is there a connection, is the URL right?"
        )
    if isinstance(error, library.APIResponseValidationError | ValueError):
        return MalformedAnswer(f"{who} sent what is no answer: {said}", hint="Is the URL right?")
    return _by_name(error, who, said)


def _by_name(error: Exception, who: str, said: str) -> LLMError:
    """The errors for exceptions that some versions of the SDK lack, and for those of its transport."""
    names = {kind.__name__ for kind in type(error).__mro__}
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if names & {"CredentialsError", "IdentityTokenFileError"} or "authentication method" in said:
        return AuthError(f"{who}: {said}", hint="Look at the key: %llm_config key list")
    if "RetryableError" in names:
        return Overloaded(f"{who}: {said}")
    if modules & {"httpx", "httpx2", "httpcore", "httpcore2"} or isinstance(error, OSError):
        return ConnectionLost(f"{who} can't be reached: {said}")
    return BadRequest(f"the anthropic SDK refused the request to {who}: {said}", hint="Look at the -p flags.")


def _refusal(error: Any, who: str, model: str) -> LLMError:
    """An HTTP status with Anthropic's own words."""
    said = wire.said_by(error.body, str(error))
    unable = unsupported(said.message, f"{who} answered {error.status_code}", model)
    if unable is not None:
        return unable
    kind, hint = kind_of(error.status_code, said, model)
    if error.status_code == 400 and _CREDIT.search(said.message):
        kind, hint = QuotaExhausted, "The account has no credit left: see the provider's billing page."
    return kind(
        f"{who} answered {error.status_code}: {short(said.message) or 'no reason given'}",
        hint=hint,
        status=error.status_code,
        request_id=error.request_id or "",
        retry_after=wait_asked(error.response.headers, said),
    )


def _library() -> Any:
    try:
        import anthropic
    except ImportError as error:
        raise MissingPackage.of("anthropic", "anthropic", "The anthropic backend") from error
    return anthropic
