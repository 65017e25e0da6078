"""Labels as token paths, and their exact probabilities from the logits at the nodes. No side effects.

Every label is a path of tokens that ends with the end-of-turn token, so that none is the beginning of
another. *Constrained*: at each node the softmax over its children only, multiplied along the path: the
distribution that grammar-constrained sampling draws from. *Joint*: the softmax over the whole vocabulary,
multiplied along the path: how likely the model is to write exactly this label unconstrained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llm_magics.core.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


ROOT = 0


class Trie:
    """The trie of the labels' token paths; node 0 is the end of the prompt.

    ``token``, ``parent`` and ``children`` are by node; ``leaves[i]`` is the node where label i ends.
    Raises UsageError where two labels have the same tokens.
    """

    def __init__(self, paths: Sequence[Sequence[int]]) -> None:
        self.token: list[int] = [-1]
        self.parent: list[int] = [-1]
        self.children: list[list[int]] = [[]]
        self.leaves: list[int] = []
        found: dict[tuple[int, int], int] = {}
        for path in paths:
            node = ROOT
            for token in map(int, path):
                if (node, token) not in found:
                    found[node, token] = self._grow(node, token)
                node = found[node, token]
            self.leaves.append(node)
        if len(set(self.leaves)) < len(paths) or any(self.children[leaf] for leaf in self.leaves):
            raise UsageError(
                "two labels are the same text, or one is the beginning of another, for this model."
            )

    def _grow(self, parent: int, token: int) -> int:
        node = len(self.token)
        self.token.append(token)
        self.parent.append(parent)
        self.children.append([])
        self.children[parent].append(node)
        return node

    def asked(self, joint: bool) -> list[int]:
        """The nodes whose logits are needed: those with several children, or (joint) every inner one."""
        least = 1 if joint else 2
        return [node for node, children in enumerate(self.children) if len(children) >= least]

    @cached_property
    def child_tokens(self) -> list[NDArray[Any]]:
        """The children's tokens by node, as arrays that index a row of logits."""
        import numpy as np

        return [np.array([self.token[child] for child in some], np.intp) for some in self.children]

    def read(self, node: int, logits: NDArray[Any], joint: bool) -> NDArray[Any]:
        """Log-probabilities of a node's children from its row of logits."""
        chosen = logits[self.child_tokens[node]].astype("float64")
        found: NDArray[Any] = chosen - log_sum_exp(logits if joint else chosen)
        return found

    def totals(self, pieces: Mapping[int, NDArray[Any]]) -> list[float]:
        """Each label's log-probability from the log-probabilities at the needed nodes."""
        total = [0.0] * len(self.token)
        for node, children in enumerate(self.children):  # parents come before their children
            piece = pieces.get(node)
            for place, child in enumerate(children):
                total[child] = total[node] + (float(piece[place]) if piece is not None else 0.0)
        return [total[leaf] for leaf in self.leaves]


def log_sum_exp(values: NDArray[Any]) -> float:
    """log(sum(exp(values))) without overflow."""
    import numpy as np

    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum(dtype=np.float64)))


@dataclass(frozen=True)
class Tree:
    """The tokens evaluated for one row: a chain, then branches, in depth-first order.

    ``depth`` is the distance from the prompt's start. Each leaf is a sequence (a lane); a token belongs
    to the sequences ``first <= lane < last`` of the leaves behind it. ``wanted`` are the places in
    ``tokens`` whose logits are read, in order; ``chain`` is the length of the part before the first
    branch.
    """

    tokens: NDArray[Any]
    depth: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]
    wanted: NDArray[Any]
    tips: int
    chain: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Branches:
    """The part of a tree behind its chain, with depths counted from the chain's end.

    ``order[i]`` names the i-th output (for labels: a node of the trie).
    """

    tokens: NDArray[Any]
    depth: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]
    wanted: NDArray[Any]
    tips: int
    order: tuple[int, ...]

    def behind(self, chain: NDArray[Any]) -> Tree:
        """The tree of a row whose own tokens are ``chain``."""
        import numpy as np

        length = len(chain)
        return Tree(
            np.concatenate([chain, self.tokens]),
            np.concatenate([np.arange(length, dtype=np.int32), self.depth + length]),
            np.concatenate([np.zeros(length, np.int32), self.first]),
            np.concatenate([np.full(length, self.tips, np.int32), self.last]),
            self.wanted + length,
            self.tips,
            length,
        )


def label_branches(trie: Trie, joint: bool) -> Branches:
    """The tokens that must be evaluated to score the trie's labels behind any row."""
    asked = set(trie.asked(joint))
    needed = {ROOT} | {up for node in asked for up in _above(trie, node)}
    return _branches(trie, needed, asked)


def path_branches(paths: Sequence[Sequence[int]]) -> Branches:
    """Whole paths behind one chain, with the logits needed at each path's end; ``order`` names paths."""
    trie = Trie([[*path, -1] for path in paths])  # the -1 keeps a path that is another's beginning apart
    ends = {trie.parent[leaf]: place for place, leaf in enumerate(trie.leaves)}
    branches = _branches(trie, {node for node in range(len(trie.token)) if trie.children[node]}, set(ends))
    return Branches(
        branches.tokens,
        branches.depth,
        branches.first,
        branches.last,
        branches.wanted,
        branches.tips,
        tuple(ends[node] for node in branches.order),
    )


def _above(trie: Trie, node: int) -> list[int]:
    """The node and its ancestors without the root."""
    found = []
    while node != ROOT:
        found.append(node)
        node = trie.parent[node]
    return found


def _branches(trie: Trie, needed: set[int], asked: set[int]) -> Branches:
    """The needed nodes in depth-first order, each with the range of leaves behind it."""
    import numpy as np

    rows: list[list[int]] = []  # token, depth, first tip, last tip
    order: list[tuple[int, int]] = [(-1, ROOT)] if ROOT in asked else []
    tips = 0

    def visit(node: int, depth: int) -> None:
        nonlocal tips
        place, before = len(rows), tips
        if node != ROOT:
            rows.append([trie.token[node], depth - 1, before, before])
            if node in asked:
                order.append((place, node))
        below = [child for child in trie.children[node] if child in needed]
        for child in below:
            visit(child, depth + 1)
        if not below:
            tips += 1
        if node != ROOT:
            rows[place][3] = tips

    visit(ROOT, 0)
    table = np.array(rows, np.int32).reshape(-1, 4)
    wanted = np.array([place for place, _ in order], np.intp)
    return Branches(
        table[:, 0], table[:, 1], table[:, 2], table[:, 3], wanted, tips, tuple(node for _, node in order)
    )


def split(tree: Tree, lanes: int, cells: int) -> list[tuple[Tree, list[int]]]:
    """The tree in parts of at most ``lanes`` leaves and ``cells`` tokens, each with the outputs it computes.

    A part has at least one leaf, however long its path is.
    """
    lanes = min(lanes, tree.tips)
    while True:
        parts = [_part(tree, start, min(start + lanes, tree.tips)) for start in range(0, tree.tips, lanes)]
        if lanes == 1 or max(len(part) for part, _ in parts) <= cells:
            return parts
        lanes = (lanes + 1) // 2


def _part(tree: Tree, start: int, end: int) -> tuple[Tree, list[int]]:
    """The tree of the leaves ``start <= leaf < end``; an output shared with earlier leaves is theirs."""
    import numpy as np

    kept = np.flatnonzero((tree.first < end) & (tree.last > start))
    mine = [number for number, place in enumerate(tree.wanted) if start <= tree.first[place] < end]
    part = Tree(
        tree.tokens[kept],
        tree.depth[kept],
        np.maximum(tree.first[kept], start) - start,
        np.minimum(tree.last[kept], end) - start,
        np.searchsorted(kept, tree.wanted[mine]),
        end - start,
        tree.chain,
    )
    return part, mine


def paths(tree: Tree) -> list[tuple[NDArray[Any], dict[int, int]]]:
    """Every leaf's whole path of tokens, with the outputs it computes: output number by place in the path.

    For models whose memory can't branch; an output on a shared stretch is computed by its first path.
    """
    import numpy as np

    found = []
    for tip in range(tree.tips):
        kept = np.flatnonzero((tree.first <= tip) & (tree.last > tip))
        places = {int(place): number for number, place in enumerate(tree.wanted) if tree.first[place] == tip}
        answers = {int(np.searchsorted(kept, place)): number for place, number in places.items()}
        found.append((tree.tokens[kept], answers))
    return found


LINE_END = "\n"
"""What follows a label in a text that the model continues."""


def as_continued(label: str) -> str:
    """A label as it stands in a text: behind a space."""
    return f" {label}"


YES = ("yes", "Yes", "YES", " yes", " Yes")
NO = ("no", "No", "NO", " no", " No")
"""The texts with which a no begins."""


def question(name: str) -> str:
    """The yes/no question about one label, added to the row's prompt."""
    return f'\n\nDoes the label "{name}" apply to the text? Answer yes or no, and nothing else.'


def over_half(scores: Mapping[str, float], most: int | None) -> list[str]:
    """The labels that are more likely to apply than not, in their order.

    The likeliest where there are too many.
    """
    sure = sorted((name for name, score in scores.items() if score >= 0.5), key=lambda name: -scores[name])
    return [name for name in scores if name in sure[:most]]
