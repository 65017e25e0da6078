"""A ``llama_batch`` whose memory is numpy's: filled by slices, never token by token."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.native import library

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Batch:
    """Room for ``size`` tokens of up to ``lanes`` sequences.

    A token belongs to the lanes ``first <= lane < last``; since lanes are numbered in the order of the
    tree's branches, every token's lanes are such a span, and its list is a window on 0, 1, 2, ...
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
        """How many tokens' logits are asked for."""
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
        """Append tokens; ``positions`` and the spans of lanes as arrays, or a start and one span for all."""
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
