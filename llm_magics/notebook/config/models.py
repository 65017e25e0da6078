"""``%llm_config`` use, models, show, test, add, remove, alias, unalias."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from llm_magics.core.types import ROLES
from llm_magics.notebook.config import add, overview
from llm_magics.notebook.config.command import MAGIC, ConfigCommand, ConfigContext
from llm_magics.notebook.tables import Reading, Table
from llm_magics.options.line_parser import LineParser, assignment


def _use_line(p: LineParser) -> None:
    p.add_argument("name", metavar="NAME", help="registered name, alias or namespace::model")
    p.add_argument(
        "--for", dest="role", choices=ROLES, default="default", metavar="ROLE", help=", ".join(ROLES)
    )


def _use(place: ConfigContext, values: Namespace) -> Reading:
    spec = place.session.registry.resolve(values.name)
    setting = "model" if values.role == "default" else f"roles.{values.role}"
    place.session.config.set(setting, values.name)
    key = overview.key_of(place.session, spec)
    missing = f"; key {key}" if "missing" in key else ""
    whole = f"{spec.namespace}::{spec.model}"
    meaning = f" ({whole})" if whole != values.name else ""
    return Reading(f"{values.role} is now {values.name}{meaning}{missing}")


def _models_line(p: LineParser) -> None:
    p.add_argument(
        "query", nargs="*", metavar="QUERY", help="words the row must hold; searches known models too"
    )
    p.add_argument("--json", action="store_true", help="plain data instead of a table")


def _models(place: ConfigContext, values: Namespace) -> Any:
    found = overview.models(place.session, " ".join(values.query))
    return found.rows if values.json else found


def _name_line(p: LineParser) -> None:
    p.add_argument("name", metavar="NAME", help="registered name, alias or namespace::model")


def _show(place: ConfigContext, values: Namespace) -> Table:
    return overview.show(place.session, values.name)


def _test(place: ConfigContext, values: Namespace) -> Table:
    from llm_magics.notebook.config.doctor import probe

    backend = place.session.registry.backend(values.name, place.session.keys)
    return Table([place.session.loop.run(probe(backend))], title=f"{values.name} answers")


def _add(place: ConfigContext, values: Namespace) -> Reading:
    spec = place.session.registry.add(add.spec(values, place.variables))
    whole = place.session.registry.resolve(spec.name)
    return Reading(
        f"{spec.name} is {spec.namespace}::{spec.model}; key {overview.key_of(place.session, whole)}; "
        f"make it the default: {MAGIC} use {spec.name}"
    )


def _remove(place: ConfigContext, values: Namespace) -> Reading:
    place.session.registry.remove(values.name)
    return _gone(place, values.name)


def _gone(place: ConfigContext, name: str) -> Reading:
    """The result of forgetting a name, with what still refers to it."""
    used = [role for role in ROLES if place.session.config.role(role)[0] == name]
    still = f"; it is still set for {', '.join(used)}" if used else ""
    holders = place.session.registry.holders(name)
    held = f"; {', '.join(holders)} can't be asked without it" if holders else ""
    return Reading(f"{name} is gone{still}{held}")


def _alias_line(p: LineParser) -> None:
    p.add_argument("pairs", nargs="+", type=assignment, metavar="A=NAME")


def _alias(place: ConfigContext, values: Namespace) -> Reading:
    for name, target in values.pairs:
        place.session.registry.alias(name, target)
    return Reading(", ".join(f"{name} is {target}" for name, target in values.pairs))


def _unalias(place: ConfigContext, values: Namespace) -> Reading:
    place.session.registry.unalias(values.name)
    return _gone(place, values.name)


COMMANDS = (
    ConfigCommand("use", "the model for everything, or for one role", _use_line, _use),
    ConfigCommand(
        "models", "registered backends and aliases; with words, known models too", _models_line, _models
    ),
    ConfigCommand("show", "everything about one backend", _name_line, _show),
    ConfigCommand("test", "one small request to a backend", _name_line, _test),
    ConfigCommand("add", "register a backend under a name", add.flags, _add),
    ConfigCommand("remove", "forget a registered backend", _name_line, _remove),
    ConfigCommand("alias", "another name for a backend", _alias_line, _alias),
    ConfigCommand("unalias", "forget that name", _name_line, _unalias),
)
