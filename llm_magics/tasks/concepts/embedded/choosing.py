"""Which phrases make the names of groups: one or two each, and no word in two names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from llm_magics.tasks.concepts.embedded.phrases import Key, Phrase, Reading
from llm_magics.tasks.concepts.embedded.ranking import OFTEN, Group, value, worth
from llm_magics.tasks.concepts.embedded.wording import spelled

CONSIDERED = 24
"""Phrases of a group that are tried in pairs."""
ONLY_NAMES = 0.8
"""Weight of a proper name of several words, which says who and not what."""
LAST_RESORT = 0.7
"""Where a name without the words of others is worth less than this share of the best name, a phrase may
share a word with another name and differ in the rest ("activate card", "new card")."""
BARE = 0.65
"""Weight of a single word as the whole name."""
ADDED = 0.12
"""Share of the group's texts that a second phrase adds at least."""
ALIKE = 0.45
"""Cosine of two phrases from which they are one thing said twice."""
SAME_TEXTS = 0.4
"""Share of the texts of the rarer of two headings that the other has, from which they say the same."""
ENOUGH = 1.08
"""How much better than a general subject alone a pair with it has to be."""
TELLING = 0.25
"""What a phrase of a pair is worth at least for what it is, whatever it covers."""
MOST_WORDS = 6
LONG = 4
SHORTENED = 0.9
"""Weight of a pair with one word of a heading of two ("children" of "Family and children")."""
TOO_LONG = 0.9
"""Weight of a pair of more than ``LONG`` words."""
VARIANT = 0.4
"""Share of a name's worth from which "lost phone" joins "stolen phone"."""
COMPANION = 0.25
"""Share of the group's texts that a companion of a bare word stands in at least."""
OWN = 0.6
"""Share of a companion's texts that are of the group at least."""
EQUAL = 0.8
"""Share of a name's worth from which a proper name that differs in one word may have a word of another name
("Apple Pay and Watch" beside "Google Pay")."""
FRESH = 0.12
"""Share of the group's texts that a variant adds at least."""


@dataclass(frozen=True, order=True)
class _Option:
    """A possible name of a group."""

    worth: float
    group: int
    keys: tuple[Key, ...]


def assigned(groups: Sequence[Group], read: Reading, used: set[str]) -> list[tuple[Key, ...]]:
    """The phrases of each name. A contested word goes to the group that would lose most without it."""
    waiting = {n: _with_loss(n, group, read, used) for n, group in enumerate(groups)}
    chosen: dict[int, tuple[Key, ...]] = {}
    while waiting:
        number = max(waiting, key=lambda n: (waiting[n][1], -n))
        chosen[number] = waiting.pop(number)[0].keys
        fresh = {part for key in chosen[number] for part in key}
        used |= fresh
        for n in waiting:
            if fresh & groups[n].words:
                waiting[n] = _with_loss(n, groups[n], read, used)
    names = [_with_variant(chosen[number], group, read, used) for number, group in enumerate(groups)]
    return [_with_companion(keys, group, read, used) for keys, group in zip(names, groups, strict=True)]


def _with_variant(keys: tuple[Key, ...], group: Group, read: Reading, used: set[str]) -> tuple[Key, ...]:
    """A name of two words with a further one that differs in one word, where that adds texts of the group."""
    if len(keys) != 1 or len(keys[0]) != 2 or read.phrases[keys[0]].heading:
        return keys
    own, held = read.phrases[keys[0]], read.phrases[keys[0]].texts
    good = next((one for one, key in group.ranked if key == keys[0]), 0.0)
    for other_good, other in group.ranked:
        phrase = read.phrases[other]
        if other_good < VARIANT * good:
            break
        fresh = set(other) - set(keys[0])
        added = len((phrase.texts - held) & group.texts)
        if (
            len(other) == 2
            and (other[0] == keys[0][0]) != (other[1] == keys[0][1])
            and phrase.verb == own.verb
            and not phrase.heading
            and (not fresh & used or (_who(other, read) and other_good >= EQUAL * good))
            and added >= max(2, FRESH * len(group.texts))
        ):
            used |= fresh
            return keys[0], other
    return keys


def _with_companion(keys: tuple[Key, ...], group: Group, read: Reading, used: set[str]) -> tuple[Key, ...]:
    """A bare word with what stands beside it in its group ("refund", "statement"), a subject its place."""
    if len(keys) != 1 or not (read.phrases[keys[0]].heading or len(keys[0]) == 1):
        return keys
    for _, other in group.ranked[:CONSIDERED]:
        phrase = read.phrases[other]
        held = phrase.texts & group.texts
        fits = phrase.place if read.phrases[keys[0]].heading else not phrase.heading
        if (
            fits
            and not set(other) & used
            and len(held) >= max(3, COMPANION * len(group.texts))
            and len(held) >= OWN * len(phrase.texts)
            and not _clash(keys[0], other, read.phrases)
        ):
            used |= set(other)
            return keys[0], other
    return keys


def _with_loss(number: int, group: Group, read: Reading, used: set[str]) -> tuple[_Option, float]:
    """The best name of a group, and how much better it is than the best one without its words."""
    best = _best(number, group, read, used)
    if used:
        free = _best(number, group, read, set(), fresh_from=used)
        bare = len(best.keys) == 1 and len(best.keys[0]) == 1
        best = free if best.worth * (BARE if bare else 1.0) < LAST_RESORT * free.worth else best
    words = {part for key in best.keys for part in key}
    return best, best.worth - _best(number, group, read, used | words).worth


def _best(
    number: int, group: Group, read: Reading, used: set[str], fresh_from: Collection[str] = ()
) -> _Option:
    """The best single phrase, or the pair that covers more of the group between them.

    With ``fresh_from`` each phrase has to bring a word that is not among these.
    """
    free = [
        (good, key)
        for good, key in group.ranked
        if not used & set(key) and not (fresh_from and set(key) <= set(fresh_from))
    ][:CONSIDERED]
    if not free:
        return _Option(0.0, number, ())
    best = max(_Option(good * _alone(key, read), number, (key,)) for good, key in free)
    single = best.keys[0] if read.phrases[best.keys[0]].heading else None
    quality = {
        key: good / value(key, read, group.texts) * (ONLY_NAMES if _who(key, read) else 1.0)
        for good, key in free
    }
    covered = {key: _covered(key, read, group.texts) for _, key in free}
    for (_, one), (_, other) in combinations(free, 2):
        least = max(2, ADDED * len(group.texts))
        added = len((covered[other] - covered[one]) & group.texts)
        if added < least or min(quality[one], quality[other]) < TELLING or _clash(one, other, read.phrases):
            continue
        both = worth(covered[one] | covered[other], group.texts)
        good = both * (quality[one] * quality[other]) ** 0.5
        good *= SHORTENED if any(_two(read.phrases[key]) for key in (one, other)) else 1.0
        good *= TOO_LONG if len(one) + len(other) > LONG else 1.0
        if good > best.worth * (ENOUGH if single in (one, other) else 1.0):
            best = _Option(good, number, (one, other))
    return best if len(best.keys) < 2 else _broader_first(best, group, read)


def _broader_first(option: _Option, group: Group, read: Reading) -> _Option:
    """Of two general subjects first the one that more of the group's texts are near to."""
    one, other = (read.phrases[key] for key in option.keys)
    if not (one.heading and other.heading) or len(one.texts & group.texts) >= len(other.texts & group.texts):
        return option
    return replace(option, keys=option.keys[::-1])


def _alone(key: Key, read: Reading) -> float:
    """How well a phrase stands as the whole name: a single word badly, a proper name less well."""
    if read.phrases[key].heading:
        return 1.0
    if len(key) == 1:
        return BARE
    return ONLY_NAMES if _who(key, read) else 1.0


def _who(key: Key, read: Reading) -> bool:
    """Whether the phrase is a proper name of several words."""
    phrase = read.phrases[key]
    return len(key) > 1 and not phrase.heading and spelled(phrase, read.words).istitle()


def _covered(key: Key, read: Reading, group: set[int]) -> set[int]:
    """The texts that a phrase stands for: those that hold it, or its best word where that is better."""
    own = read.phrases[key].texts
    if len(key) == 1 or read.phrases[key].heading:
        return own
    if len(own & group) < max(3, OFTEN * len(group)):
        return own
    return max((own, *(read.holding[part] for part in key)), key=lambda held: worth(held, group))


def _clash(one: Key, other: Key, found: dict[Key, Phrase]) -> bool:
    """Whether two phrases make no good pair: a word in both, a verb and a noun, too long, "and" twice."""
    joined = any(
        "and" in words for key in (one, other) for words in found[key].written if not _two(found[key])
    )
    return (
        joined
        or found[one].verb != found[other].verb
        or len(one) + len(other) > MOST_WORDS
        or any(_same(a, b) for a in one for b in other)
        or _alike(found[one], found[other])
    )


def _two(phrase: Phrase) -> bool:
    """Whether this is a heading of two subjects, one of which can stand in a pair."""
    return phrase.heading and "and" in next(iter(phrase.written))


def _alike(one: Phrase, other: Phrase) -> bool:
    """Whether one phrase says what the other says: "technology" and "software"."""
    if one.heading and other.heading:
        return len(one.texts & other.texts) > SAME_TEXTS * min(len(one.texts), len(other.texts))
    return one.vector is not None and other.vector is not None and float(one.vector @ other.vector) > ALIKE


def _same(one: str, other: str) -> bool:
    """Whether two stems are one word or one is made of the other (``iraq``, ``iraqi``)."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and long.startswith(short))
