"""The registry: from what a user types after ``-m`` to a live backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any
from urllib.parse import urlsplit

from llm_magics.backends.base import Backend, Secrets
from llm_magics.backends.namespaces import (
    BUILT_IN,
    DEFAULT_NAMESPACE,
    ENTRY_POINTS,
    NAME,
    Factory,
    create,
    namespaces,
    origins,
    parse_spec,
    register,
)
from llm_magics.backends.specs import check
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec, Limits
from llm_magics.options.synonyms import SUBCOMMANDS
from llm_magics.settings.config import Config, Setting
from llm_magics.settings.keys import KEY_REQUIRED, KEY_VARIABLES, Keys
from llm_magics.settings.table import SETTINGS

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "Factory",
    "Registry",
    "create",
    "namespaces",
    "origins",
    "parse_spec",
    "register",
]

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "openai": ("organization", "project"),
    "azure": ("api_version",),
    "vertex": ("project", "location"),
    "gguf": (
        "gpu_layers",
        "context",
        "verbose",
        "threads",
        "workers",
        "memory_limit",
        "download_path",
        "offline",
    ),
}
"""Settings ``namespace.option`` that become options of a backend."""

_OPENAI_NAMES = re.compile(
    r"(gpt|chatgpt|o\d|text-|ft:|davinci|babbage|codex|computer-use|omni)", re.IGNORECASE
)
_ALWAYS_KEYED = frozenset({"anthropic", "gemini"})
"""Namespaces whose SDK would use the namespace's own key by itself: they get the key of the host."""

_HOSTS: Mapping[str, tuple[str, ...]] = {
    "openai": ("api.openai.com", ".api.openai.com"),
    "azure": (".azure.com", ".azure.us", ".azure.cn"),
    "hf_endpoint": (".huggingface.cloud", ".huggingface.co"),
    "anthropic": ("api.anthropic.com",),
    "gemini": ("generativelanguage.googleapis.com",),
}
"""The hosts that a namespace's own key may be sent to."""


def _at_home(namespace: str, url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == own or (own[0] == "." and host.endswith(own)) for own in _HOSTS.get(namespace, ()))


def _same_but_pace(old: BackendSpec, new: BackendSpec) -> bool:
    """True where two specs differ only in limits that the engine applies.

    The timeout is the connection's.
    """
    return replace(old, limits=replace(new.limits, timeout=old.limits.timeout)) == new


def _changed(live: Limits, old: Limits, new: Limits) -> Limits:
    """A backend's limits with the user's changes; what the backend chose itself stays."""
    names = [field.name for field in fields(Limits) if getattr(old, field.name) != getattr(new, field.name)]
    return replace(live, **{name: getattr(new, name) for name in names})


class Registry:
    """The named backends of one kernel, their aliases, and the live instances.

    ``retire`` is called with an instance whose spec changed or was removed, to close it on the loop
    thread.
    """

    def __init__(
        self,
        config: Config | None = None,
        keys: Keys | None = None,
        *,
        retire: Callable[[Backend], None] | None = None,
    ) -> None:
        self.config = config or Config()
        self.keys = keys or Keys()
        self.retire = retire
        self._specs: dict[str, BackendSpec] = {}
        self._aliases: dict[str, str] = {}
        self._live: dict[str, Backend] = {}
        self._made: dict[str, BackendSpec] = {}

    def add(self, spec: BackendSpec) -> BackendSpec:
        """Register a spec under its name; replaces an earlier one.

        Raises:
            UsageError: An impossible name, or a key in clear text.
            NotFound: No such namespace, or an unknown member of a pool.
        """
        self._check_name(spec.name)
        if spec.name in self._aliases:
            raise UsageError(f"{spec.name!r} is an alias.", hint=f"%llm_config unalias {spec.name}")
        if spec.namespace not in namespaces():
            raise NotFound.among("backend namespace", spec.namespace, namespaces())
        if "members" in spec.options:
            spec = self._members_checked(spec)
        self._specs[spec.name] = check(spec)
        return spec

    def remove(self, name: str) -> None:
        """Remove a registered backend and its aliases, and close its instance.

        Raises:
            NotFound: No such name.
        """
        if name not in self._specs:
            raise NotFound.among("registered backend", name, self._specs)
        del self._specs[name]
        self._aliases = {alias: target for alias, target in self._aliases.items() if target != name}
        self._drop(name)

    def alias(self, name: str, target: str) -> None:
        """Let ``name`` stand for a registered name or ``namespace::model``.

        Raises:
            UsageError: The target is itself an alias, or the name is taken.
        """
        self._check_name(name)
        if name in self._specs:
            raise UsageError(f"{name!r} is a registered backend.", hint=f"%llm_config remove {name}")
        if target in self._aliases:
            whole = self._aliases[target]
            raise UsageError(f"{target!r} is an alias itself.", hint=f"%llm_config alias {name}={whole}")
        self.resolve(target)
        self._aliases[name] = target

    def unalias(self, name: str) -> None:
        """Forget an alias.

        Raises:
            NotFound: No such alias.
        """
        if name not in self._aliases:
            raise NotFound.among("alias", name, self._aliases)
        del self._aliases[name]

    def names(self) -> list[str]:
        """The registered names, then the aliases."""
        return [*self._specs, *self._aliases]

    def specs(self) -> dict[str, BackendSpec]:
        """The registered backends as they were described."""
        return dict(self._specs)

    def aliases(self) -> dict[str, str]:
        """Alias -> target."""
        return dict(self._aliases)

    def resolve(self, text: str) -> BackendSpec:
        """The complete spec of a registered name, an alias, ``namespace::model`` or a plain openai model.

        What the user left open comes from the settings: URL, key reference, options, limits.

        Raises:
            NotFound: No such namespace, or a plain name that is neither registered nor like openai's.
            UsageError: No model named.
        """
        name = self._aliases.get(text.strip(), text.strip())
        if name in self._specs:
            return self._filled(self._specs[name])
        self._check_namespace(name)
        namespace, model = parse_spec(name)
        if "::" not in name:
            self._check_spelling(name)
        return self._filled(BackendSpec(namespace, model))

    def backend(self, text: str, secrets: Secrets | None = None) -> Backend:
        """The live backend of what ``resolve`` takes: one instance (and one client) a backend."""
        spec = self._with_members(self.resolve(text))
        name = spec.name or f"{spec.namespace}::{spec.model}"
        live = self._live.get(name)
        if live is not None and _same_but_pace(self._made[name], spec):
            live.limits = _changed(live.limits, self._made[name].limits, spec.limits)
            self._made[name] = spec
            return live
        self._drop(name)
        self._live[name] = made = create(spec, secrets or self.keys)
        self._made[name] = spec
        return made

    def live(self) -> dict[str, Backend]:
        """The instances made so far, by name."""
        return dict(self._live)

    def replace(self, specs: Mapping[str, BackendSpec], aliases: Mapping[str, str]) -> None:
        """Restore an earlier state (undo of a change that failed half way)."""
        self._specs, self._aliases = dict(specs), dict(aliases)

    def clear(self) -> None:
        """Remove everything and close every instance."""
        self._specs.clear()
        self._aliases.clear()
        for name in list(self._live):
            self._drop(name)

    async def close(self) -> None:
        """Close every live instance, on its loop."""
        gone, self._live = list(self._live.values()), {}
        for backend in gone:
            await backend.close()

    def _drop(self, name: str) -> None:
        gone = self._live.pop(name, None)
        if gone is not None and self.retire is not None:
            self.retire(gone)

    def _members_checked(self, spec: BackendSpec) -> BackendSpec:
        """The spec with its members' aliases resolved."""
        members = [self._aliases.get(member, member) for member in spec.options["members"]]
        for member in members:
            if member != spec.name:
                self.resolve(member)
        if spec.name in self._below(members):
            raise UsageError(f"{spec.name!r} can't be a member of itself.")
        return replace(spec, options={**spec.options, "members": members})

    def _below(self, members: Sequence[str]) -> set[str]:
        """Members, and members of members."""
        found = set(members)
        for member in members:
            spec = self._specs.get(member)
            found |= self._below(spec.options.get("members", ())) if spec is not None else set()
        return found

    def _with_members(self, spec: BackendSpec) -> BackendSpec:
        """A pool's (or a process's) ``members`` as whole specs in place of names."""
        if "members" not in spec.options:
            return spec
        try:
            members = tuple(self._with_members(self.resolve(member)) for member in spec.options["members"])
        except NotFound as error:
            raise NotFound(
                f"{spec.name} can't be asked: {error.message}", hint=f"Add that one, or {spec.name} anew."
            ) from error
        return replace(spec, options={**spec.options, "members": members})

    def holders(self, name: str) -> list[str]:
        """The pools and processes that have ``name`` as a member."""
        return [holder for holder, spec in self._specs.items() if name in spec.options.get("members", ())]

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} can't name a backend: letters, digits, '_', '-' and '.' only.")
        if name in namespaces() or name in SUBCOMMANDS:
            what = "a backend namespace" if name in namespaces() else "a subcommand of %llm"
            raise UsageError(f"{name!r} is {what}; give it another name.")

    def _check_spelling(self, name: str) -> None:
        """Raises NotFound for a plain name that doesn't look like one of openai's.

        A misspelt name, or that of a removed backend, must not send rows to a host the user didn't name.
        """
        if _OPENAI_NAMES.match(name) or self._url(DEFAULT_NAMESPACE).value:
            return
        namespace, _, model = name.replace("/", ":", 1).partition(":")
        if model and namespace in namespaces():
            raise NotFound(f"no model {name!r}.", hint=f"Two colons: {namespace}::{model.lstrip(':')}")
        if name in namespaces():
            raise NotFound(f"{name!r} is a family of models, not one.", hint=f"Type {name}::MODEL")
        raise NotFound.among(
            "model", name, self.names(), hint=f"For an OpenAI model of that name: openai::{name}"
        )

    def _check_namespace(self, text: str) -> None:
        """Raises UsageError for a registered name with a model behind it."""
        name, colons, _ = text.partition("::")
        if colons and name not in namespaces() and (name in self._specs or name in self._aliases):
            raise NotFound(f"no backend namespace {name!r}.", hint=f"That is a registered name: -m {name}")

    def _filled(self, spec: BackendSpec) -> BackendSpec:
        """``spec`` with its open fields filled from the settings and the keys."""
        if "client" in spec.options:  # a client of the user's own brings URL, key and headers
            return replace(spec, limits=self._limits(spec.limits))
        said = self._url(spec.namespace)
        return replace(
            spec,
            base_url=spec.base_url or said.value or "",
            key=spec.key or self._key(spec, said),
            options={**self._options(spec.namespace), **spec.options},
            limits=self._limits(spec.limits),
        )

    def _key(self, spec: BackendSpec, said: Setting) -> str:
        """The reference of the namespace's own key, where the host may have it.

        A URL given with ``add``, or by a project's file, gets it only at the provider's own hosts: no key
        is sent to a host that the user did not name for it.
        """
        namespace, url = spec.namespace, spec.base_url or said.value or ""
        strange = bool(spec.base_url) or said.origin == "pyproject.toml"
        if namespace not in KEY_VARIABLES:
            return ""
        if strange and not _at_home(namespace, url):
            return f"session:{urlsplit(url).hostname}" if namespace in _ALWAYS_KEYED else ""
        reference = self.keys.default_reference(namespace)
        # Without a key and with a URL of the settings, name one: the call must fail before it is sent.
        asked = namespace in KEY_REQUIRED and bool(said.value)
        return reference if asked or self.keys.status(reference).found else ""

    def _url(self, namespace: str) -> Setting:
        """The setting that holds the namespace's URL."""
        names = [name for name in (f"{namespace}.base_url", f"{namespace}.endpoint") if name in SETTINGS]
        return self.config.get(names[0]) if names else Setting("", None, "default")

    def _setting(self, namespace: str, option: str) -> Any:
        name = f"{namespace}.{option}"
        if option == "offline":
            return self.config.value(option) or None
        return self.config.value(name) if name in SETTINGS else None

    def _options(self, namespace: str) -> dict[str, Any]:
        found = {option: self._setting(namespace, option) for option in _OPTIONS.get(namespace, ())}
        return {option: value for option, value in found.items() if value is not None}

    def _limits(self, limits: Limits) -> Limits:
        """The limits, with defaults replaced by the settings."""
        names = ("rpm", "tpm", "concurrency", "retries", "timeout")
        open_ones = [name for name in names if getattr(limits, name) == getattr(Limits(), name)]
        return replace(limits, **{name: self.config.value(name) for name in open_ones})
