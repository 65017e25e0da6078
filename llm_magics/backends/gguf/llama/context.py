"""One llama.cpp context: its KV cache, the batch of a decode, and the threads it computes with."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.native import last_message, library, read_flag
from llm_magics.core.errors import BackendError, ModelLoadError

if TYPE_CHECKING:
    from numpy.typing import NDArray
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray
import os


class Cores:
    """Threads for decodes: all of them for a single worker, an equal part each where several work.

    Two contexts of one thread each evaluate up to a quarter more rows than one context of two threads,
    which wait for each other after every step of every layer (docs/benchmarks/gguf.md).
    """

    def __init__(self, threads: int = 0) -> None:
        self.total = threads or physical_cores()
        self._at_work: set[object] = set()

    def join(self, worker: object) -> None:
        """Count ``worker`` as busy."""
        self._at_work.add(worker)

    def leave(self, worker: object) -> None:
        """Count ``worker`` as idle."""
        self._at_work.discard(worker)

    @property
    def share(self) -> int:
        """Threads for a worker's next decode."""
        return max(1, self.total // max(1, len(self._at_work)))


def physical_cores() -> int:
    """Physical cores this process may use: a second thread on one core only waits."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    try:
        import psutil
    except ImportError:
        return allowed
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


class Batch:
    """A batch of up to ``size`` tokens of up to ``lanes`` sequences.

    A token belongs to the sequences ``first <= lane < last``; since they are numbered in the order of the
    tree's branches, every token's sequences are such a range, and its list is a slice of 0, 1, 2, ...
    """

    def __init__(self, size: int, lanes: int) -> None:
        import numpy as np

        llama = library()
        self.size = size
        self.count = 0
        self._lanes = np.arange(lanes, dtype=np.int32)
        self.token = np.zeros(size, np.int32)
        self.position = np.zeros(size, np.int32)
        self.width = np.zeros(size, np.int32)
        self.lane = np.zeros(size, np.uint64)
        self.output = np.zeros(size, np.int8)
        self.struct = llama.llama_batch()
        for name, array in (
            ("token", self.token),
            ("pos", self.position),
            ("n_seq_id", self.width),
            ("seq_id", self.lane),
            ("logits", self.output),
        ):
            kind = dict(llama.llama_batch._fields_)[name]
            setattr(self.struct, name, ctypes.cast(array.ctypes.data, kind))

    @property
    def outputs(self) -> int:
        """The number of tokens whose logits are computed."""
        return int(self.output[: self.count].sum())

    def clear(self) -> None:
        """Empty the batch."""
        self.count = 0
        self.struct.n_tokens = 0

    def add(
        self,
        tokens: NDArray[Any],
        positions: NDArray[Any] | int,
        first: NDArray[Any] | int,
        last: NDArray[Any] | int,
        output: NDArray[Any] | int = 0,
    ) -> None:
        """Append tokens; positions and ranges of sequences as arrays, or as a start and one range."""
        import numpy as np

        begin, end = self.count, self.count + len(tokens)
        if isinstance(positions, int):
            positions = np.arange(positions, positions + len(tokens), dtype=np.int32)
        self.token[begin:end] = tokens
        self.position[begin:end] = positions
        self.width[begin:end] = last - first
        self.lane[begin:end] = self._lanes.ctypes.data + 4 * np.asarray(first, np.uint64)
        self.output[begin:end] = output
        self.count = end
        self.struct.n_tokens = end


ABORTED = 2  # llama_decode's answer after the abort callback said yes
KV_TYPES = {"f16": 1, "f32": 0, "q8_0": 8}  # ggml_type


class Aborted(Exception):
    """The decode was stopped on request."""


class Context:
    """A context of ``cells`` tokens shared by ``lanes`` sequences. Only one thread may use it.

    ``batch`` is the number of tokens of one decode and of one step. ``flash`` turns flash attention on.
    ``pooling`` (a llama.cpp number, or -1 for the model's own) makes it a context for embeddings. Raises
    ModelLoadError where memory is short.
    """

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        lanes: int,
        batch: int,
        threads: int = 0,
        kv_type: str = "f16",
        flash: bool = True,
        pooling: int | None = None,
    ) -> None:
        self.model = model
        self.cells = cells
        self.lanes = lanes
        self.outputs = batch if pooling is not None else max(lanes, 32)
        self._llama = library()
        parameters = self._llama.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = parameters.n_ubatch = batch
        parameters.n_seq_max = lanes
        parameters.n_outputs_max = self.outputs
        parameters.n_threads = parameters.n_threads_batch = threads or physical_cores()
        parameters.type_k = parameters.type_v = KV_TYPES[kv_type]
        parameters.flash_attn_type = int(flash)
        parameters.kv_unified = True
        parameters.swa_full = True  # a sliding window that forgot the shared prefix would be no help
        if pooling is not None:
            parameters.embeddings = True
            parameters.pooling_type = pooling
        _check_room(model, cells, kv_type)
        last_message()
        self.pointer: Any = self._llama.llama_init_from_model(model.pointer, parameters)
        if not self.pointer:
            raise _no_room(model, cells, last_message() or "out of memory")
        self._memory = self._llama.llama_get_memory(self.pointer)
        self._flag = ctypes.create_string_buffer(2)
        self._llama.llama_set_abort_callback(self.pointer, read_flag(), ctypes.addressof(self._flag))
        self.batch = Batch(batch, lanes)

    def close(self) -> None:
        """Free the memory; the context can't be used after."""
        if self.pointer:
            self._llama.llama_free(self.pointer)
            self.pointer = None

    def abort(self, stop: bool = True) -> None:
        """Stop the running decode (or allow decodes again); safe from any thread."""
        self._flag[0] = b"\1" if stop else b"\0"

    def spread(self, threads: int) -> None:
        """Set the number of threads from the next decode on."""
        self._llama.llama_set_n_threads(self.pointer, threads, threads)

    def decode(self) -> None:
        """Evaluate the batch. Raises Aborted, or BackendError with llama.cpp's reason."""
        code = self._llama.llama_decode(self.pointer, self.batch.struct)
        if code == ABORTED:
            raise Aborted
        if code != 0:
            raise BackendError(f"llama.cpp could not evaluate a batch (code {code}): {last_message()}")

    def logits(self, count: int) -> NDArray[Any]:
        """The last decode's logits, shape (outputs, vocabulary): a view that the next decode overwrites."""
        import numpy as np

        pointer = self._llama.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(pointer, shape=(count, self.model.vocabulary_size))

    def embedding(self, lane: int, width: int) -> NDArray[Any]:
        """A copy of a sequence's pooled embedding, float32 of shape (width,)."""
        import numpy as np

        pointer = self._llama.llama_get_embeddings_seq(self.pointer, lane)
        if not pointer:
            raise BackendError("llama.cpp returned no embedding.", hint=last_message())
        return np.ctypeslib.as_array(pointer, shape=(width,)).copy()

    @property
    def embedding_width(self) -> int:
        """The length of an embedding."""
        return int(self._llama.llama_model_n_embd_out(self.model.pointer))

    def cut(self, lane: int, position: int) -> bool:
        """Remove a sequence's (-1: every sequence's) tokens from ``position`` on.

        False where that is impossible.
        """
        return bool(self._llama.llama_memory_seq_rm(self._memory, lane, position, -1))

    def share(self, start: int, end: int) -> None:
        """Share sequence 0's tokens of those positions with every sequence, without a copy."""
        for lane in range(1, self.lanes):
            self._llama.llama_memory_seq_cp(self._memory, 0, lane, start, end)

    def clear(self) -> None:
        """Remove everything."""
        if self._memory:
            self._llama.llama_memory_clear(self._memory, False)


def memory_of(model: Model, cells: int, kv_type: str) -> int:
    """The size of a context's keys and values in bytes, at most."""
    return cells * model.cell * (2 if kv_type == "f32" else 1)


def _check_room(model: Model, cells: int, kv_type: str) -> None:
    """Raises where memory is short: the system would end the process, not the call."""
    import psutil

    needed, free = memory_of(model, cells, kv_type), psutil.virtual_memory().available
    if model.gpu_layers == 0 and needed > free:
        raise _no_room(model, cells, f"it takes {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} are free")


def _no_room(model: Model, cells: int, why: str) -> ModelLoadError:
    return ModelLoadError(
        f"no room for a context of {cells:,} tokens of {model.path.name}: {why}.",
        hint="Take a smaller one: %llm_config set gguf.context=2048",
    )
