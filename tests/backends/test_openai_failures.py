"""What hosts say when they refuse, in all the shapes they say it."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.error_mapping import error_from_status, parse_duration, retry_after, said, short
from llm_magics.backends.openai.rate_limit_headers import rate_limits
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    LLMError,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Timeout,
    register_secret,
)

OPENAI_QUOTA = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}
VLLM_LONG = {
    "object": "error",
    "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "type": "BadRequestError",
    "code": 400,
}
TOO_LARGE = {
    "error": {
        "message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000",
        "type": "tokens",
    }
}
GEMINI_KEY = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]


def error(status: int, body: Any, headers: dict[str, str] | None = None) -> LLMError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_status(status, headers or {}, raw, host="h", model="m")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"statusCode": 401, "message": "Access denied due to invalid subscription key."}, AuthError),
        (403, {"detail": "Forbidden"}, AuthError),
        (400, GEMINI_KEY, AuthError),
        (
            404,
            {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}},
            ModelNotFound,
        ),
        (404, {"detail": "Not Found"}, ModelNotFound),
        (400, {"error": {"message": "model 'llama9' not found"}}, ModelNotFound),
        (400, AZURE_FILTER, ContentFiltered),
        (400, VLLM_LONG, ContextOverflow),
        (400, {"error": {"message": "…", "code": "context_length_exceeded"}}, ContextOverflow),
        (413, b"<html>Payload Too Large</html>", ContextOverflow),
        (429, TOO_LARGE, ContextOverflow),
        (429, OPENAI_QUOTA, QuotaExhausted),
        (402, {"error": {"message": "Insufficient Balance"}}, QuotaExhausted),
        (429, {"error": "Too many requests"}, RateLimited),
        (408, b"", Timeout),
        (500, b"Internal Server Error", Overloaded),
        (502, b"<html><h1>Bad Gateway</h1></html>", Overloaded),
        (503, {"error": "Model is currently loading", "estimated_time": 20.5}, Overloaded),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "value is not a valid integer"}]}, BadRequest),
        (418, b"", BadRequest),
    ],
)
@pytest.mark.checklist("R6")
def test_kinds(status: int, body: Any, kind: type[LLMError]) -> None:
    """Every provider's refusal is the one kind of error that says what it means."""
    assert type(error(status, body)) is kind


def test_loading_model_says_when() -> None:
    """A model that is loading tells how long."""
    assert error(503, {"error": "loading", "estimated_time": 20.5}).retry_after == 20.5  # type: ignore[attr-defined]


def test_pages_are_read_as_text() -> None:
    """A web page's tags and scripts don't get into a message."""
    told = error(502, b"<html><script>var x=1</script><h1>Bad <b>Gateway</b></h1></html>").message
    assert told == "h answered 502: Bad Gateway"


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "2"}, "", 2.0),
        ({"retry-after": "0.25"}, "", 0.25),
        ({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5),
        ({"retry-after": formatdate(time.time() - 60, usegmt=True)}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({}, "Please try again in 1.2s.", 1.2),
        ({}, "Please try again in 20ms. Visit ...", 0.02),
        ({}, "Please try again in 6m0s.", 360.0),
        ({}, "Please retry after 6 seconds.", 6.0),
        ({}, "try again in 1h2m3s", 3723.0),
        ({}, "Try again later.", None),
    ],
)
@pytest.mark.checklist("K6")
def test_retry_after(headers: dict[str, str], message: str, seconds: float | None) -> None:
    """The wait is read from headers first, from the words otherwise."""
    assert retry_after(headers, message) == (None if seconds is None else pytest.approx(seconds))


def test_retry_after_a_date() -> None:
    """A date in the future is the time until then."""
    wait = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None
    assert 28 <= wait <= 30


@given(st.binary(max_size=200))
def test_any_body_has_words(body: bytes) -> None:
    """No error body, however odd, makes reading it fail."""
    for status in (400, 404, 429, 500):
        assert isinstance(error(status, body), LLMError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "code", "type", "estimated_time", "innererror", "param"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_has_words(body: Any) -> None:
    """Nor does any JSON, whatever stands at the usual names."""
    assert isinstance(said(json.dumps(body).encode()).message, str)


@given(st.text())
def test_spans_never_fail(text: str) -> None:
    """Any text is a span or None."""
    found = parse_duration(text)
    assert found is None or isinstance(found, float)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_spans_add_up(h: int, m: int, s: int, ms: int) -> None:
    """A span is the sum of its parts."""
    assert parse_duration(f"{h}h{m}m{s}s{ms}ms") == pytest.approx(h * 3600 + m * 60 + s + ms / 1000)


@given(st.text(), st.text(min_size=8, max_size=40, alphabet="abcdefgh0123456789"))
def test_short_is_short_and_clean(text: str, key: str) -> None:
    """A host's words are cut, on one line, and without the key."""
    register_secret(key)
    told = short(f"{text} {key} {text}")
    assert len(told) <= 400
    assert "\n" not in told
    assert key not in told


def test_openai_headers() -> None:
    """OpenAI's names and spans."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "1m30s",
    }
    assert rate_limits(headers) == {
        "limit_requests": 60,
        "remaining_requests": 59,
        "reset_requests": 0.006,
        "limit_tokens": 150000,
        "remaining_tokens": 149984,
        "reset_tokens": 90,
    }


def test_anthropic_headers() -> None:
    """Anthropic's order of words and its moments."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    found = rate_limits(
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": moment,
            "anthropic-ratelimit-input-tokens-remaining": "4000",
            "anthropic-ratelimit-tokens-remaining": "5000",
        }
    )
    assert found["limit_requests"] == 50
    assert found["remaining_tokens"] == 4000
    assert 55 < found["reset_requests"] <= 60


def test_plain_headers() -> None:
    """The plain form, with a Unix time as its reset."""
    found = rate_limits(
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": str(time.time() + 5)}
    )
    assert found["remaining_requests"] == 9
    assert 3 < found["reset_requests"] <= 5


@given(
    st.dictionaries(st.sampled_from(["x-ratelimit-reset-requests", "x-ratelimit-limit-tokens"]), st.text())
)
def test_odd_headers_are_left_out(headers: dict[str, str]) -> None:
    """A value that is no number is no fact."""
    assert all(isinstance(value, float) for value in rate_limits(headers).values())
