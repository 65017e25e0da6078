"""What backends over a provider's SDK share: keys and headers by reference, and fields that models refuse."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from llm_magics.backends import pricing
from llm_magics.backends.base import Backend, Secrets
from llm_magics.core.errors import MissingKey
from llm_magics.core.types import BackendSpec
from llm_magics.settings.clear_text_keys import is_reference


class SDKBackend(Backend):
    """A backend with one SDK client, made by the first call.

    ``key_variable`` names the variable of its key unless the spec says otherwise, ``key_page`` the page
    to get one. ``refused`` are fields that the model has refused: they are left out from then on, with a
    note.
    """

    key_variable: ClassVar[str] = ""
    key_page: ClassVar[str] = ""

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.price = spec.price or pricing.price(spec.namespace, spec.model)
        self.refused: set[str] = set()
        self.notes: tuple[str, ...] = ()
        self._client: Any = None

    def _key(self) -> str:
        reference = self.spec.key or f"env:{self.key_variable}"
        key = self.secrets.resolve(reference) if self.secrets else None
        if not key:
            page = "" if self.spec.key else f"{self.key_page} gives one; then: "
            raise MissingKey(
                f"{self.name} needs an API key ({reference}).",
                hint=f"{page}%llm_config key set {reference.partition(':')[2]}",
            )
        return key

    def _headers_given(self) -> dict[str, str]:
        """The user's own headers with references resolved. Raises MissingKey for one that can't be."""
        return {name: self._resolved(name, value) for name, value in self.spec.headers.items()}

    def _resolved(self, name: str, value: str) -> str:
        if not is_reference(value):
            return value
        found = self.secrets.resolve(value) if self.secrets else None
        if not found:
            where = value.partition(":")[2]
            raise MissingKey(
                f"the header {name} of {self.name} has no value ({value}).",
                hint=f"%llm_config key set {where}",
            )
        return found

    def _learned(self, fields: Collection[str], sentence: str) -> bool:
        """Leave these fields out from now on and note it; False where there are none."""
        if fields:
            self.refused.update(fields)
            self.notes = tuple(dict.fromkeys((*self.notes, f"{self.name} {sentence}.")))
        return bool(fields)
