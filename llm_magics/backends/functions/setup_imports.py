"""Modules that a setup function imported for itself and a call function needs too.

LLooM's page imports ``genai`` inside its setup functions and uses the name in its call functions,
which Python can't see. Such a name is lent, once and with a note, and only where it is missing.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from typing import Any


def lend_import(error: NameError, setup_fn: Callable[..., Any] | None, fn: Callable[..., Any]) -> str:
    """Give ``fn`` the module that ``error`` misses, if ``setup_fn`` imports it under that name.

    Returns the note for the user, empty where nothing was lent.
    """
    space = getattr(fn, "__globals__", None)
    if setup_fn is None or space is None or not error.name or error.name in space:
        return ""
    imported = _imports(setup_fn).get(error.name)
    if imported is None:
        return ""
    space[error.name] = imported
    return (
        f"{fn.__name__} uses {error.name!r}, which only {setup_fn.__name__} imports; it was made visible. "
        "Import it at the top of the notebook."
    )


def _imports(setup_fn: Callable[..., Any]) -> dict[str, Any]:
    """The local names that ``setup_fn``'s import statements bind, with what they are bound to."""
    code = getattr(setup_fn, "__code__", None)
    if code is None:
        return {}
    module, source, found = "", "", {}
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            module = source = step.argval
        elif step.opname == "IMPORT_FROM":
            source = f"{module}:{step.argval}"
        elif step.opname.startswith(("STORE_FAST", "STORE_DEREF")) and source:
            name = step.argval[0] if isinstance(step.argval, tuple) else step.argval  # 3.13 joins steps
            found[name] = _bound(source, name)
            source = ""
    return {name: value for name, value in found.items() if value is not None}


def _bound(source: str, name: str) -> Any:
    """What ``import a.b as c``, ``import a.b`` or ``from a import b`` bound to ``name``.

    ``import a.b as c`` compiles to ``a.b:b``, ``from a import b`` to ``a:b``.
    """
    module, _, member = source.partition(":")
    if not member:
        top = module.partition(".")[0]
        return sys.modules.get(top if name == top else module)
    held = sys.modules.get(module)
    return getattr(held, member, None) or sys.modules.get(f"{module}.{member}") or held
