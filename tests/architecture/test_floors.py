"""The layout is the architecture: imports go down, heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "llm_magics"

FLOORS: tuple[str, ...] = (
    "types errors",
    "prompts parsing parser parameters limits prompt_formats tokens synonyms",
    "choices fields frames arguments settings bundles spans",
    "prices pydantic_models",
    "tasks backends store",
    "widgets",
    "testing",
    "motion",
    "api",
    "induction",
    "lloom",
    "notebook",
)
"""From the ground up; a room imports from floors below, and on its own floor only inside its folder."""

HEAVY: dict[str, set[str]] = {
    "IPython": {"notebook", "motion", "widgets", "induction"},
    "pandas": {"frames", "tasks", "api", "induction", "widgets", "notebook"},
    "plotly": {"widgets", "notebook"},
    "ipywidgets": {"widgets", "notebook"},
    "openai": {"backends", "prices"},
    "llama_cpp": {"backends", "testing"},
    "google": {"backends"},
    "anthropic": {"backends"},
    "transformers": {"backends"},
    "torch": {"backends"},
    "dask": {"api"},
    "distributed": {"api"},
}
"""A heavy library -> the rooms that may import it."""

AT_THE_TOP = {"notebook": {"IPython"}}
"""A room -> the libraries that its modules may import before anybody calls them."""


def rooms() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py"
    )


def room_of(path: Path) -> str:
    """The folder, or the file on the top floor, that a module belongs to."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0] if len(inside) > 1 else path.stem


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in it, but not for typing alone."""
    tree = ast.parse(path.read_text())
    typing_only = {id(n) for block in ast.walk(tree) if _is_typing(block) for n in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "llm_magics":
                yield from (f"llm_magics.{alias.name}" for alias in node.names)
            else:
                yield node.module


def at_the_top(path: Path) -> Iterator[str]:
    """The libraries that come in as soon as the module does."""
    waiting: list[ast.AST] = list(ast.parse(path.read_text()).body)
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


def floor(room: str) -> int:
    for level, names in enumerate(FLOORS):
        if room in names.split():
            return level
    raise AssertionError(f"{room} stands on no floor: give it one in FLOORS")


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    """A room imports only from floors below, or from its own folder."""
    own = room_of(path)
    for name in imported(path):
        if name.startswith("llm_magics."):
            other = name.split(".")[1]
            if other != own and not other.startswith("__"):
                assert floor(other) < floor(own), f"{own} imports {other}, which is not below it"


@pytest.mark.parametrize("path", rooms(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    """And even there they come in only inside the function that needs them (IPython's own rooms aside)."""
    own = room_of(path)
    light = {"llm_magics", *sys.stdlib_module_names, *AT_THE_TOP.get(own, ())}
    assert set(at_the_top(path)) <= light, "import it in the function that needs it"
    for name in imported(path):
        library = name.split(".")[0]
        if library in HEAVY:
            assert own in HEAVY[library], f"{own} may not import {library}"


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
    ]
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance();"
        "before = set(sys.modules); s.run_line_magic('load_ext', 'llm_magics');"
        f"print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
