"""What the pages for contributors say about the code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/explanation/architecture.md", "docs/CONTRIBUTING.md")
QUOTED = re.compile(r"`((?:[\w.*<>-]+/)*[\w.*<>-]+(?:/|\.py|\.md))`")


@pytest.mark.parametrize("page", PAGES)
def test_every_place_that_it_names_exists(page: str) -> None:
    """A file or folder in backticks is in the package, in the repository, or the name of some module."""
    places = {
        place for place in QUOTED.findall((ROOT / page).read_text(encoding="utf-8")) if "<" not in place
    }
    assert len(places) > 10
    missing = [
        place
        for place in sorted(places)
        if not any(list(base.glob(place.rstrip("/"))) for base in (ROOT, ROOT / "llm_magics"))
        and (
            "/" in place.rstrip("/")
            or not any(list((ROOT / top).rglob(place)) for top in ("llm_magics", "tests"))
        )
    ]
    assert not missing


def test_the_drawing_has_every_room() -> None:
    """Each folder of the package is in the architecture's drawing or named beside it."""
    text = (ROOT / PAGES[0]).read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "llm_magics").glob("*/__init__.py")]
    assert not [room for room in rooms if f"{room}/" not in text]
