"""Load options of a model: checked values of the user, and defaults that fit the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from llm_magics.core.errors import NotFound, UsageError

CONTEXT = 4096
"""The default context size in tokens, where the model was trained on that many."""

CPU, GPU = (64, 256), (128, 2048)
"""Lanes, and tokens a decode; larger ones on a CPU only add attention between rows that share nothing."""


@dataclass(frozen=True)
class LoadOptions:
    """``context``: tokens, 0 for the default. ``gpu_layers``: 0 none, -1 all, n that many.

    ``threads``: 0 for one a physical core. ``workers``: contexts that work side by side while many rows
    wait, each with its share of the threads. ``lanes``: rows (and branches of rows) in one decode of
    a worker, ``batch``: tokens a decode; 0 for what suits the machine. ``kv_type``: keys and values
    as ``f16``, ``f32`` or ``q8_0``. ``flash``: flash attention. ``mmap``: map the file instead of reading it.
    """

    context: int = 0
    gpu_layers: int = 0
    threads: int = 0
    workers: int = 0
    lanes: int = 0
    batch: int = 0
    kv_type: str = "f16"
    flash: bool = True
    mmap: bool = True

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LoadOptions:
        """The options as typed; raises NotFound or UsageError for impossible ones."""
        known = {field.name: type(field.default) for field in fields(cls)}
        unknown = set(options) - set(known)
        if unknown:
            raise NotFound.among("GGUF load option", min(unknown), known)
        made = cls(**{name: _typed(name, value, known[name]) for name, value in options.items()})
        made.check()
        return made

    def check(self) -> None:
        """Raises NotFound or UsageError for an impossible value."""
        if self.context < 0:
            raise UsageError(
                f"a context has 64 tokens or more (0: the usual {CONTEXT:,}), not {self.context:,}."
            )
        if self.gpu_layers < -1:
            raise UsageError(
                f"gpu_layers is a number of layers, 0 for none or -1 for all, not {self.gpu_layers}."
            )
        if self.kv_type not in ("f16", "f32", "q8_0"):
            raise NotFound.among("kv_type", self.kv_type, ("f16", "f32", "q8_0"))
        if not (0 <= self.lanes <= 256 and (self.batch == 0 or self.batch >= 16)):
            raise UsageError("lanes must lie in 1..256, batch be 16 or more.")
        if not (0 <= self.threads <= 1024 and 0 <= self.workers <= 64):
            raise UsageError("threads must lie in 1..1024, workers in 1..64; 0 takes what suits the machine.")

    def on(self, trained: int, gpu: bool) -> LoadOptions:
        """The options with every default filled in, for a model trained on ``trained`` tokens.

        A GPU takes more rows at once than a CPU.
        """
        context = self.context or min(CONTEXT, trained or CONTEXT)
        lanes, batch = GPU if gpu and self.gpu_layers else CPU
        return replace(self, context=max(context, 64), lanes=self.lanes or lanes, batch=self.batch or batch)

    def pairs(self) -> tuple[tuple[str, Any], ...]:
        """What differs from the defaults, besides context and GPU layers, for the cache's key."""
        shown = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return tuple(
            (name, value)
            for name, value, default in shown
            if value != default and name not in ("context", "gpu_layers")
        )


def _typed(name: str, value: Any, kind: type) -> Any:
    """A value as the type its option has."""
    if kind is bool and isinstance(value, str):
        return value.strip().lower() in ("1", "true", "yes", "on")
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name} takes {'a whole number' if kind is int else kind.__name__}, not {value!r}."
        ) from None
