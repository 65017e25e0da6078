"""llama-cpp-python's low-level functions, checked once: they change between its releases."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

from llm_magics.core.errors import MissingPackage

OLDEST = "0.3.36"
"""The oldest release this project is tested with."""

NEEDED = (
    "llama_batch",
    "llama_decode",
    "llama_get_embeddings_seq",
    "llama_get_logits",
    "llama_get_memory",
    "llama_init_from_model",
    "llama_memory_clear",
    "llama_memory_seq_cp",
    "llama_memory_seq_rm",
    "llama_model_free",
    "llama_model_get_vocab",
    "llama_model_load_from_file",
    "llama_sampler_chain_init",
    "llama_sampler_init_penalties",
    "llama_set_abort_callback",
    "llama_set_n_threads",
    "llama_vocab_is_eog",
)

KEPT = (3, 4)
"""The log level from which messages are kept: llama.cpp gives its reasons nowhere else."""


@cache
def library() -> ModuleType:
    """The module ``llama_cpp``, silenced; raises MissingPackage where it is absent or too old."""
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingPackage(
            f"local GGUF models need the package 'llama-cpp-python' ({error}).", hint=HOW
        ) from None
    low = llama_cpp.llama_cpp
    fields = {field[0] for field in low.llama_context_params._fields_}
    missing = [name for name in NEEDED if not hasattr(low, name)]
    missing += [name for name in ("kv_unified", "flash_attn_type", "swa_full") if name not in fields]
    if missing:
        raise MissingPackage(
            f"llama-cpp-python {llama_cpp.__version__} lacks {missing[0]}; it must be {OLDEST} or newer.",
            hint=HOW,
        )
    _silence(low)
    low.llama_backend_init()
    return low


HOW = f"""%pip install "llama-cpp-python>={OLDEST}" --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu
(cpu, metal or cu124 at the end of that address; without it the package is compiled, which takes minutes)"""


def gpu_built() -> bool:
    """Whether this build of llama.cpp can put layers on a GPU."""
    return bool(library().llama_supports_gpu_offload())


def last_message() -> str:
    """The warnings and errors that llama.cpp logged on this thread since the last call, newest last."""
    return " ".join(_Log.lines.pop(threading.get_ident(), ())).strip()


def log_shown(shown: bool = True) -> None:
    """Print llama.cpp's own log to stderr from now on, or stop that."""
    _Log.shown = shown


class _Log:
    """Receives llama.cpp's log; the process crashes at the next message if ``callback`` is collected."""

    callback: Any = None
    shown = False
    lines: ClassVar[dict[int, deque[str]]] = {}

    @classmethod
    def take(cls, level: int, text: bytes, _: Any) -> None:
        """Keep a thread's last warnings and errors; print everything where that is wanted."""
        line = text.decode("utf-8", "replace")
        if level in KEPT:
            cls.lines.setdefault(threading.get_ident(), deque(maxlen=8)).append(line.strip())
        if cls.shown:
            sys.stderr.write(line)


def _silence(low: ModuleType) -> None:
    """Route llama.cpp's log to a callback; redirecting file descriptors would redirect the notebook's too."""
    _Log.callback = low.llama_log_callback(_Log.take)
    low.llama_log_set(_Log.callback, ctypes.c_void_p(0))


@cache
def read_flag() -> Any:
    """A C function that reports whether a flag in memory is set, for ``llama_set_abort_callback``.

    ggml calls it hundreds of times a decode. A Python callback would take the interpreter's lock each
    time and wait for the notebook; ``strlen`` of a one-character text (0 or 1) takes none.
    """
    runtime = ctypes.CDLL("msvcrt" if os.name == "nt" else None)
    return ctypes.cast(runtime.strlen, library().ggml_abort_callback)
