"""Keys: typed where nothing echoes them, listed masked, forgotten."""

from __future__ import annotations

import argparse
from argparse import Namespace

from llm_magics.core.errors import UsageError
from llm_magics.notebook.config.noun import MAGIC, Noun, Place
from llm_magics.notebook.tables import Listing, Said
from llm_magics.options.line_parser import LineParser
from llm_magics.settings.typed_keys import TypedKeyError


def _key_line(p: LineParser) -> None:
    p.add_argument("verb", choices=("set", "list", "forget"), metavar="set|list|forget")
    p.add_argument(
        "name", nargs="?", metavar="NAME", help="a namespace (openai), or any name for --key session:NAME"
    )
    p.add_argument("typed", nargs="*", help=argparse.SUPPRESS)
    p.add_argument("--store", choices=("session", "keyring"), default="session", help="where it is kept")


def _key(place: Place, values: Namespace) -> Listing:
    if values.typed:
        raise TypedKeyError(
            "a key is never typed on the line; it was not used.",
            hint=f"Type {MAGIC} key set {values.name}, and then the key where you are asked for it.",
        )
    keys = place.session.keys
    if values.verb == "list":
        rows = [_key_row(step.reference, step.masked) for step in keys.list()]
        return Listing(rows, empty=f"no keys; type one with {MAGIC} key set NAME")
    if not values.name:
        raise UsageError(f"which key? {MAGIC} key {values.verb} NAME")
    if values.verb == "forget":
        return Said(f"forgotten: {', '.join(keys.forget(values.name))}")
    reference = keys.set(values.name, _ask(values.name), values.store)
    return Said(
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
    """The key, typed where nothing echoes or keeps it."""
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


NOUNS = (Noun("key", "keys: type one, list them masked, forget one", _key_line, _key),)
