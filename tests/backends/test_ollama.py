"""Ollama's own API, against a stand-in that speaks it."""

import json

import numpy as np
import pytest

from llm_magics.backends.ollama.client import OllamaBackend, ollama_backend
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Choice, Limits, Message, OneOf, Request, Schema, Usage
from tests.servers.ollama import Ollama
from tests.servers.provider import serve

LABELS = OneOf((Choice("calm"), Choice("angry")))


@pytest.fixture
def host():
    return Ollama()


@pytest.fixture
def server(host):
    with serve(host) as server:
        yield server


def at(server, model="test-model", timeout=5.0, **options):
    return OllamaBackend(
        BackendSpec("ollama", model, base_url=server.root, limits=Limits(timeout=timeout), options=options)
    )


@pytest.fixture
async def ollama(server):
    made = at(server)
    yield made
    await made.close()


def ask(text="I am angry", *, system="", response_format=None, model="test-model", **parameters):
    turns = ((Message("system", system),) if system else ()) + (Message("user", text),)
    extra = {"response_format": response_format} if response_format else {}
    return Request("ollama", model, turns, parameters=parameters, **extra)


@pytest.mark.checklist("B5")
async def test_options_reach_the_server_under_its_names(ollama, server):
    """num_ctx and every other option of Ollama's; keep_alive beside them."""
    given = {
        "num_ctx": 512,
        "max_new_tokens": 9,
        "temperature": 0,
        "mirostat": 2,
        "stop": "END",
        "keep_alive": "5m",
    }
    answer = await ollama.complete(ask("hi", system="be kind", **given))
    assert (answer.text, answer.finish_reason, answer.usage) == ("echo: hi", "stop", Usage(1, 4))
    body = server.bodies[0]
    assert body["options"] == {
        "num_ctx": 512,
        "num_predict": 9,
        "temperature": 0,
        "mirostat": 2,
        "stop": ["END"],
    }
    assert body["keep_alive"] == "5m"
    assert body["messages"][0] == {"role": "system", "content": "be kind"}
    assert not answer.notes


@pytest.mark.checklist("B5", "T6")
async def test_labels_and_schemas_are_held_to_by_format(ollama, server):
    """The JSON schema stands in ``format``, and the value comes parsed."""
    assert (await ollama.complete(ask(response_format=LABELS))).parsed == "angry"
    several = OneOf(LABELS.choices, many=True, max_choices=2)
    assert (await ollama.complete(ask("angry then calm", response_format=several))).parsed == [
        "calm",
        "angry",
    ]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert (await ollama.complete(ask(response_format=Schema(schema)))).parsed == {"n": 1}
    assert server.bodies[-1]["format"] == schema


async def test_scores_come_from_log_probabilities(ollama, host):
    """A server that gives them makes the labels' probabilities."""
    host.chances = {"calm": 0.25, "angry": 0.75}
    answer = await ollama.complete(ask(response_format=OneOf(LABELS.choices, scores=True)))
    assert answer.scores == pytest.approx({"calm": 0.25, "angry": 0.75})


@pytest.mark.checklist("C7")
async def test_raw_text_goes_past_the_model_s_template(ollama, server):
    """A named format or a function's text is sent raw, exactly as it is."""
    assert (await ollama.complete(ask("hi", prompt_format="zephyr"))).text.startswith("echo: <|user|>")
    assert (server.requests[0].route, server.bodies[0]["raw"]) == ("/api/generate", True)
    await ollama.complete(ask("x", prompt_formatting_fn=lambda p: "ONLY THIS"))
    assert server.bodies[1]["prompt"] == "ONLY THIS"


@pytest.mark.checklist("C2")
async def test_an_option_ollama_does_not_list_is_named(host, server):
    """It is sent (a newer server may know it), and said."""
    made = at(server)
    with pytest.raises(errors.BadRequest):
        await made.complete(ask(typical=1))
    from llm_magics.backends.ollama.wire import unknown

    assert "typical" in unknown({"typical": 1}, "ollama::m")[0]
    await made.close()


async def test_a_prompt_is_refused_rather_than_cut(ollama):
    """Longer than num_ctx is an error of its row; a long prompt without num_ctx is warned of."""
    with pytest.raises(errors.ContextOverflow):
        await ollama.complete(ask("word " * 100, num_ctx=50))
    assert "num_ctx" in (await ollama.complete(ask("word " * 5000))).notes[0]


@pytest.mark.checklist("B9")
async def test_embeddings_go_in_batches_and_in_full(server):
    """One request a batch; each text as it was typed (not its first letter)."""
    made = at(server, "test-model", batch_size=4)
    texts = [f"text {i}" for i in range(10)]
    out = await made.embed(texts)
    await made.close()
    assert [body["input"] for body in server.bodies] == [texts[0:4], texts[4:8], texts[8:10]]
    assert out.vectors.shape == (10, 8) and out.vectors.dtype == np.float32


def test_an_embedding_model_is_known_by_its_name():
    """It gives no text."""
    made = OllamaBackend(BackendSpec("ollama", "nomic-embed-text"))
    assert made.capabilities.embed and not made.capabilities.text


async def test_a_missing_model_says_what_to_type_or_is_pulled(host, server):
    """Without ``pull`` the error has the command; with it, one pull serves all rows."""
    host.offered = ("new-model",)
    with pytest.raises(errors.ModelNotFound, match="ollama pull new-model"):
        await at(server, "new-model").complete(ask(model="new-model"))
    made = at(server, "new-model", pull=True)
    import asyncio

    answers = await asyncio.gather(*(made.complete(ask(f"row {i}", model="new-model")) for i in range(4)))
    assert [answer.text for answer in answers] == [f"echo: row {i}" for i in range(4)]
    assert sum(received.route == "/api/pull" for received in server.requests) == 1
    assert await made.models() == ["test-model", "new-model"]
    await made.close()
    with pytest.raises(errors.ModelNotFound, match="library"):
        await at(server, "no-such", pull=True).complete(ask(model="no-such"))


def test_a_pull_tells_how_far_it_is(server):
    """The announcement has the share and the size."""
    made = at(server)
    made._note_pull({"status": "pulling", "total": 2_000_000_000, "completed": 500_000_000})
    assert made.announcement == "pulling test-model 25 % of 2.0 GB (pulling)"


@pytest.mark.parametrize(
    ("what", "kind", "retryable"),
    [
        ("auth", errors.AuthError, False),
        ("no_model", errors.ModelNotFound, False),
        ("rate_limited", errors.RateLimited, True),
        ("unavailable", errors.Overloaded, True),
        ("error", errors.Overloaded, True),
        ("context", errors.ContextOverflow, False),
        ("null", errors.MalformedAnswer, True),
        ("reset", errors.ConnectionLost, True),
        ("cut", errors.ConnectionLost, True),
        ("truncated", errors.MalformedAnswer, True),
        ("html", errors.MalformedAnswer, True),
    ],
)
async def test_each_fault_is_one_of_our_errors(ollama, server, what, kind, retryable):
    """The class says whether to ask again."""
    server.script(what)
    with pytest.raises(kind) as caught:
        await ollama.complete(ask())
    assert type(caught.value) is kind and caught.value.retryable is retryable


async def test_a_model_too_large_for_the_machine_stops_the_run(ollama, server):
    """Ollama says 500 where waiting won't help."""
    said = "model requires more system memory (9.0 GiB) than is available (4.0 GiB)"
    server.script("error", message=said)
    with pytest.raises(errors.ModelLoadError, match="system memory"):
        await ollama.complete(ask())


async def test_a_server_that_is_not_there_is_told_how_to_start():
    """Nothing on the port: the command to type."""
    made = OllamaBackend(BackendSpec("ollama", "m", base_url="http://127.0.0.1:9"))
    with pytest.raises(errors.ConnectionLost, match="ollama serve"):
        await made.complete(ask())
    await made.close()


@pytest.mark.checklist("C6")
async def test_the_host_comes_from_the_environment(server, monkeypatch):
    """OLLAMA_HOST as Ollama reads it, with or without a scheme."""
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
    made = OllamaBackend(BackendSpec("ollama", "test-model"))
    assert (await made.complete(ask())).text == "echo: I am angry"
    await made.close()


def test_a_url_with_v1_speaks_the_openai_format():
    """Who typed /v1 meant that API."""
    assert isinstance(
        ollama_backend(BackendSpec("ollama", "m", base_url="http://127.0.0.1:1/v1")), OpenAIBackend
    )
    assert isinstance(ollama_backend(BackendSpec("ollama", "m")), OllamaBackend)


async def test_the_real_client_sends_the_same_chat(server):
    """Our request is the one that Ollama's own package makes for the same call."""
    package = pytest.importorskip("ollama", reason="the ollama package is not installed")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    client = package.AsyncClient(host=server.root)
    turns = [{"role": "user", "content": "hi"}]
    await client.chat("test-model", messages=turns, format=schema, options={"num_ctx": 64}, keep_alive="1m")
    made = at(server)
    await made.complete(ask("hi", response_format=Schema(schema), num_ctx=64, keep_alive="1m"))
    await made.close()
    theirs, ours = (json.loads(received.body) for received in server.requests)
    ours.pop("truncate")
    assert {name: value for name, value in theirs.items() if value not in (None, [])} == ours
