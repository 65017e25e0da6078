"""vLLM's own engine inside the kernel: whole batches at once, labels and schemas held to while it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from llm_magics.backends.base import BatchBackend, Secrets
from llm_magics.backends.in_kernel.model_cache import Key, cache
from llm_magics.backends.threads import in_thread
from llm_magics.backends.vllm_engine.engine import Engine
from llm_magics.core.errors import LLMError
from llm_magics.core.types import FREE, BackendSpec, Capabilities, Limits, Request, Response

T = TypeVar("T")

BATCH = 256
"""Rows handed to the engine at once, unless ``batch_size`` says otherwise; it schedules them itself."""

PATIENCE = 24 * 3600.0
"""Seconds for one row, in place of a server's two minutes: it waits in line, and perhaps for a download."""


class LocalVLLMBackend(BatchBackend):
    """A model run by vLLM in the kernel, where ``vllm`` can be imported.

    One label is held to by the engine's choice constraint, several labels and schemas by its JSON
    constraint. Further fields of ``SamplingParams`` are parameters like any other: ``-p min_p=0.05``; what
    is left open is as the model's own generation settings have it. ``spec.options``: ``batch_size`` (256);
    all others go to ``vllm.LLM`` (``max_model_len``, ``gpu_memory_utilization``, ``tensor_parallel_size``,
    ``quantization``, ...). The model lives in the kernel's ModelCache. An interrupt gives the cell back at
    once; the engine finishes the batch it has. For a server: ``vllm::``.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self._options = {name: value for name, value in spec.options.items() if name != "batch_size"}
        self.price = spec.price or FREE
        patient = spec.limits.timeout == Limits().timeout
        self.limits = replace(spec.limits, timeout=PATIENCE) if patient else spec.limits
        batch = int(spec.options.get("batch_size", BATCH))
        self.capabilities = Capabilities(
            one_of=True, schema=True, logprobs=True, max_concurrency=2, batch_size=batch
        )

    async def open(self) -> None:
        """Load the model where it isn't. Raises MissingPackage, ModelLoadError."""
        window = await self._with_engine(lambda engine: engine.context)
        self.capabilities = replace(self.capabilities, context_window=window)

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Answers in order, from one call of the engine."""
        began = time.perf_counter()
        outcomes = await self._with_engine(lambda engine: engine.answers(requests))
        took = (time.perf_counter() - began) / max(1, len(requests))
        return [replace(each, latency=took) if isinstance(each, Response) else each for each in outcomes]

    async def _with_engine(self, work: Callable[[Engine], T]) -> T:
        """Do the work with the loaded engine, in a thread, in turn."""
        pairs = tuple(sorted((name, repr(value)) for name, value in self._options.items()))
        key = Key(f"vllm:{self.model}", options=pairs, name=self.spec.name or self.model)

        def run() -> T:
            with cache().use(key, self._load) as engine, engine.lock:
                return work(engine)

        return await in_thread(run, f"llm_magics {self.name}")

    def _load(self) -> Engine:
        token = self.secrets.resolve(self.spec.key) if self.secrets is not None and self.spec.key else None
        options = {**self._options, **({"hf_token": token} if token else {})}
        return Engine(self.model, options, self.name)
