"""Every error that a library underneath can raise is one of ours: a new one can't slip through.

(The trees of google-genai, google-auth and anthropic are walked beside their backends.)
"""

import http
from types import SimpleNamespace

import aiohttp
import openai
import pytest

from llm_magics.backends.error_mapping import error_from_status, from_exception
from llm_magics.backends.http import transport_error
from llm_magics.core import errors

OPENAI = {
    "AuthenticationError": errors.AuthError,
    "PermissionDeniedError": errors.AuthError,
    "NotFoundError": errors.ModelNotFound,
    "BadRequestError": errors.BadRequest,
    "UnprocessableEntityError": errors.BadRequest,
    "ConflictError": errors.Overloaded,
    "RateLimitError": errors.RateLimited,
    "InternalServerError": errors.Overloaded,
    "APITimeoutError": errors.Timeout,
    "APIConnectionError": errors.ConnectionLost,
    "ContentFilterFinishReasonError": errors.ContentFiltered,
}
"""What the SDK's classes mean."""

UNSENDABLE = (aiohttp.InvalidURL, aiohttp.RedirectClientError, aiohttp.NonHttpUrlClientError)
"""What is wrong with a request, rather than with the way there."""


def subclasses(kind):
    return {kind} | {grand for child in kind.__subclasses__() for grand in subclasses(child)}


def raised(kind, **fields):
    """An instance of any class of errors, whatever its constructor and its text would need."""
    plain = type(kind.__name__, (kind,), {"__str__": lambda self: "said", "__module__": kind.__module__})
    error = plain.__new__(plain)
    for name, value in fields.items():
        object.__setattr__(error, name, value)
    return error


def told(error):
    """It is one of ours, with what helps where nobody tries again."""
    assert isinstance(error, errors.LLMError) and error.message.strip(), error
    assert error.hint or error.retryable or type(error) is errors.BadRequest, error
    return error


@pytest.mark.checklist("R6")
def test_openai_s_own_errors():
    """As its SDK raises them in batches and in users' functions; its statuses mean the same on our own wire."""
    kinds = subclasses(openai.OpenAIError)
    assert len(kinds) > 15
    for kind in kinds:
        status = getattr(kind, "status_code", 500)
        status = status if isinstance(status, int) else 500  # a property of those that stand for several
        answered = issubclass(kind, openai.APIStatusError)
        made = told(
            from_exception(raised(kind, **({"status_code": status} if answered else {})), who="openai")
        )
        known = next((OPENAI[each.__name__] for each in kind.__mro__ if each.__name__ in OPENAI), None)
        assert known is None or type(made) is known, (kind, made)
        if answered:
            assert type(made) is type(error_from_status(status, {}, b"{}", host="h", model="m"))


@pytest.mark.checklist("R6")
@pytest.mark.parametrize("status", [each for each in http.HTTPStatus if each >= 400])
def test_every_status(status):
    """With any body: one of ours, and none of the server's own faults is held against the row."""
    for body in (
        b"",
        b"<html>no</html>",
        b'{"error": "no"}',
        b'{"error": {"message": "no", "code": 7}}',
        b"[]",
    ):
        made = told(error_from_status(status, {}, body, host="h", model="m"))
        assert made.status == status
        assert made.retryable or status < 500 or status == 501


@pytest.mark.checklist("R6")
def test_every_fault_of_the_connection():
    """aiohttp's tree and the system's: nothing but a request that can't be made is the row's own fault."""
    kinds = subclasses(aiohttp.ClientError) | {TimeoutError, ConnectionResetError, BrokenPipeError, OSError}
    assert len(kinds) > 25
    for kind in kinds:
        made = told(transport_error(raised(kind), "h", 5.0))
        assert made.retryable != issubclass(kind, UNSENDABLE), (kind, made)


@pytest.mark.checklist("R6")
def test_ollama_s_own_errors():
    """As its package raises them in users' functions; our own backend reads its statuses as any other's."""
    ollama = pytest.importorskip("ollama", reason="ollama is not installed")
    kinds = [v for v in vars(ollama).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(kinds) > 1
    for kind in kinds:
        told(from_exception(raised(kind), who="f"))
    for status, meant in ((404, errors.ModelNotFound), (429, errors.RateLimited), (500, errors.Overloaded)):
        assert type(told(from_exception(ollama.ResponseError("said", status), who="f"))) is meant


@pytest.mark.checklist("R6")
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_the_hub_s_own_errors(status):
    """Downloading, resuming an endpoint, a user's function: what to do, whatever was raised."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    from huggingface_hub import errors as hub

    from llm_magics.backends.gguf.download import _explained
    from llm_magics.backends.openai.hf_endpoint import _as_load_error

    kinds = {v for v in vars(hub).values() if isinstance(v, type) and issubclass(v, Exception)}
    kinds = {kind for kind in kinds if kind.__module__.startswith("huggingface_hub")}
    assert len(kinds) > 20
    response = SimpleNamespace(status_code=status, headers={})
    for kind in kinds:
        error = raised(kind, response=response) if issubclass(kind, hub.HfHubHTTPError) else raised(kind)
        for made in (_explained("o/r", "*.gguf", error), _as_load_error("e", error)):
            assert isinstance(told(made), errors.ModelLoadError) and made.fatal and made.hint
        told(from_exception(error, who="f"))
