"""Generation parameters that have one name in all backends, and their allowed values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from llm_magics.core.errors import NotFound, UsageError, closest_matches


def _is_number(least: float, most: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: (
        not isinstance(value, bool) and isinstance(value, Real) and least <= float(value) <= most
    )


def _is_whole_number(least: float) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_texts(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list | tuple) and all(map(_is_text, value)))


_COUNT = (_is_whole_number(1), "a whole number, 1 or more")
_PENALTY = (_is_number(-math.inf), "a number")
KNOWN_PARAMETERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": _COUNT,
    "max_tokens": _COUNT,
    "temperature": (_is_number(0), "a number, 0 or more"),
    "top_p": (_is_number(0, 1), "a number from 0 to 1"),
    "top_k": (_is_whole_number(-1), "a whole number"),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "repeat_penalty": (_is_number(0), "a number, 0 or more"),
    "stop": (_is_text_or_texts, "a text or a list of texts"),
    "seed": (_is_whole_number(-math.inf), "a whole number"),
    "prompt_format": (_is_text, "a name such as chatml"),
}
"""Parameter name -> a check of its value, and the allowed values in words.

Parameters with other names are passed on to the backend unchecked.
"""


def check_parameters(given: Mapping[str, Any]) -> None:
    """Check the parameters of a cell: NotFound for a misspelt name, UsageError for an impossible value."""
    for name, value in given.items():
        close = closest_matches(name, KNOWN_PARAMETERS, 1)
        if name not in KNOWN_PARAMETERS:
            if close and abs(len(close[0]) - len(name)) <= 2:
                raise NotFound.among("parameter", name, KNOWN_PARAMETERS)
            continue
        fits, wanted = KNOWN_PARAMETERS[name]
        if value is not None and not fits(value):
            raise UsageError(f"{name} must be {wanted}, not {value!r}.", hint=f"-p {name}=VALUE")
