"""Token counts for estimates, for any model name: by tiktoken, or by a weighted sum over characters.

Without a tokenizer the count is a weighted sum over the characters of a text. The weights are a least-
squares fit to OpenAI's o200k_base on seven labelled sets in English, Python source and sentences in nine
other languages: the median error is 3 to 5 % a text in English, up to 18 % in the others
(``tests/core/test_tokens.py``). Models with older vocabularies use more tokens: up to a quarter more in
English, up to twice as many elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import string
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

WORD, LONG, DIGITS, MARK, LINE = 1.051, 0.214, 1.351, 0.547, 1.201
"""Tokens per word, per letter after a word's ninth, per three digits, per ASCII mark, per line break."""

_FOREIGN: tuple[tuple[float, re.Pattern[str]], ...] = (
    (0.803, re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")),
    (0.092, re.compile(r"[\u00c0-\u024f]")),
    (0.391, re.compile(r"[\u0250-\u303f\u3100-\u33ff\ua000-\uabff\ufb00-\ufeff]")),
    (1.897, re.compile(r"[\U00010000-\U0010ffff]")),
)
"""Tokens per CJK character, accented Latin letter, letter of another script, emoji."""


def count_tokens(text: str, model: str = "") -> int:
    """Count the tokens of ``text`` with tiktoken where its table is on disk, or estimate them.

    Never raises and never connects to the network.
    """
    if not text:
        return 0
    encoding = _encoding(model)
    if encoding is not None:
        return len(encoding.encode_ordinary(text))
    return estimate_tokens(text)


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of ``text`` without a tokenizer; at least 1."""
    plain = text.encode("ascii", "replace")
    words = plain.translate(_LETTERS).split()
    groups = sum((len(digits) + 2) // 3 for digits in plain.translate(_DIGITS).split())
    marks = len(plain.translate(None, _NO_MARKS))
    tokens = WORD * len(words) + LONG * sum(len(word) - 9 for word in words if len(word) > 9)
    tokens += DIGITS * groups + LINE * plain.count(b"\n")
    if not text.isascii():
        # encode() has turned each character outside ASCII into a question mark
        marks -= len(text) - len(text.encode("ascii", "ignore"))
        tokens += sum(weight * len(pattern.findall(text)) for weight, pattern in _FOREIGN)
    return max(1, round(tokens + MARK * marks))


def _keep_only(kept: str) -> bytes:
    """Return a table for ``bytes.translate`` that turns every byte not in ``kept`` into a space."""
    return bytes(byte if chr(byte) in kept else 32 for byte in range(256))


_LETTERS = _keep_only(string.ascii_letters)
_DIGITS = _keep_only(string.digits)
_NO_MARKS = bytes(byte for byte in range(256) if chr(byte) not in string.punctuation)


@cache
def _encoding(model: str) -> Any:
    """Return the tiktoken encoding of a model, the newest one for an unknown name; None without tiktoken."""
    if importlib.util.find_spec("tiktoken") is None:
        return None
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        name = "o200k_base"
    if not _is_table_on_disk(name):
        return None
    try:
        return tiktoken.get_encoding(name)
    except (OSError, ValueError):
        return None


def _is_table_on_disk(name: str) -> bool:
    """Return whether tiktoken's table is on disk; without it tiktoken would download it."""
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    default = Path(tempfile.gettempdir()) / "data-gym-cache"
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR") or default
    return (Path(folder) / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()).is_file()
