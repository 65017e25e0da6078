"""The layout is the architecture: imports go down, no circle, small folders, heavy libraries in their rooms.

Every import counts, wherever it stands: at the top, inside a function, and for typing alone.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "llm_magics"

FLOORS: tuple[str, ...] = (
    "core",
    "options",
    "settings data",
    "text",
    "widgets",
    "store",
    "backends",
    "engine",
    "runs",
    "tasks.embed tasks.generate tasks.extract tasks.judge",
    "tasks.chat tasks.label",
    "tasks.agreement tasks.measure tasks.codebook",
    "tasks.sample",
    "tasks.concepts",
    "testing",
    "bulk",
    "lloom",
    "notebook",
    "compat",
)
"""From the ground up: a room imports from the floors below, and on its own floor from itself alone."""

HEAVY: dict[str, set[str]] = {
    "IPython": {"notebook", "engine", "widgets", "tasks"},
    "pandas": {"data", "engine", "runs", "tasks", "widgets", "notebook"},
    "plotly": {"widgets", "tasks", "notebook"},
    "ipywidgets": {"widgets", "tasks", "notebook"},
    "openai": {"backends"},
    "llama_cpp": {"backends", "testing"},
    "google": {"backends"},
    "anthropic": {"backends"},
    "transformers": {"backends"},
    "torch": {"backends"},
    "dask": {"runs"},
    "distributed": {"runs"},
}
"""A heavy library -> the top-level rooms that may import it."""

AT_THE_TOP = {"notebook": {"IPython"}}
"""A room -> the libraries that its modules may import before anybody calls them."""

MOST_FILES = 20
"""Modules that stand flat in one folder, ``__init__.py`` aside."""

USUAL_FILES = 15
MOST_LINES = 500


def name_of(path: Path) -> str:
    """The dotted name of a module, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ROOMS = {name: path for name, path in MODULES.items() if name}


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("llm_magics.") in MODULES else node.module


def at_the_top(path: Path) -> Iterator[str]:
    """The libraries that come in as soon as the module does."""
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_typing(node):
            waiting += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> tuple[int, str]:
    """The floor and the room a module stands in."""
    for level, names in enumerate(FLOORS):
        for room in names.split():
            if module == room or module.startswith(f"{room}."):
                return level, room
    raise AssertionError(f"{module} stands on no floor: give it one in FLOORS")


def own(name: str) -> str | None:
    """The module of ours that an import names."""
    inner = name.removeprefix("llm_magics.")
    return inner if inner != name and inner in MODULES else None


@pytest.mark.parametrize("module", [name for name in ROOMS if name != "tasks"])
def test_imports_go_down(module: str) -> None:
    """A room imports from the floors below, or from itself."""
    level, room = room_of(module)
    for name in imported(ROOMS[module]):
        other = own(name)
        if other and other != "tasks":
            below, there = room_of(other)
            assert there == room or below < level, f"{module} imports {other}, which is not below it"


def test_no_modules_import_each_other() -> None:
    """No circle, however long, whatever an import is for."""
    graph = nx.DiGraph()
    for module, path in ROOMS.items():
        graph.add_edges_from((module, other) for name in imported(path) if (other := own(name)))
    circles = [sorted(one) for one in nx.strongly_connected_components(graph) if len(one) > 1]
    assert circles == []


def test_folders_are_small() -> None:
    """The package holds folders only; a folder has few modules, and a module is read in one go."""
    flat = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert flat == {"__init__.py", "py.typed"}
    sizes = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert max(sizes.values()) <= MOST_FILES
    assert sum(size > USUAL_FILES for size in sizes.values()) <= 1
    long = [
        name for name, path in MODULES.items() if path.read_text(encoding="utf-8").count("\n") > MOST_LINES
    ]
    assert long == []


@pytest.mark.parametrize("module", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(module: str) -> None:
    """And even there they come in only inside the function that needs them (IPython's own rooms aside)."""
    room = module.split(".", maxsplit=1)[0]
    light = {"llm_magics", *sys.stdlib_module_names, *AT_THE_TOP.get(room, ())}
    assert set(at_the_top(ROOMS[module])) <= light, "import it in the function that needs it"
    for name in imported(ROOMS[module]):
        library = name.split(".")[0]
        if library in HEAVY:
            assert room in HEAVY[library], f"{module} may not import {library}"


@pytest.mark.checklist("B11", "R12")
def test_loading_the_extension_imports_nothing_heavy() -> None:
    """Magics and completion come in; pandas, numpy, openai, aiohttp, plotly and the rest do not."""
    import subprocess

    heavy = [
        "numpy",
        "pandas",
        "narwhals",
        "openai",
        "aiohttp",
        "plotly",
        "ipywidgets",
        "sklearn",
        "wordllama",
        "tokenizers",
        "llama_cpp",
        "torch",
        "genai_prices",
    ]
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance();"
        "before = set(sys.modules); s.run_line_magic('load_ext', 'llm_magics');"
        f"print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
