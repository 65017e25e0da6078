"""The one thread that owns a loaded model, and the queue in front of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_magics.backends.llama.context import Aborted, Context
from llm_magics.backends.llama.embedding import Embedder, longest_text
from llm_magics.backends.llama.memory import Prefix
from llm_magics.backends.llama.model import Model, cleared
from llm_magics.backends.llama.native import gpu_built
from llm_magics.backends.llama.options import LoadOptions
from llm_magics.backends.llama.scoring import Scorer
from llm_magics.backends.llama.work import Embedding, Scoring, Work, Writing
from llm_magics.backends.llama.writing import Writer
from llm_magics.errors import BackendError, LLMError

LINGER = 0.002
"""Seconds an idle thread waits after the first row for its companions."""
PATIENCE = 2.0
"""Seconds a row of another prompt waits before the prompt under way takes no more rows."""
SIGHT = 64
"""Waiting rows looked at to find what they share and which fit together."""


class Scheduler:
    """A loaded model with its thread: ``submit`` work from anywhere, the answer comes in its future.

    Two threads in one llama.cpp context crash the process; here only the owner thread ever enters one.
    Work of one prompt goes into the same decodes, oldest prompt first.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self.model = Model(path, options.gpu_layers, mmap=options.mmap)
        self.options = options = options.on(self.model.trained_context, gpu_built())
        self._wake = threading.Condition()
        self._waiting: list[Work] = []
        self._running: Sequence[Work] = ()
        self._decoding: Context | None = None
        self._closing = False
        self._last: tuple[Hashable, type[Work]] = (None, Work)
        self._prefix: Prefix | None = None
        self._scorer: Scorer | None = None
        self._writer: Writer | None = None
        self._embedder: Embedder | None = None
        try:
            if self.model.writes:
                self._open()
            else:
                self._embedder = Embedder(self.model, options)
        except BaseException:
            self._free()
            raise
        self._thread = threading.Thread(target=self._run, name=f"llama {path.name}", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Bytes of the weights and of the context's keys and values."""
        cells = self.options.context if self.model.writes else 0
        return self.model.size + cells * self.model.cell * (2 if self.options.kv_type == "f32" else 1)

    @property
    def shares(self) -> bool:
        """False for models that evaluate whole prompts because their memory can't be cut back."""
        return self._prefix is None or self._prefix.shares

    @property
    def longest_text(self) -> int:
        """Tokens that one embedding may take."""
        return longest_text(self.model)

    @property
    def evaluated(self) -> dict[str, int]:
        """Tokens computed so far: ``prefix`` for shared prefixes, ``rows`` for everything behind them."""
        rows = sum(
            part.evaluated for part in (self._scorer, self._writer, self._embedder) if part is not None
        )
        return {"prefix": self._prefix.evaluated if self._prefix else 0, "rows": rows}

    def submit(self, work: Work) -> None:
        """Queue one row's work. Raises ModelCleared where the model is gone."""
        with self._wake:
            if self._closing:
                raise cleared(self.model.path)
            work.arrived = time.monotonic()
            self._waiting.append(work)
            self._wake.notify()
        work.future.add_done_callback(self._dropped)

    def close(self) -> None:
        """Fail what waits, stop the decode that runs, end the thread, free the memory."""
        with self._wake:
            self._closing = True
            if self._decoding is not None:
                self._decoding.abort()
            self._wake.notify()
        self._thread.join()

    def _dropped(self, future: Any) -> None:
        """Stop the decode where all its rows were cancelled."""
        if not future.cancelled():
            return
        with self._wake:
            if self._decoding is not None and all(work.dropped for work in self._running):
                self._decoding.abort()

    # -- on the owner thread

    def _open(self) -> None:
        context = Context(
            self.model,
            cells=self.options.context,
            lanes=self.options.lanes if not self.model.forgets else min(self.options.lanes, 8),
            batch=self.options.batch,
            threads=self.options.threads,
            kv_type=self.options.kv_type,
            flash=self.options.flash,
        )
        try:
            self._prefix = Prefix(context)
        except BaseException:
            context.close()
            raise
        self._scorer = Scorer(self._prefix)
        self._writer = Writer(self._prefix)

    def _free(self) -> None:
        if self._prefix is not None:
            self._prefix.context.close()
        if self._embedder is not None:
            self._embedder.context.close()
        self.model.close()

    def _run(self) -> None:
        while self._sleep():
            try:
                self._turn()
            except Aborted:
                self._abandon(None)
            except LLMError as error:
                self._abandon(error)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any row
                self._abandon(BackendError(f"llama.cpp's thread failed: {type(error).__name__}: {error}"))
        self._end()

    def _sleep(self) -> bool:
        """Wait for work; False when it is time to go."""
        idle = False
        with self._wake:
            while not self._closing and not self._waiting and not self._busy:
                idle = True
                self._wake.wait()
        if idle:
            time.sleep(LINGER)
        return not self._closing

    @property
    def _busy(self) -> bool:
        return self._writer is not None and self._writer.busy

    def _turn(self) -> None:
        """One decode's worth of work."""
        if self._busy:
            self._write()
            return
        works = self._next_group()
        if not works:
            return
        kind = type(works[0])
        if kind is Embedding:
            self._embed([work for work in works if isinstance(work, Embedding)])
        elif kind is Scoring:
            self._score([work for work in works if isinstance(work, Scoring)])
        else:
            self._start_writing([work for work in works if isinstance(work, Writing)])

    def _score(self, works: list[Scoring]) -> None:
        assert self._scorer is not None and self._prefix is not None
        with self._decode(works, self._prefix.context):
            chosen = self._scorer.pack(works)
        self._remove(chosen)
        with self._decode(chosen, self._prefix.context):
            self._scorer.run(chosen)

    def _start_writing(self, works: list[Writing]) -> None:
        assert self._writer is not None and self._prefix is not None
        self._remove(works)
        with self._decode(works, self._prefix.context):
            self._writer.begin(works)

    def _write(self) -> None:
        assert self._writer is not None and self._prefix is not None
        group = self._writer.works[0].group
        if not self._others_are_impatient(group):
            same = [work for work in self._group(group, Writing) if isinstance(work, Writing)]
            self._remove(self._writer.admit(same))
        with self._decode(self._writer.works, self._prefix.context):
            self._writer.step()

    def _embed(self, works: list[Embedding]) -> None:
        if self._embedder is None:
            self._embedder = Embedder(self.model, self.options)
        chosen = self._embedder.pack(works)
        self._remove(chosen)
        with self._decode(chosen, self._embedder.context):
            self._embedder.run(chosen)

    @contextlib.contextmanager
    def _decode(self, works: Sequence[Work], context: Context) -> Iterator[None]:
        """While this is entered, cancelling all of ``works`` stops the context's decode."""
        with self._wake:
            self._running, self._decoding = works, context
            context.abort(self._closing)
        try:
            yield
            self._running = ()
        finally:
            with self._wake:
                self._decoding = None

    def _abandon(self, error: BaseException | None) -> None:
        """After a failed decode tell its rows; after a stopped one ask those still waited for anew."""
        works = [work for work in self._running if not work.future.done()]
        if self._writer is not None and self._writer.busy:
            self._writer.stop(error)
        if error is not None and self._prefix is not None:
            self._prefix.forget()  # nobody knows what the memory holds
        with self._wake:
            self._running = ()
            self._waiting = [work for work in self._waiting if work not in works]
            if error is None:
                self._waiting = works + self._waiting
        for work in works:
            if error is not None:
                work.fail(error)

    def _end(self) -> None:
        error = cleared(self.model.path)
        if self._writer is not None:
            self._writer.stop(error)
        with self._wake:
            left = [*self._running, *self._waiting]
            self._waiting = []
        self._free()
        for work in left:
            work.fail(error)

    # -- the queue

    def _next_group(self) -> list[Work]:
        """Up to SIGHT waiting works of one group and kind: the last one's, unless others wait too long."""
        with self._wake:
            self._waiting = [work for work in self._waiting if not work.dropped]
            if not self._waiting:
                return []
            first = self._waiting[0]
        if time.monotonic() - first.arrived < PATIENCE:
            more = self._group(*self._last)
            if more:
                return more
        self._last = (first.group, type(first))
        return self._group(*self._last)

    def _group(self, group: Hashable, kind: type[Work]) -> list[Work]:
        with self._wake:
            same = (work for work in self._waiting if type(work) is kind and work.group == group)
            return [work for work, _ in zip(same, range(SIGHT), strict=False) if not work.dropped]

    def _others_are_impatient(self, group: Hashable) -> bool:
        with self._wake:
            since = [
                work.arrived for work in self._waiting if work.group != group or type(work) is not Writing
            ]
        return bool(since) and time.monotonic() - min(since) > PATIENCE

    def _remove(self, works: Sequence[Work]) -> None:
        gone = set(map(id, works))
        with self._wake:
            self._waiting = [work for work in self._waiting if id(work) not in gone]
