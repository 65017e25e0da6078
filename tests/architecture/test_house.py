"""The house keeps its own rules: types, lint, one command in README and CI."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "command",
    [("mypy",), ("ruff", "check", "."), ("ruff", "format", "--check", ".")],
    ids=lambda command: " ".join(command),
)
def test_types_and_lint_are_clean(command: tuple[str, ...]) -> None:
    """mypy strict over the package, ruff over everything."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_ci_runs_the_readmes_test_command() -> None:
    """One command, the same in both places."""
    readme = (ROOT / "README.md").read_text()
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert last in readme, f"README lacks the command of .ci/run: {last}"


def test_no_module_is_a_drawer() -> None:
    """No utils, no helpers, no module past 500 lines."""
    for path in (ROOT / "llm_magics").rglob("*.py"):
        assert not re.search(r"util|helper|common|misc", path.stem), path
        assert path.read_text().count("\n") <= 500, path


def test_public_names_are_the_ones_meant() -> None:
    """The list of what scripts may import; each of them is there."""
    import llm_magics

    names = [name for name in llm_magics.__all__ if name != "last"]
    assert all(getattr(llm_magics, name) is not None for name in names)
    assert {"label", "generate", "embed", "chat", "Choice", "LLMError", "Backend", "register"} <= set(names)
