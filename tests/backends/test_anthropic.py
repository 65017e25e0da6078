"""Claude models through Anthropic's SDK, against a stand-in that speaks the Messages API."""

import pytest

from llm_magics.backends.anthropic.client import AnthropicBackend, fault
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Choice, Limits, Message, OneOf, Request, Schema, Usage
from tests.servers.anthropic import Anthropic
from tests.servers.provider import serve

sdk = pytest.importorskip("anthropic", reason="anthropic is not installed")

LABELS = OneOf((Choice("calm"), Choice("angry")))
KEY = "sk-ant-loopback-0123456789"


class Held:
    def __init__(self, key=KEY):
        self.key = key

    def resolve(self, reference):
        return self.key if reference == "env:ANTHROPIC_API_KEY" else None


@pytest.fixture
def host():
    return Anthropic(key=KEY)


@pytest.fixture
def server(host):
    with serve(host) as server:
        yield server


@pytest.fixture
async def claude(server):
    made = AnthropicBackend(
        BackendSpec("anthropic", "test-model", base_url=server.root, limits=Limits(timeout=5)), Held()
    )
    yield made
    await made.close()


def ask(text="I am angry", *, system="", response_format=None, **parameters):
    turns = ((Message("system", system),) if system else ()) + (Message("user", text),)
    extra = {"response_format": response_format} if response_format else {}
    return Request("anthropic", "test-model", turns, parameters=parameters, **extra)


async def test_a_text_answer_with_everything_counted(claude, server):
    """System text apart, turns as they are, the API's words for the parameters."""
    turns = (
        Message("system", "be kind"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "hi"),
    )
    given = {"temperature": 0.5, "stop": ["END"], "top_k": 3, "max_new_tokens": 9}
    answer = await claude.complete(Request("anthropic", "test-model", turns, parameters=given))
    assert (answer.text, answer.finish_reason, answer.model) == ("echo: hi", "stop", "test-model")
    assert answer.usage == Usage(5, 4, 4) and answer.request_id == "msg_1" and not answer.notes
    body = server.bodies[0]
    assert body["system"] == "be kind"
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert (body["max_tokens"], body["temperature"], body["stop_sequences"], body["top_k"]) == (
        9,
        0.5,
        ["END"],
        3,
    )


@pytest.mark.checklist("C5")
async def test_the_number_of_tokens_the_api_wants_is_large_and_ours_alone(claude, server):
    """Without a limit of the user's the answer may take 4,096 tokens; nothing else is added."""
    await claude.complete(ask())
    assert set(server.bodies[0]) == {"model", "messages", "max_tokens"}
    assert server.bodies[0]["max_tokens"] == 4096


async def test_labels_and_schemas_are_held_to_by_the_api(claude):
    """One label, several, a JSON value: each comes parsed."""
    assert (await claude.complete(ask(response_format=LABELS))).parsed == "angry"
    several = OneOf(LABELS.choices, many=True, max_choices=2)
    assert (await claude.complete(ask("angry then calm", response_format=several))).parsed == [
        "calm",
        "angry",
    ]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert (await claude.complete(ask(response_format=Schema(schema)))).parsed == {"n": 1}


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ("output_config", "output_config.format: This model does not support structured outputs."),
        ("temperature", "`temperature` is deprecated for this model."),
        ("top_p", "`temperature` and `top_p` cannot both be specified for this model."),
    ],
)
async def test_what_a_model_lacks_is_learned_once_and_said(claude, host, server, lacks, said):
    """A refused field is left out from then on: one refusal, every row answered, a note."""
    host.lacks[lacks] = said
    for _ in range(2):
        answer = await claude.complete(ask("calm", response_format=LABELS, temperature=0.1, top_p=0.9))
        assert "calm" in answer.text
        assert [note for note in answer.notes if lacks in note]
    assert server.count == 3
    kept = {"output_config", "temperature", "top_p"} - {lacks}
    assert kept <= set(server.bodies[-1])


@pytest.mark.checklist("C2")
async def test_parameters_that_do_not_exist_here_are_named(claude):
    """No seed and no penalties in this API."""
    notes = (await claude.complete(ask(seed=1, presence_penalty=0.1))).notes
    assert [note.split()[3] for note in notes] == ["seed;", "presence_penalty;"]


async def test_thoughts_are_no_text(claude):
    """A thinking block is not part of the answer; other parameters of the API pass."""
    answer = await claude.complete(ask("hi", thinking={"type": "enabled", "budget_tokens": 1024}))
    assert answer.text == "echo: hi"


@pytest.mark.checklist("C7")
async def test_the_formatting_function_decides_what_is_sent(claude, server):
    """A text becomes the one user turn."""
    await claude.complete(ask("x", system="s", prompt_formatting_fn=lambda p: "ONLY THIS"))
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "ONLY THIS"}]
    assert "system" not in server.bodies[0]


@pytest.mark.parametrize(
    ("what", "kind", "retryable"),
    [
        ("auth", errors.AuthError, False),
        ("no_model", errors.ModelNotFound, False),
        ("rate_limited", errors.RateLimited, True),
        ("quota", errors.QuotaExhausted, False),
        ("unavailable", errors.Overloaded, True),
        ("overloaded", errors.Overloaded, True),
        ("context", errors.ContextOverflow, False),
        ("bad_request", errors.BadRequest, False),
        ("refusal", errors.ContentFiltered, False),
        ("null", errors.MalformedAnswer, True),
        ("reset", errors.ConnectionLost, True),
        ("cut", errors.ConnectionLost, True),
        ("truncated", errors.MalformedAnswer, True),
        ("html", errors.MalformedAnswer, True),
    ],
)
async def test_each_fault_is_one_of_our_errors(claude, server, what, kind, retryable):
    """The class says whether to ask again; the SDK itself never does."""
    server.script(what, **({"retry_after": 0.5} if what == "rate_limited" else {}))
    with pytest.raises(kind) as caught:
        await claude.complete(ask())
    assert type(caught.value) is kind and caught.value.retryable is retryable
    assert server.count == 1
    assert KEY not in str(caught.value)
    if what == "rate_limited":
        assert caught.value.retry_after == 0.5


async def test_a_silent_host_is_a_timeout(server):
    """No answer within the limit is our Timeout."""
    spec = BackendSpec("anthropic", "test-model", base_url=server.root, limits=Limits(timeout=0.3))
    made = AnthropicBackend(spec, Held())
    server.script("hang")
    with pytest.raises(errors.Timeout):
        await made.complete(ask())
    await made.close()


async def test_cut_and_empty_answers_are_answers(claude, server):
    """The token limit says ``length``; no text is an empty text."""
    server.script("length", "empty")
    assert (await claude.complete(ask("hello world"))).finish_reason == "length"
    assert (await claude.complete(ask())).text == ""


async def test_tokens_are_counted_by_the_api(claude):
    """The free count of a prompt."""
    assert await claude.count_tokens(ask("hello world")) == 5


async def test_a_missing_key_is_told_with_its_page():
    """No key, no call: where to get one and what to type."""
    with pytest.raises(errors.MissingKey, match="settings/keys"):
        await AnthropicBackend(BackendSpec("anthropic", "m"), Held(None)).complete(ask())


def subclasses(kind):
    return {kind} | {grand for child in kind.__subclasses__() for grand in subclasses(child)}


def raised(kind):
    """An instance of one of the SDK's classes, however it wants to be made."""
    import inspect

    module = inspect.getmodule(sdk.APIError.__init__)
    http = getattr(module, "httpx2", None) or module.httpx
    request = http.Request("POST", "http://127.0.0.1/v1/messages")
    status = getattr(kind, "status_code", 500)
    response = http.Response(status if isinstance(status, int) else 500, request=request)
    if issubclass(kind, sdk.APIStatusError):
        return kind("said", response=response, body={"error": {"type": "x", "message": "said"}})
    if issubclass(kind, sdk.APIResponseValidationError):
        return kind(response, None)
    if issubclass(kind, sdk.APITimeoutError):
        return kind(request)
    if issubclass(kind, sdk.APIConnectionError):
        return kind(request=request)
    if issubclass(kind, sdk.APIError):
        return kind("said", request, body=None)
    try:
        return kind("said")
    except TypeError:  # some have their own words
        return kind.__new__(kind)


def test_every_error_of_the_sdk_has_a_class_of_ours():
    """A new class in the SDK can't slip through as something unknown."""
    kinds = subclasses(sdk.AnthropicError)
    assert len(kinds) > 15
    for kind in kinds:
        made = fault(raised(kind), "claude", "m")
        assert isinstance(made, errors.LLMError)
        assert made.hint or made.retryable or type(made) is errors.BadRequest, (kind, made)
