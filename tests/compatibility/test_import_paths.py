"""Modules that version 0.1.0 documented are still found under the paths it documented."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "llm_magics.types",
            ("BackendSpec", "Capabilities", "Embedding", "Message", "Request", "Response", "Usage"),
        ),
        ("llm_magics.errors", ("LLMError", "UsageError")),
        ("llm_magics.prompt_formats", ("prompt_of",)),
        ("llm_magics.api.batches", ("Batch",)),
        ("llm_magics.api.evaluation", ("evaluate",)),
        ("llm_magics.backends.base", ("Backend",)),
        ("llm_magics.backends.threads", ("in_thread",)),
        ("llm_magics.testing", ("Server", "Fault", "FakeBackend")),
        ("llm_magics.testing.gguf", ("build",)),
        ("llm_magics.lloom", ("Model", "EmbedModel", "OpenAIModel", "OpenAIEmbedModel")),
    ],
)
def test_a_documented_module_is_found(path: str, names: tuple[str, ...]) -> None:
    """By its old path, with the same objects as under the new one."""
    module = importlib.import_module(path)
    assert all(hasattr(module, name) for name in names)


def test_an_error_of_the_old_path_is_the_error_that_is_raised() -> None:
    """``except llm_magics.errors.LLMError`` catches what the package raises."""
    from llm_magics import LLMError

    assert importlib.import_module("llm_magics.errors").LLMError is LLMError
