"""Schedules the rows of one loaded model: the queue of waiting rows, and the workers that evaluate them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_magics.backends.gguf.llama.context import Cores, memory_of
from llm_magics.backends.gguf.llama.embedding import longest_text
from llm_magics.backends.gguf.llama.model import Model, cleared
from llm_magics.backends.gguf.llama.native import gpu_built
from llm_magics.backends.gguf.llama.queue import WorkItem, WorkQueue
from llm_magics.backends.gguf.llama.worker import Worker
from llm_magics.backends.gguf.load_options import LoadOptions

WORKERS = 4
"""The most workers by default: more only take memory."""
ROOM = 1_000_000_000
"""The most bytes that the contexts of workers beyond the first take together by default."""


class Scheduler:
    """``submit`` takes work from any thread; the answer comes in its future.

    One worker does everything with all threads while few rows wait; the others help when many wait, each
    in a context of its own with its share of the threads. Loading raises ModelLoadError.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self.model = Model(path, options.gpu_layers, mmap=options.mmap)
        self._line = WorkQueue()
        self.workers: list[Worker] = []
        try:
            cores = Cores(options.threads)
            self.options = _filled(options, self.model, cores.total)
            for rank in range(self.options.workers):
                self.workers.append(Worker(self.model, self.options, self._line, cores, rank))
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the weights and of all workers' keys and values."""
        if not self.model.writes:
            return self.model.size
        each = memory_of(self.model, self.options.context, self.options.kv_type)
        return self.model.size + self.options.workers * each

    @property
    def shares(self) -> bool:
        """False for models that evaluate whole prompts because their memory can't be rewound."""
        first = self.workers[0].prefix
        return first is None or first.shares

    @property
    def longest_text(self) -> int:
        """The most tokens of one embedding."""
        return longest_text(self.model)

    @property
    def evaluated(self) -> dict[str, int]:
        """Tokens computed so far: ``prefix`` for shared prefixes, ``rows`` for everything behind them."""
        done = [worker.evaluated for worker in self.workers]
        return {name: sum(one[name] for one in done) for name in ("prefix", "rows")}

    def submit(self, work: WorkItem) -> None:
        """Queue one row's work. Raises ModelCleared where the model is closed."""
        if not self._line.put(work):
            raise cleared(self.model.path)
        work.future.add_done_callback(self._dropped)

    def close(self) -> None:
        """Fail what waits, stop the running decodes, end the threads, free the memory."""
        with self._line.changed:
            self._line.closed = True
            self._line.changed.notify_all()
        for worker in self.workers:
            worker.look()
        for worker in self.workers:
            worker.join()
        for work in self._line.drain():
            work.fail(cleared(self.model.path))
        self.model.close()

    def _dropped(self, future: Any) -> None:
        """Stop the decodes whose rows were all cancelled."""
        if future.cancelled():
            for worker in self.workers:
                worker.look()


def _filled(options: LoadOptions, model: Model, threads: int) -> LoadOptions:
    """The options with every default filled in. A GPU has one worker: one decode fills it."""
    gpu = gpu_built() and options.gpu_layers != 0
    made = options.on(model.trained_context, gpu)
    each = memory_of(model, made.context, made.kv_type)
    most = min(threads, WORKERS, 1 + ROOM // max(each, 1))
    return replace(made, workers=options.workers or (1 if gpu else most))
