"""Names for groups of texts without a model: one or two noun phrases of their own, or a general subject.

A name covers its group and is rare elsewhere, and no two names share a word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
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
    that mean what the group is about come before others that only occur in it. A group whose texts have
    no noun phrase goes by its best keyword.
    """
    clean = clean_texts(texts)
    words = keywords(clean, groups)
    sample, parts = _sampled(clean, groups)
    read = read_phrases(sample)
    used = {stem(word) for name in taken for word in name.split() if not is_function_word(word)}
    read_groups = [Group(set(part)) for part in parts]
    rank(read_groups, sample, read, embed)
    names = [written(keys, read) if keys else "" for keys in assigned(read_groups, read, used)]
    return [
        _described(name, _best_phrases(group, read), own)
        for name, group, own in zip(names, read_groups, words, strict=True)
    ]


def _described(name: str, phrases: Sequence[str], words: Sequence[str]) -> Described:
    rest = [word for word in words if not any(_overlap(word, phrase) for phrase in phrases)]
    own = (*phrases, *rest)[:KEYWORDS]
    plain = next((one for one in own if "'" not in one), own[0] if own else UNNAMED)
    fallback = plain[:1].upper() + plain[1:]
    return Described(name or fallback, keyword_criterion(own), own)


def _overlap(one: str, other: str) -> bool:
    return bool({stem(word) for word in one.split()} & {stem(word) for word in other.split()})


def _best_phrases(group: Group, read: Reading) -> list[str]:
    """The group's best phrases, none of which repeats another's word."""
    kept: list[Key] = []
    least = WEAK * group.ranked[0][0] if group.ranked else 0.0
    for value, key in group.ranked:
        if value < least:
            break
        if read.phrases[key].heading:
            continue
        if len(read.phrases[key].texts & group.texts) > 1 and not any(
            set(key) & set(other) for other in kept
        ):
            kept.append(key)
        if len(kept) == KEYWORDS:
            break
    return [spelled(read.phrases[key], read.words) for key in kept]


def _sampled(texts: Sequence[str], groups: Sequence[Sequence[int]]) -> tuple[list[str], list[list[int]]]:
    """Up to ``READ`` texts of each group and of the rest, evenly drawn, and the groups among them."""
    inside = {row for group in groups for row in group}
    parts = [*map(list, groups), [row for row in range(len(texts)) if row not in inside]]
    kept = [part[:: max(1, -(-len(part) // READ))] for part in parts]
    places = {row: place for place, row in enumerate(sorted({row for part in kept for row in part}))}
    return [texts[row] for row in places], [[places[row] for row in part] for part in kept[:-1]]
