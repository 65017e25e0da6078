"""Strings of a JSON answer in which a small model repeats itself without end.

Written greedily, such a string goes on until the token limit: the answer is cut and the row fails. The string
is closed instead, so that the fields behind it are written.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

PASSAGE = 100
"""Bytes at a string's end that make a loop where they stood in it before."""
_SENTENCE_END = re.compile(rb"[.!?]['\")]?(?=\s)")
_QUOTE, _BACKSLASH = ord('"'), ord("\\")


@dataclass
class JsonLoops:
    """Reads a JSON text piece by piece and tells whether the string that it is in loops."""

    _string: bytearray | None = None
    _escaped: bool = False

    def read(self, piece: bytes) -> None:
        """Read on; ``piece`` may end anywhere, within a character too."""
        for byte in piece:
            if self._string is None:
                self._string = bytearray() if byte == _QUOTE else None
            elif byte == _QUOTE and not self._escaped:
                self._string = None
            else:
                self._escaped = byte == _BACKSLASH and not self._escaped
                self._string.append(byte)

    @property
    def looping(self) -> bool:
        """Whether the text is in a string whose last ``PASSAGE`` bytes stood in it before."""
        return not self._escaped and self._earlier() >= 0

    @property
    def excess(self) -> int:
        """The bytes at the string's end that repeat what it said before; whole sentences if it has them."""
        text, earlier = bytes(self._string or b""), self._earlier()
        if earlier < 0:
            return 0
        period = len(text) - PASSAGE - earlier
        while earlier and text[earlier - 1] == text[earlier - 1 + period]:
            earlier -= 1
        again = earlier + period
        end = _SENTENCE_END.search(text, max(again - 1, 0))
        kept = text[: end.end()] if end else text[:again].rstrip()
        return len(text) - len(kept) if _is_string(kept) else 0

    def _earlier(self) -> int:
        """Where the string's last bytes stood in it before, -1 for nowhere."""
        text = self._string
        if text is None or len(text) <= PASSAGE:
            return -1
        return text.rfind(text[-PASSAGE:], 0, len(text) - 1)


def _is_string(content: bytes) -> bool:
    """Whether the bytes are the content of a JSON string, not cut within an escape or a character."""
    try:
        json.loads(b'"%s"' % content)
    except ValueError:
        return False
    return True
