"""Names of labels: comparing spellings, and finding the label that a value names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SIGNS = re.compile(
    r"(?P<kept>(?<=\w)[+#]+"  # C++, C#, A+
    r"|(?<!\w)[-+](?=\d)"  # -1
    r"|(?<=\b\w)-(?!\w)"  # A-
    r"|(?<![\w\-=])(?:[<>]=?|[\u2264\u2265])\s*(?=\d)"  # <5
    r"|(?<=\d)\s*%)"
    r"|[\W_]"
)
"""Punctuation: the group ``kept`` is part of a name, everything else separates words."""
_QUOTES_AND_MARKS = (
    " \t\r\n.,;:!?\"'`*_\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\u300c\u300d"
)
_TRAILING_MARKS = _QUOTES_AND_MARKS.replace("?", "")
_LEAD = re.compile(
    r"^[\s*_#>\"'`-]*(?:(?:my|the|final|correct|predicted|chosen|best)\s+)*"
    r"(?:answer|labels?|category|categories|class|classification|output|result|sentiment|topic)"
    r"[\s*_]*(?:is\b|[:=\uff1a]|->|\u2192)[\s*_]*",
    re.IGNORECASE,
)
CROSSED_OUT = re.compile(
    r"[\u274c\u274e\u2717\u2718\u2716\U0001f6ab\u26d4\u2260\u00ac]|~~|\[ \]|<(?:s|del|strike)>|(?<!\S)!\s*\w",
    re.IGNORECASE,
)
"""Marks that say that a label is crossed out or does not apply."""


def fold_name(name: str) -> str:
    """Return a label in the form in which labels are compared: without case, quotes and punctuation.

    Signs that distinguish names are kept: those of ``C++``, ``C#``, ``A-``, ``-1``, ``<5``, ``50%``.
    """
    return fold_text(name) or unicodedata.normalize("NFKC", name).casefold().strip()


def fold_text(text: str) -> str:
    """Return prose in the form of folded labels, so that labels can be found inside it."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    return " ".join(_SIGNS.sub(_replace_sign, plain).split())


def _replace_sign(match: re.Match[str]) -> str:
    sign = (match["kept"] or "").strip()
    return f" {sign}" if sign[:1] in ("<", ">", "\u2264", "\u2265") else sign or " "


def without_lead(text: str) -> str:
    """Return the text without a lead such as ``Answer:`` or ``The label is``."""
    return _LEAD.sub("", text)


def has_lead(text: str) -> bool:
    """Return whether the text begins with a lead such as ``Answer:`` or ``The label is``."""
    return _LEAD.match(text) is not None


def label_name(value: Any, names: Collection[str]) -> str:
    """Return the one of ``names`` that a cell holds, or the cell as text where it is none of them.

    Labels that are numbers may stand in a column of another type: 4 and 4.0 are the same label, unless both
    are labels. (pandas makes floats of integers beside nulls.)
    """
    text = str(value)
    if text in names or isinstance(value, bool | str):
        return text
    if isinstance(value, float) and value.is_integer():
        other = str(int(value))
    else:
        other = f"{value}.0" if isinstance(value, int) else text
    return other if other in names else text


@dataclass(frozen=True)
class Mention:
    """A label that occurs in folded text as whole words, at the characters ``start`` to ``end``."""

    name: str
    start: int
    end: int


class Labels:
    """The labels of one task, indexed to be found in answers."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        folded: dict[str, str | None] = {}
        for name in names:
            folded[fold_name(name)] = None if fold_name(name) in folded else name
        self._folded = folded
        longest = sorted((f for f, name in folded.items() if name), key=len, reverse=True)
        words = "|".join(re.escape(f) for f in longest)
        self._inside = re.compile(rf"(?<![\w+\-<>\u2264\u2265])(?:{words})(?![\w+#%-])") if words else None

    def match(self, answer: Any) -> str | None:
        """Return the label that a value names; None for any other text, one crossed out, or a question."""
        if isinstance(answer, float) and answer.is_integer():
            answer = int(answer)
        if answer is None or isinstance(answer, list | Mapping):
            return None
        text = str(answer)
        if text in self.names:
            return text
        if CROSSED_OUT.search(text) or text.rstrip(_TRAILING_MARKS).endswith(("?", "\uff1f")):
            return None
        if (bare := text.strip(_QUOTES_AND_MARKS)) in self.names:
            return bare
        return self._folded.get(fold_name(without_lead(text)))

    def mentions(self, folded: str, text: str) -> list[Mention]:
        """Return the labels that occur in ``folded``, which is ``fold_text(text)``, in order of their places.

        A name of up to three letters must be written exactly: ``IT`` is not found in "it".
        """
        found = self._inside.finditer(folded) if self._inside is not None else ()
        named = ((self._folded[match.group()], match) for match in found)
        return [
            Mention(name, match.start(), match.end())
            for name, match in named
            if name and (len(name) > 3 or name.islower() or _occurs_as_written(name, text))
        ]


def _occurs_as_written(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None
