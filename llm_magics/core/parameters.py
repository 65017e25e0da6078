"""The generation parameters that have one name in all backends, and their allowed values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from llm_magics.core.errors import NotFound, UsageError, near


def _number(least: float, most: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: (
        not isinstance(value, bool) and isinstance(value, Real) and least <= float(value) <= most
    )


def _whole(least: float) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return _text(value) or (isinstance(value, list | tuple) and all(map(_text, value)))


_COUNT = (_whole(1), "a whole number, 1 or more")
_PENALTY = (_number(-math.inf), "a number")
KNOWN: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": _COUNT,
    "max_tokens": _COUNT,
    "temperature": (_number(0), "a number, 0 or more"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "top_k": (_whole(-1), "a whole number"),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "repeat_penalty": (_number(0), "a number, 0 or more"),
    "stop": (_texts, "a text or a list of texts"),
    "seed": (_whole(-math.inf), "a whole number"),
    "prompt_format": (_text, "a name such as chatml"),
}
"""Name -> a check of the value, and the allowed values in words. Other parameters are passed on
unchecked.
"""


def check(given: Mapping[str, Any]) -> None:
    """Raises NotFound for a misspelt parameter name, UsageError for an impossible value."""
    for name, value in given.items():
        close = near(name, KNOWN, 1)
        if name not in KNOWN:
            if close and abs(len(close[0]) - len(name)) <= 2:
                raise NotFound.among("parameter", name, KNOWN)
            continue
        fits, wanted = KNOWN[name]
        if value is not None and not fits(value):
            raise UsageError(f"{name} must be {wanted}, not {value!r}.", hint=f"-p {name}=VALUE")
