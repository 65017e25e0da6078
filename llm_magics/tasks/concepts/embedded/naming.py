"""Names for groups of texts without a model: one or two noun phrases of their own, or a general subject.

A name covers its group and is rare elsewhere, and no two names share a word.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from llm_magics.tasks.concepts.embedded.choosing import assigned
from llm_magics.tasks.concepts.embedded.keywords import keyword_criterion, keywords
from llm_magics.tasks.concepts.embedded.phrases import Key, Reading, read_phrases
from llm_magics.tasks.concepts.embedded.ranking import Group, rank
from llm_magics.tasks.concepts.embedded.wording import spelled, written
from llm_magics.tasks.concepts.embedded.words import is_function_word, stem
from llm_magics.text.cleaning import clean_texts

READ = 300
"""Texts of a group that are read for its name."""
KEYWORDS = 5
WEAK = 0.25
"""Share of the best phrase's worth below which a phrase is no keyword."""
UNNAMED = "Unnamed group"
MIXED = "Mixed texts"
"""The name of a large group whose best phrase hardly any of its texts has a word of."""
THIN = 0.05
"""Share of a group's texts that have a word of its name, below which the name says something else."""
LARGE = 20
"""Texts of a group from which such a share says something."""


@dataclass(frozen=True)
class Described:
    """A group of texts in words: ``name``, ``criterion`` (a yes/no question) and ``keywords``, best first."""

    name: str
    criterion: str
    keywords: tuple[str, ...]


def described(
    texts: Sequence[str],
    groups: Sequence[Sequence[int]],
    *,
    taken: Collection[str] = (),
    embed: Callable[[Sequence[str]], Any] | None = None,
) -> list[Described]:
    """Name, criterion and keywords of each group of texts; texts in no group count as elsewhere.

    They are drawn from the texts without markup and boilerplate. No word of a name stands in another, or in
    one of the names that are ``taken``, as long as a group has other words at all. With ``embed`` phrases
    that mean what the group is about come before others that only occur in it, and in English texts general
    subjects ("Sports") are tried too. A group whose texts have no noun phrase goes by its best keyword. The
    order of the rows changes nothing, and no two names are equal.
    """
    clean = clean_texts(texts)
    words = keywords(clean, groups)
    sample, parts = _sampled(clean, groups)
    read = read_phrases(sample)
    used = {stem(word) for name in taken for word in name.split() if not is_function_word(word)}
    read_groups = [Group(set(part)) for part in parts]
    rank(read_groups, sample, read, embed)
    chosen = assigned(read_groups, read, used)
    thin = [_thin(keys, group.texts, read) for keys, group in zip(chosen, read_groups, strict=True)]
    names = ["" if few or not keys else written(keys, read) for keys, few in zip(chosen, thin, strict=True)]
    found = [
        _keywords(_best_phrases(group, keys, read), own)
        for group, keys, own in zip(read_groups, chosen, words, strict=True)
    ]
    given = {name for name in names if name} | set(taken)
    return [
        Described(
            name or (_numbered(MIXED, given) if few else _fallback(own, given)), keyword_criterion(own), own
        )
        for name, few, own in zip(names, thin, found, strict=True)
    ]


def _thin(keys: Sequence[Key], group: set[int], read: Reading) -> bool:
    """Whether hardly any text of a large group has a word of its name; a general subject needs none."""
    if not keys or len(group) < LARGE or any(read.phrases[key].heading for key in keys):
        return False
    held = set().union(*(read.holding.get(part, set()) for key in keys for part in key)) & group
    return len(held) < THIN * len(group)


def _keywords(phrases: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    rest = [word for word in words if not any(_overlap(word, phrase) for phrase in phrases)]
    return (*phrases, *rest)[:KEYWORDS]


def _fallback(words: Sequence[str], given: set[str]) -> str:
    """The best keyword that is no name yet, as a name; it counts as given then."""
    plain = [word for word in words if "'" not in word] or list(words)
    tried = (word[:1].upper() + word[1:] for word in plain)
    name = next((one for one in tried if one not in given), "")
    given |= {name} if name else set()
    return name or _numbered(UNNAMED, given)


def _numbered(name: str, given: set[str]) -> str:
    """The name, with a number where it is given already; it counts as given then."""
    name = next(one for one in (name if n == 1 else f"{name} {n}" for n in count(1)) if one not in given)
    given.add(name)
    return name


def _overlap(one: str, other: str) -> bool:
    return bool({stem(word) for word in one.split()} & {stem(word) for word in other.split()})


def _best_phrases(group: Group, named: Sequence[Key], read: Reading) -> list[str]:
    """The general subjects of the name and the group's best phrases, none of which repeats another's word."""
    kept = [key for key in named if read.phrases[key].heading]
    ranked = [
        (good, key) for good, key in group.ranked if not read.phrases[key].heading or _own(key, group, read)
    ]
    least = WEAK * ranked[0][0] if ranked else 0.0
    for good, key in ranked:
        if good < least or len(kept) == KEYWORDS:
            break
        if len(read.phrases[key].texts & group.texts) > 1 and not any(
            set(key) & set(other) for other in kept
        ):
            kept.append(key)
    return [spelled(read.phrases[key], read.words) for key in kept]


def _own(key: Key, group: Group, read: Reading) -> bool:
    """Whether a general subject is one word that the group's texts use: "taxes"."""
    return len(key) == 1 and len(read.holding.get(key[0], set()) & group.texts) > 1


def _sampled(texts: Sequence[str], groups: Sequence[Sequence[int]]) -> tuple[list[str], list[list[int]]]:
    """Up to ``READ`` texts of each group and of the rest, and the groups among them.

    They stand in an order of their own, so that the order of the rows changes no name.
    """
    inside = {row for group in groups for row in group}
    parts = [*groups, [row for row in range(len(texts)) if row not in inside]]
    kept = [_drawn(part, texts) for part in parts]
    rows = sorted({row for part in kept for row in part}, key=lambda row: (texts[row], row))
    places = {row: place for place, row in enumerate(rows)}
    return [texts[row] for row in rows], [[places[row] for row in part] for part in kept[:-1]]


def _drawn(rows: Sequence[int], texts: Sequence[str]) -> list[int]:
    """Up to ``READ`` rows, the same texts in whatever order they stand."""
    if len(rows) <= READ:
        return list(rows)
    return sorted(rows, key=lambda row: (zlib.crc32(texts[row].encode(errors="replace")), texts[row]))[:READ]
