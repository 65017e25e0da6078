"""The backend for GGUF models inside the kernel, through llama.cpp: exact label scores, batched rows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics.backends.base import Backend, Secrets, unused_parameters
from llm_magics.backends.gguf.llama.sampling import PARAMETERS
from llm_magics.backends.gguf.load_options import CONTEXT, LoadOptions
from llm_magics.backends.in_kernel.model_cache import Key, cache
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import LLMError
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Embedding,
    Limits,
    Request,
    Response,
    Vector,
)

if TYPE_CHECKING:
    from llm_magics.backends.gguf.loaded_model import LocalModel

IN_FLIGHT = 128
"""Requests handed over at once, enough that the workers always find a full decode waiting."""
PATIENCE = 24 * 3600.0
"""The timeout of one row in seconds: it waits in the queue, and perhaps for a download."""
FORMATTED = {"prompt_format", "prompt_formatting_fn"}
OURS = ("verbose", "memory_limit", "download_path", "offline")
"""Options that are not llama.cpp's."""


class GGUFBackend(Backend):
    """A GGUF file by path, alias or ``owner/repo:file-pattern``; loaded with the first request.

    Options: ``context``, ``gpu_layers``, ``threads``, ``workers``, ``lanes``, ``batch``, ``kv_type``,
    ``flash``, ``mmap`` (see LoadOptions), ``download_path``, ``offline``, ``memory_limit`` (bytes),
    ``verbose``.
    Parameters beyond sampling: ``label_scoring`` (``constrained``, ``joint``), ``multi_label`` (``yes_no``,
    ``choice``), ``thinking``, ``grammar`` (GBNF).
    """

    capabilities = Capabilities(
        one_of=True,
        schema=True,
        logprobs=True,
        exact_scores=True,
        embed=True,
        max_concurrency=256,
        parameters=frozenset(
            (
                *PARAMETERS,
                *(
                    "max_new_tokens",
                    "max_tokens",
                    "stop",
                    "grammar",
                    "thinking",
                    "label_scoring",
                    "multi_label",
                ),
                *("prompt_format", "prompt_formatting_fn"),
            )
        ),
    )

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        given = {name: value for name, value in spec.options.items() if value is not None}
        self._ours = {name: given.pop(name, None) for name in OURS}
        self.options = LoadOptions.of(given)
        self.price = spec.price or FREE
        self.limits = _patient(spec.limits)
        self.capabilities = replace(self.capabilities, context_window=self.options.context or None)
        self._key: Key | None = None
        self._news: tuple[str, ...] = ()
        self._loading: asyncio.Lock | None = None

    @property
    def announcement(self) -> str:
        """What the last load has to tell the user."""
        return "\n".join(self._news)

    def outgrown(self, stored: Response) -> bool:
        """Whether a stored response was truncated to less than fits now.

        Before a load the default context counts.
        """
        window = self.capabilities.context_window or CONTEXT
        return bool(stored.cut_to and stored.cut_to < window)

    @property
    def begins(self) -> bool:
        """Whether the file has a chat template, which the beginning of an answer can follow."""
        return self.completes is False

    @property
    def completes(self) -> bool | None:
        """Whether the file has no chat template; None for a model that is not on this disk yet."""
        from llm_magics.backends.gguf.download import local_path, on_disk
        from llm_magics.backends.gguf.header import completes

        try:
            path = local_path(self.model) or on_disk(self.model, self._ours["download_path"])
        except LLMError:  # told when the model is used
            return False
        found = Path(self._key.file) if path is None and self._key is not None else path
        return None if found is None else completes(found)

    async def load(self) -> None:
        """Download and load the model, as the first request would."""
        async with self._loaded():
            pass

    async def open(self) -> None:
        """Begin a run: forget old notes, and a loaded model whose file has changed."""
        self._news = ()
        if self._key is not None and _written(Path(self._key.file)) != self._key.written:
            self._key = None

    async def complete(self, request: Request) -> Response:
        """Answer one row; rows asked about at the same time are evaluated together."""
        from llm_magics.backends.gguf.loaded_model import NO_TEMPLATE
        from llm_magics.backends.gguf.requests import answer

        if isinstance(request.response_format, Vector):
            embedding = await self.embed([request.subject])
            return Response(
                vector=embedding.vectors[0], usage=embedding.usage, model=self.model, notes=embedding.notes
            )
        began = time.perf_counter()
        async with self._loaded() as model:
            made = await answer(model, request)
            plain = model.writes and not model.model.template and not FORMATTED & request.parameters.keys()
        notes = (*made.notes, *((NO_TEMPLATE,) if plain else ()), *self._unused(request))
        return replace(made, model=self.model, latency=time.perf_counter() - began, notes=notes)

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Unit vectors with the model's own pooling, float32 of shape (n, d)."""
        from llm_magics.backends.gguf.embeddings import embed
        from llm_magics.core.types import Usage

        async with self._loaded() as model:
            vectors, tokens = await embed(model, texts)
            made = Usage(input_tokens=tokens, cost=0.0)
            meaned = f"{self.name} was not made to embed: its vectors are means over its tokens."
            notes = (meaned,) if model.writes and not model.model.pools else ()
        return Embedding(vectors, made, self.model, notes)

    async def doctor(self) -> list[str]:
        """What the user should know about this model on this machine, one sentence each; loads it."""
        async with self._loaded() as model:
            return [*model.remarks]

    @contextlib.asynccontextmanager
    async def _loaded(self) -> AsyncIterator[LocalModel]:
        """The model, loaded once for all requests, and kept open meanwhile."""
        if self._key is None or not cache().ready(self._key):
            self._loading = self._loading or asyncio.Lock()
            async with self._loading:
                if self._key is None or not cache().ready(self._key):
                    stopped = threading.Event()
                    try:
                        self._key = await in_thread(lambda: self._prepare(stopped), f"load {self.name}")
                    finally:
                        stopped.set()
        with cache().use(self._key, self._load) as model:
            yield model

    def _prepare(self, stopped: threading.Event) -> Key:
        """Find (or download) the file and load it; runs in a thread of its own."""
        from llm_magics.backends.gguf.download import beside, locate
        from llm_magics.backends.gguf.loaded_model import NO_GPU

        if self._ours["memory_limit"] is not None:
            cache().limit(int(self._ours["memory_limit"]))
        offline = bool(self._ours["offline"])
        path = locate(self.model, self._ours["download_path"], self._token(), offline=offline)
        if stopped.is_set():  # interrupted while it was downloaded: the file stays, nothing is loaded
            raise asyncio.CancelledError
        key = Key(
            str(path),
            self.options.context,
            self.options.gpu_layers,
            self.options.pairs(),
            self.spec.name or self.model,
            _written(path),
        )
        loads, size = cache().loads, sum(part.stat().st_size for part in beside(path))
        with cache().use(key, lambda: self._open(path), size) as model:
            self.capabilities = replace(self.capabilities, context_window=model.context)
            told = [remark for remark in model.remarks if remark == NO_GPU]
        if cache().loads > loads:
            self._news = tuple(filter(None, [cache().note(key), *told]))
        return key

    def _load(self) -> LocalModel:
        assert self._key is not None
        return self._open(Path(self._key.file))

    def _open(self, path: Path) -> LocalModel:
        from llm_magics.backends.gguf.llama.native import log_shown
        from llm_magics.backends.gguf.loaded_model import LocalModel

        log_shown(bool(self._ours["verbose"]))
        return LocalModel(path, self.options)

    def _unused(self, request: Request) -> tuple[str, ...]:
        """The notes about parameters that llama.cpp lacks."""
        strange = sorted(request.parameters.keys() - (self.capabilities.parameters or ()))
        return unused_parameters(self.name, strange)

    def _token(self) -> str | None:
        """The hub's token where this backend was given one; otherwise the hub's client finds its own."""
        return self.secrets.resolve(self.spec.key) if self.secrets is not None and self.spec.key else None


def _written(path: Path) -> float:
    """When a file was last written; 0 where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _patient(limits: Limits) -> Limits:
    """The limits of a local model: no rate limits, and a long timeout for the queue."""
    timeout = PATIENCE if limits.timeout == Limits().timeout else limits.timeout
    return replace(limits, concurrency=limits.concurrency or IN_FLIGHT, timeout=timeout)
