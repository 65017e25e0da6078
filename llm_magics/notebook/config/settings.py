"""``%llm_config`` set, get, unset, reset, path, and key."""

from __future__ import annotations

import argparse
from argparse import Namespace

from llm_magics.core.errors import UsageError
from llm_magics.notebook.config import overview
from llm_magics.notebook.config.command import MAGIC, ConfigCommand, ConfigContext, nothing
from llm_magics.notebook.tables import Reading, Table
from llm_magics.options.line_parser import LineParser, assignment
from llm_magics.settings.clear_text_keys import TypedKeyError
from llm_magics.settings.config import declaration, home_folder


def _set_line(p: LineParser) -> None:
    p.add_argument("pairs", nargs="+", type=assignment, metavar="K=V")
    p.add_argument("--persist", choices=("user", "project"), help="write it to your file, or the project's")


def _set(place: ConfigContext, values: Namespace) -> Table:
    config, registry = place.session.config, place.session.registry
    for name, value in values.pairs:
        declared = declaration(name)
        declared.check(value)
        if declared.names_a_model:
            registry.resolve(value)
    for name, value in values.pairs:
        config.set(name, value, values.persist)
    return _settings(place, [name for name, _ in values.pairs], values.persist)


def _settings(place: ConfigContext, names: list[str], written: str | None) -> Table:
    """The effective values, and which file was written (``user``, ``project``)."""
    rows = [row for name in names for row in overview.settings(place.session, name)]
    notes = [f"written to {place.session.config.paths()[written]}"] if written else []
    return Table(rows, columns=["name", "value", "origin"], heads=False, notes=notes)


def _get_line(p: LineParser) -> None:
    p.add_argument("name", nargs="?", metavar="K", help="a setting; all of them without it")


def _get(place: ConfigContext, values: Namespace) -> Table:
    return overview.settings(place.session, values.name)


def _unset_line(p: LineParser) -> None:
    p.add_argument("name", metavar="K")
    p.add_argument("--persist", choices=("user", "project"), help="take it out of that file too")


def _unset(place: ConfigContext, values: Namespace) -> Table:
    place.session.config.unset(values.name, values.persist)
    return _settings(place, [values.name], values.persist)


def _reset(place: ConfigContext, values: Namespace) -> Reading:
    place.session.config.reset(values.name)
    return Reading(f"{values.name or 'every setting of this session'} is as it was at the start")


def _path(place: ConfigContext, _: Namespace) -> Table:
    paths = {
        **place.session.config.paths(),
        "responses": place.session.store.path,
        "profiles": home_folder() / "profiles",
    }
    rows = [{"what": what, "path": str(path) if path else "none"} for what, path in paths.items()]
    return Table(rows, caption="Files and folders", heads=False)


COMMANDS = (
    ConfigCommand("set", "set settings, for this session or for good", _set_line, _set),
    ConfigCommand("get", "a setting, or all, with their origin", _get_line, _get),
    ConfigCommand("unset", "forget what was set", _unset_line, _unset),
    ConfigCommand("reset", "forget what this session set: one setting, or all", _get_line, _reset),
    ConfigCommand("path", "where the files are", nothing, _path),
)


def _key_line(p: LineParser) -> None:
    p.add_argument("verb", choices=("set", "list", "forget"), metavar="set|list|forget")
    p.add_argument(
        "name", nargs="?", metavar="NAME", help="a namespace (openai), or any name for --key session:NAME"
    )
    p.add_argument("typed", nargs="*", help=argparse.SUPPRESS)
    p.add_argument("--store", choices=("session", "keyring"), default="session", help="where it is kept")


def _key(place: ConfigContext, values: Namespace) -> Table:
    if values.typed:
        raise TypedKeyError(
            "a key is never typed on the line; it was not used.",
            hint=f"Type {MAGIC} key set {values.name}, and then the key where you are asked for it.",
        )
    keys = place.session.keys
    if values.verb == "list":
        rows = [_key_row(step.reference, step.masked) for step in keys.list()]
        empty = f"no keys; type one with {MAGIC} key set NAME"
        return Table(rows, caption="Keys, masked" if rows else "", empty=empty)
    if not values.name:
        raise UsageError(f"which key? {MAGIC} key {values.verb} NAME")
    if values.verb == "forget":
        return Reading(f"forgotten: {', '.join(keys.forget(values.name))}")
    reference = keys.set(values.name, _ask(values.name), values.store)
    return Reading(
        f"{reference} is set ({keys.status(reference).masked}); backends may name it: --key {reference}"
    )


def _key_row(reference: str, masked: str) -> dict[str, str]:
    scheme, _, name = reference.partition(":")
    return {
        "name": name,
        "where": "environment" if scheme == "env" else scheme,
        "key": masked,
        "--key": reference,
    }


def _ask(name: str) -> str:
    """The key, typed without echo."""
    from getpass import getpass

    from IPython.core.error import StdinNotImplementedError

    try:
        return getpass(f"Key {name}: ")
    except (StdinNotImplementedError, EOFError):
        raise UsageError(
            "this front end can't ask for a key.",
            hint="Set it in the environment before the kernel starts, and name it: --key env:VARIABLE\n"
            "or keep it in the system's keyring: python -m keyring set llm_magics " + name,
        ) from None


KEY_COMMANDS = (ConfigCommand("key", "keys: type one, list them masked, forget one", _key_line, _key),)
