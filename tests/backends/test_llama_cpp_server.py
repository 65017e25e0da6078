"""llama-cpp-python's own server with a real model: it ignores ``json_schema`` without a word."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.openai.dialects import PROBED, grammar, label_schema
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Schema
from tests import real_models
from tests.kernels import kernel, value

LABELS = OneOf((Choice("billing"), Choice("outage"), Choice("how-to")))
MANY = OneOf(LABELS.choices, many=True, max_choices=2)
PERSON = Schema(
    {
        "type": "object",
        "properties": {
            "name": {"type": ["string", "null"]},
            "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "tone": {"type": "string", "enum": ["calm", "angry"]},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
        },
        "required": ["name", "age", "tone", "tags"],
        "additionalProperties": False,
        "$defs": {"tag": {"type": "string", "enum": ["a", "b"]}},
    },
    "person",
)

SHORT = Schema(
    {**PERSON.schema, "properties": {n: PERSON.schema["properties"][n] for n in ("tone", "tags")}}
    | {"required": ["tone", "tags"]},
    "short",
)


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """The URL of ``python -m llama_cpp.server`` with SmolLM2-135M-Instruct; skips where it can't be had."""
    for package in (
        "llama_cpp",
        "fastapi",
        "uvicorn",
        "pydantic_settings",
        "sse_starlette",
        "starlette_context",
    ):
        pytest.importorskip(package, reason=f"{package} is not installed: the server needs it")
    try:
        model = real_models.smollm()
    except real_models.Unavailable as error:
        pytest.skip(str(error))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "1024"]
    # Two threads wait for each other on a busy machine; one is as quick with a model so small.
    command = [sys.executable, "-m", "llama_cpp.server", *options, "--n_threads", "1", "--verbose", "False"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield ready(process, f"http://127.0.0.1:{port}/v1")
        finally:
            process.kill()


def ready(process: subprocess.Popen[bytes], url: str) -> str:
    """The URL once the server answers."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{url}/models", timeout=5).read()
        except OSError:
            time.sleep(0.2)
        else:
            return url
    raise AssertionError("the server did not start in time")


def request(form: Any, text: str = "I was charged twice for my subscription.") -> Request:
    asked = (Message("system", "Label or describe the text as JSON."), Message("user", text))
    limit = {"max_new_tokens": 80, "temperature": 0}
    return Request("custom_url", "smollm", asked, form, parameters=limit, subject=text)


@pytest.mark.checklist("Q6", "R14")
@pytest.mark.timeout(300)
def test_labels_of_a_server_that_ignores_json_schema(llama: str, tmp_path: Path) -> None:
    """In a cell: every row gets one of the labels, the host's dialect is said once, extract has its fields."""
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd")
        texts = ["I was charged twice.", "The app is down.", "How do I export?"]
        k.run(f"rows = pd.DataFrame({{'t': {texts!r}}})")
        k.run(f"%llm_config add local --openai {llama} --id smollm --concurrency 2\n%llm_config use local")
        cell = "%llm label rows.t --labels billing,outage,how-to -o done -p max_new_tokens=40"
        out = k.run(cell, timeout=200)
        assert value(k, "done.label_status.tolist()") == ["ok"] * 3
        assert set(value(k, "done.label.tolist()")) <= {"billing", "outage", "how-to"}
        assert out.text.count("answers are asked for by json_object with a schema") == 1
        k.run(
            "%%llm extract rows.t --head 1 -o done -q -p max_new_tokens=60\nproduct\nangry: bool", timeout=200
        )
        assert set(value(k, "done.extract_status.tolist()[:1]")) <= {"ok", "failed"}


@pytest.mark.checklist("R14")
def test_its_500_without_embeddings_is_told_once(llama: str, tmp_path: Path) -> None:
    """The server's own words: it was started without embeddings."""
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd\nrows = pd.DataFrame({'t': ['a', 'b']})")
        k.run(f"%llm_config add local --openai {llama} --id smollm\n%llm_config use local")
        began = time.monotonic()
        out = k.run("%llm embed rows.t -o done -q", check=False)
        assert "gives no embeddings" in out.text and "embedding=True" in out.text
        assert time.monotonic() - began < 10


@pytest.mark.checklist("Q6")
@pytest.mark.parametrize("dialect", [name for name in PROBED if name != "structured_outputs"])
@pytest.mark.parametrize("form", [LABELS, SHORT], ids=["label", "schema"])
async def test_the_dialects_that_this_server_applies(llama: str, dialect: str, form: Any) -> None:
    """Asked by a schema beside json_object, by grammar and by a forced tool call, it answers in the format."""
    backend = OpenAIBackend(BackendSpec("custom_url", "smollm", base_url=llama))
    backend.habits.form, backend.probe.settled = dialect, True
    response = await backend.complete(request(form))
    await backend.close()
    assert response.parsed is not None, response.text
    if form is SHORT:
        assert set(response.parsed) == {"tone", "tags"}
        assert response.parsed["tone"] in ("calm", "angry")


def test_grammars_are_read_by_llama_cpp() -> None:
    """What is written is GBNF; schemas with parts that can't be written give none."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    odd = OneOf((Choice('so "so"'), Choice("naïve\nline"), Choice("back\\slash")))
    for schema in (label_schema(LABELS), label_schema(MANY), label_schema(odd), PERSON.schema):
        text = grammar(schema)
        assert text and llama_cpp.LlamaGrammar.from_string(text, verbose=False) is not None
    assert grammar({"type": "object", "properties": {"a": {"type": "string"}}}) == ""
    assert grammar({"type": "object", "properties": {"a": {}}, "required": ["a"]}) == ""
