"""Tiny GGUF models, made once a session: real architectures, a real tokenizer, random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def gguf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="session")
def tiny_gguf(gguf_folder: Path) -> Path:
    """A Llama that writes."""
    from llm_magics.testing.gguf import build

    return build(gguf_folder / "tiny.gguf", precision="float32")


@pytest.fixture(scope="session")
def tiny_mamba(gguf_folder: Path) -> Path:
    """A recurrent model, whose memory can't be cut back."""
    from llm_magics.testing.gguf import TINY_MAMBA, build

    return build(gguf_folder / "mamba.gguf", TINY_MAMBA, precision="float32")


@pytest.fixture(scope="session")
def tiny_gemma(gguf_folder: Path) -> Path:
    """A model whose attention slides over a window shorter than any prompt."""
    from llm_magics.testing.gguf import TINY_GEMMA, build

    return build(gguf_folder / "gemma.gguf", TINY_GEMMA, precision="float32")


@pytest.fixture(scope="session")
def tiny_bert(gguf_folder: Path) -> Path:
    """A model that only embeds."""
    from llm_magics.testing.gguf import TINY_BERT, build

    return build(gguf_folder / "bert.gguf", TINY_BERT, precision="float32")


@pytest.fixture
def model_cache() -> Iterator[object]:
    """The kernel's cache, empty before and after, with its own budget."""
    from llm_magics.backends.in_kernel.model_cache import cache

    cache().clear(force=True)
    yield cache()
    cache().clear(force=True)
    cache().limit(None)
