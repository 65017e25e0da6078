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
    "label": "llm_magics.tasks.label.plan",
    "generate": "llm_magics.tasks.generate.plan",
    "embed": "llm_magics.tasks.embed.plan",
    "chat": "llm_magics.tasks.chat.plan",
    "label_async": "llm_magics.tasks.label.plan",
    "generate_async": "llm_magics.tasks.generate.plan",
    "embed_async": "llm_magics.tasks.embed.plan",
    "chat_async": "llm_magics.tasks.chat.plan",
    "extract": "llm_magics.tasks.extract.plan",
    "extract_async": "llm_magics.tasks.extract.plan",
    "summarize": "llm_magics.tasks.generate.presets",
    "summarize_async": "llm_magics.tasks.generate.presets",
    "translate": "llm_magics.tasks.generate.presets",
    "translate_async": "llm_magics.tasks.generate.presets",
    "judge": "llm_magics.tasks.judge.plan",
    "judge_async": "llm_magics.tasks.judge.plan",
    "review": "llm_magics.tasks.label.review.opening",
    "Field": "llm_magics.text.fields",
    "SpansView": "llm_magics.text.spans",
    "concepts": "llm_magics.tasks.concepts.pipeline",
    "Concept": "llm_magics.core.types",
    "ConceptSet": "llm_magics.tasks.concepts.model.concept_set",
    "Choice": "llm_magics.core.types",
    "LLMError": "llm_magics.core.errors",
    "Backend": "llm_magics.backends.base",
    "register": "llm_magics.backends.registry",
}
"""Public name -> the module that has it; nothing is imported before it is asked for."""

__all__ = ["last", "load_ipython_extension", "unload_ipython_extension", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "last":
        from llm_magics.runs.session import current

        return current().last
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
