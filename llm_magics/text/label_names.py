"""Names of labels: how two spellings are compared, and which label a value names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
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
"""Signs that belong to a name are kept; those around names or between their words are not."""
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
"""Marks of a label that is crossed out."""


def fold_name(name: str) -> str:
    """A label in the form in which labels are compared: without width, case, quotes, punctuation, separators.

    Signs that distinguish names are kept: those of ``C++``, ``C#``, ``A-``, ``-1``, ``<5``, ``50%``.

    Signs that distinguish names are kept: those of ``C++``, ``C#``, ``A-``, ``-1``, ``<5``, ``50%``.
    """
    return fold_text(name) or unicodedata.normalize("NFKC", name).casefold().strip()


def fold_text(text: str) -> str:
    """Prose in the form of folded labels, to look labels up inside it."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    return " ".join(_SIGNS.sub(_replace_sign, plain).split())


def _replace_sign(match: re.Match[str]) -> str:
    sign = (match["kept"] or "").strip()
    return f" {sign}" if sign[:1] in ("<", ">", "\u2264", "\u2265") else sign or " "


def without_lead(text: str) -> str:
    """The text without ``Answer:``, ``The label is`` and their like before it."""
    return _LEAD.sub("", text)


def has_lead(text: str) -> bool:
    """Whether the text begins with ``Answer:``, ``The label is`` or their like."""
    return _LEAD.match(text) is not None


@dataclass(frozen=True)
class Mention:
    """A label that occurs in folded text as whole words, from ``start`` to ``end``."""

    name: str
    start: int
    end: int


class Labels:
    """The labels of one task, prepared for recognition in answers."""

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
        """The listed label that this value names, or None; also for a name crossed out or in doubt."""
        if isinstance(answer, float) and answer.is_integer():
            answer = int(answer)
        if answer is None or isinstance(answer, list | Mapping):
            return None
        said = str(answer)
        if said in self.names:
            return said
        if CROSSED_OUT.search(said) or said.rstrip(_TRAILING_MARKS).endswith(("?", "\uff1f")):
            return None
        if (bare := said.strip(_QUOTES_AND_MARKS)) in self.names:
            return bare
        return self._folded.get(fold_name(without_lead(said)))

    def mentions(self, folded: str, text: str) -> list[Mention]:
        """The labels that occur in ``folded``, which is ``text`` folded, each place once.

        A name of up to three letters counts only as it is written: ``IT`` is not found in "it".
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
