"""Parsing of sizes, durations, windows and prices: ``12GB``, ``7d``, ``40/10``, ``0.15/0.60``."""

from __future__ import annotations

import re
from typing import NoReturn

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Price

_SIZES = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_LEAST_BYTES = 10**6
"""The smallest plain number that is accepted as a number of bytes."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_size(text: str | float) -> int:
    """Return the bytes in ``12GB``, ``500 MB``, ``1.5GiB`` or a plain number; GB is 10**9, GiB is 2**30.

    Raises:
        UsageError: Not a size, or a plain number so small that its unit must have been forgotten.
    """
    amount, unit = _parse_amount(text, "a size such as 12GB or 500MB")
    if not unit and 0 < amount < _LEAST_BYTES:
        _refuse(text, "a size such as 12GB or 500MB: name the unit")
    stem = unit.removesuffix("b") if unit != "b" else ""
    if stem.endswith("i") and stem[:-1] in _SIZES:
        return int(amount * 1024 ** "kmgt".index(stem[0]) * 1024)
    if stem not in _SIZES:
        _refuse(text, "a size such as 12GB or 500MB")
    return int(amount * _SIZES[stem])


def parse_duration(text: str) -> float:
    """Return the seconds in ``7d``, ``12h``, ``30m``, ``45s`` or ``2w``.

    Raises:
        UsageError: Not a duration, or a plain number, which may mean days or seconds.
    """
    amount, unit = _parse_amount(text, "a span of time such as 7d, 12h or 30m")
    if unit not in _SECONDS:
        _refuse(text, "a span of time such as 7d, 12h or 30m: name the unit")
    return amount * _SECONDS[unit]


def parse_window(text: str) -> tuple[int, float]:
    """Parse ``40/10``, at most 40 requests in any 10 seconds, as (requests, seconds).

    Raises:
        UsageError: Not two numbers above zero.
    """
    count, span = _parse_pair(text, "requests and seconds such as 40/10")
    if count < 1 or span <= 0:
        _refuse(text, "requests and seconds such as 40/10")
    return int(count), span


def parse_price(text: str) -> Price:
    """Parse ``0.15/0.60``, US dollars per million input and output tokens; one number is the input price.

    Raises:
        UsageError: Not one or two numbers.
    """
    wanted = "dollars per million tokens, in/out, such as 0.15/0.60"
    amounts = _parse_pair(text, wanted) if "/" in text else (_parse_number(text, wanted, text), 0.0)
    if min(amounts) < 0:
        _refuse(text, wanted)
    return Price(*amounts, source="set by the user")


def format_size(count: float) -> str:
    """Format bytes for display: ``3.1 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_duration(seconds: float) -> str:
    """Format seconds for display: ``45 s``, ``4 min``, ``2 h``, ``3 d``."""
    for limit, per, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / per:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _parse_amount(text: str | float, wanted: str) -> tuple[float, str]:
    found = _AMOUNT.fullmatch(str(text))
    if found is None:
        _refuse(text, wanted)
    return float(found[1]), found[2].casefold()


def _parse_pair(text: str, wanted: str) -> tuple[float, float]:
    left, slash, right = text.partition("/")
    if not slash:
        _refuse(text, wanted)
    return _parse_number(left, wanted, text), _parse_number(right, wanted, text)


def _parse_number(part: str, wanted: str, whole: str) -> float:
    try:
        number = float(part)
    except ValueError:
        _refuse(whole, wanted)
    if not 0 <= number < float("inf"):
        _refuse(whole, wanted)
    return number


def _refuse(text: object, wanted: str) -> NoReturn:
    raise UsageError(f"{str(text)!r} is not {wanted}.")
