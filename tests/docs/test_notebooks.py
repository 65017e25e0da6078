"""Every notebook runs from top to bottom, and is kept clean."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from llm_magics.core.errors import redact
from tests.pages import ROOT, may_raise, raised, run, said

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
HOME = re.compile(r"(/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\Users)")


def name(path: Path) -> str:
    return path.name


def test_there_are_notebooks() -> None:
    """The quickstart is among those that are run."""
    assert "quickstart.ipynb" in {path.name for path in NOTEBOOKS}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs_and_saves_clean(path: Path, tmp_path: Path) -> None:
    """No cell fails but those that say so; with all its outputs it is small and holds no key."""
    done = run(nbformat.read(path, as_version=4), tmp_path)
    for cell in done.cells:
        assert raised(cell) == may_raise(cell), cell.source
    text = nbformat.writes(done)
    assert len(text.encode()) < 1_000_000
    assert redact(text) == text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_the_kept_one_is_clean(path: Path) -> None:
    """As committed: small, no key, no folder of the machine it was made on, no failed cell."""
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    assert redact(text) == text
    assert not HOME.search(text)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert not [cell.source for cell in notebook.cells if raised(cell) and not may_raise(cell)]
    # A view of a widget whose kernel is gone is an error message; what is to stay stands beside it.
    assert WIDGET not in text
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_the_explorer_stays_in_the_kept_notebook() -> None:
    """Readers on a code host see concepts, quotes, slices and, as a picture, the widget."""
    text = (ROOT / "notebooks" / "concepts.ipynb").read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    pages = [
        o.data.get("text/html", "") for cell in notebook.cells for o in cell.get("outputs", ()) if "data" in o
    ]
    assert any('role="figure"' in page or 'role="figure"' in page for page in pages)
    pictures = re.findall(r"\]\((\.\./docs/images/[^)]+)\)", text)
    assert pictures and all((ROOT / "notebooks" / picture).exists() for picture in pictures)


@pytest.mark.timeout(240)
@pytest.mark.checklist("X1", "T12")
def test_the_quickstart_does_the_main_job(tmp_path: Path) -> None:
    """With no key and no network it labels real text, scores itself, and says that it is approximate."""
    done = run(nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4), tmp_path)
    text = said(done)
    assert "approximate: word vectors" in text
    scores = [float(score) for score in re.findall(r"accuracy (0\.\d+) \(95%", text)]
    assert len(scores) >= 2
    by_name, described = scores[:2]
    assert described > by_name
    assert "2 requests for 8 rows" in text
    assert "%llm_config key set openai" in text
    pages = [
        o["data"].get("text/html", "") for cell in done.cells for o in cell.get("outputs", ()) if "data" in o
    ]
    assert any("true \\ given</span></th>" in page and "background:rgb" in page for page in pages)
