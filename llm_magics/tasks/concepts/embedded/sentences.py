"""Documents split into sentences, and the most informative of them by similarity."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+(?=[^\sa-z])|\n+|(?<=[。！？])")
LONG = 400
"""Characters after which a sentence without an end is split at a space."""

Embed: TypeAlias = Callable[[Sequence[str]], Any]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, verbatim but for the space around them."""
    found = [part.strip() for part in _END.split(text)]
    return [piece for part in found if part for piece in _cut(part)]


def _cut(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > LONG:
        at = sentence.rfind(" ", 1, LONG)
        at = at if at > 0 else LONG
        pieces.append(sentence[:at].strip())
        sentence = sentence[at:].strip()
    return [*pieces, sentence] if sentence else pieces


def informative(texts: Sequence[str], embed: Embed, n: int, seed: str = "") -> list[list[str]]:
    """The ``n`` sentences of each text that are most like the whole of it, in their order.

    With a ``seed`` those most like the seed, and only ones that are about it: a text that isn't gives
    none.
    """
    parts = [sentences(text) for text in texts]
    flat = [sentence for part in parts for sentence in part]
    if not flat:
        return [[] for _ in texts]
    vectors = embed(flat)
    wholes = embed(texts)
    topic = embed([seed])[0] if seed else None
    ends = list(accumulate(map(len, parts)))
    return [
        _best(part, vectors[end - len(part) : end], whole, topic, n)
        for part, end, whole in zip(parts, ends, wholes, strict=True)
    ]


TOPICAL = 0.2
"""Cosine to the seed below which a sentence is not about it."""


def _best(part: list[str], vectors: Any, whole: Any, topic: Any, n: int) -> list[str]:
    likeness = vectors @ whole if topic is None else vectors @ topic
    order = likeness.argsort(kind="stable")[::-1][:n]
    kept = sorted(int(i) for i in order if topic is None or likeness[i] >= TOPICAL)
    return [part[i] for i in kept]
