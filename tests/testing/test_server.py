"""The loopback server: what it does when all is well, and each way in which it isn't."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import openai
import pytest

from llm_magics.testing import FAULTS, Chaos, Fault, Server

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def post(
    server: Server, body: Any = BODY, route: str = "/chat/completions", **headers: str
) -> tuple[int, Any, Any]:
    request = urllib.request.Request(server.url + route, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.headers, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="k", max_retries=0, timeout=5)


def test_the_sdk_reads_it() -> None:
    """The openai package is at home: chat, completions, vectors, models."""
    with Server(models=("m", "n")) as server, client(server) as sdk:
        chat = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert chat.choices[0].message.content == "echo: hello"
        assert chat.usage is not None
        assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens
        assert sdk.completions.create(model="m", prompt="hi").choices[0].text == "echo: hi"
        assert [model.id for model in sdk.models.list()] == ["m", "n"]
        data = sdk.embeddings.create(model="m", input=["a", "b"]).data
        assert sorted(entry.index for entry in data) == [0, 1]


def test_counts_and_records() -> None:
    """Every request is kept with its headers and body; the most in flight is known."""
    with Server(latency=0.1) as server:
        threads = [threading.Thread(target=post, args=(server,), kwargs={"x-me": "1"}) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.count == 5
        assert 2 <= server.peak <= 5
        assert server.in_flight == 0
        assert server.bodies[0] == BODY
        assert server.requests[0].headers["x-me"] == "1"


def test_schema_is_filled() -> None:
    """Under a schema the answer is an instance of it."""
    schema = {
        "type": "object",
        "properties": {
            "label": {"enum": ["a", "hello"]},
            "n": {"type": "integer"},
            "all": {"type": "array", "items": {"type": "number"}},
        },
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with Server() as server:
        _, _, reply = post(server, BODY | {"response_format": form})
        assert json.loads(reply["choices"][0]["message"]["content"]) == {
            "label": "hello",
            "n": 1,
            "all": [0.5],
        }


def test_key_is_asked_for() -> None:
    """With a key, both header forms pass and nothing else."""
    with Server(key="right") as server:
        assert post(server)[0] == 401
        assert post(server, Authorization="Bearer wrong")[0] == 401
        assert post(server, Authorization="Bearer right")[0] == 200
        assert post(server, **{"api-key": "right"})[0] == 200


def test_quota_is_real() -> None:
    """A bucket of rpm: the next one too many is told how long to wait, and that is true."""
    with Server(rpm=60) as server:
        server.host.quotas["requests"].level = 2.0
        assert [post(server)[0] for _ in range(3)] == [200, 200, 429]
        status, headers, _ = post(server)
        assert status == 429
        wait = float(headers["retry-after"])
        assert 0 < wait <= 1
        assert headers["x-ratelimit-remaining-requests"] == "0"
        time.sleep(wait + 0.02)
        assert post(server)[0] == 200


def test_tokens_have_a_quota_too() -> None:
    """tpm is paid by the length of the prompt."""
    with Server(tpm=100) as server:
        long = BODY | {"messages": [{"role": "user", "content": "x" * 320}]}
        assert post(server, long)[0] == 200
        assert post(server, long)[0] == 429
        assert post(server)[0] == 200


@pytest.mark.parametrize("what", [f for f in FAULTS if f not in ("hang", "reset", "cut", "redirect")])
def test_faults_answer(what: str) -> None:
    """Every fault that answers at all does so with the status it stands for."""
    with Server() as server:
        server.script(what, "ok")
        request = urllib.request.Request(server.url + "/chat/completions", json.dumps(BODY).encode())
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                status, body = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                status, body = error.code, error.read()
        assert status >= 400 or what in (
            "filtered_finish",
            "truncated",
            "html",
            "null",
            "empty",
            "refusal",
            "length",
            "off_label",
            *("left_out", "twice", "strange"),
        )
        if what in ("truncated", "html"):
            with pytest.raises(ValueError):
                json.loads(body)
        else:
            json.loads(body)
        assert post(server)[0] == 200


@pytest.mark.parametrize("what", ["reset", "cut", "hang"])
def test_faults_that_break(what: str) -> None:
    """A reset, an answer cut in the middle, and silence are real ones."""
    with Server() as server:
        server.script(what)
        request = urllib.request.Request(server.url + "/chat/completions", json.dumps(BODY).encode())
        with pytest.raises((OSError, urllib.error.URLError, Exception)) as caught:
            urllib.request.urlopen(request, timeout=0.3).read()
        assert type(caught.value).__name__ in (
            "URLError",
            "RemoteDisconnected",
            "ConnectionResetError",
            "IncompleteRead",
            "TimeoutError",
        )
        assert post(server)[0] == 200


def test_chaos_is_the_same_twice() -> None:
    """A body's n-th arrival meets the same fate under one seed, whatever the order."""
    rates = {"rate_limited": 0.3, "null": 0.3}
    bodies = [str(n).encode() for n in range(50)] * 2

    def fates(order: list[bytes]) -> dict[bytes, list[Any]]:
        chaos, met = Chaos(rates, seed=4), {}
        for body in order:
            met.setdefault(body, []).append(chaos.draw(body))
        return met

    assert fates(bodies) == fates(bodies[:50][::-1] + bodies[50:])
    kinds = [fate.kind if fate else "" for met in fates(bodies).values() for fate in met]
    assert 15 <= kinds.count("rate_limited") <= 45
    assert fates(bodies) != {k: v[::-1] for k, v in fates(bodies).items()}


def test_chaos_and_faults_are_checked() -> None:
    """Misspelt faults and impossible rates are refused."""
    with pytest.raises(ValueError, match="no fault 'rate-limited'"):
        Fault("rate-limited")
    with pytest.raises(ValueError, match="more than 1"):
        Chaos({"null": 0.6, "empty": 0.6})


def test_misbehaves_until_told() -> None:
    """``misbehave`` holds until ``ok``; a script comes before it."""
    with Server() as server:
        server.misbehave("unavailable", retry_after=3)
        server.script("ok")
        assert [post(server)[0] for _ in range(3)] == [200, 503, 503]
        assert post(server)[1]["retry-after"] == "3"
        server.misbehave(None)
        assert post(server)[0] == 200


def test_lacks_and_strict() -> None:
    """Fields that a host lacks, or doesn't know, are refused by name."""
    with Server(lacks={"temperature"}) as server:
        status, _, body = post(server, BODY | {"temperature": 1})
        assert (status, body["error"]["param"]) == (400, "temperature")
    with Server(strict=True) as server:
        status, _, body = post(server, BODY | {"min_p": 1})
        assert "min_p" in body["error"]["message"]
        assert post(server, BODY | {"top_p": 1})[0] == 200


def test_an_answer_that_raises_is_a_500() -> None:
    """The server outlives its script."""
    with Server(answer=lambda _: 1 / 0) as server:
        assert post(server)[0] == 500
        server.host.answer = lambda _: "fine"
        assert post(server)[2]["choices"][0]["message"]["content"] == "fine"


def test_stop_and_start_again() -> None:
    """A server that was stopped refuses; started again it is on the same port."""
    server = Server().start()
    port = server.port
    assert post(server)[0] == 200
    server.stop()
    server.stop()
    with pytest.raises(urllib.error.URLError):
        post(server)
    server.start()
    assert server.port == port
    assert post(server)[0] == 200
    server.stop()


def test_in_a_process_of_its_own() -> None:
    """``python -m llm_magics.testing.server`` prints its URL, without a warning, and serves."""
    command = [sys.executable, "-W", "error", "-m", "llm_magics.testing.server", "--text", "fine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=url, api_key="k") as sdk:
                reply = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
            assert reply.choices[0].message.content == "fine"
        finally:
            process.terminate()
            assert process.stderr.read() == ""
