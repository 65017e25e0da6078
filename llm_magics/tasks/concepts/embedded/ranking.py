"""How good a phrase is as the name of a group: what it covers, its form, how near it comes in meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.tasks.concepts.embedded.headings import CLOSE, NEAR, Heading, in_english, near_headings, unit
from llm_magics.tasks.concepts.embedded.phrases import Key, Phrase, Reading, key_of
from llm_magics.tasks.concepts.embedded.wording import definite, spelled
from llm_magics.tasks.concepts.embedded.words import INSTITUTIONS, is_function_word, stem

KEPT = 96
"""Phrases of a group that are ranked by meaning."""
PRECISE = 0.85
"""Beta of the F-score of "holds the phrase" for "is of the group"; below one, rarity weighs more."""
WORDS = {1: 0.75, 2: 1.25, 3: 1.15, 4: 0.9}
"""Two words tell more than one, and four are long."""
PART = 0.6
"""Weight of a phrase's own best word beside the phrase: "lost phone" names all texts about phones."""
OFTEN = 0.12
"""Share of the group's texts that hold a phrase from which its words count for it."""
GENERAL = {1: 0.35, 2: 0.6}
"""Weight of a word that many topics have in common ("country"), and of a phrase with one ("Labor Act")."""
LEAD = 0.8
"""Weight of a phrase that begins with a vague adjective ("Old Age")."""
HEADING = 1.1
"""Weight of a general subject beside a phrase of the texts."""
OTHERS = 0.05
"""Share of the group's texts that hold a word of a heading other than the most frequent one."""
QUITE_NEAR, VERY_NEAR = 0.4, 0.5
"""Cosines to a heading from which two of its words in the group are enough, and one; below it takes three."""
A_FEW = 10
"""Texts of a group below which there may be too few to hold two words of what they are about."""
FEW = 4
"""Texts of a group from which what a single one of them says is no name for it."""


@dataclass
class Group:
    """The texts of a group, and its phrases with how good each is by itself, best first."""

    texts: set[int]
    ranked: list[tuple[float, Key]] = field(default_factory=list)

    @property
    def words(self) -> set[str]:
        """The stems of all its phrases."""
        return {part for _, key in self.ranked for part in key}

    def add(self, worth: float, key: Key) -> None:
        """Rank a phrase, in place of what goes by the same words."""
        self.ranked = _sorted([*(one for one in self.ranked if one[1] != key), (worth, key)])


def rank(
    groups: Sequence[Group], texts: Sequence[str], read: Reading, embed: Callable[[Sequence[str]], Any] | None
) -> None:
    """Rank the phrases of each group, with ``embed`` by meaning too and beside general subjects."""
    for group in groups:
        group.ranked = _ranked(read, group.texts)[:KEPT]
    if embed is None or not groups or not texts:
        return
    import numpy as np

    vectors = np.asarray(embed(texts))
    _by_meaning(groups, vectors, read, embed)
    if in_english(texts):
        _with_headings(groups, vectors, read, embed)


def _sorted(scored: list[tuple[float, Key]]) -> list[tuple[float, Key]]:
    return sorted(scored, key=lambda one: (-one[0], one[1]))


def _ranked(read: Reading, group: set[int]) -> list[tuple[float, Key]]:
    """The phrases of a group, best first; those of two texts and more, but in a handful of texts."""
    for least in (2, 1) if len(group) < FEW else (2,):
        scored = [
            (value(key, read, group) * _form(key, read), key)
            for key, phrase in read.phrases.items()
            if len(phrase.texts & group) >= least and not (phrase.vague and not _apart(key, read, group))
        ]
        if scored:
            break
    return _sorted(scored)


def _form(key: Key, read: Reading) -> float:
    """How much a phrase tells by its form: its length, and whether it is more than an institution."""
    vague = any(part in _INSTITUTIONS for part in key)
    general = GENERAL[min(2, len(key))] if vague else 1.0
    return WORDS[min(4, len(key))] * general * (LEAD if read.phrases[key].vague else 1.0)


_INSTITUTIONS = {stem(word) for word in INSTITUTIONS}


def _apart(key: Key, read: Reading, group: set[int]) -> bool:
    """Whether a vague adjective sets the group apart better than its noun alone ("small business")."""
    own = read.phrases[key].texts
    return len(own & group) >= 4 and worth(own, group) > worth(read.holding[key[-1]], group)


def value(key: Key, read: Reading, group: set[int]) -> float:
    """How well a phrase covers the group; where many texts have it, its best word counts too."""
    own = worth(read.phrases[key].texts, group)
    if read.phrases[key].heading:
        return own
    if len(key) == 1:
        return max(own, (own + worth(read.holding[key[0]], group)) / 2)
    if len(read.phrases[key].texts & group) < max(3, OFTEN * len(group)):
        return own
    return max(own, (1 - PART) * own + PART * max(worth(read.holding[part], group) for part in key))


def worth(holding: set[int], group: set[int]) -> float:
    """The F-score of "holds it" for "is of the group", with one further text that holds it elsewhere."""
    hits = len(holding & group)
    if not hits:
        return 0.0
    precision = hits / (len(holding) + 1)
    recall = hits / len(group)
    weight = PRECISE**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


def _by_meaning(
    groups: Sequence[Group], vectors: Any, read: Reading, embed: Callable[[Sequence[str]], Any]
) -> None:
    """Weigh each phrase by its cosine to the middle of its group, of vectors less the mean of all texts."""
    import numpy as np

    mean = vectors.mean(axis=0)
    keys = list(dict.fromkeys(key for group in groups for _, key in group.ranked))
    if not keys:
        return
    own = unit(np.asarray(embed([spelled(read.phrases[key], read.words) for key in keys])) - mean)
    places = {key: number for number, key in enumerate(keys)}
    for key, vector in zip(keys, own, strict=True):
        read.phrases[key].vector = vector
    for group in groups:
        near = own @ unit((vectors[sorted(group.texts)] - mean).mean(axis=0))
        group.ranked = _sorted([(good * _weight(near[places[key]]), key) for good, key in group.ranked])


def _weight(near: float) -> float:
    return 0.35 + max(0.0, float(near))


def _with_headings(
    groups: Sequence[Group], vectors: Any, read: Reading, embed: Callable[[Sequence[str]], Any]
) -> None:
    """Let general subjects compete with the phrases of the groups that they are near to."""
    for heading in near_headings(vectors, [group.texts for group in groups], embed):
        key = key_of(heading.words)
        phrase = read.phrases.setdefault(key, Phrase())
        phrase.texts |= _about(heading, groups)
        phrase.definite *= definite(phrase)
        phrase.written, phrase.heading, phrase.vector = Counter({heading.words: 1}), True, heading.vector
        for group, near in zip(groups, heading.near, strict=True):
            good = worth(phrase.texts, group.texts) * HEADING * _weight(near)
            if good and near >= CLOSE and _spoken_of(heading, near, group.texts, read):
                group.add(good, key)


def _about(heading: Heading, groups: Sequence[Group]) -> set[int]:
    """The texts that are about a heading: from the cosine that fits the group best that is nearest to it."""
    nearest = groups[max(range(len(groups)), key=lambda n: heading.near[n])]
    found = [set((heading.texts >= least).nonzero()[0].tolist()) for least in NEAR]
    return max(found, key=lambda texts: worth(texts, nearest.texts))


def _spoken_of(heading: Heading, near: float, group: set[int], read: Reading) -> bool:
    """Whether several of a heading's words stand in the group: "star" alone makes no celebrities.

    Two are enough where the group is very near, or near and one is what the heading is of ("hours", not
    "opening"), and that one where few texts are very near.
    """
    words = {stem(word) for word in f"{heading.name} {heading.about}".split() if not is_function_word(word)}
    held = {word: texts for word in words if (texts := read.holding.get(word, _NONE) & group)}
    nouns = {stem(part.split()[-1]) for part in heading.name.split(" and ")} & held.keys()
    if near >= VERY_NEAR and len(group) < A_FEW and (len(held) > 1 or nouns):
        return True
    least = 2 if near >= VERY_NEAR or (near >= QUITE_NEAR and nouns) else 3
    if len(held) < least:
        return False
    others = sorted(held, key=lambda word: (len(held[word]), word))[:-1]
    return len(set().union(*(held[word] for word in others))) >= max(2, OTHERS * len(group))


_NONE: set[int] = set()
