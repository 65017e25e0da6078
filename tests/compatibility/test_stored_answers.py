"""Answers that version 0.1.0 stored are found: the same cells, no host listening, no request sent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.stored_answers import BACKENDS, CELLS, HERE, SETUP, gold_labels, run
from tests.kernels import Kernel, kernel

RESULTS: dict[str, Any] = json.loads((HERE / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def old_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Path]]:
    """A kernel whose home is a copy of one that 0.1.0 left."""
    home = tmp_path_factory.mktemp("home") / "home"
    shutil.copytree(HERE, home)
    with kernel({"LLM_MAGICS_HOME": str(home), "FAST_KEY": "not-a-key"}) as k:
        k.run(SETUP)
        k.run(BACKENDS)
        yield k, home


@pytest.mark.checklist("R2")
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_gives_what_it_gave_and_asks_nobody(old_home: tuple[Kernel, Path], name: str) -> None:
    """A request's key has not changed: with no host to ask, every row has the answer it had."""
    k, _ = old_home
    assert run(k, name, CELLS[name]) == RESULTS[name]
    assert k.run("print(len(calls))").stdout.strip() == "0"


def test_gold_labels_are_found(old_home: tuple[Kernel, Path]) -> None:
    """What a person accepted and corrected in 0.1.0 stands in the review of the same labels."""
    k, _ = old_home
    run(k, "label", CELLS["label"])
    assert any(RESULTS["gold labels"])
    assert gold_labels(k) == RESULTS["gold labels"]


def test_a_saved_set_of_concepts_is_read(old_home: tuple[Kernel, Path]) -> None:
    """With its edits, which can be undone."""
    k, home = old_home
    k.run(f"themes = llm_magics.ConceptSet.load({str(home / 'themes.json')!r})")
    assert json.loads(k.run("print(json.dumps([len(themes), 'merged' in themes.names]))").stdout) == [2, True]
    k.run("themes.undo()")
    assert json.loads(k.run("print(json.dumps(themes.names))").stdout) == RESULTS["concepts"]["names"]


def test_a_saved_profile_is_read(old_home: tuple[Kernel, Path]) -> None:
    """With its backends and roles."""
    k, _ = old_home
    k.run("%llm_config remove llama")
    k.run("%llm_config profile load kept")
    shown = k.run("%llm_config show llama").text
    assert "47124" in shown
