"""Labelled rows as examples in a prompt: the same for all rows, or each row's nearest ones."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data.templates import cell_text, is_null
from llm_magics.text.label_names import label_name

PER_LABEL = 2
"""The default number of examples a label, where all rows see the same."""
NEAREST = 8
"""The default number of nearest examples a row."""
FOLDS = 5
"""The number of folds of examples, where a row may be one of them."""
EXACT_TO = 4096
"""With up to this many examples each query is compared with all of them."""
_PROBES = 6
_QUERIES = 8192


@dataclass(frozen=True)
class Gold:
    """Labelled texts, each text once; a label is a name, or with several labels a row a tuple of names."""

    texts: tuple[str, ...]
    labels: tuple[str | tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.texts)

    def pairs(self, places: Iterable[int]) -> tuple[tuple[str, str | tuple[str, ...]], ...]:
        """(text, label) at these positions."""
        return tuple((self.texts[i], self.labels[i]) for i in places)


def gold(texts: Sequence[Any], labels: Sequence[Any], known: Collection[str], *, many: bool = False) -> Gold:
    """The labelled rows that can be examples: text and label are there, the label is listed, the text is new.

    With ``many``, a label cell is a list of names, or one text with ``|`` between them. Raises UsageError
    where no row can be one, naming labels found and listed.
    """
    kept: dict[str, str | tuple[str, ...]] = {}
    strange: dict[str, None] = {}
    for text, cell in zip(map(cell_text, texts), labels, strict=True):
        cells = items_in(cell) if many else ([] if is_null(cell) else [cell])
        names = [label_name(each, known) for each in cells]
        unknown = [name for name in names if name not in known]
        strange |= dict.fromkeys(unknown)
        if text.strip() and names and not unknown:
            kept.setdefault(text, tuple(names) if many else names[0])
    if not kept:
        found = f" Found: {', '.join(list(strange)[:12])}." if strange else ""
        raise UsageError(
            "no labelled example can be used.", hint=f"Labels: {', '.join(list(known)[:12])}.{found}"
        )
    return Gold(tuple(kept), tuple(kept.values()))


def names_in(cell: Any) -> list[str]:
    """The labels of a cell that holds several, as texts: a list, or a text with ``|`` between them."""
    return [str(item) for item in items_in(cell)]


def items_in(cell: Any) -> list[Any]:
    """The labels of a cell that holds several, as they stand there."""
    cell = cell.tolist() if hasattr(cell, "tolist") else cell
    if isinstance(cell, list | tuple | set | frozenset):
        return [name for name in cell if not is_null(name)]
    return [] if is_null(cell) else [part.strip() for part in str(cell).split("|") if part.strip()]


def fixed(examples: Gold, k: int | None = None, seed: int = 0) -> list[int]:
    """``k`` positions, drawn by ``seed``: label by label in turn, so that a rare one has its share.

    By default two a label. A label with fewer rows is left out of the later turns. The examples are
    shuffled, so that the prompt doesn't end in a block of one label.
    """
    chance = random.Random(seed)  # noqa: S311 - a reproducible draw
    by_label: dict[Any, list[int]] = {}
    for place, label in enumerate(examples.labels):
        by_label.setdefault(label[0] if isinstance(label, tuple) else label, []).append(place)
    for places in by_label.values():
        chance.shuffle(places)
    turns = PER_LABEL if k is None else max(map(len, by_label.values()))
    drawn = [places[turn] for turn in range(turns) for places in by_label.values() if turn < len(places)]
    chosen = drawn[:k]
    chance.shuffle(chosen)
    return chosen


def folds(examples: Gold) -> list[int]:
    """A fold a position, each label spread over all folds: a row never learns from its own fold."""
    count: dict[Any, int] = {}
    found = []
    for label in examples.labels:
        found.append(count.setdefault(label, 0) % FOLDS)
        count[label] += 1
    return found


class Nearest:
    """Nearest neighbours among unit vectors: exact up to ``EXACT_TO``, beyond that by cells.

    Cells are those of an inverted file (Sivic & Zisserman 2003): vectors are grouped around about
    ``sqrt(n)`` centres, and a query searches the nearest six groups.
    """

    def __init__(self, vectors: Any, seed: int = 0) -> None:
        import numpy as np

        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        n = len(self.vectors)
        self.centres = self._centres(seed) if n > EXACT_TO else self.vectors[:0]
        if n > EXACT_TO:
            home = self._homes(self.vectors)
            order = np.argsort(home, kind="stable")
            bounds = np.searchsorted(home[order], np.arange(len(self.centres) + 1))
            self._cells = [order[a:b] for a, b in pairwise(bounds)]

    def _centres(self, seed: int) -> Any:
        import numpy as np

        chance = np.random.default_rng(seed)
        count = round(len(self.vectors) ** 0.5)
        some = self.vectors[
            chance.choice(len(self.vectors), min(len(self.vectors), 50 * count), replace=False)
        ]
        self.centres = some[:count].copy()
        for _ in range(4):
            home = self._homes(some)
            sums = np.zeros_like(self.centres)
            np.add.at(sums, home, some)
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            self.centres = np.where(norms > 0, sums / np.maximum(norms, 1e-12), self.centres)
        return self.centres

    def _homes(self, vectors: Any) -> Any:
        import numpy as np

        blocks = range(0, len(vectors), _QUERIES)
        return np.concatenate([(vectors[i : i + _QUERIES] @ self.centres.T).argmax(axis=1) for i in blocks])

    def query(self, vectors: Any, k: int) -> Any:
        """Positions of the ``k`` nearest by dot product, most similar first: int64 (n, k), -1 for none."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        search = self._in_cells if len(self.centres) else self._in_all
        # Many small products: threads would spend more work on waiting for each other.
        with threadpool_limits(limits=1):
            blocks = [search(vectors[i : i + _QUERIES], k) for i in range(0, len(vectors), _QUERIES)]
        return np.concatenate(blocks) if blocks else np.empty((0, k), dtype=np.int64)

    def _in_all(self, queries: Any, k: int) -> Any:
        import numpy as np

        return _top(
            queries @ self.vectors.T,
            np.broadcast_to(np.arange(len(self.vectors)), (len(queries), len(self.vectors))),
            k,
        )[1]

    def _in_cells(self, queries: Any, k: int) -> Any:
        """Cell by cell, all queries that search it at once; the best so far are kept."""
        import numpy as np

        probes = np.argpartition(-(queries @ self.centres.T), _PROBES - 1, axis=1)[:, :_PROBES]
        best = np.full((len(queries), k), -np.inf, dtype=np.float32)
        places = np.full((len(queries), k), -1, dtype=np.int64)
        flat = probes.ravel()
        order = np.argsort(flat, kind="stable")
        asking = order // _PROBES
        bounds = np.searchsorted(flat[order], np.arange(len(self.centres) + 1))
        for cell, members in enumerate(self._cells):
            rows = asking[bounds[cell] : bounds[cell + 1]]
            if not len(rows) or not len(members):
                continue
            scores = np.concatenate([best[rows], queries[rows] @ self.vectors[members].T], axis=1)
            known = np.concatenate(
                [places[rows], np.broadcast_to(members, (len(rows), len(members)))], axis=1
            )
            best[rows], places[rows] = _top(scores, known, k)
        return places


def _top(scores: Any, places: Any, k: int) -> tuple[Any, Any]:
    """The ``k`` highest scores of each row and their positions, highest first.

    Padded where there are fewer.
    """
    import numpy as np

    short = k - scores.shape[1]
    if short > 0:
        scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        places = np.pad(places, ((0, 0), (0, short)), constant_values=-1)
    at = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    top = np.take_along_axis(scores, at, axis=1)
    rank = np.argsort(-top, axis=1, kind="stable")
    at = np.take_along_axis(at, rank, axis=1)
    return np.take_along_axis(scores, at, axis=1), np.take_along_axis(places, at, axis=1)


def shots(examples: Gold, near: Sequence[int], text: str, k: int) -> tuple[int, ...]:
    """The ``k`` of the nearest positions to show, least similar first; never the row itself.

    A gold row with this very text is the row itself, or a copy that would give its label away.
    """
    kept = [place for place in near if place >= 0 and examples.texts[place] != text][:k]
    return tuple(reversed(kept))
