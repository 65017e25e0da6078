"""What a small model does wrong in a JSON answer though a grammar holds it: loops, and quotation marks.

It repeats a passage of a text, or items of a list, until the token limit, and the row fails. The text or the
list is closed instead, and what was said again is left out, so that the fields behind it are written. And it
forgets to escape a quotation mark, which ends the text in the middle of a sentence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

PASSAGE = 100
"""Bytes of a string that make a loop where they say nothing but the end of what stands before them again."""
BLOCK, AGAIN = 4, 8
"""A list loops where up to ``BLOCK`` items stand in it ``AGAIN`` times in a row."""
NOTE = (
    "The model repeated itself without end in some answers: what it said again is left out, and the text "
    "or list is ended there."
)
_SENTENCE_END = re.compile(rb"[.!?]['\")]?(?=\s)")


@dataclass
class _Open:
    """A list or an object that has not ended; ``ends`` are the places behind a list's items."""

    closer: bytes
    start: int
    ends: list[int] = field(default_factory=list)
    loops: bool = False


@dataclass
class JsonLoops:
    """Reads a JSON text piece by piece; ``text`` is what is kept of it, ``shortened`` whether not all is."""

    text: bytearray = field(default_factory=bytearray)
    shortened: bool = False
    _open: list[_Open] = field(default_factory=list)
    _string: int = -1
    """Where the string that the text is in begins, -1 for none."""
    _escaped: bool = False

    @property
    def wanted(self) -> bytes:
        """What should be written next, to end a loop; empty where there is none."""
        if self._string >= 0:
            looping = not self._escaped and self._earlier() >= 0
            return b'"' if looping or (self._looping and not self._escaped) else b""
        return self._open[-1].closer if self._looping else b""

    def instead(self, piece: bytes) -> bytes:
        """What should be written in place of a piece; empty where it can stay.

        A text that would end with a blank is a quotation that begins: small models forget to escape the mark.
        """
        at = piece.find(b'"')
        if self._string < 0 or self._escaped or at != len(piece) - 1 or b"\\" in piece:
            return b""
        text = bytes(self.text[self._string :]) + piece[:at]
        return piece[:at] + b'\\"' if text.strip() and text.endswith(b" ") and not self.wanted else b""

    def read(self, piece: bytes) -> None:
        """Read on; ``piece`` may end anywhere, within a character too. What ends a loop shortens ``text``."""
        wanted = self.wanted
        if wanted and piece.startswith(wanted):
            self._leave_out()
        for byte in piece:
            self._take(byte)

    @property
    def _looping(self) -> bool:
        """Whether the text is within a list that loops."""
        return any(one.loops for one in self._open)

    def _take(self, byte: int) -> None:
        self.text.append(byte)
        mark = bytes((byte,))
        if self._string >= 0:
            if mark == b'"' and not self._escaped:
                self._string = -1
            self._escaped = mark == b"\\" and not self._escaped
        elif mark == b'"':
            self._string = len(self.text)
        elif mark in (b"[", b"{"):
            self._open.append(_Open(b"]" if mark == b"[" else b"}", len(self.text)))
        elif mark in (b"]", b"}") and self._open:
            self._open.pop()
        elif mark == b"," and self._open and self._open[-1].closer == b"]":
            self._end_item(self._open[-1])

    def _end_item(self, items: _Open) -> None:
        items.ends.append(len(self.text) - 1)
        items.loops = items.loops or bool(self._block(items))

    def _block(self, items: _Open) -> int:
        """The number of items that a list has repeated ``AGAIN`` times at its end, 0 for none."""
        starts = [items.start, *(end + 1 for end in items.ends)]
        said = [bytes(self.text[a:b]).strip() for a, b in zip(starts, items.ends, strict=False)]
        for size in range(1, BLOCK + 1):
            last = said[-size * AGAIN :]
            if len(last) == size * AGAIN and last == last[:size] * AGAIN:
                return size
        return 0

    def _leave_out(self) -> None:
        """Take what was said again off the string or the list that ends now."""
        before = len(self.text)
        if self._string >= 0:
            text, earlier = bytes(self.text[self._string :]), self._earlier()
            kept = _said_once(text, earlier - self._string) if earlier >= 0 else text
            del self.text[self._string + len(kept) :]
        elif self._open[-1].loops:
            items = self._open[-1]
            size = self._block(items)
            del self.text[items.ends[len(items.ends) - size * (AGAIN - 1) - 1] :]
        self.shortened = self.shortened or len(self.text) < before

    def _earlier(self) -> int:
        """Where the string's last bytes stood in it before, -1 where it does not loop.

        All that was written since then has to follow on itself: a refrain after a verse is no loop.
        """
        if len(self.text) - self._string <= PASSAGE:
            return -1
        earlier = self.text.rfind(self.text[-PASSAGE:], self._string, len(self.text) - 1)
        period = len(self.text) - PASSAGE - earlier
        again = self.text[-2 * period : -period] if len(self.text) - 2 * period >= self._string else b""
        return earlier if earlier >= 0 and again == self.text[-period:] else -1


def _said_once(text: bytes, earlier: int) -> bytes:
    """A string's content without what it says again; its last ``PASSAGE`` bytes stood ``earlier``, too.

    Whole sentences are kept, where it has them.
    """
    period = len(text) - PASSAGE - earlier
    while earlier and text[earlier - 1] == text[earlier - 1 + period]:
        earlier -= 1
    again = earlier + period
    behind = _SENTENCE_END.search(text, max(again - 1, 0))
    before = [end.end() for end in _SENTENCE_END.finditer(text, 0, again)]
    blank = text[:again].rfind(b" ")
    kept = text[: behind.end() if behind else before[-1] if before else blank if blank > 0 else again]
    return kept if _is_string(kept) else text


def _is_string(content: bytes) -> bool:
    """Whether the bytes are the content of a JSON string, not cut within an escape or a character."""
    try:
        json.loads(b'"%s"' % content)
    except ValueError:
        return False
    return True
