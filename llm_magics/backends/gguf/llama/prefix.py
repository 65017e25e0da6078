"""The shared prompt prefix of a context: evaluated once, used by every sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.context import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORTH = 32
"""Tokens that a longer prefix must save over the waiting rows before it is evaluated on its own."""


def common(a: NDArray[Any], b: NDArray[Any]) -> int:
    """The number of tokens that two prompts share from the start."""
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    return int(differs.argmax()) if differs.any() else length


class Prefix:
    """The tokens that are evaluated once for every sequence.

    ``evaluated`` counts those ever computed for it.
    """

    def __init__(self, context: Context) -> None:
        import numpy as np

        self.context = context
        self.tokens: NDArray[Any] = np.empty(0, np.int32)
        self.evaluated = 0
        self.shares = _can_cut_back(context)

    def __len__(self) -> int:
        return len(self.tokens)

    def fit(self, prompts: Sequence[NDArray[Any]]) -> int:
        """Set the prefix to what the prompts share, never a whole prompt; returns its length.

        Shortening is free; a longer prefix is evaluated where that saves work.
        """
        if not self.shares:
            return 0
        first = prompts[0]
        shared = min(min(common(first, other), len(other) - 1) for other in prompts)
        kept = min(common(self.tokens, first), shared)
        self.cut(kept)
        if (shared - kept) * (len(prompts) - 1) > WORTH:
            self._extend(first[kept:shared])
        return len(self)

    def adopt(self, tokens: NDArray[Any]) -> None:
        """Make ``tokens``, which sequence 0 holds, the prefix of all sequences."""
        for lane in range(1, self.context.lanes):
            self.context.cut(lane, len(self))
        self.context.share(len(self), len(tokens))
        self.tokens = tokens

    def cut(self, length: int) -> None:
        """Remove everything from ``length`` on, in every sequence."""
        if not self.shares:
            self.forget()
            return
        self.context.cut(-1, length)
        self.tokens = self.tokens[:length]

    def forget(self) -> None:
        """Remove everything."""
        self.context.clear()
        self.tokens = self.tokens[:0]

    def _extend(self, tokens: NDArray[Any]) -> None:
        """Evaluate the tokens behind the prefix once, in sequence 0, and share them, slice by slice."""
        import numpy as np

        step = self.context.batch.size
        for start in range(0, len(tokens), step):
            piece = tokens[start : start + step]
            self.context.batch.clear()
            self.context.batch.add(piece, len(self), 0, 1)
            try:
                self.context.decode()
            except BaseException:
                self.cut(len(self))
                raise
            self.context.share(len(self), len(self) + len(piece))
            self.tokens = np.concatenate([self.tokens, piece])
            self.evaluated += len(piece)


def _can_cut_back(context: Context) -> bool:
    """Whether this model's memory can remove a part of a sequence; recurrent and hybrid ones can't."""
    import numpy as np

    if context.model.forgets:
        return False
    context.batch.clear()
    context.batch.add(np.zeros(2, np.int32), 0, 0, 1)
    context.decode()
    able = context.cut(0, 1)
    context.clear()
    return able
