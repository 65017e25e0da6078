"""Whatever a host answers with status 200, the result is a Response or one of our errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.backends.http import Reply
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core.errors import LLMError, MalformedAnswer
from llm_magics.core.types import TEXT, BackendSpec, Choice, Message, OneOf, Request, Response, Schema
from llm_magics.settings.keys import Keys

NAMES = ["choices", "message", "content", "refusal", "finish_reason", "logprobs", "usage", "error", "token"]
NAMES += ["top_logprobs", "logprob", "bytes", "prompt_tokens", "completion_tokens", "prompt_tokens_details"]
NAMES += ["cached_tokens", "text", "model", "code", "label", "labels", "data", "embedding", "index", "id"]
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.floats()
    | st.sampled_from(["stop", "a", '{"label":"a"}'])
)
JSON = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
)
FORMS = [TEXT, OneOf((Choice("a"), Choice("b")), scores=True), OneOf((Choice("a"),), many=True), Schema({})]
BACKEND = OpenAIBackend(BackendSpec("custom_url", "m", base_url="http://h/v1"), Keys({}))


def read(body: Any, form: Any = TEXT) -> Response | LLMError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("custom_url", "m", (Message("user", "x"),), form)
    try:
        return BACKEND._read(request, Reply(200, {}, raw), 0.1, ())
    except LLMError as error:
        return error


def whole(content: Any, **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": content}, "finish_reason": "stop"} | more
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    """Bytes that are no JSON object are a malformed answer."""
    assert isinstance(read(body), MalformedAnswer | Response)


@settings(max_examples=300)
@given(JSON, st.sampled_from(FORMS))
def test_any_json(body: Any, form: Any) -> None:
    """Nor does any JSON raise anything of Python's own."""
    assert isinstance(read(body, form), LLMError | Response)


@settings(max_examples=300)
@given(JSON, JSON, JSON, st.sampled_from(FORMS))
def test_odd_parts(usage: Any, logprobs: Any, details: Any, form: Any) -> None:
    """A good answer with odd parts beside it is still the answer."""
    body = whole('{"label":"a"}', logprobs={"content": logprobs})
    body["usage"] = usage if usage is None else {"prompt_tokens": usage, "prompt_tokens_details": details}
    response = read(body, form)
    assert isinstance(response, Response)
    assert response.text == '{"label":"a"}'
    assert response.usage.input_tokens >= 0


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -4, "7", [], True, 1e300])
def test_odd_numbers_of_tokens(number: Any) -> None:
    """A count that is no count is none."""
    body = whole("x") | {"usage": {"prompt_tokens": number, "completion_tokens": 2}}
    response = read(body)
    assert isinstance(response, Response)
    assert response.usage.output_tokens == 2
    assert response.usage.input_tokens in (0, 1)


@pytest.mark.parametrize(
    "odd",
    [
        {"top_logprobs": 5},
        {"top_logprobs": ["x", None]},
        {"top_logprobs": [{"token": 3, "logprob": "?"}]},
        {"bytes": 10**12},
        {"bytes": [300]},
        {"bytes": ["x"]},
        {"logprob": []},
        {"logprob": float("inf")},
    ],
)
def test_odd_logprobs(odd: dict[str, Any]) -> None:
    """Tokens that make no sense don't cost the label."""
    token = {"token": '{"label":"a"}', "logprob": -0.1} | odd
    response = read(whole('{"label":"a"}', logprobs={"content": [token]}), FORMS[1])
    assert isinstance(response, Response)
    assert response.parsed == "a"


@pytest.mark.parametrize(
    ("content", "form", "parsed"),
    [
        ('{"label":"a"}', FORMS[1], "a"),
        (' {"label": "a"}\n', FORMS[1], "a"),
        ('{"label":"A"}', FORMS[1], None),
        ('{"label":["a"]}', FORMS[1], None),
        ('"a"', FORMS[1], None),
        ("a", FORMS[1], None),
        ('{"labels":["a","a"]}', FORMS[2], ["a"]),
        ('{"labels":["a","z"]}', FORMS[2], None),
        ('{"labels":"a"}', FORMS[2], None),
        ('{"x":1}', FORMS[3], {"x": 1}),
        ("[1]", FORMS[3], [1]),
        ('```json\n{"x":1}\n```', FORMS[3], None),
        ('{"label":"a"}', TEXT, None),
    ],
)
@pytest.mark.checklist("T6")
def test_parsed_only_what_was_asked_for(content: str, form: Any, parsed: Any) -> None:
    """Natively parsed is the very value asked for; everything else the task reads from the text."""
    response = read(whole(content), form)
    assert isinstance(response, Response)
    assert response.parsed == parsed
    assert response.text == content


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("eos_token", "stop"),
        ("max_tokens", "length"),
        (None, "stop"),
        ("odd", "odd"),
    ],
)
@pytest.mark.checklist("C5")
def test_finish_reasons(said: Any, finish: str) -> None:
    """Hosts' words for the end of an answer are two."""
    response = read(whole("x", finish_reason=said))
    assert isinstance(response, Response)
    assert response.finish_reason == finish


def test_nothing_because_of_length() -> None:
    """A reasoning model that thought until its limit said nothing, and that is why."""
    response = read(whole(None, finish_reason="length"))
    assert isinstance(response, Response)
    assert (response.text, response.finish_reason) == ("", "length")
