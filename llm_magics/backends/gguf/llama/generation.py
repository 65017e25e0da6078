"""Generation: texts are decoded side by side, one token a row and step.

Finished rows are replaced at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.prefix import Prefix, common
from llm_magics.backends.gguf.llama.queue import GenerationItem, GenerationResult
from llm_magics.backends.gguf.llama.sampling import Candidates, Sampler
from llm_magics.backends.in_kernel.json_loops import JsonLoops
from llm_magics.core.errors import LLMError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(eq=False)
class GenerationState:
    """A text that is being generated.

    ``pending`` are tokens not evaluated yet, ``length`` those in the KV cache.
    """

    work: GenerationItem
    sampler: Sampler
    pending: NDArray[Any]
    lane: int = -1
    length: int = 0
    reused: int = 0
    tokens: list[int] = field(default_factory=list)
    text: bytes = b""
    finish: str = ""
    json: JsonLoops | None = None

    def add(self, token: int, model: Model) -> None:
        """Add a token; ``finish`` is the reason where it was the last."""
        import numpy as np

        if model.ends(token):
            self.finish = "stop"
            return
        self.tokens.append(token)
        self._append(model.piece(token))
        self.pending = np.array([token], np.int32)
        found = [at for at in (self.text.find(stop) for stop in self.work.stop) if at >= 0]
        if found:
            self.text, self.finish = self.text[: min(found)], "stop"
        elif len(self.tokens) >= self.work.most:
            self.finish = "length"
        if self.work.heard is not None:
            self.work.heard(self.text.decode("utf-8", "ignore"))

    def _append(self, piece: bytes) -> None:
        if self.json is None:
            self.text += piece
        else:
            self.json.read(piece)
            self.text = bytes(self.json.text)

    def written(self) -> GenerationResult:
        """The finished text, without an incomplete character at its end."""
        text = self.text.decode("utf-8", "ignore" if self.finish == "length" else "replace")
        shortened = self.json is not None and self.json.shortened
        return GenerationResult(text, self.finish, len(self.tokens), self.reused, shortened)


class Generator:
    """Generates behind a context's shared prefix. ``evaluated`` counts the tokens behind it."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._context = prefix.context
        self._model = prefix.context.model
        self._table = Candidates(self._model.vocabulary_size)
        self._free = list(range(self._context.lanes))
        self._waiting: deque[GenerationState] = deque()
        self.live: list[GenerationState] = []
        self.evaluated = 0

    @property
    def busy(self) -> bool:
        """True while texts are being generated."""
        return bool(self.live or self._waiting)

    @property
    def room(self) -> int:
        """How many more rows would find a sequence."""
        return max(0, self._context.lanes - len(self.live) - len(self._waiting))

    @property
    def works(self) -> list[GenerationItem]:
        """The items that are being generated."""
        return [draft.work for draft in (*self.live, *self._waiting)]

    def begin(self, works: list[GenerationItem]) -> None:
        """Set the prefix for these prompts and start them; only while nothing is running."""
        self._prefix.fit([work.prompt for work in works])
        for work in works:
            self._take(work)

    def admit(self, works: Iterable[GenerationItem]) -> list[GenerationItem]:
        """Start those that continue the prefix; returns them."""
        shared = len(self._prefix)
        taken = []
        for work in works:
            if len(work.prompt) > shared and common(self._prefix.tokens, work.prompt) == shared:
                self._take(work)
                taken.append(work)
        return taken

    def step(self) -> None:
        """One decode: the newest token of every running row, and prompts that fit beside them."""
        self._drop()
        self._seat()
        if not self.live:
            return
        parts = self._fill()
        self._context.decode()
        self.evaluated += self._context.batch.count
        self._sample(parts)
        for draft in [draft for draft in self.live if draft.finish]:
            self._leave(draft)
            draft.work.answer(draft.written())

    def stop(self, error: BaseException | None = None) -> None:
        """Abandon all texts; their rows fail with ``error``."""
        for draft in (*self.live, *self._waiting):
            draft.sampler.close()
            if error is not None:
                draft.work.fail(error)
        self.live, self._free = [], list(range(self._context.lanes))
        self._waiting.clear()
        self._prefix.cut(len(self._prefix))

    def _take(self, work: GenerationItem) -> None:
        """Queue an item; a parameter that llama.cpp refuses fails that row alone."""
        shared = len(self._prefix)
        try:
            sampler = Sampler(self._model, self._table, work.sampling, work.grammar)
        except (LLMError, ValueError, TypeError) as error:
            work.fail(error)
            return
        json, pending = JsonLoops() if work.json else None, work.prompt[shared:]
        self._waiting.append(GenerationState(work, sampler, pending, length=shared, reused=shared, json=json))

    def _drop(self) -> None:
        """Abandon rows that nobody waits for."""
        for draft in [draft for draft in self.live if draft.work.dropped]:
            self._leave(draft)
        for draft in [draft for draft in self._waiting if draft.work.dropped]:
            self._waiting.remove(draft)
            draft.sampler.close()

    def _seat(self) -> None:
        """Give waiting items a sequence while sequences, cells and the batch have room."""
        while self._waiting and self._free and self._fits(self._waiting[0]):
            draft = self._waiting.popleft()
            draft.lane = self._free.pop()
            self.live.append(draft)
        while len(self.live) > 1 and self._cells() > self._context.cells:
            self._unseat(self.live[-1])

    def _fits(self, draft: GenerationState) -> bool:
        """Whether an item may start now; the first one always may."""
        ahead = len(self.live) * STEPS_AHEAD  # what the others will write before one of them ends
        return not self.live or self._cells() + len(draft.pending) + ahead <= self._context.cells

    def _cells(self) -> int:
        """Cells in use after the next decode."""
        shared = len(self._prefix)
        return shared + sum(draft.length - shared + len(draft.pending) for draft in self.live)

    def _unseat(self, draft: GenerationState) -> None:
        """Take an item's sequence away; its tokens will be evaluated again."""
        import numpy as np

        self._empty(draft)
        shared = len(self._prefix)
        draft.pending = np.concatenate([draft.work.prompt[shared:], np.array(draft.tokens, np.int32)])
        draft.length = shared
        self._waiting.appendleft(draft)

    def _leave(self, draft: GenerationState) -> None:
        self._empty(draft)
        draft.sampler.close()

    def _empty(self, draft: GenerationState) -> None:
        self._context.cut(draft.lane, len(self._prefix))
        self._free.append(draft.lane)
        self.live.remove(draft)

    def _fill(self) -> list[tuple[GenerationState, bool]]:
        """Put tokens into the batch; returns the items in it, and whether their logits are computed.

        Single tokens come first, so that a long prompt never delays the rows that are being generated.
        """
        import numpy as np

        batch = self._context.batch
        batch.clear()
        parts = []
        for draft in sorted(self.live, key=lambda draft: len(draft.pending)):
            room = batch.size - batch.count
            if room == 0:
                break
            piece = draft.pending[:room]
            last = len(piece) == len(draft.pending)
            flags = np.zeros(len(piece), np.int8)
            flags[-1] = last
            batch.add(piece, draft.length, draft.lane, draft.lane + 1, flags)
            draft.length += len(piece)
            draft.pending = draft.pending[len(piece) :]
            parts.append((draft, last))
        return parts

    def _sample(self, parts: list[tuple[GenerationState, bool]]) -> None:
        ready = [draft for draft, last in parts if last]
        if not ready:
            return
        for draft, row in zip(ready, self._context.logits(len(ready)), strict=True):
            draft.add(draft.sampler.next(row, draft.json), self._model)
            if not draft.finish and draft.length + 1 >= self._context.cells:
                draft.finish = "length"


STEPS_AHEAD = 16
