"""Authentication at one host: key and headers are resolved at each call and sent to that host only."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from llm_magics.backends.base import Secrets
from llm_magics.backends.openai.presets import Endpoint, asked, headers_of
from llm_magics.core.errors import MissingKey, register_secret
from llm_magics.core.types import BackendSpec
from llm_magics.settings.clear_text_keys import is_key_name, is_reference
from llm_magics.settings.keys import KEY_VARIABLES

LOOKUP_INTERVAL = 2.0
"""Seconds before a reference is looked up again; a keyring takes milliseconds, on the loop thread."""

AGENT = "llm_magics"


class Authentication:
    """Makes the headers of a backend's requests."""

    def __init__(self, spec: BackendSpec, endpoint: Endpoint, secrets: Secrets | None) -> None:
        self.spec = spec
        self.endpoint = endpoint
        self.secrets = secrets
        self._headers: Mapping[str, str] | None = None
        self._until = 0.0

    async def headers(self) -> Mapping[str, str]:
        """Content type, key and the user's own headers. Raises MissingKey."""
        now = time.monotonic()
        if self._headers is None or now > self._until:
            self._headers = await self._make()
            register_secret(
                *(value.rpartition(" ")[2] for name, value in self._headers.items() if is_key_name(name))
            )
            self._until = now + LOOKUP_INTERVAL
        return self._headers

    def forget(self) -> None:
        """Look the key up again at the next call, since the host refused it."""
        self._headers = None

    async def _make(self) -> Mapping[str, str]:
        from multidict import CIMultiDict

        headers: CIMultiDict[str] = CIMultiDict({"content-type": "application/json", "user-agent": AGENT})
        headers.update(self.endpoint.headers)
        client = self.spec.options.get("client")
        if client is not None:
            headers.update(await headers_of(client))
            return headers
        if key := await self._find_key():
            headers.update(self._auth(key))
        headers.update({name: self._value(value) for name, value in self.spec.headers.items()})
        return headers

    def _auth(self, key: str) -> dict[str, str]:
        if self.endpoint.preset.key_header == "authorization" or self.spec.options.get("token"):
            return {"authorization": f"Bearer {key}"}
        return {self.endpoint.preset.key_header: key}

    async def _find_key(self) -> str:
        token = self.spec.options.get("token")
        if callable(token):
            return str(await asked(token))
        tried = (token,) if token else self.references()
        for reference in tried:
            found = self._resolve(reference)
            if found:
                return found
        if self.spec.key or token or (self.endpoint.default_key and self.endpoint.preset.needs_key):
            raise self._missing(tried)
        return ""

    def references(self) -> tuple[str, ...]:
        """Where the key may be: where the user said, else (at its own hosts) the namespace's own places."""
        if self.spec.key:
            return _typed_first(self.spec.key)
        if not self.endpoint.default_key:
            return ()
        return (
            f"session:{self.spec.namespace}",
            *(f"env:{v}" for v in KEY_VARIABLES.get(self.spec.namespace, ())),
        )

    def _value(self, value: str) -> str:
        """A header's value, or the secret it refers to."""
        if not is_reference(value):
            return value
        found = self._resolve(value)
        if not found:
            raise self._missing((value,))
        return found

    def _resolve(self, reference: str) -> str | None:
        if self.secrets is not None:
            return self.secrets.resolve(reference)
        scheme, _, name = reference.partition(":")
        return (os.environ.get(name) or "").strip() or None if scheme == "env" else None

    def _missing(self, tried: tuple[str, ...]) -> MissingKey:
        names = [reference.partition(":")[2] for reference in tried]
        variable = next((r.partition(":")[2] for r in tried if r.startswith("env:")), "")
        name = self.spec.namespace if self.spec.namespace in names else names[-1]
        other = f"\nor set the environment variable {variable} before the kernel starts" if variable else ""
        who = self.spec.name or f"{self.spec.namespace}::{self.spec.model}"
        return MissingKey(
            f"no key for {who} (looked at {', '.join(tried)}).", hint=f"%llm_config key set {name}{other}"
        )


def _typed_first(reference: str) -> tuple[str, ...]:
    """The references of a key that was typed under a variable's name, before the variable itself."""
    scheme, _, name = reference.partition(":")
    return (f"session:{name}", reference) if scheme == "env" else (reference,)
