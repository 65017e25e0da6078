"""Noun phrases of texts, without a tagger: runs of content words that end in a noun.

In texts that ask and request, a verb with its object too ("change PIN"), and what happened to something
("stolen phone").
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from llm_magics.tasks.concepts.embedded.words import (
    ARTICLES,
    BEFORE_VERBS,
    LINKS,
    MODIFIERS,
    NEVER_LAST,
    NO_NAME,
    PARTICIPLES,
    POSSESSIVES,
    TOKEN,
    VAGUE_ADJECTIVES,
    VAGUE_VERBS,
    Vocabulary,
    is_adverb,
    is_coined,
    is_function_word,
    stem,
)

MOST_WORDS = 4
PART_OF = 0.6
"""Share of a phrase's texts from which a longer one that ends or begins with it takes its place."""

_GAP = re.compile(r"^[ \t]?$|^ & $|^, ?$")
_NUMBERED = re.compile(r"^([A-Z]{2,})-\d[\d-]{3,}$")
"""The number of one thing of a kind, which says no more than the kind: "CVE-2021-40528"."""
BOUND = 0.7
"""Share of a proper name's places where it is a part of a list ("Food, Drug, and ..."), and so no name."""
IN = 0.25
"""Share of a name's places after "in" from which it is where something happens."""
_GLUE = frozenset({"of", "the", "and", "&"})

Key = tuple[str, ...]


@dataclass
class Phrase:
    """A phrase by the stems of its words: the texts that hold it, and how it is written there.

    ``begun`` counts spellings at the start of a sentence, where a capital says nothing. ``verb`` marks a
    verb with its object, ``doubtful`` a phrase whose last word may be a verb. ``vaguely`` counts the places
    where the first word says little alone, ``bound`` those in a list of proper names, ``definite`` those
    after "the", ``counted`` those after "a", ``placed`` those after "in". ``heading`` marks a general subject
    that stands for texts near to it, ``vector`` says what it means, where that is known.
    """

    texts: set[int] = field(default_factory=set)
    written: Counter[tuple[str, ...]] = field(default_factory=Counter)
    begun: Counter[tuple[str, ...]] = field(default_factory=Counter)
    verb: bool = False
    vaguely: int = 0
    doubtful: bool = False
    bound: int = 0
    definite: int = 0
    counted: int = 0
    placed: int = 0
    heading: bool = False
    vector: Any = None

    @property
    def places(self) -> int:
        """How often it occurs."""
        return self.written.total() + self.begun.total()

    @property
    def place(self) -> bool:
        """Whether texts mostly say that something is in it: "in Iraq"."""
        return not self.heading and self.placed > IN * self.places

    @property
    def vague(self) -> bool:
        """Whether its first word is mostly a vague adjective, and no part of a proper name."""
        return self.vaguely * 2 > self.places


@dataclass(frozen=True)
class _Found:
    words: tuple[str, ...]
    at: int
    verb: bool = False
    vague: bool = False
    doubtful: bool = False
    bound: bool = False
    definite: bool = False
    counted: bool = False
    placed: bool = False


@dataclass(frozen=True)
class Reading:
    """What was read in texts: phrases and the texts of each word, by stems, and the vocabulary."""

    phrases: dict[Key, Phrase]
    holding: dict[str, set[int]]
    words: Vocabulary


def pieces(text: str) -> list[list[str]]:
    """Words of a text in runs that no punctuation but commas, no possessive and no line break interrupts."""
    found: list[list[str]] = []
    end = -1
    for match in TOKEN.finditer(text):
        gap = text[end : match.start()] if found else "."
        word = _NUMBERED.sub(r"\1", match[0])
        low = word.casefold().replace("’", "'")
        owns = low.endswith("'s") and not is_function_word(word)
        if not _GAP.match(gap):
            found.append([])
        elif gap[:1] == "," and found[-1]:
            found[-1].append(",")
        elif gap == " & " and found[-1]:
            found[-1].append("&")
        found[-1].append(word[:-2] if owns else word)
        if owns:
            found.append([])
        end = match.end()
    return [piece for piece in found if piece]


def read_phrases(texts: Sequence[str]) -> Reading:
    """All phrases of these texts."""
    read = _with_particles([pieces(text) for text in texts])
    words = Vocabulary(read)
    found: dict[Key, Phrase] = defaultdict(Phrase)
    holding: dict[str, set[int]] = defaultdict(set)
    for number, parts in enumerate(read):
        for part in parts:
            for word in part:
                holding[stem(word)].add(number)
            for one in _phrases(part, words):
                _add(found, one, number)
    return Reading(_whole(dict(found), holding), holding, words)


_PARTICLES = frozenset({"up", "in", "out", "off", "down", "on", "over"})


def _with_particles(texts: list[list[list[str]]]) -> list[list[list[str]]]:
    """``top up`` as ``top-up``, where the texts have that word too."""
    known = {word.casefold() for parts in texts for part in parts for word in part if "-" in word}
    if not known:
        return texts
    return [[_particles(part, known) for part in parts] for parts in texts]


def _particles(piece: list[str], known: set[str]) -> list[str]:
    done: list[str] = []
    for word in piece:
        last = done[-1] if done else ""
        if last and word in _PARTICLES and f"{last.rsplit('-', 1)[-1]}-{word}".casefold() in known:
            done[-1] = f"{last}-{word}"
        else:
            done.append(word)
    return done


def _add(found: dict[Key, Phrase], one: _Found, number: int) -> None:
    phrase = found[key_of(one.words)]
    phrase.texts.add(number)
    (phrase.written if one.at else phrase.begun)[one.words] += 1
    phrase.verb |= one.verb
    phrase.vaguely += one.vague
    phrase.doubtful |= one.doubtful
    phrase.bound += one.bound
    phrase.definite += one.definite
    phrase.counted += one.counted
    phrase.placed += one.placed


def key_of(words: Sequence[str]) -> Key:
    """The stems of the words that a phrase goes by."""
    return tuple(stem(word) for word in words if word.casefold() not in _GLUE)


def _phrases(piece: Sequence[str], words: Vocabulary) -> Iterator[_Found]:
    """The noun phrases of a run of words, each with all that it ends with, and verbs with objects."""
    chunks = list(_chunks(piece, words))
    for start, chunk in chunks:
        yield from _ends(piece, start, chunk, words)
        if words.spoken:
            yield from _with_verb(piece, start, chunk, words)
            yield from _with_state(piece, start, chunk, words)
    for (start, one), (behind, other) in pairwise(chunks):
        yield from _joined(piece, start, one, behind, other, words)


def _ends(piece: Sequence[str], start: int, chunk: Sequence[str], words: Vocabulary) -> Iterator[_Found]:
    """What a chunk ends with, from its last word to its last four."""
    for size in range(1, min(MOST_WORDS, len(chunk)) + 1):
        part = tuple(chunk[-size:])
        at = start + len(chunk) - size
        if size == 1 and not words.stands_alone(part[0]):
            continue
        vague = size > 1 and part[0].casefold() in VAGUE_ADJECTIVES | MODIFIERS
        if _may_stand(part, words) or (vague and _may_stand(part[1:], words)):
            proper = bool(at) and part[0][0].isupper() and part[-1][0].isupper()
            yield _Found(
                part,
                at,
                vague=vague and not proper,
                doubtful=words.is_verb(part[-1]) and not proper,
                bound=proper and _in_list(piece, at, size),
                definite=at > 0 and piece[at - 1].casefold() == "the",
                counted=at > 0
                and piece[at - 1].casefold() in ("a", "an")
                and piece[at + size :][:1] != [","],
                placed=at > 0 and piece[at - 1].casefold() == "in" and part[0][0].isupper(),
            )


def _in_list(piece: Sequence[str], at: int, size: int) -> bool:
    """Whether a comma or "and" ties this part to a capitalised word before or behind it."""
    before, end = piece[max(0, at - 3) : at], at + size
    behind = piece[end : end + 3]
    return _tied(before[::-1]) or _tied(behind)


def _tied(words: Sequence[str]) -> bool:
    """Whether a comma or "and" comes first, and then a word with a capital."""
    others = [word for word in words if word.casefold() not in (",", "and")]
    return bool(words and words[0].casefold() in (",", "and") and others and others[0][0].isupper())


def _joined(
    piece: Sequence[str], start: int, one: Sequence[str], behind: int, other: Sequence[str], words: Vocabulary
) -> Iterator[_Found]:
    """``Board of Governors``, ``Food and Drug Administration``, ``weapons of mass destruction``."""
    glue = tuple(piece[start + len(one) : behind])
    low = tuple(word.casefold() for word in glue)
    proper = start > 0 and all(word[0].isupper() for word in (*one, *other))
    if len(other) > 2 or low not in (("of",), ("of", "the"), ("and",)) or not (proper or low == ("of",)):
        return
    if not _may_stand(other, words):
        return
    for size in range(1, min(2, len(one)) + 1):
        part = one[-size:]
        if (proper and part[0].casefold() not in NEVER_LAST) or (size == 1 and _may_stand(part, words)):
            yield _Found((*part, *low, *other), start + len(one) - size)


def _chunks(piece: Sequence[str], words: Vocabulary) -> Iterator[tuple[int, list[str]]]:
    """Runs of content words without verbs, cut back until they end in a noun: start and words."""
    start = 0
    for i in range(len(piece) + 1):
        if i < len(piece) and not _breaks(piece, i, start, words):
            continue
        chunk = list(piece[start:i])
        while chunk and (chunk[-1] == "&" or not words.ends_phrases(chunk[-1])):
            chunk.pop()
        while chunk and chunk[0] == "&":
            chunk, start = chunk[1:], start + 1
        if chunk:
            yield start, chunk
        start = i + 1


def _breaks(piece: Sequence[str], i: int, start: int, words: Vocabulary) -> bool:
    """Whether the word ends a run of content words. A word that may be both is a noun at a run's end."""
    word = piece[i]
    if word == "&":
        return False
    if is_function_word(word):
        return True
    if not words.is_verb(word) or (i and piece[i - 1].casefold() in ARTICLES | POSSESSIVES):
        return False
    before = piece[i - 1] if i > start else ""
    after = piece[i + 1].casefold() if i + 1 < len(piece) else ""
    named = bool(before) and word[0].isupper() and before[0].isupper()
    closes = not after or (is_function_word(after) and after not in ARTICLES | POSSESSIVES | {"it", "me"})
    return not (named or (bool(before) and closes and word.casefold() not in VAGUE_VERBS))


def _may_stand(chunk: Sequence[str], words: Vocabulary) -> bool:
    """Whether these words can be a name or a part of one."""
    first, last = chunk[0].casefold(), chunk[-1].casefold()
    if len(chunk) > 1 and chunk[0].islower() and first.endswith("ing") and chunk[1][0].isupper():
        return False  # a verb with its object
    if chunk[0] == "&" or last in VAGUE_VERBS or last in NEVER_LAST or _after_plural(chunk):
        return False
    if any(is_coined(word) for word in chunk) or any(_said_of(word) for word in chunk[1:-1]):
        return False
    if first in NO_NAME and not (len(chunk) > 1 and words.is_name(chunk[0])):
        return False
    if last in NO_NAME and not (len(chunk) > 1 and words.is_name(chunk[-1])):
        return False
    if first in NEVER_LAST:
        return False
    return not is_adverb(first) and len(last) > 2


def _said_of(word: str) -> bool:
    """Whether the word ties two nouns, as "named" does in "an instance named turtle"."""
    return word.endswith("ed") and word in VAGUE_VERBS


def _after_plural(chunk: Sequence[str]) -> bool:
    """Whether a participle follows a plural, of which it says what it does: "threads waiting"."""
    if len(chunk) < 2 or not chunk[-1].islower():
        return False
    return (
        chunk[-1].endswith("ing") and chunk[-2].endswith("s") and not chunk[-2].endswith(("ss", "us", "is"))
    )


def _kept(chunk: Sequence[str], words: Vocabulary) -> tuple[str, ...]:
    """The words of a chunk that name something: at most the last two."""
    kept = tuple(word for word in chunk if word.casefold() not in NO_NAME or words.is_name(word))[-2:]
    return kept if kept and _may_stand(kept, words) else ()


def _with_verb(piece: Sequence[str], start: int, chunk: Sequence[str], words: Vocabulary) -> Iterator[_Found]:
    """A verb before the chunk, over an article or "my": ``change PIN``; what is past: ``lost phone``."""
    at = start - 1
    while at > 0 and piece[at].casefold() in ARTICLES | POSSESSIVES:
        at -= 1
    verb = piece[at].casefold() if at >= 0 else ""
    kept = _kept(chunk, words)
    if not verb or not kept:
        return
    if verb in PARTICIPLES and verb not in ("pending", "missing", "wrong", "late"):
        yield _Found((PARTICIPLES[verb], *kept), 1, verb=True)
    asked = at == 0 or piece[at - 1].casefold() in BEFORE_VERBS | {","}
    plain = not verb.endswith(("ing", "ed")) and not is_function_word(verb) and verb not in VAGUE_VERBS
    if asked and plain and words.is_verb(verb):
        yield _Found((verb, *kept), 1, verb=True)


def _with_state(
    piece: Sequence[str], start: int, chunk: Sequence[str], words: Vocabulary
) -> Iterator[_Found]:
    """What is said of the chunk behind it: ``declined payment`` of "my payment was declined"."""
    at = start + len(chunk)
    first = at
    while at < len(piece) and at < first + 3 and piece[at].casefold() in LINKS:
        at += 1
    state = piece[at].casefold() if at < len(piece) else ""
    kept = _kept(chunk, words)
    if not kept or state in VAGUE_VERBS or not (at > first or state == "failed"):
        return
    if state in PARTICIPLES or (state.endswith("ed") and len(state) > 4):
        yield _Found((PARTICIPLES.get(state, state), *kept), 1, verb=True)


def _whole(found: dict[Key, Phrase], holding: dict[str, set[int]]) -> dict[Key, Phrase]:
    """Without fragments: a phrase that mostly stands inside one and the same longer phrase is none.

    A noun with what may be a verb stays only where its first word hardly stands without it ("apple pay").
    """
    kept = {
        key: phrase
        for key, phrase in found.items()
        if not (phrase.doubtful and len(phrase.texts) < PART_OF * len(holding[key[0]]))
        and phrase.bound < BOUND * phrase.places
    }
    inside: dict[Key, int] = defaultdict(int)
    for key, phrase in kept.items():
        if phrase.verb or phrase.vague:
            continue
        for part in {key[:size] for size in range(1, len(key))} | {
            key[-size:] for size in range(1, len(key))
        }:
            inside[part] = max(inside[part], len(phrase.texts))
    ends = _ends_of_names(kept)
    return {
        key: phrase
        for key, phrase in kept.items()
        if len(key)
        and inside[key] < max(2, PART_OF * len(phrase.texts))
        and len(ends.get(key, ())) < max(2, PART_OF * len(phrase.texts))
    }


def _ends_of_names(found: dict[Key, Phrase]) -> dict[Key, set[int]]:
    """The texts of longer proper names by their last word, which is no name itself: "Cup" of many cups."""
    ends: dict[Key, set[int]] = defaultdict(set)
    for key, phrase in found.items():
        if (
            len(key) > 1
            and not phrase.verb
            and all(word[0].isupper() for word in next(iter(phrase.written), ("a",)))
        ):
            ends[key[-1:]] |= phrase.texts
    return {
        key: texts
        for key, texts in ends.items()
        if key in found and all(words[0][0].isupper() for words in found[key].written)
    }
