"""Density behind the points of a map, as a small picture that is drawn smooth."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from llm_magics.widgets.figures.smoothing import smoothed
from llm_magics.widgets.figures.template import rgb

WIDE = 220
EDGE = 9
"""Pixels of the picture over which it fades at its edges."""
STRONG = 0.34
"""Opacity where texts lie densest."""


def shading(points: Any, owners: Any, colours: Sequence[str], ratio: float) -> str:
    """A data address of a PNG: each name's density in its colour, over the unit square.

    ``points`` (n, 2) are in the unit square with y upwards, ``owners`` numbers the names, -1 for none;
    ``colours`` are that of none and then those of the names; ``ratio`` is the map's height by its width,
    so that a blot is round.
    """
    import numpy as np

    high = max(8, round(WIDE * ratio))
    blur = WIDE / 46
    alpha = np.zeros((high, WIDE))
    paint = np.zeros((high, WIDE, 3))
    for number in np.unique(owners):
        own = points[owners == number]
        counts, _, _ = np.histogram2d(1 - own[:, 1], own[:, 0], bins=(high, WIDE), range=((0, 1), (0, 1)))
        dense = smoothed(counts, blur)
        own_ink = rgb(colours[int(number) + 1])
        weight = dense * (0.25 if number < 0 else 1.0)
        alpha += weight
        paint += weight[:, :, None] * np.array(own_ink)
    top = np.quantile(alpha[alpha > 0], 0.985) if (alpha > 0).any() else 1.0
    ink = paint / np.maximum(alpha, 1e-12)[:, :, None]
    down, across = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) for n in (high, WIDE))
    fade = np.minimum(1.0, np.minimum(down[:, None], across[None, :]) / EDGE)  # no blot ends at a line
    seen = STRONG * np.minimum(alpha / top, 1.0) ** 0.7 * fade
    picture = np.dstack([ink, seen * 255]).clip(0, 255).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def png(picture: Any) -> bytes:
    """A picture of bytes, shape (height, width, 4), as a PNG file (RFC 2083)."""
    height, width, _ = picture.shape
    rows = b"".join(b"\x00" + row.tobytes() for row in picture)
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
