"""The sentencepiece model of the sentence encoder, read into the ``tokenizers`` library.

Only the fields that the file of this encoder has are read (sentencepiece's ``sentencepiece_model.proto``
in the layout of 2019: pieces in field 1, the normaliser's table in field 2 of field 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNKNOWN, BEGIN, END = 0, 1, 2
"""The numbers of the pieces ``<unk>``, ``<s>`` and ``</s>``."""

WORD_START = "\u2581"
"""The mark that the first piece of a word begins with."""


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a sentencepiece file. Raises ValueError, IndexError or struct.error for another file.

    It gives the pieces that sentencepiece gives: unigram segmentation (Kudo 2018) of each word by itself,
    which no piece of this vocabulary crosses.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.normalizers import Precompiled
    from tokenizers.pre_tokenizers import Metaspace

    data = path.read_bytes()
    pieces: list[tuple[str, float]] = []
    table = b""
    for field, value in _fields(data):
        if field == 1:
            pieces.append(_piece(value))
        elif field == 3:
            table = dict(_fields(value))[2]
    tokenizer = Tokenizer(Unigram(pieces, UNKNOWN, byte_fallback=False))
    tokenizer.normalizer = Precompiled(table)
    tokenizer.pre_tokenizer = Metaspace(replacement=WORD_START, prepend_scheme="always", split=True)
    return tokenizer


def _piece(data: bytes) -> tuple[str, float]:
    """A piece's text and log-probability."""
    parts = dict(_fields(data))
    return parts[1].decode("utf-8"), struct.unpack("<f", parts[2])[0] if 2 in parts else 0.0


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protocol-buffers message: (number, bytes of the value); numbers are left out."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 0:
            _, at = _number(data, at)
            continue
        if kind == 2:
            size, at = _number(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the kind {kind} at byte {at}")
        yield tag >> 3, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
