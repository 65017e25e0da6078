"""Profiles: settings, backends and aliases as TOML, in a cell's body or on disk. They hold no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llm_magics.backends.registry import Registry, parse_spec
from llm_magics.backends.specs import from_dict, to_dict
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec
from llm_magics.settings.config import (
    Config,
    declaration,
    flatten_table,
    home_folder,
    parse_toml,
    replace_file,
)
from llm_magics.settings.table import SETTINGS

_TABLES = ("settings", "roles", "backends", "aliases")
_LIMITS = ("rpm", "tpm", "window", "concurrency", "retries", "timeout")


class Parts(Protocol):
    """What a profile is made of and applied to: a session's settings, backends and aliases."""

    config: Config

    @property
    def registry(self) -> Registry:
        """The named backends."""


@dataclass(frozen=True)
class Profile:
    """A complete set-up; checked, not yet applied."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    backends: Mapping[str, BackendSpec] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


def read(text: str, what: str) -> Profile:
    """The set-up in a TOML text.

    Raises:
        UsageError: Malformed, with the line; or an impossible value.
        NotFound: A table, setting or namespace that doesn't exist.
    """
    tables = parse_toml(text, what)
    _check_tables(tables, what)
    settings = flatten_table(tables.get("settings", {}))
    for role, model in flatten_table(tables.get("roles", {})).items():
        settings["model" if role == "default" else f"roles.{role}"] = model
    checked = {name: declaration(name).check(value) for name, value in settings.items()}
    backends = {name: _backend(name, table) for name, table in tables.get("backends", {}).items()}
    return Profile(checked, backends, _aliases(tables.get("aliases", {})))


def _check_tables(tables: Mapping[str, Any], what: str) -> None:
    """Raises NotFound for an unknown table, UsageError for a setting outside of ``[settings]``."""
    for name, table in tables.items():
        if name not in _TABLES:
            astray = next((setting for setting in flatten_table({name: table}) if setting in SETTINGS), None)
            if astray is not None:
                hint = f"Put it under that line:\n[settings]\n{astray} = ..."
                raise UsageError(f"{astray} in {what} stands outside of [settings].", hint=hint)
            raise NotFound.among(f"table in {what}", name, _TABLES)
        if not isinstance(table, Mapping):
            raise UsageError(f"{name} in {what} must be a table.", hint=f"[{name}]")


def apply(profile: Profile, session: Parts) -> None:
    """Apply the profile to the session: all of it or, where a part is refused, nothing."""
    registry, config = session.registry, session.config
    before = (registry.specs(), registry.aliases(), config.session())
    try:
        for spec in _members_last(profile.backends):
            registry.add(spec)
        for alias, target in profile.aliases.items():
            registry.alias(alias, target)
        config.update(profile.settings)
        for name, value in profile.settings.items():
            if SETTINGS[name].names_a_model:
                registry.resolve(value)
    except BaseException:
        registry.replace(before[0], before[1])
        config.reset()
        config.update(before[2])
        raise


def write(session: Parts) -> tuple[str, list[str]]:
    """The session's settings, backends and aliases as TOML, and what could not be written.

    Left out is what a new kernel could not load: objects of this notebook, and whatever refers to a
    backend that was removed or left out itself.
    """
    import tomlkit

    fresh = Registry(session.config, session.registry.keys)
    left_out: list[str] = []
    backends: dict[str, Any] = {}
    for spec in _members_last(session.registry.specs()):
        with _noting(left_out, spec.name):
            plain = to_dict(spec)
            fresh.add(spec)
            backends[spec.name] = plain
    for alias, target in session.registry.aliases().items():
        with _noting(left_out, alias):
            fresh.alias(alias, target)
    settings: dict[str, Any] = {}
    for name, value in session.config.session().items():
        with _noting(left_out, f"{name} = {value}"):
            if SETTINGS[name].names_a_model:
                fresh.resolve(value)
            settings[name] = value
    whole = {"settings": _nested(settings), "backends": backends, "aliases": fresh.aliases()}
    return tomlkit.dumps({name: table for name, table in whole.items() if table}), left_out


@contextmanager
def _noting(left_out: list[str], what: str) -> Iterator[None]:
    """Add ``what`` and the reason to ``left_out`` where it is refused."""
    try:
        yield
    except UsageError as error:
        left_out.append(f"{what} ({error.message})")


def save(name: str, session: Parts) -> tuple[Path, list[str]]:
    """Write the profile ``name``; returns its file, and what could not be written."""
    path = path_of(name)
    text, left_out = write(session)
    replace_file(path, text, private=True)
    return path, left_out


def load(name: str, session: Parts) -> Profile:
    """Apply the profile ``name``.

    Raises:
        NotFound: No such profile.
        UsageError: Its file is malformed or doesn't fit.
    """
    path = path_of(name)
    if not path.is_file():
        raise NotFound.among("profile", name, names())
    profile = read(path.read_text("utf-8"), str(path))
    apply(profile, session)
    return profile


def names() -> list[str]:
    """The saved profiles."""
    folder = home_folder() / "profiles"
    return sorted(path.stem for path in folder.glob("*.toml")) if folder.is_dir() else []


def path_of(name: str) -> Path:
    """The file of a profile.

    Raises:
        UsageError: An impossible name of a file.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][\w-]*", name):
        raise UsageError(f"{name!r} can't name a profile: letters, digits, '_' and '-' only.")
    return home_folder() / "profiles" / f"{name}.toml"


def _backend(name: str, table: Any) -> BackendSpec:
    """A backend's table; limits may be in it directly, and ``model`` may be ``namespace::model``."""
    if not isinstance(table, Mapping):
        raise UsageError(f"the backend {name!r} must be a table.", hint=f"[backends.{name}]")
    data = dict(table)
    if "namespace" not in data and "::" in str(data.get("model", "")):
        data["namespace"], data["model"] = parse_spec(data["model"])
    if direct := {limit: data.pop(limit) for limit in _LIMITS if limit in data}:
        data["limits"] = {**data.get("limits", {}), **direct}
    return from_dict(name, data)


def _aliases(table: Mapping[str, Any]) -> dict[str, str]:
    for alias, target in table.items():
        if not isinstance(target, str):
            raise UsageError(f"the alias {alias!r} must be a name.")
    return dict(table)


def _members_last(backends: Mapping[str, BackendSpec]) -> list[BackendSpec]:
    """Pools after their members."""
    return sorted(backends.values(), key=lambda spec: "members" in spec.options)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Names with dots as tables in tables."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *above, leaf = name.split(".")
        table = nested
        for part in above:
            table = table.setdefault(part, {})
        table[leaf] = value
    return nested
