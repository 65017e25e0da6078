"""The namespaces before ``::``, and how a spec becomes a backend. A new family is one line here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

from llm_magics.backends.base import Backend, Secrets
from llm_magics.core.errors import NotFound, Unsupported, UsageError
from llm_magics.core.types import BackendSpec, Request

Factory: TypeAlias = Callable[[BackendSpec, Secrets | None], Backend]

ENTRY_POINTS = "llm_magics.backends"
"""The entry-point group by which other packages add namespaces."""

BUILT_IN: Mapping[str, str] = {
    "openai": "llm_magics.backends.openai.client:OpenAIBackend",
    "azure": "llm_magics.backends.openai.client:OpenAIBackend",
    "custom_url": "llm_magics.backends.openai.client:OpenAIBackend",
    "vllm": "llm_magics.backends.openai.vllm_server:VLLMBackend",
    "ollama": "llm_magics.backends.ollama.client:ollama_backend",
    "hf_endpoint": "llm_magics.backends.openai.hf_endpoint:HFEndpointBackend",
    "anthropic": "llm_magics.backends.anthropic.client:AnthropicBackend",
    "gguf": "llm_magics.backends.gguf.client:GGUFBackend",
    "gemini": "llm_magics.backends.google.client:GoogleBackend",
    "vertex": "llm_magics.backends.google.client:GoogleBackend",
    "transformers": "llm_magics.backends.huggingface.client:TransformersBackend",
    "vllm_local": "llm_magics.backends.vllm_engine.client:LocalVLLMBackend",
    "embedded": "llm_magics.backends.embedded.client:EmbeddedBackend",
    "custom": "llm_magics.backends.functions.client:CustomBackend",
    "pool": "llm_magics.backends.pool.client:PoolBackend",
    "committee": "llm_magics.backends.committee.client:CommitteeBackend",
    "process": "llm_magics.backends.process.client:ProcessBackend",
    "echo": "llm_magics.testing.backends:EchoBackend",
}
"""Namespace -> "module:Class"; a module is imported when its first backend is made."""

DEFAULT_NAMESPACE = "openai"

NAME = re.compile(r"[A-Za-z_][\w.-]*")
"""What can name a backend or a namespace."""

_registered: dict[str, Factory] = {}


def register(namespace: str, factory: Factory) -> None:
    """Add a namespace (or replace one) for this process; ``factory(spec, secrets)`` makes a backend.

    Raises:
        UsageError: A name that can't stand before ``::``.
    """
    if not NAME.fullmatch(namespace):
        raise UsageError(f"{namespace!r} can't be a namespace: letters, digits, '_', '-' and '.' only.")
    _registered[namespace] = factory


def namespaces() -> list[str]:
    """Every known namespace: built in, registered, installed by other packages."""
    return list(dict.fromkeys((*BUILT_IN, *_registered, *_installed())))


def origins() -> dict[str, str]:
    """Every namespace that is not built in, with its origin; none is imported.

    Packages installed since the last call are found too.
    """
    _installed.cache_clear()
    found = {name: _package(point) for name, point in _installed().items() if name not in BUILT_IN}
    return found | dict.fromkeys(_registered, "registered in this kernel")


def _package(point: Any) -> str:
    """``NAME VERSION`` of the package that an entry point belongs to."""
    return f"package {point.dist.name} {point.dist.version}" if point.dist is not None else "a package"


def parse_spec(text: str) -> tuple[str, str]:
    """``namespace::model`` as its two parts; a plain name, or an id with ``::`` in it, is openai's.

    Raises:
        NotFound: The left side looks like a namespace and is none.
        UsageError: Nothing on one of the sides.
    """
    namespace, colons, model = text.strip().partition("::")
    if not colons:
        namespace, model = DEFAULT_NAMESPACE, namespace
    elif namespace not in namespaces() and namespace not in origins():
        if NAME.fullmatch(namespace):
            raise NotFound.among(
                "backend namespace", namespace, namespaces(), hint="Written as namespace::model"
            )
        namespace, model = DEFAULT_NAMESPACE, text.strip()
    if not model:
        raise UsageError(f"{text!r} names no model.", hint="Written as namespace::model or a registered name")
    return namespace, model


def create(spec: BackendSpec, secrets: Secrets | None = None) -> Backend:
    """The backend of a spec; opens nothing.

    Raises:
        NotFound: No such namespace.
        MissingPackage: Its optional package is not installed.
    """
    return _factory(spec.namespace)(spec, secrets)


def _factory(namespace: str) -> Factory:
    if namespace in _registered:
        return _registered[namespace]
    if namespace in BUILT_IN:
        return _load(namespace, BUILT_IN[namespace])
    if namespace in _installed():
        factory: Factory = _installed()[namespace].load()
        return factory
    raise NotFound.among("backend namespace", namespace, namespaces())


def _load(namespace: str, place: str) -> Factory:
    module, _, name = place.partition(":")
    try:
        factory: Factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise Unsupported(f"this version of llm_magics has no {namespace} backend.") from None
    return factory


@cache
def _installed() -> dict[str, Any]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def nested_backend(value: Any, secrets: Secrets | None) -> Backend:
    """The backend inside another one: from a spec, ``namespace::model``, a live backend, or ``to_backend()``.

    Raises:
        NotFound: No such namespace.
        UsageError: None of these.
    """
    if isinstance(value, Backend):
        return value
    if hasattr(value, "to_backend"):
        made = value.to_backend()
        assert isinstance(made, Backend)
        return made
    if isinstance(value, str):
        value = BackendSpec(*parse_spec(value))
    if isinstance(value, BackendSpec):
        return create(value, secrets)
    raise UsageError(f"{value!r} is no backend.", hint="Give registered names or namespace::model.")


def addressed(request: Request, backend: Backend) -> Request:
    """``request`` addressed to ``backend``, whose own parameters the request's override."""
    return replace(
        request,
        backend=backend.namespace,
        model=backend.model,
        base_url=backend.base_url,
        parameters={**backend.parameters, **request.parameters},
    )
