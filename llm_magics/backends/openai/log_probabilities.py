"""Probabilities of labels from the log-probabilities of an answer's tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

FEW = 5
"""Alternatives a token where the user asked for no scores: enough for the label's own probability."""

SMALL = 0.01
"""Probability that may be unaccounted for before a label that was never seen counts as unknown."""


def label_scores(entries: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float] | None:
    """P(label) for each of ``names`` that the tokens determine, or None where they determine none.

    ``entries`` are the answer's tokens with their alternatives (``logprobs.content``). The answer's label
    is followed token by token. An alternative that only one label continues gives that label its whole
    probability; an alternative that several labels share is a branch that was not taken, whose split is
    unknown, so its labels are left out of the result while its probability still counts. Alternatives
    that no label continues (another spelling, other words) are dropped, and the rest is normalised over
    the labels. A label that was never among the alternatives is 0 where at most 1 % is unaccounted for,
    else left out. The values are exact wherever the labels differ at tokens whose alternatives the host
    lists.
    """
    tokens = [_bytes(entry) for entry in entries]
    found = _label_at(b"".join(tokens), names)
    if found is None:
        return None
    start, ends = found
    walk = _Walk(ends)
    at = 0
    for token, entry in zip(tokens, entries, strict=True):
        end = at + len(token)
        if end > start:
            before = token[: max(0, start - at)]
            if not walk.step(token, before, entry):
                break
        at = end
    return walk.scores()


def _bytes(entry: Mapping[str, Any]) -> bytes:
    """A token's bytes; its text alone can't tell parts of one character."""
    raw = entry.get("bytes")
    if isinstance(raw, list) and raw and all(isinstance(byte, int) and 0 <= byte < 256 for byte in raw):
        return bytes(raw)
    return str(entry.get("token", "")).encode("utf-8", "replace")


def _others(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A token's alternatives."""
    listed = entry.get("top_logprobs")
    return [other for other in listed if isinstance(other, Mapping)] if isinstance(listed, list) else []


def _label_at(text: bytes, names: Sequence[str]) -> tuple[int, dict[str, bytes]] | None:
    """Where the label begins, and each label as it would be spelt to its end.

    In JSON a label ends with its quote, so that no label is the beginning of another; a bare answer has
    no such end.
    """
    quoted = {name: json.dumps(name, ensure_ascii=False).encode("utf-8", "replace")[1:] for name in names}
    key = text.find(b'"label"')
    if key >= 0:
        start = text.find(b'"', key + 7) + 1
        return (start, quoted) if start else None
    start = len(text) - len(text.lstrip())
    bare = {name: name.encode("utf-8", "replace") for name in names}
    return (start, bare) if text.strip() in bare.values() else None


class _Walk:
    """The path of the answer through the tree of labels, and the probabilities seen beside it."""

    def __init__(self, ends: Mapping[str, bytes]) -> None:
        self.ends = ends
        self.left = list(ends)
        self.spelt = b""
        self.mass = 1.0
        self.known: dict[str, float] = {}
        self.unsplit = 0.0
        self.doubtful: set[str] = set()
        self.unseen = 0.0

    def step(self, token: bytes, before: bytes, entry: Mapping[str, Any]) -> bool:
        """Follow one token; False once only one label is left (or none)."""
        chances = {_bytes(other): _chance(other) for other in _others(entry)}
        chances[token] = _chance(entry)
        piece = token[len(before) :]
        taken = self.compatible(piece)
        groups: dict[tuple[str, ...], float] = {}
        for other, chance in chances.items():
            group = self.reached(other[len(before) :], piece, taken) if self.begins(other, before) else ()
            if group:
                groups[group] = groups.get(group, 0.0) + chance
        total = sum(groups.values())
        if not taken or total <= 0:
            return False
        self.share(groups, taken, total, max(0.0, 1 - sum(chances.values())))
        self.spelt += piece
        self.left = list(taken)
        return len(taken) > 1

    def begins(self, other: bytes, before: bytes) -> bool:
        """True where an alternative starts the label at the same place as the token."""
        return len(other) > len(before) and other.startswith(before)

    def compatible(self, piece: bytes) -> tuple[str, ...]:
        """The remaining labels that ``piece`` continues."""
        text = self.spelt + piece
        return tuple(n for n in self.left if self.ends[n].startswith(text) or text.startswith(self.ends[n]))

    def reached(self, other: bytes, piece: bytes, taken: tuple[str, ...]) -> tuple[str, ...]:
        """The labels that an alternative leads to.

        An alternative that is the beginning of the token taken leads to the labels which that token
        excludes: a tokenizer spells the same text in the same way, and the remaining labels were spelt
        with the longer token.
        """
        labels = self.compatible(other)
        if other != piece and piece.startswith(other):
            return tuple(name for name in labels if name not in taken) or taken
        return labels

    def share(
        self, groups: Mapping[tuple[str, ...], float], taken: tuple[str, ...], total: float, rest: float
    ) -> None:
        """Give each alternative's probability to its label; continue with the part of the token taken."""
        mass = self.mass / total
        for group, chance in groups.items():
            if group == taken:
                continue
            if len(group) == 1:
                self.known[group[0]] = self.known.get(group[0], 0.0) + chance * mass
            else:
                self.unsplit += chance * mass
                self.doubtful.update(group)
        self.unseen += self.mass * rest
        self.mass = groups[taken] * mass
        if len(taken) == 1:
            self.known[taken[0]] = self.known.get(taken[0], 0.0) + self.mass
            self.mass = 0.0

    def scores(self) -> dict[str, float] | None:
        """The probabilities that are known."""
        exact = [name for name in self.left if self.ends[name] == self.spelt]
        if self.mass and exact:
            # a bare answer's end: which of two labels with one beginning it was is read off the text
            self.known[exact[0]] = self.known.get(exact[0], 0.0) + self.mass
        elif self.mass:
            self.unsplit += self.mass
            self.doubtful.update(self.left)
        total = sum(self.known.values()) + self.unsplit
        if not self.known or total <= 0:
            return None
        if self.unsplit > SMALL:
            return {n: score / total for n, score in self.known.items() if n not in self.doubtful} or None
        whole = self.unseen <= SMALL
        return {n: self.known.get(n, 0.0) / total for n in self.ends if whole or n in self.known}


def _chance(entry: Mapping[str, Any]) -> float:
    """A token's probability; 0 where it is no number."""
    try:
        chance = math.exp(float(entry.get("logprob", -math.inf)))
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(1.0, chance) if chance >= 0 else 0.0
