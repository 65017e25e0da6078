"""Keys as references: resolved at the time of a call, displayed masked, never written to a file.

A reference is ``env:NAME``, ``session:NAME``, ``keyring:NAME`` (or ``keyring:SERVICE/NAME``),
``dotenv:PATH#NAME`` or ``colab:NAME``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, MutableSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_magics.core.errors import MissingPackage, NotFound, UsageError, register_secret
from llm_magics.settings.clear_text_keys import TypedKeyError, check_reference, looks_like_key

KEYRING_SERVICE = "llm_magics"
"""The service name of this package's entries in the system's keyring."""

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY", "SKLLM_CONFIG_OPENAI_KEY"),
    "azure": ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY"),
    "custom_url": ("CUSTOM_URL_API_KEY",),
    "vllm": ("VLLM_API_KEY",),
    "ollama": ("OLLAMA_API_KEY",),
    "hf_endpoint": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "anthropic": ("ANTHROPIC_API_KEY", "SKLLM_CONFIG_ANTHROPIC_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
"""The environment variables of a namespace's key, in the order they are tried."""

KEY_REQUIRED = frozenset({"openai", "azure", "hf_endpoint", "anthropic", "gemini"})
"""The namespaces that need a key."""

_DOTENV = re.compile(r"""\s*(?:export\s+)?([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^#\r\n]*))""")


_TYPED_HINT = """Cells are saved: delete the key from this one; make a new key if it was shared.
Type a key with: %llm_config key set NAME
or say where it is: --key env:VARIABLE"""


@dataclass(frozen=True)
class KeyLookup:
    """The result of looking for a key in one place.

    ``masked`` is the end of the key (``...9f2c``), empty where none was found; ``note`` names an error.
    """

    reference: str
    masked: str = ""
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether the key was found."""
        return bool(self.masked)


def mask(secret: str) -> str:
    """Return the last four characters of a key of at least 16 characters, and nothing of a shorter one."""
    return f"...{secret[-4:]}" if len(secret) >= 16 else "..."


class Keys:
    """The keys of one kernel; keys that the user typed are kept in memory, as long as the kernel lives."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._typed: dict[str, str] = {}
        self._used: MutableSet[str] = set()
        self._readers: dict[str, Callable[[str], str | None]] = {
            "env": self._from_environment,
            "session": self._typed.get,
            "keyring": _from_keyring,
            "dotenv": _from_dotenv,
            "colab": _from_colab,
        }

    def resolve(self, reference: str) -> str | None:
        """Return the key behind a reference, or None where there is none.

        Raises:
            UsageError: Not a reference.
            MissingPackage: A ``keyring:`` reference without the keyring package.
        """
        scheme, _, name = check_reference(reference).partition(":")
        secret = (self._readers[scheme](name) or "").strip()
        if secret:
            self._used.add(secret)
            register_secret(secret)
        return secret or None

    def set(self, name: str, value: str, store: Literal["session", "keyring"] = "session") -> str:
        """Keep a key under a name; returns its reference.

        Raises:
            UsageError: An empty key.
            MissingPackage: The keyring is asked for and its package is missing.
        """
        if not value.strip():
            raise UsageError(f"the key {name!r} is empty; nothing was changed.")
        self._used.add(value.strip())
        register_secret(value.strip())
        if store == "keyring":
            _to_keyring(name, value.strip())
        else:
            self._typed[name] = value.strip()
        return f"{store}:{name}"

    def forget(self, name: str) -> tuple[str, ...]:
        """Delete a key from the session and from the keyring; returns the deleted references.

        Raises:
            NotFound: No key of that name in either.
        """
        gone = [f"session:{name}"] if self._typed.pop(name, None) is not None else []
        if _has_keyring() and self.status(f"keyring:{name}").found:
            _keyring().delete_password(*_keyring_entry(name))
            gone.append(f"keyring:{name}")
        if not gone:
            hint = "Keys in environment variables are not ours to delete."
            raise NotFound.among("key", name, self._typed, hint=hint)
        return tuple(gone)

    def list(self) -> tuple[KeyLookup, ...]:
        """Return every known key, masked: typed ones, those in the environment and in the keyring."""
        lookups = [KeyLookup(f"session:{name}", mask(value)) for name, value in self._typed.items()]
        variables = dict.fromkeys(v for names in KEY_VARIABLES.values() for v in names)
        lookups += [self.status(f"env:{name}") for name in variables if self._environ.get(name)]
        if _has_keyring():
            keyring = (self.status(f"keyring:{name}") for name in sorted(KEY_REQUIRED))
            lookups += [lookup for lookup in keyring if lookup.found]
        return tuple(lookups)

    def references(self, namespace: str) -> tuple[str, ...]:
        """Return where a namespace's key is looked for, in order: typed, environment, keyring, Colab.

        The keyring is included only for namespaces that need a key, because it may ask to be unlocked.
        """
        environment = [f"env:{name}" for name in KEY_VARIABLES.get(namespace, ())]
        if not environment:
            return ()
        colab = [f"colab:{KEY_VARIABLES[namespace][0]}"] if _in_colab() else []
        keyring = [f"keyring:{namespace}"] if namespace in KEY_REQUIRED and _has_keyring() else []
        return (f"session:{namespace}", *environment, *keyring, *colab)

    def lookups(self, namespace: str) -> tuple[KeyLookup, ...]:
        """Return what was found in each of these places."""
        return tuple(self.status(reference) for reference in self.references(namespace))

    def default_reference(self, namespace: str) -> str:
        """Return the reference of the first place that has a key, else the namespace's first variable.

        The reference is empty for a namespace without keys.
        """
        if namespace not in KEY_VARIABLES:
            return ""
        here = (reference for reference in self.references(namespace) if self.status(reference).found)
        return next(here, f"env:{KEY_VARIABLES[namespace][0]}")

    def status(self, reference: str) -> KeyLookup:
        """Look a reference up, with the key masked for display; errors become its note."""
        try:
            secret = self.resolve(reference)
        except Exception as error:  # noqa: BLE001  (a locked keyring must not stop the search)
            return KeyLookup(reference, note=type(error).__name__)
        return KeyLookup(reference, mask(secret) if secret else "")

    def secrets(self) -> frozenset[str]:
        """Return every key that is known now."""
        variables = (v for names in KEY_VARIABLES.values() for v in names)
        environment = {value for v in variables if (value := self._environ.get(v, "").strip())}
        return frozenset(self._used).union(self._typed.values(), environment)

    def refuse_key_in_line(self, line: str) -> None:
        """Refuse a line that contains a key or a text that looks like one.

        Raises:
            TypedKeyError: The line contains one; the message doesn't repeat it.
        """
        if looks_like_key(line) or any(len(secret) >= 8 and secret in line for secret in self.secrets()):
            raise TypedKeyError("a key was typed on the line; it was not used.", hint=_TYPED_HINT)

    def refuse_known_key(self, text: str) -> None:
        """Refuse a text that contains a known key, unless that key may be a plain word.

        Raises:
            TypedKeyError: The text contains one; the message doesn't repeat it.
        """
        if any(len(secret) >= 16 and not secret.isalpha() and secret in text for secret in self.secrets()):
            raise TypedKeyError("the cell's body holds a key; nothing was sent.", hint=_TYPED_HINT)

    def _from_environment(self, name: str) -> str | None:
        """Return a variable's value; a key that was typed under the variable's name takes precedence."""
        return self._typed.get(name) or self._environ.get(name)


def _keyring_entry(name: str) -> tuple[str, str]:
    service, slash, user = name.rpartition("/")
    return (service, user) if slash else (KEYRING_SERVICE, name)


def _has_keyring() -> bool:
    return importlib.util.find_spec("keyring") is not None


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        raise MissingPackage.of("keyring", "keyring", "the system's keyring") from None
    return keyring


def _from_keyring(name: str) -> str | None:
    found = _keyring().get_password(*_keyring_entry(name))
    return None if found is None else str(found)


def _to_keyring(name: str, value: str) -> None:
    try:
        _keyring().set_password(*_keyring_entry(name), value)
    except MissingPackage:
        raise
    except Exception as error:  # noqa: BLE001  (each keyring raises errors of its own)
        raise UsageError(
            f"the system's keyring took no key: {type(error).__name__}.",
            hint=f"For this session alone: %llm_config key set {name}",
        ) from None


def _from_dotenv(place: str) -> str | None:
    """Return one value from a .env file (``PATH#NAME``); the environment is not changed."""
    path, _, name = place.rpartition("#")
    try:
        lines = Path(path or ".env").expanduser().read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((value for key, value in map(_parse_assignment, lines) if key == name), None)


def _parse_assignment(line: str) -> tuple[str, str]:
    found = _DOTENV.match(line)
    if found is None:
        return "", ""
    name, double, single, bare = found.groups()
    if double is not None:
        return name, re.sub(r"\\(.)", r"\1", double)
    return name, single if single is not None else bare.strip()


def _in_colab() -> bool:
    try:
        return importlib.util.find_spec("google.colab") is not None
    except (ImportError, ValueError):
        return False


def _from_colab(name: str) -> str | None:
    if not _in_colab():
        return None
    try:
        return str(importlib.import_module("google.colab.userdata").get(name))
    except Exception:  # noqa: BLE001  (Colab raises errors of its own for "no such secret" and "no access")
        return None
