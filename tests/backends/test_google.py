"""Gemini and Vertex AI through google-genai, against stand-ins that speak their REST formats."""

import json

import numpy as np
import pytest

from llm_magics.backends.google.client import GoogleBackend
from llm_magics.backends.google.errors import fault
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Choice, Limits, Message, OneOf, Request, Schema, Usage
from tests.servers.google import Google
from tests.servers.provider import serve

genai = pytest.importorskip("google.genai", reason="google-genai is not installed")

LABELS = OneOf((Choice("calm"), Choice("angry")))


class Held:
    def __init__(self, key="AIzaTest"):
        self.key = key

    def resolve(self, reference):
        return self.key if reference == "env:GEMINI_API_KEY" else None


@pytest.fixture
def host():
    return Google(key="AIzaTest")


@pytest.fixture
def server(host):
    with serve(host) as server:
        yield server


@pytest.fixture
async def gemini(server):
    spec = BackendSpec("gemini", "test-model", base_url=server.root, limits=Limits(timeout=5))
    made = GoogleBackend(spec, Held())
    yield made
    await made.close()


def ask(text="I am angry", *, system="", response_format=None, **parameters):
    turns = ((Message("system", system),) if system else ()) + (Message("user", text),)
    extra = {"response_format": response_format} if response_format else {}
    return Request("gemini", "test-model", turns, parameters=parameters, **extra)


async def test_a_text_answer_with_everything_counted(gemini, server):
    """System text, turns and parameters in the API's words; usage, model and reason in ours."""
    asked = ask("hi", system="be kind", temperature=0.5, max_new_tokens=9, stop="END", top_k=3)
    answer = await gemini.complete(asked)
    assert (answer.text, answer.finish_reason, answer.model) == ("echo: hi", "stop", "test-model-001")
    assert answer.usage == Usage(1, 6) and answer.request_id and not answer.notes
    body = server.bodies[0]
    assert body["systemInstruction"]["parts"] == [{"text": "be kind"}]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "maxOutputTokens": 9,
        "stopSequences": ["END"],
        "topK": 3,
    }
    assert server.requests[0].headers["x-goog-api-key"] == "AIzaTest"


async def test_nothing_is_sent_that_nobody_asked_for(gemini, server):
    """Without parameters there is no generation config at all."""
    await gemini.complete(ask())
    assert not server.bodies[0].get("generationConfig")


async def test_the_assistant_s_turns_stay_the_assistant_s(gemini, server):
    """An earlier answer is the model's own turn."""
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    await gemini.complete(Request("gemini", "test-model", turns))
    assert [turn["role"] for turn in server.bodies[0]["contents"]] == ["user", "model", "user"]


async def test_one_label_is_an_enum(gemini, server):
    """The API is held to the names, and its word is taken as the label."""
    answer = await gemini.complete(ask(response_format=LABELS))
    assert (answer.parsed, answer.text, answer.scores) == ("angry", "angry", None)
    assert server.bodies[0]["generationConfig"]["responseMimeType"] == "text/x.enum"


async def test_several_labels_are_a_list(gemini):
    """Many labels are a JSON array of the enum."""
    form = OneOf(LABELS.choices, many=True, max_choices=2)
    assert (await gemini.complete(ask("angry then calm", response_format=form))).parsed == ["calm", "angry"]


async def test_scores_come_from_log_probabilities(gemini, host):
    """The distribution over the first tokens is the labels' probabilities."""
    host.chances = {"calm": 0.25, "angry": 0.75}
    answer = await gemini.complete(ask(response_format=OneOf(LABELS.choices, scores=True)))
    assert answer.method == "logprobs"
    assert answer.scores == pytest.approx({"calm": 0.25, "angry": 0.75})


async def test_a_schema_s_value_comes_parsed(gemini, server):
    """JSON schemas go as they are, and the value comes back."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert (await gemini.complete(ask(response_format=Schema(schema)))).parsed == {"n": 1}
    assert server.bodies[0]["generationConfig"]["responseJsonSchema"] == schema


@pytest.mark.parametrize(
    ("lacks", "said", "note"),
    [
        ("responseLogprobs", "Logprobs is not enabled for models/test-model", "no log-probabilities"),
        ("responseSchema", "Enum mode is not enabled for models/test-model", "no answer format"),
        ("systemInstruction", "Developer instruction is not enabled for models/test-model", "no system"),
        ("frequencyPenalty", "Penalty is not enabled for this model", "penalty"),
    ],
)
async def test_what_a_model_lacks_is_learned_once_and_said(gemini, host, server, lacks, said, note):
    """A refused field is left out from then on: one refusal, every row answered, one note."""
    host.lacks[lacks] = said
    form = OneOf(LABELS.choices, scores=True)
    for _ in range(2):
        answer = await gemini.complete(ask("calm", system="S", response_format=form, frequency_penalty=0.1))
        assert "calm" in answer.text
        assert [n for n in answer.notes if note in n]
    assert server.count == 3
    if lacks == "systemInstruction":
        assert server.bodies[-1]["contents"][0]["parts"][0]["text"] == "S\n\ncalm"


@pytest.mark.checklist("C2")
async def test_a_parameter_that_does_not_exist_here_is_named(gemini, server):
    """No repeat penalty in this API: not sent, and said."""
    answer = await gemini.complete(ask(repeat_penalty=1.1))
    assert answer.notes == ("gemini::test-model takes no repeat_penalty; it was not sent.",)


@pytest.mark.checklist("C7")
async def test_the_formatting_function_decides_what_is_sent(gemini, server):
    """A text becomes the one user turn."""
    await gemini.complete(ask("x", system="s", prompt_formatting_fn=lambda p: "ONLY THIS"))
    assert server.bodies[0]["contents"] == [{"role": "user", "parts": [{"text": "ONLY THIS"}]}]
    assert "systemInstruction" not in server.bodies[0]


@pytest.mark.parametrize(
    ("what", "kind", "retryable"),
    [
        ("auth", errors.AuthError, False),
        ("no_model", errors.ModelNotFound, False),
        ("rate_limited", errors.RateLimited, True),
        ("quota", errors.QuotaExhausted, False),
        ("unavailable", errors.Overloaded, True),
        ("error", errors.Overloaded, True),
        ("context", errors.ContextOverflow, False),
        ("bad_request", errors.BadRequest, False),
        ("filtered_finish", errors.ContentFiltered, False),
        ("refusal", errors.ContentFiltered, False),
        ("null", errors.MalformedAnswer, True),
        ("reset", errors.ConnectionLost, True),
        ("cut", errors.ConnectionLost, True),
        ("truncated", errors.MalformedAnswer, True),
        ("html", errors.MalformedAnswer, True),
    ],
)
async def test_each_fault_is_one_of_our_errors(gemini, server, what, kind, retryable):
    """The class says whether to ask again; the SDK itself never does."""
    server.script(what)
    with pytest.raises(kind) as caught:
        await gemini.complete(ask())
    assert type(caught.value) is kind and caught.value.retryable is retryable
    assert server.count == 1
    assert "AIzaTest" not in str(caught.value)
    if what == "rate_limited":
        assert caught.value.retry_after == pytest.approx(0.02)


async def test_a_silent_host_is_a_timeout(server):
    """No answer within the limit is our Timeout."""
    made = GoogleBackend(
        BackendSpec("gemini", "test-model", base_url=server.root, limits=Limits(timeout=0.3)), Held()
    )
    server.script("hang")
    with pytest.raises(errors.Timeout):
        await made.complete(ask())
    await made.close()


async def test_a_cut_answer_says_so(gemini, server):
    """The token limit's answer is text with the reason ``length``."""
    server.script("length")
    answer = await gemini.complete(ask("hello world"))
    assert answer.finish_reason == "length" and answer.parsed is None


async def test_an_empty_answer_is_empty(gemini, server):
    """A candidate without text is no fault of the wire."""
    server.script("empty")
    assert (await gemini.complete(ask())).text == ""


@pytest.mark.checklist("B9")
async def test_embeddings_go_a_hundred_a_call(gemini, server):
    """130 texts are two calls, in order, with the task type asked for."""
    spec = BackendSpec("gemini", "test-model", base_url=server.root, options={"task_type": "CLUSTERING"})
    made = GoogleBackend(spec, Held())
    texts = [f"text {i} é" for i in range(130)]
    out = await made.embed(texts)
    single = await made.embed([texts[101]])
    await made.close()
    assert out.vectors.shape == (130, 8) and out.vectors.dtype == np.float32
    assert [len(body["requests"]) for body in server.bodies] == [100, 30, 1]
    assert server.bodies[0]["requests"][0]["taskType"] == "CLUSTERING"
    assert np.allclose(out.vectors[101], single.vectors[0])


async def test_tokens_are_counted_by_the_api(gemini):
    """The free count of a prompt."""
    assert await gemini.count_tokens(ask("hello world")) == 5


async def test_one_connection_pool_for_all_rows(gemini, server):
    """Rows one after another go over one connection."""
    for i in range(5):
        await gemini.complete(ask(f"row {i}"))
    assert server.connections == 1


async def test_a_missing_key_is_told_with_its_page():
    """No key, no call: where to get one and what to type."""
    with pytest.raises(errors.MissingKey, match="aistudio"):
        await GoogleBackend(BackendSpec("gemini", "m"), Held(None)).complete(ask())


# -- vertex


def service_account(tmp_path, token_url):
    """A real service-account file whose tokens come from the loopback server."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "me@p.iam.gserviceaccount.com",
        "token_uri": token_url,
    }
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(info))
    return path


class Vertex(Google):
    """The same host with a token endpoint."""

    def met(self, received, fault, headers):
        from llm_magics.testing.http_server import Reply

        if received.route == "/token":
            token = {"access_token": "ya29.loopback", "expires_in": 3600, "token_type": "Bearer"}
            return Reply(200, json.dumps(token).encode(), headers)
        return super().met(received, fault, headers)


def vertex(server, **options):
    given = {"project": "my-project", "location": "europe-west4", **options}
    return GoogleBackend(BackendSpec("vertex", "test-model", base_url=server.root, options=given), Held(None))


async def test_vertex_signs_in_with_the_default_credentials(tmp_path, monkeypatch):
    """Application-default credentials, a token of their own, the project in the path."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    with serve(Vertex(key="ya29.loopback")) as server:
        file = service_account(tmp_path, f"{server.root}/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        made = vertex(server)
        answer = await made.complete(ask(response_format=LABELS))
        assert answer.parsed == "angry"
        out = await made.embed(["a", "b"])
        assert out.vectors.shape == (2, 8) and out.usage.input_tokens == 2
        paths = [received.route for received in server.requests if received.route != "/token"]
        assert "/projects/my-project/locations/europe-west4/publishers/google/models/test-model" in paths[0]
        await made.close()


async def test_vertex_without_credentials_says_the_steps(server, monkeypatch, tmp_path):
    """The four steps of the sign-in, word by word typable."""
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(errors.MissingKey) as caught:
        await vertex(server).complete(ask())
    assert "gcloud auth application-default login" in caught.value.hint
    with pytest.raises(errors.MissingKey, match="project"):
        await vertex(server, project="").complete(ask())


# -- the SDK's own error tree


def subclasses(kind):
    return {kind} | {grand for child in kind.__subclasses__() for grand in subclasses(child)}


def test_every_error_of_the_sdk_has_a_class_of_ours():
    """A new class in google-genai or google-auth can't slip through as something unknown."""
    from google.auth import exceptions as auth
    from google.genai import errors as sdk

    codes = (400, 401, 403, 404, 408, 409, 413, 422, 429, 499, 500, 501, 502, 503, 504)
    body = {"error": {"message": "m", "status": "S"}}
    raised = [kind(code, body) for kind in subclasses(sdk.APIError) for code in codes]
    others = {
        value for value in vars(sdk).values() if isinstance(value, type) and issubclass(value, Exception)
    }
    own = {kind for kind in others if kind.__module__.startswith("google.genai")} - subclasses(sdk.APIError)
    raised += [kind("said") for kind in own | subclasses(auth.GoogleAuthError)]
    made = [fault(error, "gemini", "m") for error in raised]
    assert len(made) > 30
    for error in made:
        assert isinstance(error, errors.LLMError)
        assert error.hint or error.retryable or type(error) is errors.BadRequest, error
