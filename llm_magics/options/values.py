"""Values of flags: what is typed in a magic's line, checked and turned into Python values.

Each function is an argparse ``type``: it raises ``ArgumentTypeError`` with what it expected.
"""

from __future__ import annotations

from argparse import ArgumentTypeError


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def count_or_zero(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def amount(text: str) -> float:
    """A number, 0 or more."""
    number = _number(text)
    if not number >= 0:
        raise ArgumentTypeError(f"{text!r} is not an amount, 0 or more")
    return number


def rate(text: str) -> float:
    """A number above 0."""
    number = _number(text)
    if not number > 0:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _number(text: str) -> float:
    """The number; NaN, which fails every comparison, where the text is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def names(text: str) -> list[str]:
    """``a,b`` as a list; also ``[a,b]``, which is what shell words leave of a Python list."""
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("[]", "()"):
        bare = bare[1:-1]
    return [name for part in bare.split(",") if (name := part.strip().strip("'\""))]


def level(text: str) -> float:
    """A confidence level between 0 and 1."""
    number = _number(text)
    if not 0 < number < 1:
        raise ArgumentTypeError(f"{text!r} is not a confidence level between 0 and 1, such as 0.95")
    return number


def scale(text: str) -> tuple[int, int]:
    """``1-5`` as its two ends."""
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not LOW-HIGH such as 1-5")
    return int(low), int(high)
