"""How a name is written: phrases as the texts spell them, joined by "and", with a capital at the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llm_magics.tasks.concepts.embedded.phrases import Key, Phrase, Reading
from llm_magics.tasks.concepts.embedded.words import Vocabulary, stem

OFTEN = 0.35
"""Share of a noun's places after "the" from which a name has it so too."""


def written(keys: Sequence[Key], read: Reading) -> str:
    """The phrases as they stand in the texts, joined, with a capital at the start."""
    parts = [spelled(read.phrases[key], read.words) for key in keys]
    if len(parts) == 2:
        parts = [
            _one_subject(part, read) if read.phrases[key].heading else part
            for part, key in zip(parts, keys, strict=True)
        ]
        first = read.phrases[keys[0]]
        if _follows(first) and not read.phrases[keys[1]].place:
            parts, keys = parts[::-1], keys[::-1]
    name = _shared(parts, read.phrases[keys[0]].verb) if len(parts) == 2 else "".join(parts)
    if not name:
        if definite(read.phrases[keys[1]]) and _only_one(parts[1]):
            parts[1] = f"the {parts[1]}"
        where = read.phrases[keys[0]].heading and read.phrases[keys[1]].place
        name = (" in " if where else " and ").join(parts)
    return name[:1].upper() + name[1:]


def _only_one(part: str) -> bool:
    """Whether the part can be what there is one of: "the economy", but no "the exit code", "the servers"."""
    return part.islower() and " " not in part and not part.endswith("s")


def _follows(phrase: Phrase) -> bool:
    """Whether a heading reads better behind the other phrase: "oil prices and the economy"."""
    return phrase.heading and (definite(phrase) or "and" in next(iter(phrase.written)))


def _one_subject(heading: str, read: Reading) -> str:
    """Of "family and children" the one that more texts name."""
    return max(heading.split(" and "), key=lambda part: len(read.holding.get(stem(part.split()[-1]), ())))


def _shared(parts: Sequence[str], verb: bool) -> str:
    """Two phrases of two words that share one, which is said once: "lost or stolen phone"."""
    (one, last), (other, end) = (part.split() if part.count(" ") == 1 else ("", part) for part in parts)
    link = "or" if verb else "and"
    if one and other and last.casefold() == end.casefold():
        return f"{one} {link} {other} {last}"
    return f"{one} {last} {link} {end}" if one and one.casefold() == other.casefold() else ""


def definite(phrase: Phrase) -> bool:
    """Whether texts mostly write "the" before it, as of what there is one of: "the economy"."""
    return phrase.definite >= 3 and phrase.definite > OFTEN * phrase.places


def spelled(phrase: Phrase, words: Vocabulary) -> str:
    """The phrase as most texts write it inside a sentence; what there are several of in the plural."""
    if phrase.written:
        found = [_quiet(word, words) for word in _commonest(phrase.written)]
    else:
        first, *rest = _commonest(phrase.begun)
        named = bool(rest) and rest[0][0].isupper() and not rest[0].isupper()
        found = [first if named else words.spelling(first), *(_quiet(word, words) for word in rest)]
    if not words.spoken and found[-1].islower() and _counted(phrase):
        found[-1] = words.plural(found[-1])
    return " ".join(_lowered(found))


COUNTED = 0.2
"""Share of a noun's places after "a" from which there are several of what it names."""


def _counted(phrase: Phrase) -> bool:
    """Whether texts write "a" before it or its plural, so that a name has it so: "queues"."""
    if phrase.heading or phrase.verb or definite(phrase):
        return False
    ends = {words[-1] for words in phrase.written}
    several = sum(n for words, n in phrase.written.items() if words[-1][:-1] in ends)
    return max(phrase.counted, several) >= max(2, COUNTED * phrase.places)


def _commonest(spellings: Counter[tuple[str, ...]]) -> tuple[str, ...]:
    """How a phrase is mostly written; of two ways that are as common the longer, as plurals are.

    Of "Apple Watch" and "Apple watch" the one with capitals throughout, of "battery Life" the other.
    """

    def order(words: tuple[str, ...]) -> tuple[int, int, int, tuple[str, ...]]:
        capitals = sum(letter.isupper() for word in words for letter in word)
        return spellings[words], sum(map(len, words)), capitals if words[0][0].isupper() else -capitals, words

    return max(spellings, key=order)


def _quiet(word: str, words: Vocabulary) -> str:
    """A word as written; shouting is only for what is always written so, and for letters alone: "SSL"."""
    if word.islower() and len(word) < 5 and not _VOWELS & set(word) and word.isalpha():
        return word.upper()
    return words.spelling(word) if word.isupper() and len(word) > 1 else word


_VOWELS = frozenset("aeiouy")


def _lowered(words: list[str]) -> list[str]:
    """A phrase of long words that is shouted as a whole, without shouting."""
    shouted = len(words) > 1 and all(word.isupper() and len(word) > 3 for word in words)
    return [word.lower() for word in words] if shouted else words
