"""Every test runs with a home and a session of its own, without keys, and with no way to the internet."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import real_models

# A machine that is busy with something else must not fail a property, and the suite tries the same
# examples every time; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PREFIXES = (
    "LLM_MAGICS_",
    "SKLLM_CONFIG_",
    "OPENAI_",
    "AZURE_OPENAI_",
    "GEMINI_",
    "GOOGLE_",
    "ANTHROPIC_",
    "OLLAMA_",
    "HF_",
)
LOOPBACK = {"127.0.0.1", "localhost", "::1", "0.0.0.0"}


SLOW = (
    "architecture/test_house",
    "backends/test_completion_form backends/test_embedding_labels backends/test_llama_cpp_server",
    "backends/test_sentence_vectors label/test_committee label/test_bias runs/test_ignored sample codebook",
    "backends/test_contract backends/test_embedded backends/test_gguf backends/test_model_cache",
    "backends/test_process backends/test_pool backends/test_third_party backends/test_transformers",
    "backends/test_vllm backends/test_google backends/test_anthropic backends/test_openai_judge",
    "bulk chat compatibility",
    "concepts/test_clustering concepts/test_concepts_cell concepts/test_pipeline concepts/test_names",
    "docs engine/test_engine engine/test_loop engine/test_batched engine/test_progress",
    "label/test_cascade label/test_evaluation label/test_strategies label/test_guarantee",
    "measure notebook/test_magics notebook/test_config_magic real",
    "runs/test_reliability runs/test_dask runs/test_odd store widgets",
)
"""Folders and beginnings of module names: tests that start kernels, browsers, processes or models."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of all other modules as ``quick``."""
    folder = Path(__file__).resolve().parent
    slow = tuple(name for line in SLOW for name in line.split())
    for item in items:
        if not item.path.relative_to(folder).as_posix().startswith(slow):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh LLM_MAGICS_HOME, no provider's variables, and no key of another test hidden from messages."""
    monkeypatch.setattr("llm_magics.core.errors._known_secrets", set())
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LLM_MAGICS_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


@pytest.fixture(autouse=True)
def own_session(own_home: Path) -> Iterator[None]:
    """The session of a test that works without a kernel ends with it, while its home is still there."""
    yield
    if used := sys.modules.get("llm_magics.runs.session"):
        used.end()


_imported = 0
"""Modules that were imported when ``quick_collections`` last looked."""


@pytest.fixture(autouse=True)
def quick_collections() -> None:
    """Closing a model collects garbage: half a second, were all that is imported looked through each time."""
    global _imported
    if len(sys.modules) > _imported + 100:
        _imported = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that is not to this machine is a failure of the test."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:  # type: ignore[index]
            raise AssertionError(f"a test reached for {address!r}")
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def shared_data() -> Path:
    """The folder of labelled sets beside the project; skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the labelled sets (../shared/data) are not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def gemma_gguf() -> Path:
    """gemma-3-270m, a real base model without a chat template; skips where it can't be had."""
    return _fetched(real_models.gemma)


@pytest.fixture(scope="session")
def gemma_folder() -> Path:
    """gemma-3-270m as transformers reads it; skips where it can't be had."""
    return _fetched(real_models.gemma_folder)


@pytest.fixture(scope="session")
def smollm_gguf() -> Path:
    """SmolLM2-135M-Instruct, a real chat model; skips where it can't be had."""
    return _fetched(real_models.smollm)


@pytest.fixture(scope="session")
def qwen_gguf() -> Path:
    """Qwen2.5-Coder-0.5B-Instruct, a chat model; skips where it was not fetched: it is half a gigabyte."""
    if not real_models.fetched(real_models.QWEN_FILE):
        pytest.skip("Qwen2.5-Coder-0.5B-Instruct is not on this machine: python -m tests.real_models all")
    return _fetched(real_models.qwen)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2, a real sentence encoder; skips where it can't be had."""
    return _fetched(real_models.minilm)


def _fetched(model: Callable[[], Path]) -> Path:
    try:
        return model()
    except real_models.Unavailable as error:
        pytest.skip(str(error))
