"""A chat's answer as it is written, in a real kernel over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.kernels import Kernel, kernel

THINKING = "<think>let me see</think>"
ANSWER = "**Hello** <b>there</b>, " + " ".join(f"word{n}" for n in range(12))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Server]]:
    home = str(tmp_path_factory.mktemp("home"))
    with Server(lambda _: THINKING + ANSWER, pace=0.05) as server, kernel({"LLM_MAGICS_HOME": home}) as k:
        k.run("%load_ext llm_magics")
        k.run(f"%llm_config add slow --openai {server.url} --id small\n%llm_config use slow")
        yield k, server


def drawn(k: Kernel) -> str:
    """The text of the next update that shows an answer."""
    while True:
        message = k.client.get_iopub_msg(timeout=60)
        data = message["content"].get("data", {})
        if message["msg_type"] == "update_display_data" and "llmx-markdown" in data.get("text/html", ""):
            return str(data["text/plain"])


def test_the_answer_is_shown_while_it_is_written(world: tuple[Kernel, Server]) -> None:
    """It grows in one output, escaped and without the thinking; then it is the cell's value, in Markdown."""
    k, server = world
    message = k.start("%%llm chat -o said\nHi")
    first = drawn(k)
    second = drawn(k)
    shown = "**Hello** <b>there</b>, word0"
    assert first and second.startswith(first) and len(second) < len(shown) + 100
    assert "think" not in second
    out = k.finish(message)
    whole = [html for bundle in out.displays if "llmx-markdown" in (html := bundle.get("text/html", ""))]
    assert "<strong>Hello</strong> &lt;b&gt;there&lt;/b&gt;" in whole[-1] and "word11" in whole[-1]
    assert "1 row" in out.text
    assert k.run("print(said)").stdout.strip() == ANSWER
    assert server.requests[-1].json["stream_options"] == {"include_usage": True}


def test_a_stored_answer_comes_at_once_and_usage_is_the_hosts(world: tuple[Kernel, Server]) -> None:
    """The host counts the tokens of a streamed answer; a conversation goes on without the thinking."""
    k, server = world
    before = server.count
    assert "1 cached" in k.run("%%llm chat\nHi").text
    assert server.count == before
    k.run("%%llm chat --continue -q\nAnd?")
    assert [m["content"] for m in server.requests[-1].json["messages"]] == ["Hi", ANSWER, "And?"]
    assert k.run("import llm_magics as lm; print(lm.last.usage.estimated)").stdout.strip() == "False"


def test_an_interrupt_leaves_what_was_written(world: tuple[Kernel, Server]) -> None:
    """The half answer stays on the page and in llm.last, is not stored, and the next cell runs."""
    k, server = world
    message = k.start("%%llm chat\nStop me")
    drawn(k)
    k.interrupt()
    out = k.finish(message)
    assert out.error is not None and "llm.last.partial" in out.text
    kept = k.run("import llm_magics as lm; print(lm.last.partial)")
    assert ANSWER.startswith(kept.stdout.strip()) and kept.stdout.strip()
    before = server.count
    k.run("%%llm chat -q\nStop me")
    assert server.count == before + 1


def test_a_host_that_does_not_stream_is_asked_for_the_whole(tmp_path_factory: Any) -> None:
    """Its refusal teaches that; the answer is the same, and said."""
    from llm_magics import chat
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec
    from llm_magics.runs import session as sessions

    with Server(lambda _: ANSWER, lacks={"stream"}) as server:
        model = create(BackendSpec("custom_url", "m", base_url=server.url), None)
        assert chat("Hi", model=model, progress=False) == ANSWER
        assert "no answer in pieces" in sessions.current().last.report()
        assert chat("Ho", model=model, progress=False) == ANSWER
        assert [("stream" in body) for body in server.bodies] == [True, False, False]
    with Server(lambda _: ANSWER, lacks={"stream_options"}, usage=False) as server:
        model = create(BackendSpec("custom_url", "m", base_url=server.url), None)
        chat("Hi", model=model, progress=False)
        assert sessions.current().last.usage.estimated and sessions.current().last.usage.output_tokens > 10
