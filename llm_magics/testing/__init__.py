"""Test tools: a loopback model server with faults, and backends without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.testing.backends import EchoBackend, FakeBackend
    from llm_magics.testing.faults import FAULTS, Chaos, Fault
    from llm_magics.testing.server import Server

__all__ = ["FAULTS", "Chaos", "EchoBackend", "FakeBackend", "Fault", "Server"]

_ROOMS = {
    "Chaos": "faults",
    "EchoBackend": "backends",
    "FAULTS": "faults",
    "FakeBackend": "backends",
    "Fault": "faults",
    "Server": "server",
}


def __getattr__(name: str) -> Any:
    # Late, so that `python -m llm_magics.testing.server` runs a module that is not yet imported.
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
