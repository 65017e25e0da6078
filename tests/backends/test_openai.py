"""The OpenAI-format backend: one class, six presets, against a real loopback server."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import traceback
from typing import Any

import pytest

from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.registry import create
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    MissingKey,
    ModelNotFound,
    UsageError,
)
from llm_magics.core.types import (
    TEXT,
    BackendSpec,
    Choice,
    Message,
    OneOf,
    Price,
    Request,
    ResponseFormat,
    Schema,
    Vector,
)
from llm_magics.settings.keys import Keys
from llm_magics.testing import Fault, Server

LABELS = OneOf((Choice("billing"), Choice("outage")), scores=True)
MESSAGES = (Message("system", "Be brief."), Message("user", "billing or outage?"))


def ask(form: ResponseFormat = TEXT, sample: int = 0, **parameters: Any) -> Request:
    return Request("custom_url", "test-model", MESSAGES, form, parameters, sample=sample, subject="outage")


def made(
    server: Server, namespace: str = "custom_url", keys: dict[str, str] | None = None, **spec: Any
) -> OpenAIBackend:
    spec = {"base_url": server.url, "model": "test-model"} | spec
    backend = create(BackendSpec(namespace, **spec), Keys(keys or {}))
    assert isinstance(backend, OpenAIBackend)
    return backend


# -- where it goes, and with which key


@pytest.mark.parametrize(
    ("namespace", "spec", "environ", "url"),
    [
        ("openai", {}, {}, "https://api.openai.com/v1/chat/completions"),
        (
            "openai",
            {},
            {"OPENAI_BASE_URL": "https://gate.example/v1/"},
            "https://gate.example/v1/chat/completions",
        ),
        ("vllm", {}, {}, "http://localhost:8000/v1/chat/completions"),
        ("ollama", {}, {}, "http://localhost:11434/v1/chat/completions"),
        ("ollama", {}, {"OLLAMA_HOST": "0.0.0.0"}, "http://127.0.0.1:11434/v1/chat/completions"),
        ("ollama", {}, {"OLLAMA_HOST": "gpu:9999"}, "http://gpu:9999/v1/chat/completions"),
        ("hf_endpoint", {}, {}, "https://router.huggingface.co/v1/chat/completions"),
        (
            "hf_endpoint",
            {"base_url": "https://x.eu-west-1.aws.endpoints.huggingface.cloud"},
            {},
            "https://x.eu-west-1.aws.endpoints.huggingface.cloud/v1/chat/completions",
        ),
        ("custom_url", {"base_url": "http://h:1"}, {}, "http://h:1/v1/chat/completions"),
        ("custom_url", {"base_url": "http://h/api/"}, {}, "http://h/api/chat/completions"),
        ("custom_url", {"base_url": "http://h/v2/chat/completions"}, {}, "http://h/v2/chat/completions"),
        (
            "azure",
            {"base_url": "https://me.openai.azure.com/", "options": {"api_version": "2025-01-01-preview"}},
            {},
            "https://me.openai.azure.com/openai/deployments/test-model/chat/completions?api-version=2025-01-01-preview",
        ),
        (
            "azure",
            {"options": {"deployment": "mine"}},
            {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com"},
            "https://me.openai.azure.com/openai/deployments/mine/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure",
            {"base_url": "https://me.openai.azure.com/openai/v1/"},
            {},
            "https://me.openai.azure.com/openai/v1/chat/completions",
        ),
    ],
)
@pytest.mark.checklist("B4")
def test_urls(
    namespace: str, spec: dict[str, Any], environ: dict[str, str], url: str, monkeypatch: Any
) -> None:
    """Each preset has its own place; a URL may come with or without a slash, a route or /v1."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    backend = OpenAIBackend(BackendSpec(namespace, "test-model", **spec), Keys({}))
    assert backend.endpoint.url("/chat/completions") == url


@pytest.mark.parametrize("url", ["ftp://h/v1", "http://", "http://user:pass@h/v1"])
def test_bad_urls(url: str) -> None:
    """What is no http URL, or holds a password, is refused where it is typed; the password isn't shown."""
    with pytest.raises(UsageError) as caught:
        create(BackendSpec("custom_url", "m", base_url=url), Keys({}))
    assert "pass@" not in str(caught.value)


def test_custom_url_needs_a_url() -> None:
    """A namespace without a place of its own says how to give it one."""
    with pytest.raises(UsageError, match="no URL") as caught:
        create(BackendSpec("custom_url", "m"), Keys({}))
    assert "%llm_config add" in caught.value.hint


@pytest.mark.checklist("B3")
async def test_two_backends_keep_their_keys_apart() -> None:
    """Each key reaches its own host and no other, also when both are used at once."""
    with Server() as one, Server() as two:
        first = made(one, keys={"ONE": "key-one-1", "TWO": "key-two-2"}, key="env:ONE")
        second = made(two, keys={"ONE": "key-one-1", "TWO": "key-two-2"}, key="env:TWO")
        await asyncio.gather(*(backend.complete(ask()) for backend in (first, second) * 10))
        assert {r.headers["authorization"] for r in one.requests} == {"Bearer key-one-1"}
        assert {r.headers["authorization"] for r in two.requests} == {"Bearer key-two-2"}
        await first.close()
        await second.close()


@pytest.mark.parametrize("namespace", ["openai", "azure", "hf_endpoint"])
@pytest.mark.checklist("B3")
async def test_the_providers_key_stays_with_the_provider(namespace: str) -> None:
    """The key in OPENAI_API_KEY and its like is never sent to another host."""
    keys = {"OPENAI_API_KEY": "real-key", "AZURE_OPENAI_API_KEY": "real-key", "HF_TOKEN": "real-key"}
    with Server() as server:
        backend = made(server, namespace, keys)
        await backend.complete(ask())
        assert "real-key" not in str([received.headers for received in server.requests])
        await backend.close()


@pytest.mark.checklist("B3")
async def test_redirects_are_not_followed() -> None:
    """A host that points elsewhere gets nothing more from us: neither the key nor the text goes there."""
    with Server() as here, Server() as there:
        here.misbehave("redirect", location=f"{there.url}/chat/completions?secret=1")
        backend = made(here, keys={"K": "key-of-here"}, key="env:K")
        with pytest.raises(BadRequest, match="moved to") as caught:
            await backend.complete(ask())
        assert there.count == 0
        assert "secret=1" not in str(caught.value)
        await backend.close()


@pytest.mark.parametrize(
    ("namespace", "header", "value"),
    [
        ("custom_url", "authorization", "Bearer k-1"),
        ("azure", "api-key", "k-1"),
        ("vllm", "authorization", "Bearer k-1"),
    ],
)
async def test_key_header(namespace: str, header: str, value: str) -> None:
    """Azure wants its key in a header of its own, the others as a bearer."""
    with Server() as server:
        url = server.root if namespace == "azure" else server.url
        backend = made(server, namespace, {"K": "k-1"}, key="env:K", base_url=url)
        await backend.complete(ask())
        assert server.requests[0].headers[header] == value
        await backend.close()


async def test_azure_token() -> None:
    """An Entra token, from a reference or a function, goes as a bearer."""

    async def fresh() -> str:
        return "fresh-token"

    with Server() as server:
        for token, want in (
            ("env:T", "Bearer from-env"),
            (fresh, "Bearer fresh-token"),
            (lambda: "sync", "Bearer sync"),
        ):
            backend = made(server, "azure", {"T": "from-env"}, base_url=server.root, options={"token": token})
            await backend.complete(ask())
            assert server.requests[-1].headers["authorization"] == want
            assert "api-key" not in server.requests[-1].headers
            await backend.close()


async def test_headers_and_references() -> None:
    """The user's headers go along; a reference among them is looked up."""
    with Server() as server:
        headers = {"x-team": "blue", "x-gate": "env:GATE"}
        backend = made(server, keys={"GATE": "gate-secret"}, headers=headers)
        await backend.complete(ask())
        assert server.requests[0].headers["x-team"] == "blue"
        assert server.requests[0].headers["x-gate"] == "gate-secret"
        assert "authorization" not in server.requests[0].headers
        assert "gate-secret" not in repr(backend)
        await backend.close()


async def test_missing_key_names_both_ways() -> None:
    """Without a key: the command and the variable; nothing is sent."""
    backend = create(BackendSpec("openai", "gpt-4o"), Keys({}))
    with pytest.raises(MissingKey) as caught:
        await backend.complete(ask())
    assert "%llm_config key set openai" in caught.value.hint
    assert "OPENAI_API_KEY" in caught.value.hint


async def test_key_typed_later() -> None:
    """A key is looked up at the call, so one that is typed after the first error is found."""
    with Server(key="late-key") as server:
        keys = Keys({})
        backend = create(BackendSpec("custom_url", "test-model", base_url=server.url, key="env:LATE"), keys)
        with pytest.raises(MissingKey):
            await backend.complete(ask())
        keys.set("LATE", "late-key")
        assert (await backend.complete(ask())).text
        await backend.close()


async def test_refused_key_is_looked_up_again() -> None:
    """After a 401 the next call reads the reference anew."""
    environ = {"K": "old-key"}
    with Server(key="new-key") as server:
        backend = create(BackendSpec("custom_url", "m", base_url=server.url, key="env:K"), Keys(environ))
        with pytest.raises(AuthError):
            await backend.complete(ask())
        environ["K"] = "new-key"
        assert (await backend.complete(ask())).text
        await backend.close()


async def test_error_text_is_clean() -> None:
    """A host that repeats the key in its error doesn't get it into ours, and long words are cut."""
    with Server() as server:
        server.misbehave("bad_request", message=f"key 'very-own-key-1' is odd. {'blah ' * 500}")
        backend = made(server, keys={"K": "very-own-key-1"}, key="env:K")
        with pytest.raises(BadRequest) as caught:
            await backend.complete(ask())
        assert "very-own-key-1" not in str(caught.value)
        assert len(str(caught.value)) < 600
        await backend.close()


# -- connections


@pytest.mark.checklist("B12")
async def test_connections_are_reused() -> None:
    """40 rows by 4 workers take at most 4 connections; nothing is opened before the first call."""
    with Server(latency=0.005) as server:
        backend = made(server)
        assert server.connections == 0
        numbers = iter(range(40))

        async def worker() -> None:
            for _ in numbers:
                await backend.complete(ask())

        await asyncio.gather(*(worker() for _ in range(4)))
        assert server.count == 40
        assert server.connections <= 4
        await backend.close()


async def test_another_loop() -> None:
    """A backend left open on a loop that ended works on the next one."""
    with Server() as server:
        backend = made(server)

        def use() -> str:
            return asyncio.run(backend.complete(ask())).text

        assert await asyncio.to_thread(use)
        assert await asyncio.to_thread(use)


# -- parameters


@pytest.mark.parametrize(
    ("namespace", "given", "sent", "missing"),
    [
        ("openai", {"max_new_tokens": 5}, {"max_completion_tokens": 5}, []),
        ("vllm", {"max_tokens": 5}, {"max_tokens": 5}, []),
        (
            "openai",
            {"top_k": 4, "repeat_penalty": 1.1, "top_p": 0.5},
            {"top_p": 0.5},
            ["top_k", "repeat_penalty"],
        ),
        ("vllm", {"top_k": 4, "repeat_penalty": 1.1}, {"top_k": 4, "repetition_penalty": 1.1}, []),
        ("ollama", {"top_k": 4, "top_p": 0.5}, {"top_p": 0.5}, ["top_k"]),
        ("custom_url", {"repeat_penalty": 1.1}, {"repeat_penalty": 1.1, "repetition_penalty": 1.1}, []),
        (
            "custom_url",
            {"temperature": 0, "seed": 3, "stop": ["x"], "frequency_penalty": 0.1, "presence_penalty": 0.2},
            {"temperature": 0, "seed": 3, "stop": ["x"], "frequency_penalty": 0.1, "presence_penalty": 0.2},
            [],
        ),
        (
            "custom_url",
            {"extra_body": {"min_p": 0.1}, "reasoning_effort": "low"},
            {"min_p": 0.1, "reasoning_effort": "low"},
            [],
        ),
        ("custom_url", {"n": 4, "stream": True, "temperature": None}, {}, ["n", "stream"]),
    ],
)
@pytest.mark.checklist("C2")
async def test_parameters(
    namespace: str, given: dict[str, Any], sent: dict[str, Any], missing: list[str]
) -> None:
    """What was set arrives under the host's name for it, what can't is reported, nothing else is sent."""
    with Server() as server:
        backend = made(server, namespace)
        response = await backend.complete(ask(**given))
        body = server.bodies[0]
        assert {k: v for k, v in body.items() if k not in ("model", "messages")} == sent
        assert [note.split(": ")[1].split()[0] for note in response.notes] == missing
        await backend.close()


async def test_samples_of_a_seeded_prompt_differ() -> None:
    """With a seed the n-th sample is drawn with seed + n."""
    with Server() as server:
        backend = made(server)
        for sample in range(3):
            await backend.complete(ask(seed=7, sample=sample))
        assert [body["seed"] for body in server.bodies] == [7, 8, 9]
        await backend.close()


# -- learning from refusals


@pytest.mark.parametrize(
    ("lacks", "form", "parameters", "told", "sent"),
    [
        ({"json_schema"}, LABELS, {}, "no json_schema", {"response_format": None}),
        (
            {"json_schema"},
            Schema({"type": "object", "properties": {}}),
            {},
            "no json_schema",
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"response_format"},
            Schema({"type": "object", "properties": {}}),
            {},
            "json_schema",
            {"response_format": None},
        ),
        (
            {"logprobs", "top_logprobs"},
            LABELS,
            {},
            "no log-probabilities",
            {"logprobs": None, "top_logprobs": None},
        ),
        (
            {"max_tokens"},
            TEXT,
            {"max_tokens": 9},
            "max_completion_tokens",
            {"max_tokens": None, "max_completion_tokens": 9},
        ),
        (
            {"temperature"},
            TEXT,
            {"temperature": 0, "top_p": 1},
            "temperature is not supported",
            {"temperature": None, "top_p": 1},
        ),
        (
            {"seed", "stop"},
            TEXT,
            {"seed": 1, "stop": "x"},
            "seed is not supported",
            {"seed": None, "stop": None},
        ),
        (
            {"json_schema", "logprobs", "temperature"},
            LABELS,
            {"temperature": 0},
            "json_schema",
            {"logprobs": None},
        ),
    ],
)
@pytest.mark.checklist("T6")
async def test_learns(
    lacks: set[str], form: ResponseFormat, parameters: dict[str, Any], told: str, sent: dict[str, Any]
) -> None:
    """A field that the host refuses is left out at once, from then on, and the user is told."""
    with Server(lacks=lacks) as server:
        backend = made(server)
        first = await backend.complete(ask(form, **parameters))
        assert told in " ".join(first.notes)
        tries = server.count
        second = await backend.complete(ask(form, **parameters))
        assert server.count == tries + 1
        assert {name: server.bodies[-1].get(name) for name in sent} == sent
        assert not [note for note in second.notes if "json_schema" in note or "log-prob" in note]
        await backend.close()


async def test_learns_once_for_all_in_flight() -> None:
    """Fifty first requests in flight: one lesson, one note, every row answered."""
    with Server(lacks={"json_schema"}, latency=0.01) as server:
        backend = made(server)
        answers = await asyncio.gather(*(backend.complete(ask(LABELS)) for _ in range(50)))
        assert sum(bool(answer.notes) for answer in answers) == 1
        assert server.count <= 100
        await backend.close()


async def test_a_bad_value_is_no_lesson() -> None:
    """A value out of range is the user's to mend: the parameter is not taken away silently."""
    with Server() as server:
        server.misbehave("bad_request", message="Invalid 'temperature': 9 is greater than the maximum of 2.")
        backend = made(server)
        with pytest.raises(BadRequest, match="maximum of 2"):
            await backend.complete(ask(temperature=9))
        assert server.count == 1
        await backend.close()


async def test_fewer_logprobs() -> None:
    """A host with a smaller limit gets a smaller number, not none."""
    with Server(chances=lambda _: {"billing": 0.75, "outage": 0.25}) as server:
        server.script(Fault("bad_request", message="top_logprobs must be less than or equal to 5."))
        backend = made(server)
        response = await backend.complete(ask(LABELS))
        assert server.bodies[-1]["top_logprobs"] == 5
        assert response.scores == pytest.approx({"billing": 0.75, "outage": 0.25})
        await backend.close()


async def test_no_system_role() -> None:
    """Models without a system turn get its text before the first user message."""
    with Server() as server:
        server.script(Fault("bad_request", message="System role not supported"))
        backend = made(server)
        response = await backend.complete(ask())
        assert server.bodies[-1]["messages"] == [
            {"role": "user", "content": "Be brief.\n\nbilling or outage?"}
        ]
        assert "no system message" in response.notes[0]
        await backend.close()


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        '[{"type":"extra_forbidden","loc":["body","temperature"],"msg":"Extra inputs are not permitted"}]',
        "Unrecognized request argument supplied: temperature",
        "property 'temperature' is unsupported",
    ],
)
async def test_words_of_many_hosts(message: str) -> None:
    """The refusals of OpenAI, vLLM, Mistral and Groq are all understood."""
    with Server() as server:
        server.script(Fault("bad_request", message=message))
        backend = made(server)
        await backend.complete(ask(temperature=0))
        assert "temperature" not in server.bodies[-1]
        await backend.close()


# -- answers


async def test_strict_server_takes_what_is_sent() -> None:
    """Nothing beyond OpenAI's own fields goes to a strict host."""
    with Server(strict=True, lacks={"max_tokens"}) as server:
        backend = made(server, "openai")
        parameters = {"temperature": 0, "max_tokens": 4, "seed": 1, "top_k": 3}
        for form in (TEXT, LABELS, Schema({"type": "object", "properties": {}})):
            await backend.complete(ask(form, **parameters))
        assert server.count == 3
        await backend.close()


@pytest.mark.checklist("T9")
@pytest.mark.checklist("Q5")
async def test_scores() -> None:
    """Probabilities over the choices from the host's log-probabilities; a few of them unasked, for the confidence."""
    with Server(
        chances=lambda _: {"billing": 0.2, "outage": 0.8}, answer=lambda _: '{"label": "outage"}'
    ) as server:
        backend = made(server)
        response = await backend.complete(ask(LABELS))
        assert response.parsed == "outage"
        assert response.method == "logprobs"
        assert response.scores == pytest.approx({"billing": 0.2, "outage": 0.8})
        unasked = await backend.complete(ask(OneOf(LABELS.choices)))
        assert [body["top_logprobs"] for body in server.bodies] == [20, 5]
        assert unasked.scores == pytest.approx({"billing": 0.2, "outage": 0.8})
        assert ask(LABELS).key != ask(OneOf(LABELS.choices)).key
        await backend.close()


@pytest.mark.checklist("C5", "T6")
async def test_length_is_kept() -> None:
    """A label cut by the token limit is no label; the finish reason says why."""
    with Server() as server:
        backend = made(server)
        server.misbehave("length")
        response = await backend.complete(ask(LABELS))
        assert response.finish_reason == "length"
        assert response.parsed is None
        await backend.close()


async def test_error_inside_a_200() -> None:
    """A router's error under status 200 is an error."""
    with Server(answer=lambda _: "x") as server:
        backend = made(server)
        body = json.dumps({"error": {"code": 429, "message": "Provider: rate limited, retry in 3 seconds"}})
        server.script(Fault("bad_request", status=200, body=body.encode()))
        with pytest.raises(Exception, match="rate limited") as caught:
            await backend.complete(ask())
        assert caught.value.retryable
        assert caught.value.retry_after == 3
        await backend.close()


async def test_request_id_and_status() -> None:
    """An error carries the provider's name for the request, so that one can ask the provider."""
    with Server() as server:
        server.misbehave("no_model")
        backend = made(server)
        with pytest.raises(ModelNotFound) as caught:
            await backend.complete(ask())
        assert caught.value.status == 404
        assert caught.value.request_id == "req-1"
        await backend.close()


@pytest.mark.checklist("K2")
async def test_cost() -> None:
    """Cost is by the backend's price, cached input at its own; unknown without one."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    with Server(answer=lambda _: {"content": "x", "usage": usage}) as server:
        priced = made(server, price=Price(2.0, 8.0, 0.5))
        paid = (await priced.complete(ask())).usage
        assert (paid.input_tokens, paid.output_tokens, paid.cached_input_tokens) == (1000, 100, 400)
        assert paid.cost == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 8) / 1e6)
        unpriced = made(server)
        assert (await unpriced.complete(ask())).usage.cost is None
        await priced.close()
        await unpriced.close()


@pytest.mark.checklist("K8")
async def test_usage_estimated() -> None:
    """A host that doesn't count has its tokens estimated, and marked so."""
    with Server(usage=False) as server:
        backend = made(server)
        usage = (await backend.complete(ask())).usage
        assert usage.estimated
        assert usage.input_tokens > 3
        await backend.close()


@pytest.mark.parametrize("content", [["a", "b"], None])
async def test_content_in_parts(content: Any) -> None:
    """Content may be a list of parts."""
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    with Server(answer=lambda _: {"content": parts if content else ""}) as server:
        backend = made(server)
        assert (await backend.complete(ask())).text == ("one two" if content else "")
        await backend.close()


async def test_prompt_format_goes_as_raw_text() -> None:
    """A named prompt format is sent as it reads, to the completions route."""
    with Server() as server:
        backend = made(server)
        await backend.complete(ask(prompt_format="chatml", max_tokens=3))
        assert server.requests[0].route == "/v1/completions"
        assert server.bodies[0]["prompt"].startswith("<|im_start|>system\nBe brief.<|im_end|>")
        assert "prompt_format" not in server.bodies[0]
        assert server.bodies[0]["max_tokens"] == 3
        await backend.close()


# -- vectors


@pytest.mark.checklist("B9")
async def test_embeddings_in_batches() -> None:
    """One request a batch, texts in full, vectors in the order of the texts, cost known."""
    texts = [f"text number {n} " + "x" * 5000 for n in range(10)]
    with Server() as server:
        backend = made(server, model="text-embedding-3-small", options={"batch_size": 4}, price=Price(0.02))
        embedding = await backend.embed(texts)
        assert [len(body["input"]) for body in server.bodies] == [4, 4, 2]
        assert [text for body in server.bodies for text in body["input"]] == texts
        assert embedding.vectors.shape == (10, 8)
        assert embedding.usage.cost == pytest.approx(embedding.usage.input_tokens * 0.02 / 1e6)
        assert backend.capabilities.batch_size == 4
        assert not backend.capabilities.text
        await backend.close()


async def test_vector_request() -> None:
    """A Vector request embeds its subject, in the dimensions asked for."""
    with Server() as server:
        backend = made(server)
        response = await backend.complete(ask(Vector(dimensions=3)))
        assert response.vector.shape == (3,)
        assert server.bodies[0]["input"] == ["outage"]
        assert server.bodies[0]["dimensions"] == 3
        await backend.close()


@pytest.mark.parametrize(
    ("namespace", "lacks", "sent"),
    [("openai", set(), "base64"), ("openai", {"encoding_format"}, None), ("custom_url", set(), None)],
)
async def test_vectors_encoded(namespace: str, lacks: set[str], sent: str | None) -> None:
    """Vectors come as base64 where the host is known to give them so; the numbers are the same."""
    with Server(lacks=lacks) as server:
        backend = made(server, namespace, model="text-embedding-3-small", parameters={"dimensions": 5})
        plain = made(server, model="text-embedding-3-small", parameters={"dimensions": 5})
        found = (await backend.embed(["a", "b"])).vectors
        assert server.bodies[-1].get("encoding_format") == sent
        assert found == pytest.approx((await plain.embed(["a", "b"])).vectors, abs=1e-6)
        assert found.shape == (2, 5)
        await backend.close()
        await plain.close()


async def test_models_listed() -> None:
    """The host's own list of models."""
    with Server(models=("a", "b")) as server:
        backend = made(server)
        assert await backend.models() == ["a", "b"]
        await backend.close()


# -- the openai package as the yardstick


async def sent_by_sdk(server: Server, **body: Any) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=server.url, api_key="same-key", max_retries=0) as client:
        await client.chat.completions.create(**body)


@pytest.mark.parametrize(
    ("form", "parameters"),
    [
        (TEXT, {}),
        (TEXT, {"temperature": 0.5, "max_tokens": 10, "stop": ["\n"], "seed": 3, "top_p": 0.9}),
        (LABELS, {"temperature": 0}),
        (OneOf((Choice("é"), Choice("日本")), many=True, max_choices=1), {}),
        (Schema({"type": "object", "properties": {}, "required": [], "additionalProperties": False}), {}),
    ],
)
async def test_same_request_as_the_sdk(form: ResponseFormat, parameters: dict[str, Any]) -> None:
    """What we send is what ``openai.AsyncOpenAI`` sends for the same call: body, route, key, type."""
    with Server() as server:
        backend = made(server, keys={"K": "same-key"}, key="env:K")
        await backend.complete(ask(form, **parameters))
        ours = server.requests[0]
        body = dict(ours.json)
        await sent_by_sdk(server, **body)
        theirs = server.requests[1]
        assert theirs.json == body
        assert theirs.path == ours.path
        for name in ("authorization", "content-type", "host"):
            assert theirs.headers[name] == ours.headers[name]
        await backend.close()


async def test_same_vectors_as_the_sdk() -> None:
    """The SDK reads the same vectors from the same server."""
    import numpy as np
    import openai

    with Server() as server:
        backend = made(server)
        ours = await backend.embed(["a", "b"])
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            theirs = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        ranked = sorted(theirs.data, key=lambda entry: entry.index)
        assert np.allclose(ours.vectors, [entry.embedding for entry in ranked], atol=1e-5)
        await backend.close()


async def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used for this machine."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with Server() as server:
            backend = made(server)
            assert (await backend.complete(ask())).text
            await backend.close()


@pytest.mark.checklist("C4")
@pytest.mark.parametrize(
    ("line", "kind"), [("407 Proxy Authentication Required", AuthError), ("503 Busy", ConnectionLost)]
)
async def test_a_proxy_that_refuses_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, line: str, kind: type[Exception]
) -> None:
    """Not in the error, and not in the traceback of what caused it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://me:hunter-two@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    backend = create(BackendSpec("custom_url", "m", base_url="https://host.example/v1"), Keys({}))
    with pytest.raises(kind, match=f"the proxy on the way to host.example answered {line[:3]}") as caught:
        await backend.complete(ask())
    assert "HTTPS_PROXY" in caught.value.hint  # type: ignore[attr-defined]
    assert "hunter-two" not in "".join(traceback.format_exception(caught.value))
    await backend.close()
    proxy.close()


def test_no_key_in_base64_either() -> None:
    """A backend's state has the key nowhere before a call."""
    backend = create(
        BackendSpec("custom_url", "m", base_url="http://h/v1", key="env:K"), Keys({"K": "hidden-key"})
    )
    state = json.dumps(vars(backend.access), default=repr) + json.dumps(vars(backend), default=repr)  # type: ignore[attr-defined]
    assert "hidden-key" not in state
    assert base64.b64encode(b"hidden-key").decode() not in state


# -- a client of the user's own


def lent(client: Any, namespace: str = "openai") -> OpenAIBackend:
    return OpenAIBackend(BackendSpec(namespace, "test-model", options={"client": client}), Keys({}))


@pytest.mark.parametrize("kind", ["OpenAI", "AsyncOpenAI"])
async def test_client_lends_url_key_and_headers(kind: str) -> None:
    """A configured client's own requests and ours go to the same place with the same key and headers."""
    import openai

    with Server(key="client-key") as server:
        client = getattr(openai, kind)(
            base_url=server.url, api_key="client-key", organization="acme", default_headers={"x-team": "blue"}
        )
        backend = lent(client)
        await backend.complete(ask())
        sent = server.requests[0].headers
        assert sent["authorization"] == "Bearer client-key"
        assert (sent["x-team"], sent["openai-organization"]) == ("blue", "acme")
        assert not any(name.startswith("x-stainless") for name in sent)
        assert "client-key" not in repr(backend)
        await backend.close()


@pytest.mark.parametrize("kind", ["AzureOpenAI", "AsyncAzureOpenAI"])
async def test_azure_client_with_entra(kind: str) -> None:
    """An Azure client's token provider is asked; path, version and token are those of the client's own call."""
    import openai

    async def later() -> str:
        return "entra-token"

    provider = later if kind.startswith("Async") else lambda: "entra-token"
    with Server() as server:
        client = getattr(openai, kind)(
            azure_endpoint=server.root,
            api_version="2024-10-21",
            azure_ad_token_provider=provider,
            max_retries=0,
        )
        backend = lent(client, "azure")
        await backend.complete(ask())
        body = {"model": "test-model", "messages": [{"role": "user", "content": "x"}]}
        theirs = client.chat.completions.create(**body)
        if kind.startswith("Async"):
            await theirs
        assert server.requests[0].path == server.requests[1].path
        assert [received.headers["authorization"] for received in server.requests] == [
            "Bearer entra-token"
        ] * 2
        await backend.close()


async def test_azure_client_with_deployment() -> None:
    """A client with a deployment of its own keeps it."""
    import openai

    with Server() as server:
        client = openai.AzureOpenAI(
            azure_endpoint=server.root, azure_deployment="mine", api_version="2024-10-21", api_key="azure-key"
        )
        backend = lent(client, "azure")
        await backend.complete(ask())
        assert server.requests[0].path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
        assert server.requests[0].headers["api-key"] == "azure-key"
        await backend.close()
