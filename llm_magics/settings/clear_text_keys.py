"""Recognising API keys in clear text, and refusing them wherever they would be saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from llm_magics.core.errors import UsageError

SCHEMES = ("env", "session", "keyring", "dotenv", "colab")

_KEY_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|pk|rk)-(?=[\w-]*\d|[\w-]{20})[\w-]{8,}"
    r"|(?:hf|gsk|xai|ghp|nvapi|pplx)[-_](?=\w*\d)[\w-]{16,}"
    r"|AIza[\w-]{30,}"
    r"|Bearer\s+[\w.-]{16,}"
    r")"
)
# Names such as ``eos_token``, ``max_tokens`` and ``prompt_cache_key`` don't match.
_KEY_NAMES = re.compile(
    r"^(?:key|sig|signature)$|(?:api|access|secret|private|subscription|auth)[-_]?key"
    r"|(?:secret|password|passwd|authorization|cookie|credential)s?$"
    r"|(?<!bos.)(?<!eos.)(?<!pad.)(?<!unk.)(?<!sep.)(?<!cls.)(?<!mask.)(?<!stop.)(?<!start.)(?<!end.)token$",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"""([\w.-]+)["']?\s*=\s*(?:"([^"\n]*)"|'([^'\n]*)')""")


class TypedKeyError(UsageError):
    """A key was typed where it would be saved."""


def is_reference(text: str) -> bool:
    """Return whether a text is a reference to a key, such as ``env:NAME``."""
    scheme, colon, name = text.partition(":")
    return bool(colon and name) and scheme in SCHEMES


def check_reference(text: str) -> str:
    """Return ``text`` if it is a reference to a key.

    Raises:
        TypedKeyError: It is none; the message doesn't repeat the text, which may be a key.
    """
    if not is_reference(text):
        raise TypedKeyError(
            "a key is named by where it is, never typed: env:VARIABLE, session:NAME, keyring:NAME, "
            "dotenv:PATH#NAME or colab:NAME.",
            hint="Keep one for this session with: %llm_config key set NAME",
        )
    return text


def looks_like_key(text: str) -> bool:
    """Return whether a text contains something in the shape of a key."""
    return _KEY_SHAPES.search(text) is not None


def is_key_name(name: str) -> bool:
    """Return whether a parameter, header or query field of this name contains a key."""
    return _KEY_NAMES.search(name) is not None


def refuse_clear_text(values: Mapping[str, Any], instead: str = "--key env:VARIABLE") -> None:
    """Refuse values, at any depth, that are keys by their name or their shape.

    ``instead`` is what to type, for the hint.

    Raises:
        TypedKeyError: One is a key; the message names it and doesn't repeat it.
    """
    each = ((name, one) for name, value in values.items() for one in _items(value))
    for name, value in each:
        if isinstance(value, Mapping):
            refuse_clear_text(value, instead)
        elif isinstance(value, str) and _is_clear_text_key(name, value):
            raise TypedKeyError(f"{name} holds a key in clear text.", hint=f"Say where it is: {instead}")


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _is_clear_text_key(name: str, value: str) -> bool:
    return bool(value) and not is_reference(value) and (is_key_name(name) or looks_like_key(value))


def refuse_in_toml(text: str) -> None:
    """Refuse keys among the assignments of a TOML text, which need not be well formed.

    Raises:
        TypedKeyError: One is a key; the message names it and doesn't repeat it.
    """
    for name, double, single in _ASSIGNED.findall(text):
        refuse_clear_text({name.rpartition(".")[2]: double or single})


def refuse_in_url(what: str, url: str) -> None:
    """Refuse a URL with a user name, a password or a key in it.

    Raises:
        TypedKeyError: The URL has one; the message names ``what`` and doesn't repeat the URL.
        UsageError: Not a URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:
        raise UsageError(f"{what} is no URL: {url!r}.") from None
    queried = (name for name, _ in parse_qsl(parts.query))
    if "@" in parts.netloc or any(map(is_key_name, queried)) or looks_like_key(url):
        raise TypedKeyError(
            f"{what} holds a key, a user name or a password in clear text.",
            hint="Give the key by reference instead: %llm_config add NAME --openai URL --key env:VARIABLE",
        )
