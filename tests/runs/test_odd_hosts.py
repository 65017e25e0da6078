"""What hosts answer that is no plain answer, in cells of a real kernel: waits, refusals, limits."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from llm_magics.testing import Fault, Server
from tests.kernels import Kernel, value
from tests.servers.anthropic import Anthropic
from tests.servers.google import Google
from tests.servers.ollama import Ollama
from tests.servers.provider import Provider, Refused, serve

ROWS = "import pandas as pd\nrows = pd.DataFrame({'t': ['charged twice', 'app is down', 'how to export']})"
GOOGLE_WAIT = {
    "error": {
        "code": 429,
        "message": "Resource has been exhausted (e.g. check quota).",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.7s"},
        ],
    }
}
PER_MINUTE = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [
            {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
            {"retryDelay": "0.7s"},
        ],
    }
}


def use(k: Kernel, server: Server, more: str = "") -> None:
    """Ask this server from now on."""
    k.run(f"%llm_config add odd --openai {server.url} --id small {more}\n%llm_config use odd")


@pytest.mark.checklist("R14", "K6")
@pytest.mark.parametrize(
    "body",
    [
        GOOGLE_WAIT,
        [GOOGLE_WAIT],
        [PER_MINUTE],
        {"error": {"message": "Rate limit reached for m on requests per min. Please try again in 0.7s."}},
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down", "retry_after": 0.7}},
        {"error": {"message": "Requests have exceeded the rate limit. Please retry after 700 milliseconds."}},
        {"message": "too many", "error": {"code": "429", "metadata": {"retry_after_ms": 700}}},
        {"error": {"message": "busy", "details": {"retryDelay": {"seconds": 0, "nanos": 700_000_000}}}},
    ],
)
def test_a_wait_that_the_body_asks_for_is_kept(k: Kernel, body: Any) -> None:
    """Google's field, also in a list, and the words and fields of others: waited for as for the header."""
    with Server("fine") as server:
        use(k, server)
        server.script(Fault("rate_limited", body=json.dumps(body).encode()))
        k.run("%%llm generate rows --head 1 -o done -q\nSay {t}")
        first, second = (received.at for received in server.requests)
        assert second - first >= 0.7
        assert value(k, "done.generation.tolist()[0]") == "fine"


@pytest.mark.checklist("R14", "K6")
@pytest.mark.parametrize("by", ["header", "body"])
def test_a_wait_that_is_too_long_is_told_with_its_length(k: Kernel, by: str) -> None:
    """Failed at once, with the length of the wait."""
    with Server("fine") as server:
        use(k, server)
        said = {"error": {"message": "slow", "details": [{"retryDelay": "7200s"}] if by == "body" else []}}
        wait = 7200 if by == "header" else None
        server.misbehave(Fault("rate_limited", retry_after=wait, body=json.dumps(said).encode()))
        began = time.monotonic()
        k.run("%%llm generate rows --head 1 -o done -q\nSay {t}")
        assert time.monotonic() - began < 5
        assert server.count == 1
        told = value(k, "done.generation_error.tolist()[0]")
        assert "slow" in told and "asks to wait 2 h" in told and "15 min" in told


@pytest.mark.checklist("R14", "K6")
def test_after_a_wait_that_is_too_long_nothing_more_is_sent(k: Kernel) -> None:
    """A quota of a day that ends in the middle of a run: the rows that are left cost no request each."""
    with Server("fine") as server:
        use(k, server)
        server.script(*["ok"] * 20, *[Fault("rate_limited", retry_after=7200)] * 500)
        k.run("many = pd.DataFrame({'t': [f'number {i}' for i in range(300)]})")
        k.run("%%llm generate many -o done -q --concurrency 4\nSay {t}")
        assert server.count <= 20 + 4
        assert value(k, "done.generation_status.value_counts().to_dict()") == {"failed": 280, "ok": 20}
        assert value(k, "int(done.generation_error.str.contains('asks to wait 2 h').sum())") == 280
        server.script_left.clear()
        k.run("%%llm generate many -o done -q --concurrency 4\nSay {t}")
        assert value(k, "done.generation_status.value_counts().to_dict()") == {"ok": 300}


@pytest.mark.checklist("R14")
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "Llama model must be created with embedding=True to call this method"),
        (501, "This server does not support embeddings. Start it with `--embeddings`"),
        (400, "The model does not support Embeddings API"),
    ],
)
def test_a_server_without_embeddings_is_told_once(k: Kernel, status: int, message: str) -> None:
    """One request, one error: the server gives no embeddings, whatever status it has for that."""
    with Server() as server:
        use(k, server)
        server.misbehave(Fault("error", status=status, message=message))
        began = time.monotonic()
        out = k.run("%llm embed rows.t -o done -q", check=False)
        assert time.monotonic() - began < 5
        assert server.count == 1
        assert "gives no embeddings" in out.text and message[:30] in out.text
        assert "--embedding" in out.text


@pytest.mark.checklist("R14")
def test_a_model_that_only_embeds_is_told_once(k: Kernel) -> None:
    """The other way round, in Ollama's words."""
    with Server() as server:
        use(k, server)
        server.misbehave(Fault("bad_request", message='"nomic" does not support chat'))
        out = k.run("%%llm generate rows --head 1\nSay {t}", check=False)
        assert "writes no text" in out.text
        assert server.count == 1


@pytest.mark.checklist("R14")
def test_a_prompt_that_is_too_long_for_a_500(k: Kernel) -> None:
    """A deterministic 500 is no overload: told at once, as what it is."""
    with Server() as server:
        use(k, server)
        server.misbehave(Fault("error", message="Requested tokens (5000) exceed context window of 2048"))
        k.run("%%llm generate rows --head 1 -o done -q\nSay {t}")
        assert "context window" in value(k, "done.generation_error.tolist()[0]")
        assert server.count == 1


@pytest.mark.checklist("R14")
def test_a_server_takes_a_text_or_says_at_once_that_it_does_not(k: Kernel) -> None:
    """``Server("text")`` answers that text; what can't answer is a TypeError before anything is served."""
    with Server("It is raining.") as server:
        use(k, server)
        k.run("%%llm generate rows -o done -q\nSay {t}")
        assert value(k, "done.generation.tolist()") == ["It is raining."] * 3
    with pytest.raises(TypeError, match="a text, or a function"):
        Server(5)  # type: ignore[arg-type]


class BusyGoogle(Google):
    """A quota of requests a minute that is used up: the words are those of an empty account."""

    def error(self, refused: Refused) -> Any:
        return PER_MINUTE


class BusyAnthropic(Anthropic):
    """The wait stands in the words alone, as gateways write it."""

    def error(self, refused: Refused) -> Any:
        said = "This request would exceed your rate limit. Please retry your request in about 0.7 seconds."
        return {"type": "error", "error": {"type": "rate_limit_error", "message": said}}


class BusyOllama(Ollama):
    """A proxy before Ollama that names the wait in a field of its own."""

    def error(self, refused: Refused) -> Any:
        return {"error": "too many requests", "retryAfterMs": 700}


@pytest.mark.checklist("R14", "K6")
@pytest.mark.parametrize(
    ("kind", "namespace"), [(BusyGoogle, "gemini"), (BusyAnthropic, "anthropic"), (BusyOllama, "ollama")]
)
def test_the_other_families_wait_as_their_bodies_ask(k: Kernel, kind: type[Provider], namespace: str) -> None:
    """Gemini's details, Claude's words, a field before Ollama."""
    with serve(kind(key="odd-key")) as server:
        k.run(f"%llm_config add odd --model {namespace}::test-model --url {server.root} --key env:ODD_KEY")
        k.run("%llm_config use odd")
        server.script("rate_limited")
        k.run("%%llm generate rows --head 1 -o done -q\nSay {t}")
        first, second = (received.at for received in server.requests)
        assert second - first >= 0.7
        assert value(k, "done.generation_status.tolist()[0]") == "ok"


@pytest.mark.checklist("R14")
def test_a_raw_prompt_goes_to_a_server_as_it_is_typed(k: Kernel) -> None:
    """No role, no template, no newline behind it: the text alone, to the route for text."""
    with Server("A story.") as server:
        use(k, server)
        k.run("%%llm generate rows --head 1 -o done -q -p prompt_format=raw\nHeadline: {t}\nStory:")
        (received,) = server.requests
        assert received.route.endswith("/v1/completions")
        assert received.json["prompt"] == "Headline: charged twice\nStory:"
        assert value(k, "done.generation.tolist()[0]") == "A story."
