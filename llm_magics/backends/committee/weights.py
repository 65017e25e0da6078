"""How much a labeller counts in a committee, and which are asked first: by the kind of labeller."""

from __future__ import annotations

import re
from pathlib import Path

from llm_magics.backends.base import Backend
from llm_magics.backends.process.client import ProcessBackend

SMALL = 4.0
"""Billions of parameters under which a language model counts as small."""

EMBEDDED, EMBEDDER, SMALL_MODEL, LARGE_MODEL = 1.0, 1.0, 0.3, 1.0
"""The weights of members' log-scores, relative to those of the embedded default.

Those that make the true labels of four labelled sets likeliest are, leaving out one set at a time, 0.97 to
1.4 for sentence encoders (MiniLM, mpnet), 0.43 to 1.2 for a small model (gemma-3-270m with its bias removed).
Accuracy hardly changes from 0.3 to 0.5 for a small model; the lower end was taken, since a set of 21 labels,
and another small model, lost with more. No larger model could be measured: one counts as much as the embedded
default. See ``docs/explanation/how_a_label_is_decided.md``.
"""

_SIZE = re.compile(r"(?<![\w.])(?:\d+x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_LARGE_FILE = 2.5e9
"""Bytes of a four-bit file of about four billion parameters."""

LOCAL = frozenset({"gguf", "transformers", "vllm_local"})
"""Namespaces of models inside this kernel, whose label scores cost nothing."""


def inner(backend: Backend) -> Backend:
    """The backend that another process runs; every other one is itself."""
    return backend.inner or backend if isinstance(backend, ProcessBackend) else backend


def weight(backend: Backend) -> float:
    """The weight of a member's log-scores."""
    if backend.namespace == "embedded":
        return EMBEDDED
    if not backend.capabilities.text:
        return EMBEDDER
    return SMALL_MODEL if is_small(backend) else LARGE_MODEL


def is_small(backend: Backend) -> bool:
    """Whether it is a language model of less than four billion parameters, by its name or its file."""
    backend = inner(backend)
    size = billions(backend.model)
    if size is not None:
        return size < SMALL
    path = Path(backend.model).expanduser()
    try:
        return backend.namespace in LOCAL and path.is_file() and path.stat().st_size < _LARGE_FILE
    except OSError:
        return False


def billions(name: str) -> float | None:
    """The parameters in a model's name, in billions: ``gemma-3-270m`` has 0.27; None without a number."""
    parts = re.split(r"[-_/:\s]", name.rsplit("/", maxsplit=1)[-1].removesuffix(".gguf"))
    sizes = [found for part in parts if (found := _SIZE.fullmatch(part))]
    if not sizes:
        return None
    number, unit = sizes[0].groups()
    return float(number) / (1000 if unit.lower() == "m" else 1)


def slowness(backend: Backend) -> int:
    """The order of asking: vectors of this kernel, other embedders, small models, the rest."""
    if backend.namespace == "embedded":
        return 0
    if not backend.capabilities.text:
        return 1
    return 2 if is_small(backend) else 3
