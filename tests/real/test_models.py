"""The real models of tests and benchmarks can be had, and answer."""

from pathlib import Path

import pytest

from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.core.types import BackendSpec, Message, Request
from tests import real_models


async def test_gemma_writes(gemma_gguf: Path):
    backend = GGUFBackend(BackendSpec("gguf", str(gemma_gguf), options={"context": 512}))
    prompt = (Message("user", "The capital of France is"),)
    request = Request("gguf", backend.model, prompt, parameters={"temperature": 0, "max_new_tokens": 6})
    response = await backend.complete(request)
    assert response.usage.output_tokens == 6


async def test_smollm_holds_a_conversation(smollm_gguf: Path):
    backend = GGUFBackend(BackendSpec("gguf", str(smollm_gguf), options={"context": 512}))
    prompt = (Message("system", "Be brief."), Message("user", "What is the capital of France?"))
    parameters = {"temperature": 0, "max_new_tokens": 20}
    response = await backend.complete(Request("gguf", backend.model, prompt, parameters=parameters))
    assert "Paris" in response.text
    assert response.usage.output_tokens < 20, "a chat model ends its turn"


def test_minilm_embeds(minilm_folder: Path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder), device="cpu")
    cat, kitten, bill = model.encode(["a cat", "a kitten", "a tax bill"], normalize_embeddings=True)
    assert cat @ kitten > cat @ bill


def test_a_file_with_another_hash_is_refused(tmp_path: Path):
    broken = tmp_path / "model"
    broken.write_bytes(b"not a model")
    with pytest.raises(real_models.Unavailable, match="has the SHA-256"):
        real_models._check(broken, real_models.GEMMA_SHA256)
    assert not broken.exists()
