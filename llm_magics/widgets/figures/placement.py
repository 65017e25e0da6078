"""Names on a map: each near the texts that it names, none over another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

from llm_magics.widgets.figures.text import lines_of, width_of

RINGS, STEPS = 22, 24
LEADING = 1.16


@dataclass(frozen=True)
class Label:
    """A name on the map: its lines, its middle, its size in pixels, and the place that it names.

    ``led`` says that it stands so far from its place that a line should lead there.
    """

    number: int
    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    anchor: tuple[float, float]
    led: bool = False

    def covers(self, other: Label, gap: float) -> bool:
        """Whether two labels come nearer than ``gap``."""
        return (
            abs(self.x - other.x) * 2 < self.width + other.width + 2 * gap
            and abs(self.y - other.y) * 2 < self.height + other.height + 2 * gap
        )


def anchors(points: Any, owners: Any, count: int) -> list[tuple[float, float] | None]:
    """Where each name's texts lie densest, in the unit of ``points``; None for a name without texts.

    The text that has most others of its name near it, so that a name in two islands stands on one of them.
    """
    import numpy as np

    found: list[tuple[float, float] | None] = []
    for number in range(count):
        own = points[owners == number]
        if not len(own):
            found.append(None)
            continue
        some = own[:: max(1, len(own) // 300)]
        reach = max(float(np.ptp(points, axis=0).max()) / 12, 1e-9)
        near = ((some[:, None, :] - some[None, :, :]) ** 2).sum(axis=2)
        crowd = np.exp(-near / (2 * reach**2))
        place = crowd[int(crowd.sum(axis=1).argmax())]
        middle = (some * place[:, None]).sum(axis=0) / place.sum()
        found.append((float(middle[0]), float(middle[1])))
    return found


def place(
    names: Sequence[str],
    spots: Sequence[tuple[float, float] | None],
    width: float,
    height: float,
    size: float,
    most: float,
) -> tuple[list[Label], list[int]]:
    """Labels without overlap inside ``width`` x ``height``, and the numbers of names without a place.

    ``spots`` are in pixels, ``size`` is the type's, ``most`` a line's greatest width. Names come in their
    order, so that the first ones stand nearest to their texts.
    """
    done: list[Label] = []
    left: list[int] = []
    for number, (name, spot) in enumerate(zip(names, spots, strict=True)):
        label = None if spot is None else _free(number, name, spot, done, width, height, size, most)
        if label is None:
            left.append(number)
        else:
            done.append(label)
    return done, left


def _free(
    number: int,
    name: str,
    spot: tuple[float, float],
    done: Sequence[Label],
    width: float,
    height: float,
    size: float,
    most: float,
) -> Label | None:
    lines = lines_of(name, most, size, bold=True, most=3)
    wide = max(width_of(line, size, bold=True) for line in lines)
    high = len(lines) * size * LEADING
    for away, left, top in _around(spot, size):
        x = min(max(left, wide / 2 + 1), width - wide / 2 - 1)
        y = min(max(top, high / 2 + 1), height - high / 2 - 1)
        label = Label(number, tuple(lines), x, y, wide, high, spot, led=away > size * 2.2)
        if not any(label.covers(other, size * 0.22) for other in done):
            return label
    return None


def _around(spot: tuple[float, float], size: float) -> Iterator[tuple[float, float, float]]:
    """Places around a spot, nearest first, and how far away they are."""
    x, y = spot
    yield 0.0, x, y
    for ring in range(1, RINGS):
        away = ring * size * 0.8
        for step in range(STEPS):
            angle = 2 * pi * step / STEPS
            yield away, x + away * cos(angle), y + away * sin(angle) * 0.8
