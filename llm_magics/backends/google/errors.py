"""Error mapping for google-genai, google-auth and their transports."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from llm_magics.backends.error_mapping import (
    TIMEOUT_HINT,
    kind_of,
    request_id,
    short,
    unsupported,
    wait_asked,
)
from llm_magics.backends.google import wire
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    LLMError,
    MalformedAnswer,
    MissingKey,
    ModelNotFound,
    Timeout,
    UsageError,
)

SIGN_IN = """\
1. In the Google Cloud console (https://console.cloud.google.com) create or select a project.
2. Search for "Vertex AI" there and enable it.
3. Install the Google Cloud CLI and run: gcloud auth application-default login
4. Tell llm_magics the project: %llm_config set vertex.project=YOUR_PROJECT_ID"""

_TRANSPORTS = {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "anyio"}
"""The HTTP clients that google-genai may use."""

Rule = tuple[tuple[type[BaseException], ...], Callable[[str, str], LLMError]]


def fault(error: Exception, who: str, model: str, sign_in: str = "") -> LLMError:
    """``error`` as one of our errors. ``sign_in`` is the hint for a refused sign-in."""
    if isinstance(error, LLMError):
        return error
    from google.genai import errors

    if isinstance(error, errors.APIError) and error.code:
        return _refusal(error, who, model, sign_in)
    said = short(f"{type(error).__name__}: {error}")
    for kinds, made in _rules():
        if isinstance(error, kinds):
            return made(who, said)
    return _by_name(error, who, said)


def _rules() -> Sequence[Rule]:
    """The SDK's own classes, more special ones first."""
    from google.auth import exceptions as auth
    from google.genai import errors

    return (
        ((auth.DefaultCredentialsError,), lambda who, said: MissingKey(f"{who}: {said}", hint=SIGN_IN)),
        (
            (auth.TransportError,),
            lambda who, said: ConnectionLost(f"{who} can't reach Google's sign-in: {said}"),
        ),
        (
            (auth.GoogleAuthError,),
            lambda who, said: AuthError(f"{who}: Google refused the credentials: {said}", hint=SIGN_IN),
        ),
        (
            (errors.UnknownApiResponseError, errors.APIError, json.JSONDecodeError),
            lambda who, said: MalformedAnswer(
                f"{who} sent what is no answer: {said}", hint="Is the URL right?"
            ),
        ),
    )


def _by_name(error: Exception, who: str, said: str) -> LLMError:
    """The errors of the transports, told by name: the SDK chooses which one it uses."""
    name = type(error).__name__.lower()
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, TimeoutError) or "timeout" in name:
        return Timeout(f"{who} gave no answer in time.", hint=TIMEOUT_HINT)
    if "contenttype" in name or "decod" in name:
        return MalformedAnswer(f"{who} sent what is no answer: {said}", hint="Is the URL right?")
    if isinstance(error, OSError) or modules & _TRANSPORTS:
        return ConnectionLost(
            f"{who} can't be reached: {said}", hint="Is there a connection, is the URL right?"
        )
    if name == "validationerror":
        return _invalid(error, who, said)
    return BadRequest(f"google-genai refused the request to {who}: {said}", hint="Look at the -p flags.")


def _refusal(error: Any, who: str, model: str, sign_in: str) -> LLMError:
    """An HTTP status with Google's own words."""
    headers = getattr(error.response, "headers", None) or {}
    told = wire.said(error.details, str(error.message or ""), str(error.status or ""))
    unable = unsupported(told.message, f"{who} answered {error.code}", model)
    if unable is not None:
        return unable
    kind, hint = kind_of(int(error.code), told, model)
    return kind(
        f"{who} answered {error.code} {error.status or ''}: {short(told.message) or 'no reason given'}",
        hint=_hint(kind, sign_in) or hint,
        status=int(error.code),
        request_id=request_id(headers),
        retry_after=wait_asked(headers, told),
    )


def _hint(kind: type[LLMError], sign_in: str) -> str:
    """Hints from Google's own pages, which are more precise than general ones."""
    if kind is ModelNotFound:
        return "The models are listed at https://ai.google.dev/gemini-api/docs/models"
    return sign_in if kind is AuthError else ""


def _invalid(error: Exception, who: str, said: str) -> LLMError:
    """The error for a record that pydantic refuses: an answer is the host's error, a config the user's."""
    if "Response" in str(getattr(error, "title", "")):
        return MalformedAnswer(f"{who} sent what is no answer: {said}")
    return UsageError(f"a parameter is not of the kind Gemini takes: {said}", hint="Look at the -p flags.")
