"""axe-core in the page: what a reader with a screen reader, or with weak eyes, would stumble over."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.widgets.lab import Lab

SERIOUS = ("serious", "critical")


@cache
def _script() -> str:
    package = pytest.importorskip("axe_core_python")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(page: Lab, selector: str) -> list[str]:
    """The serious and critical faults that axe-core finds in what the selector names, one a line."""
    page.js(_script())
    found = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run([...document.querySelectorAll(arguments[0])]).then(r => done(r.violations), e => done([{id: String(e)}]));",
        selector,
    )
    return [
        f"{one['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:300]})"
        for one in found
        if one.get("impact", "critical") in SERIOUS
        for node in one.get("nodes", [{"html": ""}])
    ]
