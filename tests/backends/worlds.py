"""The worlds of the other families, for the contract."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Mapping
from functools import cache as once
from pathlib import Path
from typing import Any

import pytest

from llm_magics.backends.base import Backend
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.backends.registry import create
from llm_magics.core.types import EMPTY, BackendSpec
from llm_magics.settings.keys import Keys
from tests.backends import loaders
from tests.backends.contract import World
from tests.servers.anthropic import Anthropic
from tests.servers.google import Google
from tests.servers.ollama import Ollama
from tests.servers.provider import Provider, serve

KEY = "key-of-the-test"
IN_KERNEL = Path(__file__).resolve().parents[1] / "servers" / "in_kernel"
"""Stand-ins for packages that run in the kernel."""
ALL = "text echo one_of many schema usage finish faults timeout cancel gone reopen stream"


class ProviderWorld(World):
    """A provider's backend and the stand-in that speaks its format."""

    host_type: type[Provider]
    package = ""
    lacking: frozenset[str] = frozenset()
    options: Mapping[str, Any] = EMPTY

    def open(self) -> None:
        if self.package:
            pytest.importorskip(self.package, reason=f"{self.package} is not installed")
        self.server = serve(self.host_type(key=KEY)).start()

    def close(self) -> None:
        self.server.stop()

    def backend(self, **changes: Any) -> Backend:
        spec = {"base_url": self.server.root, "key": "env:TEST_KEY", "options": self.options} | changes
        return create(BackendSpec(self.name, "test-model", **spec), Keys({"TEST_KEY": KEY}))

    def says(self, text: str) -> None:
        self.server.host.said = lambda _asked, _schema: text

    def misbehave(self, what: str, message: str = "") -> None:
        if what in self.lacking:
            pytest.skip(f"{self.name} has no {what}")
        self.server.misbehave(what, message=message)

    def gone(self) -> None:
        self.server.stop()

    def in_flight(self) -> int:
        return self.server.in_flight


class GeminiWorld(ProviderWorld):
    name = "gemini"
    host_type = Google
    package = "google.genai"
    can = frozenset(f"{ALL} embed key".split())
    lacking = frozenset({"filtered"})

    def says(self, text: str) -> None:
        """The API gives an enum's bare word, and a bare list."""

        def said(_asked: str, schema: Any) -> str:
            try:
                value = json.loads(text)
            except ValueError:
                return text
            if schema and schema.get("type") == "string":
                return str(value["label"])
            return json.dumps(value["labels"]) if schema and schema.get("type") == "array" else text

        self.server.host.said = said


class VertexWorld(GeminiWorld):
    name = "vertex"
    can = frozenset(f"{ALL} embed".split())

    def backend(self, **changes: Any) -> Backend:
        from google.oauth2.credentials import Credentials

        options = {"project": "p", "location": "europe-west4", "credentials": Credentials(token=KEY)}
        return super().backend(**({"options": options} | changes))


class AnthropicWorld(ProviderWorld):
    name = "anthropic"
    host_type = Anthropic
    package = "anthropic"
    can = frozenset(f"{ALL} key".split())
    lacking = frozenset({"filtered"})


class OllamaWorld(ProviderWorld):
    name = "ollama"
    host_type = Ollama
    can = frozenset(f"{ALL} embed".split())
    lacking = frozenset({"filtered", "filtered_finish", "refusal", "quota"})


class CustomWorld(World):
    """A function of the notebook; its faults are what the library it calls would raise."""

    name = "custom"
    can = frozenset(["text", "echo", "one_of", "many", "schema", "embed", "usage", "faults", "reopen"])

    def __init__(self) -> None:
        self.said: str | None = None
        self.fault = "ok"

    def fn(self, prompt: str) -> Any:
        if self.fault in ("null", "empty"):
            return None if self.fault == "null" else ""
        loaders.fail(self.fault)
        return f"echo: {prompt}" if self.said is None else self.said

    def misbehave(self, what: str, message: str = "") -> None:
        if what not in ("ok", "null", "empty", "reset", *loaders.SAID):
            pytest.skip(f"a function has no {what}")
        self.fault = what

    def embed(self, texts: list[str]) -> Any:
        return [[float(len(text)), float(sum(map(ord, text)) % 1009), 1.0] for text in texts]

    def backend(self, **changes: Any) -> Backend:
        options = {"fn": self.fn, "embed_fn": self.embed}
        return create(BackendSpec("custom", "test-model", **({"options": options} | changes)), None)

    def says(self, text: str) -> None:
        self.said = text


class PoolWorld(CustomWorld):
    """Two functions in a pool."""

    name = "pool"
    can = frozenset(["text", "echo", "one_of", "many", "schema", "usage", "faults", "reopen"])

    def backend(self, **changes: Any) -> Backend:
        members = [BackendSpec("custom", name, options={"fn": self.fn}) for name in ("a", "b")]
        return create(
            BackendSpec("pool", "test-model", **({"options": {"members": members}} | changes)), None
        )


class ProcessWorld(CustomWorld):
    """A function of a module, in a child process."""

    name = "process"
    can = frozenset(["text", "echo", "one_of", "many", "schema", "embed", "usage", "faults", "reopen"])

    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()

    def close(self) -> None:
        self.folder.cleanup()

    def backend(self, **changes: Any) -> Backend:
        client = {"setup_fn": loaders.told, "target": None}
        functions = {"fn": loaders.says, "embed_fn": loaders.embeds}
        inner = BackendSpec("custom", "test-model", key="env:FILE", options={**functions, **client})
        options = {"members": (inner,)}
        return create(
            BackendSpec("process", "test-model", **({"options": options} | changes)),
            Keys({"FILE": self.path}),
        )

    @property
    def path(self) -> str:
        return str(Path(self.folder.name) / "said")

    def says(self, text: str) -> None:
        Path(self.path).write_bytes(text.encode())

    def misbehave(self, what: str, message: str = "") -> None:
        super().misbehave(what, message)
        Path(self.path + ".fault").write_text(what)


class TransformersWorld(World):
    """A tiny model of random weights: nobody can tell it what to say."""

    name = "transformers"
    can = frozenset(["usage", "reopen", "stream"])

    def open(self) -> None:
        pytest.importorskip("torch", reason="torch is not installed")
        pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

    def folder(self) -> Path:
        return _built("writer")

    def backend(self, **changes: Any) -> Backend:
        return create(BackendSpec("transformers", str(self.folder()), **changes), None)

    def ask(self, text: str, *form: Any, **parameters: Any) -> Any:
        return super().ask(text, *form, **{"max_new_tokens": 4, **parameters})


class VLLMLocalWorld(TransformersWorld):
    """vLLM's engine in the kernel: a stand-in for the package, over the tiny model's tokenizer."""

    name = "vllm_local"
    can = frozenset("text echo one_of many schema usage finish faults reopen".split())  # noqa: SIM905

    def open(self) -> None:
        super().open()
        sys.path.insert(0, str(IN_KERNEL))
        self.state = importlib.import_module("vllm").State
        self.misbehave("ok")

    def close(self) -> None:
        cache().clear(force=True)
        sys.path.remove(str(IN_KERNEL))
        for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
            del sys.modules[name]

    def backend(self, **changes: Any) -> Backend:
        spec = {"options": {"max_model_len": 400_000}} | changes
        return create(BackendSpec("vllm_local", str(self.folder()), **spec), None)

    def ask(self, text: str, *form: Any, **parameters: Any) -> Any:
        return World.ask(self, text, *form, **parameters)

    def says(self, text: str) -> None:
        self.state.said = text

    def misbehave(self, what: str, message: str = "") -> None:
        if what not in ("ok", "empty", "length", "bad_request"):
            pytest.skip(f"an engine in the kernel has no {what}")
        self.state.fault = what
        self.state.said = "" if what == "empty" else None if what == "ok" else self.state.said


class EmbedderWorld(TransformersWorld):
    can = frozenset(["embed"])

    def folder(self) -> Path:
        return _built("embedder")


@once
def _built(kind: str) -> Path:
    """One model of a kind for the whole session."""
    from tests.backends import torch_models

    build = {"writer": torch_models.build_writer, "embedder": torch_models.build_embedder}[kind]
    return build(Path(tempfile.mkdtemp(prefix="llm_magics-")))


PROVIDERS = [
    GeminiWorld,
    VertexWorld,
    AnthropicWorld,
    OllamaWorld,
    CustomWorld,
    PoolWorld,
    ProcessWorld,
    TransformersWorld,
    EmbedderWorld,
    VLLMLocalWorld,
]
