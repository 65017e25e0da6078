"""vLLM's own fields, and files of the batch format."""

import json

import pytest

from llm_magics.backends.openai import batch_api
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.openai.vllm_server import VLLMBackend
from llm_magics.backends.registry import create
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Schema, Usage, Vector
from llm_magics.testing import Server
from llm_magics.testing.answers import last_user_text

LABELS = OneOf((Choice("calm"), Choice("angry")))


def ask(text="I am angry", form=None, **parameters):
    extra = {"response_format": form} if form else {}
    return Request(
        "vllm", "test-model", (Message("user", text),), parameters=parameters, subject=text, **extra
    )


def bare(request):
    """What vLLM answers under a choice: the bare label."""
    choices = (request.get("structured_outputs") or {}).get("choice") or request.get("guided_choice")
    text = last_user_text(request)
    return next(c for c in choices if c in text) if choices else f"echo: {text}"


@pytest.fixture
def server():
    with Server(bare) as server:
        yield server


@pytest.fixture
async def vllm(server):
    made = create(BackendSpec("vllm", "test-model", base_url=server.url))
    assert isinstance(made, VLLMBackend)
    yield made
    await made.close()


@pytest.mark.checklist("B4", "T6")
async def test_one_label_is_vllm_s_choice(vllm, server):
    """The fields of new and old versions, no response_format; the bare label is the value."""
    answer = await vllm.complete(ask(form=LABELS))
    assert (answer.parsed, answer.text) == ("angry", "angry")
    body = server.bodies[0]
    assert body["structured_outputs"] == {"choice": ["calm", "angry"]}
    assert body["guided_choice"] == ["calm", "angry"] and "response_format" not in body


async def test_a_server_that_lacks_the_choice_gets_a_schema(vllm, server):
    """Refused once, asked for by response_format from then on, and said."""
    server.host.lacks = frozenset({"structured_outputs", "guided_choice"})
    server.host.answer = None
    answer = await vllm.complete(ask(form=LABELS))
    assert answer.parsed == "angry" and answer.notes
    assert "response_format" in server.bodies[-1]


async def test_several_labels_and_schemas_go_by_response_format(vllm, server):
    """What every version takes."""
    server.host.answer = None
    assert (await vllm.complete(ask("angry", OneOf(LABELS.choices, many=True)))).parsed == ["angry"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert (await vllm.complete(ask(form=Schema(schema)))).parsed == {"n": 1}
    assert all("structured_outputs" not in body for body in server.bodies)


@pytest.mark.checklist("C2")
async def test_vllm_s_further_fields_pass(vllm, server):
    """min_p and the like stand at the top of the body; repeat_penalty has vLLM's name."""
    await vllm.complete(
        ask(min_p=0.1, top_k=5, repeat_penalty=1.1, chat_template_kwargs={"enable_thinking": False})
    )
    body = server.bodies[0]
    assert (body["min_p"], body["top_k"], body["repetition_penalty"]) == (0.1, 5, 1.1)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


# -- the batch file


def answered(line, server):
    """What ``vllm run-batch`` and the batch services make of a line."""
    whole = json.loads(line)
    assert set(whole) == {"custom_id", "method", "url", "body"}
    assert (whole["method"], whole["url"]) == ("POST", "/v1/chat/completions")
    reply = server.host.completed(whole["body"], None, chat=True)
    told = {"status_code": 200, "request_id": "r1", "body": reply}
    return json.dumps({"id": "b1", "custom_id": whole["custom_id"], "response": told, "error": None})


@pytest.mark.checklist("X7")
def test_a_batch_file_goes_out_and_its_answers_find_their_rows(server, tmp_path):
    """Equal rows once; answers in any order, errors among them, each with its request."""
    backend = OpenAIBackend(BackendSpec("openai", "test-model", base_url=server.url))
    server.host.answer = None
    asks = [ask("I am calm", LABELS), ask("I am angry", LABELS), ask("I am calm", LABELS)]
    out = tmp_path / "in.jsonl"
    assert batch_api.write(out, backend, asks) == 2
    lines = [answered(line, server) for line in out.read_text().splitlines()]
    refused = {"message": "Rate limit", "type": "requests", "code": "rate_limit_exceeded"}
    bad = {
        "custom_id": asks[0].key,
        "response": {"status_code": 429, "body": {"error": refused}},
        "error": None,
    }
    back = tmp_path / "out.jsonl"
    stranger = {"custom_id": "someone else's", "response": {"status_code": 200, "body": {}}}
    back.write_text("\n".join([*reversed(lines), json.dumps(bad), json.dumps(stranger)]))
    found = list(batch_api.read(back, backend, {each.key: each for each in asks}))
    assert [request.subject for request, _ in found] == ["I am angry", "I am calm", "I am calm"]
    assert [getattr(each, "parsed", None) for _, each in found] == ["angry", "calm", None]
    assert isinstance(found[2][1], errors.RateLimited)
    assert found[0][1].usage.input_tokens > 0 and found[0][1].usage != Usage()


def test_embeddings_have_lines_too(server, tmp_path):
    """The other endpoint that batch services take."""
    backend = OpenAIBackend(BackendSpec("openai", "text-embedding-3-small", base_url=server.url))
    asked = ask("hello", Vector())
    whole = json.loads(batch_api.line(backend, asked))
    assert (whole["url"], whole["body"]["input"]) == ("/v1/embeddings", "hello")
    body = server.host.embedded(whole["body"])
    told = {"custom_id": asked.key, "response": {"status_code": 200, "body": body}}
    assert batch_api.outcome(backend, asked, told).vector.shape == (8,)


def test_what_is_no_answer_file_is_told_with_its_line(server, tmp_path):
    """The third line of a wrong file is named."""
    backend = OpenAIBackend(BackendSpec("openai", "test-model", base_url=server.url))
    path = tmp_path / "wrong.jsonl"
    path.write_text('\n\n{"no": "batch"}\n')
    with pytest.raises(errors.UsageError, match=r"line 3 of wrong\.jsonl"):
        list(batch_api.read(path, backend, {}))
