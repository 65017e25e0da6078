"""The README and every page of docs: what they show is run, where they point exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.pages import ROOT, may_raise, notebook_of, raised, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CELLS = [page for page in PAGES if notebook_of(page.read_text(encoding="utf-8")).cells]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", WITH_CELLS, ids=name)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    """A page's blocks run in order in one fresh kernel; those marked ``raises`` do, and no other."""
    done = run(notebook_of(page.read_text(encoding="utf-8")), tmp_path)
    for cell in done.cells:
        assert raised(cell) == may_raise(cell), cell.source


def test_pages_with_cells_are_found() -> None:
    """The README, the tutorial and the how-to pages are among those that are run."""
    names = {name(page) for page in WITH_CELLS}
    assert {"README.md", "docs/tutorial.md"} <= names
    assert any(page.startswith("docs/howto/") for page in names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link to a file of ours names one that exists."""
    missing = [
        target
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_no_page_stands_alone() -> None:
    """Every page of docs is reached from its index."""
    seen, waiting = set(), [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = LINK.findall(page.read_text(encoding="utf-8"))
        waiting += [page.parent / target for target in targets if (page.parent / target).is_file()]
    assert {page.resolve() for page in (ROOT / "docs").rglob("*.md")} <= seen


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    """Each set-up command is one line that makes its own environment; .ci/run runs the tests' one."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv .venv && ")]
    extras = [re.search(r'pip install -q -e "\.\[(\w+)\]"', line)[1] for line in commands]  # type: ignore[index]
    assert extras == ["notebook", "test"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert commands[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_readme_lists_every_namespace() -> None:
    """The table of backends has a line for each namespace that can be named."""
    from llm_magics.backends.registry import BUILT_IN

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [namespace for namespace in BUILT_IN if f"`{namespace}`" not in readme]
