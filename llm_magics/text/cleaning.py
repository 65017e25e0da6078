"""Texts without markup, entities, addresses, datelines and boilerplate: what names and quotes are drawn from.

Cleaning serves reading alone. What is sent to a model, and the text that a result shows, stays as it is.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence

_BROKEN_ENTITY = re.compile(
    r"(?<![&#\w])((?:amp|lt|gt|nbsp|apos|mdash|ndash|hellip|lsquo|rsquo|ldquo|rdquo|bull|copy|reg|trade"
    r"|pound|euro|eacute);)|&?((?:quot|\#\d{2,5}|\#x[0-9a-f]{2,5});)",
    re.IGNORECASE,
)
"""An entity that lost its ampersand. ``lt;`` counts at the start of a word only, since "result;" ends so."""

_SCRIPT = re.compile(r"<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,600}>|</?[a-zA-Z]+\s+(?:href|src|class|style)\s*=[^<>]*$")
_IMAGE_OR_LINK = re.compile(r"!?\[([^\]\n]{0,200})\]\((?:[^()\s]|\([^()\s]*\))+(?:\s+\"[^\"]*\")?\)")
_CODE_FENCE = re.compile(r"^\s*(?:```|~~~).*$", re.MULTILINE)
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>+[ \t]?|[*+•-][ \t]+|\|)", re.MULTILINE)
_EMPHASIS = re.compile(r"(\*{1,3}|_{2,3}|~~|`+)(?=\S)(.+?)(?<=\S)\1")

_MAIL = re.compile(r"\b(?:mailto:)?[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"']+|\bwww\.[^\s<>\"']+"
    r"|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|gov|edu|info|io|co\.uk|de)/[^\s<>\"']*",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w@])@\w{2,30}\b")
_HASHTAG = re.compile(r"(?<!\w)#(?=[^\W\d])")
_TICKER = re.compile(
    r"\((?:NYSE|Nasdaq|NASDAQ|AMEX|LSE|TSX|Amex|nyse|nasdaq)\b[^)]{0,40}\)"
    r"|\b[A-Z]{1,5}\.(?:N|O|OB|L|PA|DE|TO|AS|T|HK)\b"
    r"|\b[A-Z]{1,5}\.(?:N|O|OB|L|PA|DE|TO|AS|T|HK)(?=[,. ])"
)
_SPLIT_CONTRACTION = re.compile(r"(?<=\w) +(['’](?:s|t|re|ve|ll|d|m)\b)", re.IGNORECASE)
_CLOSING_QUOTE = re.compile(r"(?<=\S) +\"(?=[\s.,;:!?)]|$)")
_EMPTY = re.compile(r"\(\s*\)|\[\s*\]")
_SPACE_BEFORE = re.compile(r"\s+([,.;:!?])(?=\s|$)")

AGENCIES = (
    "Reuters",
    "AP",
    "AFP",
    "UPI",
    "dpa",
    "DPA",
    "Xinhua",
    "Bloomberg",
    "CNN",
    "BBC",
    "PA",
    "ANSA",
    "EFE",
    "TASS",
    "Kyodo",
    "PTI",
    "IANS",
    "ABC",
    "CBS",
    "NBC",
    "CP",
    "AAP",
)
"""News agencies and broadcasters whose name opens a report."""

_AGENCY = "|".join(AGENCIES)
_DASH = r"(?:-{1,3}|–|—)"
_DATE = r"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)[a-z]*\.? \d{1,2}(?:, ?\d{4})?)"
_DATELINE = re.compile(
    # LONDON (Reuters) - ; NEW YORK, Aug. 4 (AP) -- ; Reuters - ; WASHINGTON -- ; October 14, 2004 -
    rf"^\W{{0,3}}(?:(?:[A-Z][\w.'’/-]*,? ?){{1,6}}{_DATE}? ?\((?:{_AGENCY}|[A-Z][\w. ]{{1,30}})\) ?{_DASH} ?"
    rf"|(?:{_AGENCY}) ?{_DASH} "
    rf"|[A-Z][A-Z.'’-]+(?:[ ,/]+[A-Z][A-Z.'’-]+){{0,4}}(?:, [A-Z][\w.]+)*(?:,? {_DATE})?"
    rf"(?: \([^)]{{2,30}}\))? ?(?:-{{2,3}}|–|—| - ) ?"
    rf"|{_DATE} ?{_DASH} )"
)
_SOURCE = re.compile(rf"^((?:[A-Z][\w.&'’]*)(?: [A-Z][\w.&'’]*){{0,3}}) {_DASH} (?=[\"“'A-Z])")
"""What stands before a dash at the start of a text; a source where several texts open with it."""

_BOILERPLATE = re.compile(
    r"\b(?:click here(?: to [\w ]{3,30})?|read (?:more|the full (?:story|article))|continue reading"
    r"|all rights reserved|sent from my \w+|view (?:it |this email )?in (?:your )?browser)\b\.?"
    r"|(?:copyright (?:©|\(c\))?\s?|©\s?)\d{4}[^.\n]{0,60}\.?"
    # These are topics too, so that they count only where a line says nothing else.
    r"|^\W*(?:full story|unsubscribe|terms of (?:use|service)|privacy policy|subscribe(?: now| today)?"
    r"|advertisement)\W*$|^(?:from|to|cc|subject|sent|date): .*$|^-- ?$.*",
    re.IGNORECASE | re.MULTILINE,
)

REPEATED = 0.02
"""Share of the texts in which a whole sentence has to stand to be boilerplate; at least ``FEWEST`` texts."""
FEWEST = 3
LONG_ENOUGH = 4
"""Words of a sentence that may be boilerplate; shorter ones ("I love it.") repeat by chance."""


def clean(text: str) -> str:
    """The text as a person would read it aloud: no markup, entities, addresses, dateline or boilerplate.

    Paragraphs stay apart; other white space becomes one space.
    """
    text = unescaped(text)
    text = _SCRIPT.sub(" ", text)
    text = _TAG.sub(" ", text)
    text = _markdown(text)
    for pattern in (_MAIL, _URL, _HANDLE, _HASHTAG, _TICKER):
        text = pattern.sub(" " if pattern is not _HASHTAG else "", text)
    text = _BOILERPLATE.sub(" ", text)
    return _DATELINE.sub("", _spaced(text), count=1)


def unescaped(text: str) -> str:
    """HTML entities as characters, those that were escaped twice or lost their ampersand as well."""
    for _ in range(2):
        text = html.unescape(text)
    if ";" in text:
        text = _BROKEN_ENTITY.sub(lambda found: html.unescape("&" + (found[1] or found[2])), text)
    return text.replace("\xa0", " ")


def _markdown(text: str) -> str:
    text = _CODE_FENCE.sub(" ", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _LINE_MARK.sub("", text)
    return _EMPHASIS.sub(r"\2", text)


def _spaced(text: str) -> str:
    text = _SPLIT_CONTRACTION.sub(r"\1", text)
    text = _CLOSING_QUOTE.sub('"', _EMPTY.sub(" ", text))
    lines = (_SPACE_BEFORE.sub(r"\1", " ".join(line.split())) for line in text.splitlines())
    return "\n".join(line.lstrip(",;:. ") for line in lines if line.strip(" ,;:.-|"))


def clean_texts(texts: Sequence[str]) -> list[str]:
    """Each text cleaned, less what many of them share word for word: a source, a repeated sentence."""
    cleaned = [clean(text) for text in texts]
    bare = [_DATELINE.sub("", text, count=1) for text in _without_sources(cleaned)]
    return _without_repeats(bare)


def _without_sources(texts: Sequence[str]) -> list[str]:
    """Without the "PC World - " that several texts open with."""
    openings = [_SOURCE.match(text) for text in texts]
    often = Counter(found[1] for found in openings if found)
    return [
        text[found.end() :] if found and often[found[1]] >= FEWEST else text
        for text, found in zip(texts, openings, strict=True)
    ]


_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*\s*")


def _without_repeats(texts: Sequence[str]) -> list[str]:
    """Without sentences of four words or more that stand in many texts, whatever numbers they hold.

    Equal texts are not boilerplate: what only they share is counted once.
    """
    parts = [_SENTENCE.findall(text) for text in texts]
    distinct = dict(zip(texts, parts, strict=True))
    often = Counter(key for part in distinct.values() for key in {_key(one) for one in part})
    least = max(FEWEST, REPEATED * len(distinct))
    repeated = {key for key, n in often.items() if n >= least and key.count(" ") + 1 >= LONG_ENOUGH}
    if not repeated:
        return list(texts)
    return [
        "".join(one for one in part if _key(one) not in repeated).strip() or text
        for text, part in zip(texts, parts, strict=True)
    ]


def _key(sentence: str) -> str:
    return re.sub(r"\d+", "0", " ".join(sentence.casefold().split()))
