"""The metadata at the beginning of a GGUF file, read without loading the model.

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The format characters of ``struct`` by the number of a value's type."""
ENCODERS = ("t5", "t5encoder")
"""Architectures with an encoder, which this package uses for embeddings alone."""


def completes(path: Path) -> bool:
    """Whether the model writes and has no chat template: it continues texts. False for a broken file."""
    try:
        return _completes(path, path.stat().st_mtime)
    except (OSError, ValueError, struct.error, UnicodeDecodeError):
        return False


@lru_cache(maxsize=64)
def _completes(path: Path, written: float) -> bool:
    """``written`` makes a changed file a new one."""
    found = {name: value for name, value in _entries(path) if not isinstance(value, range)}
    architecture = str(found.get("general.architecture", ""))
    writes = found.get(f"{architecture}.attention.causal") is not False and architecture not in ENCODERS
    return writes and not str(found.get("tokenizer.chat_template", "")).strip()


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The keys and values; an array, such as the vocabulary, as the range of its bytes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, _, count = struct.unpack_from("<4sIQQ", data)
        if magic != b"GGUF" or version < 2:
            raise ValueError(f"{path.name} is no GGUF file of version 2 or later")
        place = 24
        for _ in range(count):
            name, place = _text(data, place)
            (kind,) = struct.unpack_from("<I", data, place)
            value, place = _value(data, place + 4, kind)
            yield name, value


def _text(data: mmap.mmap, place: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    end = place + 8 + length
    return data[place + 8 : end].decode("utf-8", "replace"), end


def _value(data: mmap.mmap, place: int, kind: int) -> tuple[Any, int]:
    if kind == STRING:
        return _text(data, place)
    if kind == ARRAY:
        end = _past_array(data, place)
        return range(place, end), end
    form = f"<{SCALARS[kind]}" if kind in SCALARS else None
    if form is None:
        raise ValueError(f"a GGUF value of the unknown type {kind}")
    (value,) = struct.unpack_from(form, data, place)
    return value, place + struct.calcsize(form)


def _past_array(data: mmap.mmap, place: int) -> int:
    """Where the array at ``place`` ends."""
    kind, count = (int(number) for number in struct.unpack_from("<IQ", data, place))
    place += 12
    if kind in SCALARS:
        return place + count * struct.calcsize(f"<{SCALARS[kind]}")
    length = struct.Struct("<Q")
    for _ in range(count):
        if kind == STRING:
            place += 8 + int(length.unpack_from(data, place)[0])
        elif kind == ARRAY:
            place = _past_array(data, place)
        else:
            raise ValueError(f"a GGUF array of the unknown type {kind}")
    return place
