"""Names for groups of texts without a model: one or two noun phrases of their own.

A name covers its group and is rare elsewhere, and no two names share a word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from llm_magics.tasks.concepts.embedded.keywords import keyword_criterion, keywords
from llm_magics.tasks.concepts.embedded.phrases import Key, Phrase, Reading, read_phrases
from llm_magics.tasks.concepts.embedded.words import (
    INSTITUTIONS,
    Vocabulary,
    is_function_word,
    stem,
)
from llm_magics.text.cleaning import clean_texts

READ = 300
"""Texts of a group that are read for its name."""
CONSIDERED = 24
"""Phrases of a group that are tried in pairs."""

PRECISE = 0.7
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
ONLY_NAMES = 0.8
"""Weight of a single proper name, which says who and not what, as the whole name."""
LAST_RESORT = 0.35
"""Where a name without the words of others is worth less than this share of the best name, a phrase may
share a word with another name and differ in the rest ("activate card", "new card")."""
PAIR = 1.0
BARE = 0.7
"""Weight of a single word as the whole name."""
ADDED = 0.05
"""Share of the group's texts that a second phrase adds at least."""
MOST_WORDS = 6
KEYWORDS = 5
WEAK = 0.25
"""Share of the best phrase's worth below which a phrase is no keyword."""
UNNAMED = "Unnamed group"


@dataclass(frozen=True, order=True)
class _Option:
    """A possible name of a group."""

    worth: float
    group: int
    keys: tuple[Key, ...]


@dataclass
class _Group:
    """The texts of a group, and its phrases with how good each is by itself, best first."""

    texts: set[int]
    ranked: list[tuple[float, Key]] = field(default_factory=list)

    @property
    def words(self) -> set[str]:
        """The stems of all its phrases."""
        return {part for _, key in self.ranked for part in key}


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
    read_groups = [_Group(set(part)) for part in parts]
    for group in read_groups:
        group.ranked = _ranked(read, group.texts)[: 4 * CONSIDERED]
    if embed is not None:
        _by_meaning(read_groups, sample, read, embed)
    names = [_written(keys, read) for keys in _assigned(read_groups, read, used)]
    return [
        _described(name, _best_phrases(group, read), own)
        for name, group, own in zip(names, read_groups, words, strict=True)
    ]


def _described(name: str, phrases: Sequence[str], words: Sequence[str]) -> Described:
    rest = [word for word in words if not any(_overlap(word, phrase) for phrase in phrases)]
    own = (*phrases, *rest)[:KEYWORDS]
    fallback = own[0][:1].upper() + own[0][1:] if own else UNNAMED
    return Described(name or fallback, keyword_criterion(own), own)


def _overlap(one: str, other: str) -> bool:
    return bool({stem(word) for word in one.split()} & {stem(word) for word in other.split()})


def _best_phrases(group: _Group, read: Reading) -> list[str]:
    """The group's best phrases, none of which repeats another's word."""
    kept: list[Key] = []
    least = WEAK * group.ranked[0][0] if group.ranked else 0.0
    for value, key in group.ranked:
        if value < least:
            break
        if len(read.phrases[key].texts & group.texts) > 1 and not any(
            set(key) & set(other) for other in kept
        ):
            kept.append(key)
        if len(kept) == KEYWORDS:
            break
    return [_spelled(read.phrases[key], read.words) for key in kept]


def _sampled(texts: Sequence[str], groups: Sequence[Sequence[int]]) -> tuple[list[str], list[list[int]]]:
    """Up to ``READ`` texts of each group and of the rest, evenly drawn, and the groups among them."""
    inside = {row for group in groups for row in group}
    parts = [*map(list, groups), [row for row in range(len(texts)) if row not in inside]]
    kept = [part[:: max(1, -(-len(part) // READ))] for part in parts]
    places = {row: place for place, row in enumerate(sorted({row for part in kept for row in part}))}
    return [texts[row] for row in places], [[places[row] for row in part] for part in kept[:-1]]


def _assigned(groups: Sequence[_Group], read: Reading, used: set[str]) -> list[tuple[Key, ...]]:
    """The phrases of each name. A contested word goes to the group that would lose most without it."""
    waiting = {n: _with_loss(n, group, read, used) for n, group in enumerate(groups)}
    chosen: dict[int, tuple[Key, ...]] = {}
    while waiting:
        number = max(waiting, key=lambda n: waiting[n][1])
        chosen[number] = waiting.pop(number)[0].keys
        fresh = {part for key in chosen[number] for part in key}
        used |= fresh
        for n in waiting:
            if fresh & groups[n].words:
                waiting[n] = _with_loss(n, groups[n], read, used)
    return [chosen[number] for number in range(len(groups))]


def _with_loss(number: int, group: _Group, read: Reading, used: set[str]) -> tuple[_Option, float]:
    """The best name of a group, and how much better it is than the best one without its words."""
    best = _best(number, group, read, used)
    if used:
        free = _best(number, group, read, set(), fresh_from=used)
        best = free if best.worth < LAST_RESORT * free.worth else best
    words = {part for key in best.keys for part in key}
    return best, best.worth - _best(number, group, read, used | words).worth


def _ranked(read: Reading, group: set[int]) -> list[tuple[float, Key]]:
    """The phrases of a group, best first; those of two texts and more where there are any."""
    for least in (2, 1):
        scored = [
            (_value(key, read, group) * _form(key, read), key)
            for key, phrase in read.phrases.items()
            if len(phrase.texts & group) >= least and not (phrase.vague and not _apart(key, read, group))
        ]
        if scored:
            break
    return sorted(scored, key=lambda one: (-one[0], one[1]))


def _form(key: Key, read: Reading) -> float:
    """How much a phrase tells by its form: its length, and whether it is more than an institution."""
    vague = any(part in _INSTITUTIONS for part in key)
    general = GENERAL[min(2, len(key))] if vague else 1.0
    return WORDS[min(4, len(key))] * general * (LEAD if read.phrases[key].vague else 1.0)


_INSTITUTIONS = {stem(word) for word in INSTITUTIONS}


def _apart(key: Key, read: Reading, group: set[int]) -> bool:
    """Whether a vague adjective sets the group apart better than its noun alone ("small business")."""
    own = read.phrases[key].texts
    return len(own & group) >= 4 and _worth(own, group) > _worth(read.holding[key[-1]], group)


def _value(key: Key, read: Reading, group: set[int]) -> float:
    """How well a phrase covers the group; where many texts have it, its best word counts too."""
    own = _worth(read.phrases[key].texts, group)
    if len(key) == 1:
        return max(own, (own + _worth(read.holding[key[0]], group)) / 2)
    if len(read.phrases[key].texts & group) < max(3, OFTEN * len(group)):
        return own
    return max(own, (1 - PART) * own + PART * max(_worth(read.holding[part], group) for part in key))


def _worth(holding: set[int], group: set[int]) -> float:
    """The F-score of "holds it" for "is of the group", with one further text that holds it elsewhere."""
    hits = len(holding & group)
    if not hits:
        return 0.0
    precision = hits / (len(holding) + 1)
    recall = hits / len(group)
    weight = PRECISE**2
    return (1 + weight) * precision * recall / (weight * precision + recall)


def _by_meaning(
    groups: Sequence[_Group], texts: Sequence[str], read: Reading, embed: Callable[[Sequence[str]], Any]
) -> None:
    """Weigh each phrase by its cosine to the middle of its group, of vectors less the mean of all texts."""
    import numpy as np

    whole = np.asarray(embed(texts))
    mean = whole.mean(axis=0)
    keys = list(dict.fromkeys(key for group in groups for _, key in group.ranked))
    if not keys:
        return
    own = _unit(np.asarray(embed([_spelled(read.phrases[key], read.words) for key in keys])) - mean)
    places = {key: number for number, key in enumerate(keys)}
    for group in groups:
        middle = _unit((whole[sorted(group.texts)] - mean).mean(axis=0))
        near = own @ middle
        weighed = [(worth * (0.35 + max(0.0, float(near[places[key]]))), key) for worth, key in group.ranked]
        group.ranked = sorted(weighed, key=lambda one: (-one[0], one[1]))


def _unit(vectors: Any) -> Any:
    import numpy as np

    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _best(
    number: int, group: _Group, read: Reading, used: set[str], fresh_from: Collection[str] = ()
) -> _Option:
    """The best single phrase, or the pair that covers more of the group between them.

    With ``fresh_from`` each phrase has to bring a word that is not among these.
    """
    free = [
        (value, key)
        for value, key in group.ranked
        if not used & set(key) and not (fresh_from and set(key) <= set(fresh_from))
    ][:CONSIDERED]
    if not free:
        return _Option(0.0, number, ())
    best = max(_Option(value * _alone(key, read), number, (key,)) for value, key in free)
    quality = {key: value / _value(key, read, group.texts) for value, key in free}
    covered = {key: _covered(key, read, group.texts) for _, key in free}
    for (_, one), (_, other) in combinations(free, 2):
        least = max(2, ADDED * len(group.texts))
        added = len((covered[other] - covered[one]) & group.texts)
        if added < least or _clash(one, other, read.phrases):
            continue
        both = _worth(covered[one] | covered[other], group.texts)
        value = both * (quality[one] * quality[other]) ** 0.5 * PAIR
        if value > best.worth:
            best = _Option(value, number, (one, other))
    return best


def _alone(key: Key, read: Reading) -> float:
    """How well a phrase stands as the whole name: a single word badly, a proper name less well."""
    if len(key) == 1:
        return BARE
    return ONLY_NAMES if _spelled(read.phrases[key], read.words).istitle() else 1.0


def _covered(key: Key, read: Reading, group: set[int]) -> set[int]:
    """The texts that a phrase stands for: those that hold it, or its best word where that is better."""
    own = read.phrases[key].texts
    if len(key) == 1:
        return own
    if len(own & group) < max(3, OFTEN * len(group)):
        return own
    return max((own, *(read.holding[part] for part in key)), key=lambda held: _worth(held, group))


def _clash(one: Key, other: Key, found: dict[Key, Phrase]) -> bool:
    """Whether two phrases make no good pair: a word in both, a verb and a noun, too long, "and" twice."""
    joined = any("and" in spelled for key in (one, other) for spelled in found[key].written)
    return (
        joined
        or found[one].verb != found[other].verb
        or len(one) + len(other) > MOST_WORDS
        or any(_same(a, b) for a in one for b in other)
    )


def _same(one: str, other: str) -> bool:
    """Whether two stems are one word or one is made of the other (``iraq``, ``iraqi``)."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and long.startswith(short))


def _written(keys: Sequence[Key], read: Reading) -> str:
    """The phrases as they stand in the texts, joined, with a capital at the start."""
    parts = [_spelled(read.phrases[key], read.words) for key in keys]
    if len(keys) == 2 and _definite(read.phrases[keys[1]]) and parts[1].islower():
        parts[1] = f"the {parts[1]}"
    name = " and ".join(parts)
    return name[:1].upper() + name[1:]


def _definite(phrase: Phrase) -> bool:
    """Whether texts mostly write "the" before it, as of what there is one of: "the economy"."""
    return phrase.definite >= 3 and phrase.definite > 0.6 * phrase.places


def _spelled(phrase: Phrase, words: Vocabulary) -> str:
    """The phrase as most texts write it inside a sentence."""
    if phrase.written:
        written = phrase.written.most_common(1)[0][0]
        return " ".join(_quiet(word, words) for word in written)
    first, *rest = phrase.begun.most_common(1)[0][0]
    named = bool(rest) and rest[0][0].isupper() and not rest[0].isupper()
    return " ".join([first if named else words.spelling(first), *(_quiet(word, words) for word in rest)])


def _quiet(word: str, words: Vocabulary) -> str:
    """A word as written; shouting is only for what is always written so."""
    return words.spelling(word) if word.isupper() and len(word) > 1 else word
