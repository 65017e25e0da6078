"""Notebook magics that turn a dataframe into labels, generations, extractions and concepts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext llm_magics`` calls."""
    from llm_magics.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext llm_magics`` calls."""
    from llm_magics.notebook.magics import unload

    unload(shell)


_PUBLIC = {
    "label": "llm_magics.api.verbs",
    "generate": "llm_magics.api.verbs",
    "embed": "llm_magics.api.verbs",
    "chat": "llm_magics.api.verbs",
    "label_async": "llm_magics.api.verbs",
    "generate_async": "llm_magics.api.verbs",
    "embed_async": "llm_magics.api.verbs",
    "chat_async": "llm_magics.api.verbs",
    "extract": "llm_magics.api.extraction",
    "extract_async": "llm_magics.api.extraction",
    "summarize": "llm_magics.api.presets",
    "summarize_async": "llm_magics.api.presets",
    "translate": "llm_magics.api.presets",
    "translate_async": "llm_magics.api.presets",
    "judge": "llm_magics.api.judging",
    "judge_async": "llm_magics.api.judging",
    "review": "llm_magics.api.reviewing",
    "Field": "llm_magics.fields",
    "SpansView": "llm_magics.spans",
    "concepts": "llm_magics.induction.pipeline",
    "Concept": "llm_magics.types",
    "ConceptSet": "llm_magics.induction.concept_set",
    "Choice": "llm_magics.types",
    "LLMError": "llm_magics.errors",
    "Backend": "llm_magics.backends.base",
    "register": "llm_magics.backends.registry",
}
"""Public name -> the module that has it; nothing is imported before it is asked for."""

__all__ = ["last", "load_ipython_extension", "unload_ipython_extension", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "last":
        from llm_magics.api.session import current

        return current().last
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
