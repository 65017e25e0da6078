"""One script of several ES modules: anywidget takes a single one, and users install no build step.

Modules stay as they are written. Here each becomes a function that returns its exports, in the order of
their imports; relative paths are resolved as a browser would resolve them.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "(?P<path>\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const|let) (?P<name>\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)


@cache
def bundle(entry: Path) -> str:
    """The module at ``entry`` with all that it imports, as one script with the entry's default export.

    Imports are written ``import { a, b as c } from "./path.js";``, each on its own line.
    """
    ordered: list[Path] = []
    _visit(entry.resolve(), ordered, ())
    scripts = [_as_function(path, ordered) for path in ordered[:-1]]
    return "\n".join([*scripts, _linked(ordered[-1], ordered)])


def _visit(path: Path, ordered: list[Path], above: tuple[Path, ...]) -> None:
    """Put a module's imports before the module."""
    if path in ordered:
        return
    if path in above:
        raise ValueError(f"{path.name} imports itself through {', '.join(p.name for p in above)}.")
    for match in _IMPORT.finditer(path.read_text(encoding="utf-8")):
        _visit((path.parent / match["path"]).resolve(), ordered, (*above, path))
    ordered.append(path)


def _linked(path: Path, ordered: list[Path]) -> str:
    """The module's text, its imports read from the functions' results."""

    def taken(match: re.Match[str]) -> str:
        number = ordered.index((path.parent / match["path"]).resolve())
        return f"const {{{match['names'].replace(' as ', ': ')}}} = module{number};\n"

    return _IMPORT.sub(taken, path.read_text(encoding="utf-8"))


def _as_function(path: Path, ordered: list[Path]) -> str:
    text = _linked(path, ordered)
    if _DEFAULT.search(text):
        raise ValueError(f"{path.name} has a default export; only the first module of a panel may.")
    names = ", ".join(match["name"] for match in _EXPORT.finditer(text))
    body = _EXPORT.sub("", text)
    return (
        f"const module{ordered.index(path)} = (() => {{ // {path.name}\n{body}\nreturn {{ {names} }};\n}})();"
    )


@cache
def style(*sheets: Path) -> str:
    """The shared style sheet, then the ``sheets`` of a panel."""
    here = Path(__file__).parent
    paths = [here / "tokens.css", here / "style.css", *sheets]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


@cache
def tokens() -> str:
    """The design tokens alone, for HTML without a panel: its outermost element has the class ``llmx``."""
    return (Path(__file__).parent / "tokens.css").read_text(encoding="utf-8")
