"""Loading models and tokenizers from the hub or a folder, onto the best device."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError


@dataclass(frozen=True)
class LoadOptions:
    """Load options of a model. Empty ``device`` and ``dtype`` mean the best device and the file's type."""

    device: str = ""
    dtype: str = ""
    revision: str = ""
    trust_remote_code: bool = False
    offline: bool = False

    def pairs(self) -> tuple[tuple[str, Any], ...]:
        """The options that make a loaded model a different one."""
        return tuple(
            (name, getattr(self, name)) for name in ("device", "dtype", "revision") if getattr(self, name)
        )

    def hub(self, token: str | None) -> dict[str, Any]:
        """The keyword arguments that every ``from_pretrained`` takes."""
        given: dict[str, Any] = {"token": token, "local_files_only": self.offline}
        if self.revision:
            given["revision"] = self.revision
        if self.trust_remote_code:
            given["trust_remote_code"] = True
        return given


class Writer:
    """A causal model, its tokenizer (padding on the left), and a lock that makes its calls take turns."""

    def __init__(self, name: str, options: LoadOptions, token: str | None) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch()
        self.name = name
        self.lock = threading.Lock()
        hub = options.hub(token)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(name, padding_side="left", **hub)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        device = options.device or best_device(self.torch)
        model: Any = AutoModelForCausalLM
        with silence():
            self.model: Any = model.from_pretrained(name, dtype=options.dtype or "auto", **hub)
        self.model.to(device).eval()
        self.device = self.model.device
        self.beginning: tuple[list[int], Any] | None = None
        """The tokens that the newest prompts began with, and their keys and values."""

    @property
    def context(self) -> int:
        """The model's context in tokens, prompt and answer together."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 4096)

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return int(self.model.get_memory_footprint())

    def close(self) -> None:
        """Wait for the running call, then free the weights."""
        with self.lock:
            self.model = self.beginning = None
        free(self.torch)


class Embedder:
    """A sentence-transformers model and its lock."""

    def __init__(self, name: str, options: LoadOptions, token: str | None) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingPackage.of("sentence-transformers", "transformers", "Embedding models") from error
        self.torch = torch()
        self.name = name
        self.lock = threading.Lock()
        device = options.device or best_device(self.torch)
        with silence():
            self.model: Any = SentenceTransformer(name, device=device, **options.hub(token))

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    def close(self) -> None:
        """Wait for the running call, then free the weights."""
        with self.lock:
            self.model = None
        free(self.torch)


def torch() -> Any:
    """The torch module. Raises MissingPackage."""
    try:
        import torch as module
    except ImportError as error:
        raise MissingPackage.of("torch", "transformers", "The transformers backend") from error
    return module


def best_device(module: Any) -> str:
    """CUDA, Apple's GPU, or the processor."""
    if module.cuda.is_available():
        return "cuda"
    return "mps" if module.backends.mps.is_available() else "cpu"


@contextmanager
def silence() -> Iterator[None]:
    """Turn off transformers' own progress bars, which would be drawn from another thread into some cell."""
    from transformers.utils import logging as module

    logging: Any = module
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def free(module: Any) -> None:
    """Return the GPU's memory; the model cache returns the machine's, for all the models that it closes."""
    if module.cuda.is_available():
        gc.collect()
        module.cuda.empty_cache()


def loaded(kind: type[Writer | Embedder], name: str, options: LoadOptions, token: str | None) -> Any:
    """The model of this kind, loaded.

    Raises:
        MissingPackage: torch, transformers or sentence-transformers.
        ModelLoadError: No such model, no permission, no memory, or files that are no model.
    """
    try:
        return kind(name, options, token)
    except LLMError:
        raise
    except ImportError as error:
        raise MissingPackage.of(error.name or "transformers", "transformers", f"{name}") from error
    except Exception as error:
        raise ModelLoadError(f"{name} can't be loaded: {_short(error)}", hint=_hint(name, error)) from error


def _short(error: Exception) -> str:
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0][:300] if first else ''}"


def _hint(name: str, error: Exception) -> str:
    text = str(error).lower()
    if "gated" in text or "401" in text or "403" in text:
        return "Accept the model's terms on its page, and set a token: %llm_config key set HF_TOKEN"
    if "memory" in text:
        return "Free memory with %llm_config cache clear, or take a smaller model."
    if "trust_remote_code" in text:
        return "It brings its own code; the option trust_remote_code=true runs it, if you trust its author."
    if Path(name).expanduser().is_dir():
        return "Does the folder hold config.json, tokenizer files and weights?"
    return "Is the name right (owner/model, or a folder)? Offline, a model must be on this machine already."
