"""Label scores of many rows in one decode: each row's text and its label trie, behind the shared prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.prefix import Prefix
from llm_magics.backends.gguf.llama.queue import ScoringItem, ScoringResult
from llm_magics.backends.in_kernel.label_trie import Tree, paths, split

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scorer:
    """Evaluates trees behind a context's prefix. ``evaluated`` counts the tokens behind it."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._context = prefix.context
        self.evaluated = 0

    def pack(self, waiting: Sequence[ScoringItem]) -> list[ScoringItem]:
        """The oldest item, and others that fill the decode best beside it (longest first)."""
        shared = self._prefix.fit([work.prompt for work in waiting])
        room = min(self._context.batch.size, self._context.cells - shared)
        lanes, outputs = self._context.lanes, self._context.outputs
        chosen: list[ScoringItem] = []
        for work in [waiting[0], *sorted(waiting[1:], key=lambda work: -len(work.tree))]:
            tokens, tips, wanted = len(work.tree) - shared, self._lanes(work.tree), len(work.tree.wanted)
            if chosen and (tokens > room or tips > lanes or wanted > outputs):
                continue
            chosen.append(work)
            room, lanes, outputs = room - tokens, lanes - tips, outputs - wanted
            if room <= 0:
                break
        return chosen

    def run(self, works: Sequence[ScoringItem]) -> None:
        """Evaluate packed items and answer them."""
        shared = len(self._prefix)
        try:
            if not self._prefix.shares:
                self._whole(works)
            elif len(works) == 1:
                self._alone(works[0])
            else:
                self._together(works)
        finally:
            self._prefix.cut(len(self._prefix))
        for work in works:
            work.answer(ScoringResult(work.pieces, shared))

    def _lanes(self, tree: Tree) -> int:
        return tree.tips if self._prefix.shares else min(tree.tips, self._context.lanes)

    def _together(self, works: Sequence[ScoringItem]) -> None:
        """All rows in one decode; ``pack`` made them fit."""
        start = len(self._prefix)
        self._context.batch.clear()
        lane = 0
        wanted: list[tuple[ScoringItem, int]] = []
        for work in works:
            self._add(work.tree, start, lane)
            lane += work.tree.tips
            wanted += [(work, number) for number in range(len(work.tree.wanted))]
        self._decode(wanted)

    def _alone(self, work: ScoringItem) -> None:
        """One row of any length and any number of branches; its chain becomes the next prefix."""
        for tree, numbers in split(work.tree, self._context.lanes, self._context.cells):
            self._sliced(tree, len(self._prefix), [(work, number) for number in numbers])
            self._context.cut(-1, tree.chain)
            self._prefix.adopt(tree.tokens[: tree.chain])

    def _sliced(self, tree: Tree, start: int, wanted: list[tuple[ScoringItem, int]]) -> None:
        """One tree in as many decodes as its tokens and outputs need."""
        import numpy as np

        begin = start
        while begin < len(tree):
            end = min(begin + self._context.batch.size, len(tree))
            inside = np.flatnonzero((tree.wanted >= begin) & (tree.wanted < end))
            if len(inside) > self._context.outputs:
                end = int(tree.wanted[inside[self._context.outputs]])
                inside = inside[: self._context.outputs]
            self._context.batch.clear()
            self._add(tree, begin, 0, end)
            self._decode([wanted[int(number)] for number in inside])
            begin = end

    def _whole(self, works: Sequence[ScoringItem]) -> None:
        """Every path as a sequence of its own, for memories that can't branch."""
        for work in works:
            found = paths(work.tree)
            for begin in range(0, len(found), self._context.lanes):
                for lane, (tokens, answers) in enumerate(found[begin : begin + self._context.lanes]):
                    self._path(work, tokens, answers, lane)
                self._prefix.forget()

    def _path(self, work: ScoringItem, tokens: NDArray[Any], answers: dict[int, int], lane: int) -> None:
        import numpy as np

        size = self._context.batch.size
        for begin in range(0, len(tokens), size):
            piece = tokens[begin : begin + size]
            asked = sorted(place for place in answers if begin <= place < begin + len(piece))
            flags = np.zeros(len(piece), np.int8)
            flags[[place - begin for place in asked]] = 1
            self._context.batch.clear()
            self._context.batch.add(piece, begin, lane, lane + 1, flags)
            self._decode([(work, answers[place]) for place in asked])

    def _add(self, tree: Tree, start: int, lane: int, end: int | None = None) -> None:
        import numpy as np

        flags = np.zeros(len(tree), np.int8)
        flags[tree.wanted] = 1
        part = slice(start, end)
        self._context.batch.add(
            tree.tokens[part], tree.depth[part], tree.first[part] + lane, tree.last[part] + lane, flags[part]
        )

    def _decode(self, wanted: Sequence[tuple[ScoringItem, int]]) -> None:
        """Evaluate the batch and let each item read its rows of logits."""
        self._context.decode()
        self.evaluated += self._context.batch.count
        if not wanted:
            return
        logits = self._context.logits(len(wanted))
        for row, (work, number) in zip(logits, wanted, strict=True):
            work.pieces[number] = work.read(number, row)
