"""llama-cpp-python's own OpenAI server, as the real server behind ``custom_url``."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request

pytest.importorskip("starlette_context", reason="llama-cpp-python[server] is not installed")


@pytest.fixture(scope="module")
def server(tiny_gguf: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(tiny_gguf), "--model_alias", "tiny"]
    command += ["--port", str(port), "--n_ctx", "512", "--n_threads", "1", "--embedding", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    end = time.monotonic() + 60
    while True:
        try:
            urlopen(f"{url}/models", timeout=5).read()
            break
        except (URLError, OSError):
            assert process.poll() is None
            assert time.monotonic() < end, "the server did not come up"
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(20)


def request(**parameters: object) -> Request:
    messages = (Message("system", "Go on with the story."), Message("user", "Once upon a time"))
    return Request("custom_url", "tiny", messages, parameters=parameters, subject="Once upon a time")


@pytest.mark.checklist("B4")
async def test_the_same_model_writes_the_same_behind_a_url(
    server: str, tiny_gguf: Path, model_cache: object
) -> None:
    """Greedy text and token counts of the server equal those of the model in this kernel."""
    remote = create(BackendSpec("custom_url", "tiny", base_url=server))
    local = GGUFBackend(BackendSpec("gguf", str(tiny_gguf), options={"context": 512}))
    asked = request(temperature=0.0, max_new_tokens=6, repeat_penalty=1.0)
    there, here = await remote.complete(asked), await local.complete(asked)
    assert there.text == here.text != ""
    assert there.usage.output_tokens == here.usage.output_tokens == 6
    assert there.usage.input_tokens == here.usage.input_tokens
    await remote.close()


async def test_labels_come_from_a_real_server(server: str) -> None:
    """That it takes no JSON schema is learned from its refusal and said; the answer comes all the same."""
    remote = create(BackendSpec("custom_url", "tiny", base_url=server))
    choices = OneOf((Choice("good"), Choice("bad")))
    messages = (Message("user", "Is it good or bad? Answer with one word."),)
    asked = Request("custom_url", "tiny", messages, choices, {"max_new_tokens": 30})
    first, second = await remote.complete(asked), await remote.complete(asked)
    assert first.usage.input_tokens > 0
    assert any("json_schema" in note for note in first.notes)
    assert second.notes == ()
    await remote.close()
