"""Backends inside backends: what a pool shares out to, what a process holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_magics.backends.base import Backend, Secrets
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec, Request


def member(value: Any, secrets: Secrets | None) -> Backend:
    """A backend from a spec, ``namespace::model``, a live one, or an object with ``to_backend()``.

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
    from llm_magics.backends.namespaces import create, parse_spec

    if isinstance(value, str):
        value = BackendSpec(*parse_spec(value))
    if isinstance(value, BackendSpec):
        return create(value, secrets)
    raise UsageError(f"{value!r} is no backend.", hint="Give registered names or namespace::model.")


def addressed(request: Request, backend: Backend) -> Request:
    """``request`` as it goes to ``backend``, whose own parameters stand under the request's."""
    return replace(
        request,
        backend=backend.namespace,
        model=backend.model,
        base_url=backend.base_url,
        parameters={**backend.parameters, **request.parameters},
    )
