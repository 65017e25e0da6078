"""A worker thread with llama.cpp contexts of its own: it claims rows from the queue and evaluates them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from llm_magics.backends.gguf.llama.context import Aborted, Context, Cores
from llm_magics.backends.gguf.llama.embedding import Embedder
from llm_magics.backends.gguf.llama.generation import Generator
from llm_magics.backends.gguf.llama.model import Model, cleared
from llm_magics.backends.gguf.llama.prefix import Prefix
from llm_magics.backends.gguf.llama.queue import (
    LOOK_AHEAD,
    EmbeddingItem,
    GenerationItem,
    Kind,
    ScoringItem,
    WorkItem,
    WorkQueue,
)
from llm_magics.backends.gguf.llama.scoring import Scorer
from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.core.errors import BackendError, LLMError, ModelLoadError

LINGER = 0.002
"""Seconds that an idle thread waits after the first row for more of them."""
CROWD, FEW = 16, 4
"""Rows that must wait for one more worker to help: many where it has to evaluate their prompt first."""


class Worker:
    """The only thread that ever uses its contexts: two threads in one crash the process.

    The first (``rank`` 0) opens its context at once and raises ModelLoadError where it can't. The others
    open theirs when many rows wait, and end where memory is short. Items of one prompt go into the same
    decodes, oldest prompt first.
    """

    def __init__(self, model: Model, options: LoadOptions, line: WorkQueue, cores: Cores, rank: int) -> None:
        self.rank = rank
        self._model, self._options, self._line, self._cores = model, options, line, cores
        self._running: Sequence[WorkItem] = ()
        self._decoding: Context | None = None
        self._last: Kind = (None, WorkItem)
        self._retired = False
        self.prefix: Prefix | None = None
        self.scorer: Scorer | None = None
        self.writer: Generator | None = None
        self.embedder: Embedder | None = None
        if rank == 0:
            self._open(writes=model.writes)
        name = f"llama {model.path.name}" + (f" {rank}" if rank else "")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def evaluated(self) -> dict[str, int]:
        """Tokens computed so far: ``prefix`` for shared prefixes, ``rows`` for everything behind them."""
        parts = (part for part in (self.scorer, self.writer, self.embedder) if part is not None)
        return {
            "prefix": self.prefix.evaluated if self.prefix else 0,
            "rows": sum(part.evaluated for part in parts),
        }

    @property
    def decoding(self) -> bool:
        """True while a decode runs."""
        return self._decoding is not None

    def look(self) -> None:
        """Stop the decode where the queue is closed, or nobody waits for any of its rows."""
        with self._line.changed:
            if self._decoding is not None and (
                self._line.closed or all(work.dropped for work in self._running)
            ):
                self._decoding.abort()

    def join(self) -> None:
        """Wait for the thread, which ends once the queue is closed."""
        self._thread.join()

    # -- on the thread

    def _open(self, *, writes: bool) -> None:
        """Open the context for a kind of work. Raises ModelLoadError."""
        if not writes:
            self.embedder = self.embedder or Embedder(self._model, self._options)
        elif self.prefix is None:
            context = self._context()
            try:
                self.prefix = Prefix(context)
            except BaseException:
                context.close()
                raise
            self.scorer, self.writer = Scorer(self.prefix), Generator(self.prefix)

    def _context(self) -> Context:
        options = self._options
        return Context(
            self._model,
            cells=options.context,
            lanes=options.lanes if not self._model.forgets else min(options.lanes, 8),
            batch=options.batch,
            threads=self._cores.total,
            kv_type=options.kv_type,
            flash=options.flash,
        )

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
        """Wait until this worker is needed; False when it should end."""
        idle = False
        with self._line.changed:
            while not self._line.closed and not self._retired and not self._needed:
                idle = True
                self._cores.leave(self)
                self._line.changed.wait()
            self._cores.join(self)
        if idle:
            time.sleep(LINGER)
        return not self._line.closed and not self._retired

    @property
    def _needed(self) -> bool:
        crowd = FEW if self._line.next == self._last else CROWD
        return self._busy or len(self._line) > self.rank * crowd

    @property
    def _busy(self) -> bool:
        return self.writer is not None and self.writer.busy

    def _turn(self) -> None:
        """Do the work of one decode."""
        if self._busy:
            self._write()
            return
        works = self._line.claim(self._last)
        if not works:
            return
        self._last, self._running = works[0].kind, works
        try:
            self._open(writes=not isinstance(works[0], EmbeddingItem))
        except ModelLoadError:
            if self.rank == 0:
                raise
            self._retired, self._running = True, ()
            self._line.back(works)
            return
        self._begin(works)

    def _begin(self, works: list[WorkItem]) -> None:
        if isinstance(works[0], EmbeddingItem):
            self._embed([work for work in works if isinstance(work, EmbeddingItem)])
        elif isinstance(works[0], ScoringItem):
            self._score([work for work in works if isinstance(work, ScoringItem)])
        else:
            self._start_writing([work for work in works if isinstance(work, GenerationItem)])

    def _score(self, works: list[ScoringItem]) -> None:
        assert self.scorer is not None and self.prefix is not None
        with self._decode(works, self.prefix.context):
            chosen = self.scorer.pack(works)
        self._give_back(works, chosen)
        with self._decode(chosen, self.prefix.context):
            self.scorer.run(chosen)

    def _start_writing(self, works: list[GenerationItem]) -> None:
        """Start generating; leaves a part of the rows to idle workers."""
        assert self.writer is not None and self.prefix is not None
        fair = max(CROWD, -(-(len(works) + len(self._line)) // self._options.workers))
        chosen = works[:fair]
        self._give_back(works, chosen)
        with self._decode(chosen, self.prefix.context):
            self.writer.begin(chosen)

    def _write(self) -> None:
        assert self.writer is not None and self.prefix is not None
        same = self._line.more(self.writer.works[0].kind, min(LOOK_AHEAD, self.writer.room))
        works = [work for work in same if isinstance(work, GenerationItem)]
        self._give_back(works, self.writer.admit(works))
        with self._decode(self.writer.works, self.prefix.context):
            self.writer.step()

    def _embed(self, works: list[EmbeddingItem]) -> None:
        assert self.embedder is not None
        chosen = self.embedder.pack(works)
        self._give_back(works, chosen)
        with self._decode(chosen, self.embedder.context):
            self.embedder.run(chosen)

    def _give_back(self, claimed: Sequence[WorkItem], chosen: Sequence[WorkItem]) -> None:
        kept = set(map(id, chosen))
        self._line.back([work for work in claimed if id(work) not in kept])

    @contextlib.contextmanager
    def _decode(self, works: Sequence[WorkItem], context: Context) -> Iterator[None]:
        """While this is entered, cancelling all of ``works`` stops the context's decode."""
        context.spread(self._cores.share)
        with self._line.changed:
            self._running, self._decoding = works, context
            context.abort(self._line.closed)
        try:
            yield
            self._running = ()
        finally:
            with self._line.changed:
                self._decoding = None

    def _abandon(self, error: BaseException | None) -> None:
        """After a failed decode fail its rows; after a stopped one queue those still waited for again."""
        works = [work for work in self._running if not work.future.done()]
        self._running = ()
        if self._busy and self.writer is not None:
            self.writer.stop(error)
        if error is None:
            self._line.back(works)
            return
        if self.prefix is not None:
            self.prefix.forget()  # nobody knows what the memory holds
        for work in works:
            work.fail(error)

    def _end(self) -> None:
        self._cores.leave(self)
        if self.writer is not None:
            self.writer.stop(cleared(self._model.path))
        if self.prefix is not None:
            self.prefix.context.close()
        if self.embedder is not None:
            self.embedder.context.close()
