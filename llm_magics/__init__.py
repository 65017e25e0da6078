"""Notebook magics that turn a dataframe into labels, generations, extractions and concepts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from llm_magics.backends.base import Backend as Backend
    from llm_magics.backends.registry import register as register
    from llm_magics.bulk.batch import Batch as Batch
    from llm_magics.core.errors import LLMError as LLMError
    from llm_magics.core.types import BackendSpec as BackendSpec
    from llm_magics.core.types import Capabilities as Capabilities
    from llm_magics.core.types import Choice as Choice
    from llm_magics.core.types import Concept as Concept
    from llm_magics.core.types import Embedding as Embedding
    from llm_magics.core.types import Message as Message
    from llm_magics.core.types import Request as Request
    from llm_magics.core.types import Response as Response
    from llm_magics.core.types import Usage as Usage
    from llm_magics.tasks.agreement.agreement import agreement as agreement
    from llm_magics.tasks.chat.plan import chat as chat
    from llm_magics.tasks.chat.plan import chat_async as chat_async
    from llm_magics.tasks.codebook.codebook import Codebook as Codebook
    from llm_magics.tasks.codebook.codebook import codebook as codebook
    from llm_magics.tasks.concepts.concept_set import ConceptSet as ConceptSet
    from llm_magics.tasks.concepts.pipeline import concepts as concepts
    from llm_magics.tasks.embed.plan import embed as embed
    from llm_magics.tasks.embed.plan import embed_async as embed_async
    from llm_magics.tasks.extract.plan import extract as extract
    from llm_magics.tasks.extract.plan import extract_async as extract_async
    from llm_magics.tasks.generate.plan import generate as generate
    from llm_magics.tasks.generate.plan import generate_async as generate_async
    from llm_magics.tasks.generate.plan import summarize as summarize
    from llm_magics.tasks.generate.plan import summarize_async as summarize_async
    from llm_magics.tasks.generate.plan import translate as translate
    from llm_magics.tasks.generate.plan import translate_async as translate_async
    from llm_magics.tasks.judge.plan import judge as judge
    from llm_magics.tasks.judge.plan import judge_async as judge_async
    from llm_magics.tasks.label.evaluation.evaluation import evaluate as evaluate
    from llm_magics.tasks.label.plan import label as label
    from llm_magics.tasks.label.plan import label_async as label_async
    from llm_magics.tasks.label.review.open_review import review as review
    from llm_magics.tasks.measure.measure import measure as measure
    from llm_magics.tasks.sample.sample import sample as sample
    from llm_magics.text.fields import Field as Field
    from llm_magics.text.spans import SpansView as SpansView

__version__ = "0.1.0"

# Modules that 0.1.0 documented under another path are found in the folder compat.
__path__ = [*__path__, f"{__path__[0]}/compat"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext llm_magics`` calls."""
    from llm_magics.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext llm_magics`` calls."""
    from llm_magics.notebook.magics import unload

    unload(shell)


_MODULES: dict[str, tuple[str, ...]] = {
    "llm_magics.tasks.label.plan": (
        "label",
        "label_async",
    ),
    "llm_magics.tasks.generate.plan": (
        "generate",
        "generate_async",
        "summarize",
        "summarize_async",
        "translate",
        "translate_async",
    ),
    "llm_magics.tasks.embed.plan": (
        "embed",
        "embed_async",
    ),
    "llm_magics.tasks.chat.plan": (
        "chat",
        "chat_async",
    ),
    "llm_magics.tasks.extract.plan": (
        "extract",
        "extract_async",
    ),
    "llm_magics.tasks.judge.plan": (
        "judge",
        "judge_async",
    ),
    "llm_magics.tasks.label.review.open_review": ("review",),
    "llm_magics.text.fields": ("Field",),
    "llm_magics.text.spans": ("SpansView",),
    "llm_magics.tasks.concepts.pipeline": ("concepts",),
    "llm_magics.core.types": (
        "Concept",
        "Choice",
        "BackendSpec",
        "Capabilities",
        "Embedding",
        "Message",
        "Request",
        "Response",
        "Usage",
    ),
    "llm_magics.tasks.concepts.concept_set": ("ConceptSet",),
    "llm_magics.core.errors": ("LLMError",),
    "llm_magics.backends.base": ("Backend",),
    "llm_magics.backends.registry": ("register",),
    "llm_magics.bulk.batch": ("Batch",),
    "llm_magics.tasks.label.evaluation.evaluation": ("evaluate",),
    "llm_magics.tasks.measure.measure": ("measure",),
    "llm_magics.tasks.sample.sample": ("sample",),
    "llm_magics.tasks.codebook.codebook": ("Codebook", "codebook"),
    "llm_magics.tasks.agreement.agreement": ("agreement",),
}
"""Module -> the public names it has; a module is imported when one of its names is first asked for."""

_PUBLIC = {name: module for module, names in _MODULES.items() for name in names}

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
