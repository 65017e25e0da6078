# ruff: noqa: E501 - a table
"""GGUF models by alias: repository, file, size, context, licence, use.

The first five are scikit-llm's aliases with its own files. Sizes are of the file, in GB; contexts are
those of the training. Any other file works as ``gguf::owner/repo:pattern`` or by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One model: ``repo`` and ``file`` on the Hugging Face hub; ``use`` is ``instruct`` or ``embed``."""

    alias: str
    repo: str
    file: str
    size: float
    context: int
    licence: str
    base: str
    use: str = "instruct"


_LLAMA3, _GEMMA = "Llama 3 Community", "Gemma terms"

ENTRIES = (
    Entry("gemma2-2b-q6", "bartowski/gemma-2-2b-it-GGUF", "gemma-2-2b-it-Q6_K_L.gguf", 2.3, 8192, _GEMMA,
          "google/gemma-2-2b-it"),
    Entry("gemma2-9b-q4", "bartowski/gemma-2-9b-it-GGUF", "gemma-2-9b-it-Q4_K_M.gguf", 5.8, 8192, _GEMMA,
          "google/gemma-2-9b-it"),
    Entry("phi3-mini-q4", "microsoft/Phi-3-mini-4k-instruct-gguf", "Phi-3-mini-4k-instruct-q4.gguf", 2.4, 4096,
          "MIT", "microsoft/Phi-3-mini-4k-instruct"),
    Entry("mistral0.3-7b-q4", "lmstudio-community/Mistral-7B-Instruct-v0.3-GGUF",
          "Mistral-7B-Instruct-v0.3-Q4_K_M.gguf", 4.4, 32768, "Apache-2.0", "mistralai/Mistral-7B-Instruct-v0.3"),
    Entry("llama3-8b-q4", "QuantFactory/Meta-Llama-3-8B-Instruct-GGUF", "Meta-Llama-3-8B-Instruct.Q4_K_M.gguf",
          4.9, 8192, _LLAMA3, "meta-llama/Meta-Llama-3-8B-Instruct"),
    Entry("smollm2-135m-q8", "bartowski/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q8_0.gguf", 0.15,
          8192, "Apache-2.0", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    Entry("smollm2-360m-q8", "bartowski/SmolLM2-360M-Instruct-GGUF", "SmolLM2-360M-Instruct-Q8_0.gguf", 0.39,
          8192, "Apache-2.0", "HuggingFaceTB/SmolLM2-360M-Instruct"),
    Entry("smollm2-1.7b-q4", "bartowski/SmolLM2-1.7B-Instruct-GGUF", "SmolLM2-1.7B-Instruct-Q4_K_M.gguf", 1.1,
          8192, "Apache-2.0", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    Entry("smollm3-3b-q4", "ggml-org/SmolLM3-3B-GGUF", "SmolLM3-Q4_K_M.gguf", 1.9, 65536, "Apache-2.0",
          "HuggingFaceTB/SmolLM3-3B"),
    Entry("qwen2.5-0.5b-q8", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q8_0.gguf", 0.68, 32768,
          "Apache-2.0", "Qwen/Qwen2.5-0.5B-Instruct"),
    Entry("qwen2.5-1.5b-q8", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "qwen2.5-1.5b-instruct-q8_0.gguf", 1.9, 32768,
          "Apache-2.0", "Qwen/Qwen2.5-1.5B-Instruct"),
    Entry("qwen3-1.7b-q4", "unsloth/Qwen3-1.7B-GGUF", "Qwen3-1.7B-Q4_K_M.gguf", 1.1, 40960, "Apache-2.0",
          "Qwen/Qwen3-1.7B"),
    Entry("qwen3-4b-q4", "unsloth/Qwen3-4B-Instruct-2507-GGUF", "Qwen3-4B-Instruct-2507-Q4_K_M.gguf", 2.5,
          262144, "Apache-2.0", "Qwen/Qwen3-4B-Instruct-2507"),
    Entry("qwen3-8b-q4", "unsloth/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf", 5.0, 40960, "Apache-2.0",
          "Qwen/Qwen3-8B"),
    Entry("llama3.2-1b-q4", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Llama-3.2-1B-Instruct-Q4_K_M.gguf", 0.81,
          131072, "Llama 3.2 Community", "meta-llama/Llama-3.2-1B-Instruct"),
    Entry("llama3.2-3b-q4", "bartowski/Llama-3.2-3B-Instruct-GGUF", "Llama-3.2-3B-Instruct-Q4_K_M.gguf", 2.0,
          131072, "Llama 3.2 Community", "meta-llama/Llama-3.2-3B-Instruct"),
    Entry("gemma3-4b-q4", "ggml-org/gemma-3-4b-it-GGUF", "gemma-3-4b-it-Q4_K_M.gguf", 2.5, 131072, _GEMMA,
          "google/gemma-3-4b-it"),
    Entry("phi4-mini-q4", "unsloth/Phi-4-mini-instruct-GGUF", "Phi-4-mini-instruct-Q4_K_M.gguf", 2.5, 131072,
          "MIT", "microsoft/Phi-4-mini-instruct"),
    Entry("embeddinggemma-300m-q8", "ggml-org/embeddinggemma-300M-GGUF", "embeddinggemma-300M-Q8_0.gguf", 0.33,
          2048, _GEMMA, "google/embeddinggemma-300m", "embed"),
    Entry("qwen3-embedding-0.6b-q8", "Qwen/Qwen3-Embedding-0.6B-GGUF", "Qwen3-Embedding-0.6B-Q8_0.gguf", 0.64,
          32768, "Apache-2.0", "Qwen/Qwen3-Embedding-0.6B", "embed"),
    Entry("nomic-embed-v1.5-q8", "nomic-ai/nomic-embed-text-v1.5-GGUF", "nomic-embed-text-v1.5.Q8_0.gguf", 0.15,
          2048, "Apache-2.0", "nomic-ai/nomic-embed-text-v1.5", "embed"),
    Entry("bge-m3-q8", "ggml-org/bge-m3-Q8_0-GGUF", "bge-m3-q8_0.gguf", 0.63, 8192, "MIT", "BAAI/bge-m3",
          "embed"),
)  # fmt: skip

CATALOGUE: Mapping[str, Entry] = {entry.alias: entry for entry in ENTRIES}
"""The models by alias."""
