"""Slices: documents in groups by a column, whatever the column holds."""

from __future__ import annotations

import bisect
import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data.templates import is_null

MISSING = "(missing)"
OTHER = "(other)"
MOST = 12
BINS = 5
_ISO_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?([T ]\d{2}:\d{2}.*)?")


@dataclass(frozen=True)
class Slicing:
    """Groups of one column: ``groups`` in order, and the number of the group of each row."""

    column: str
    groups: tuple[str, ...]
    codes: tuple[int, ...]

    @property
    def sizes(self) -> list[int]:
        """Documents in each group."""
        counts = Counter(self.codes)
        return [counts[i] for i in range(len(self.groups))]

    def rows(self, group: str) -> list[int]:
        """The rows of one group. Raises NotFound."""
        from llm_magics.core.errors import NotFound

        if group not in self.groups:
            raise NotFound.among(f"slice of {self.column}", group, self.groups)
        code = self.groups.index(group)
        return [i for i, c in enumerate(self.codes) if c == code]


def slicing(
    column: str,
    values: Sequence[Any],
    *,
    bins: int = BINS,
    bounds: Sequence[float] | None = None,
    most: int = MOST,
) -> Slicing:
    """Groups of the values: categories, truth values, numbers (``bounds``, else quantiles), dates.

    Categories beyond the ``most`` - 1 largest are one group; missing values are a group of their own.
    Dates (also ISO dates as text) go by year, quarter, month or day, whichever gives at most ``most``.
    """
    known = [value for value in values if not is_null(value)]
    name_of = _grouping(known, bins, bounds, most)
    named = [MISSING if is_null(value) else name_of[0](value) for value in values]
    order = [name for name in name_of[1] if name in set(named)]
    groups = (*order, MISSING) if MISSING in named else tuple(order)
    place = {name: i for i, name in enumerate(groups)}
    return Slicing(column, groups, tuple(place[name] for name in named))


def _grouping(
    known: Sequence[Any], bins: int, bounds: Sequence[float] | None, most: int
) -> tuple[Callable[[Any], str], list[str]]:
    """How a value becomes the name of its group, and all names in order."""
    if known and all(isinstance(value, bool) or type(value).__name__ == "bool_" for value in known):
        return (lambda value: "yes" if value else "no"), ["yes", "no"]
    if known and all(_is_number(value) for value in known):
        return _numbers([float(value) for value in known], bins, bounds)
    if bounds is not None:
        raise UsageError("bounds are for a column of numbers.")
    if known and all(isinstance(value, dt.date) for value in known):
        return _dates(known, most, lambda value: value)
    if known and all(isinstance(value, str) and _ISO_DATE.fullmatch(value) for value in known):
        return _dates(known, most, _parsed)
    return _categories(known, most)


def _is_number(value: Any) -> bool:
    return not isinstance(value, str | bytes | bool) and hasattr(value, "__float__")


def _numbers(
    known: list[float], bins: int, bounds: Sequence[float] | None
) -> tuple[Callable[[Any], str], list[str]]:
    distinct = sorted(set(known))
    if bounds is None and len(distinct) <= bins:
        return (lambda value: f"{float(value):g}"), [f"{value:g}" for value in distinct]
    cuts = sorted(set(map(float, bounds))) if bounds is not None else _quantiles(known, bins)
    names = _intervals(cuts, distinct[0], distinct[-1])
    return (lambda value: names[bisect.bisect_right(cuts, float(value))]), names


def _quantiles(known: list[float], bins: int) -> list[float]:
    """Inner cuts that make groups of about one size; fewer where values repeat."""
    ordered = sorted(known)
    cuts = {ordered[len(ordered) * i // bins] for i in range(1, bins)}
    return sorted(cuts - {ordered[0]})


def _intervals(cuts: Sequence[float], low: float, high: float) -> list[str]:
    """``[a, b)`` by the cuts, the ends as far as the values go."""
    if not cuts:
        return [f"{low:g} to {high:g}"]
    inner = [f"{a:g} to < {b:g}" for a, b in pairwise(cuts)]
    return [f"< {cuts[0]:g}", *inner, f"≥ {cuts[-1]:g}"]


def _parsed(value: str) -> dt.date:
    return dt.date.fromisoformat(value[:10] if len(value) > 7 else value + "-01")


def _dates(
    known: Sequence[Any], most: int, read: Callable[[Any], dt.date]
) -> tuple[Callable[[Any], str], list[str]]:
    days = sorted({read(value) for value in known}, key=lambda day: (day.year, day.month, day.day))
    for grain in (_day, _month, _quarter, _year):
        names = list(dict.fromkeys(grain(day) for day in days))
        if len(names) <= most:
            return (lambda value, grain=grain: grain(read(value))), names
    return _years([day.year for day in days], most, read)


def _years(
    years: list[int], most: int, read: Callable[[Any], dt.date]
) -> tuple[Callable[[Any], str], list[str]]:
    """Spans of whole years."""
    width = -(-(years[-1] - years[0] + 1) // most)

    def name(value: Any) -> str:
        first = years[0] + (read(value).year - years[0]) // width * width
        return f"{first}–{first + width - 1}"

    return name, [f"{y}–{y + width - 1}" for y in range(years[0], years[-1] + 1, width)]


def _day(day: dt.date) -> str:
    return f"{day:%Y-%m-%d}"


def _month(day: dt.date) -> str:
    return f"{day:%Y-%m}"


def _quarter(day: dt.date) -> str:
    return f"{day.year} Q{(day.month + 2) // 3}"


def _year(day: dt.date) -> str:
    return str(day.year)


def _categories(known: Sequence[Any], most: int) -> tuple[Callable[[Any], str], list[str]]:
    counts = Counter(map(str, known))
    ordered = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    kept = ordered if len(ordered) <= most else [*ordered[: most - 1], OTHER]
    large = frozenset(kept)
    return (lambda value: str(value) if str(value) in large else OTHER), kept
