"""No cell over a store of version 0.1.0 opens a connection, calls a function or pays for a token."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility import further_stored_answers as further
from tests.compatibility import stored_answers as first
from tests.kernels import Kernel, kernel

RESULTS: dict[str, Any] = json.loads((further.FURTHER / "results.json").read_text(encoding="utf-8"))
PORTS = (first.OPENAI, first.OLLAMA, first.ANTHROPIC, further.GEMINI)
CONNECTIONS = "print(json.dumps(connections))"


@pytest.fixture(scope="module", autouse=True)
def nobody_listens() -> None:
    """A host at one of the ports would answer what must not be asked."""
    for port in PORTS:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"something listens at port {port}"


@contextmanager
def replaying(stored: Path, folder: Path) -> Iterator[Kernel]:
    """A watched kernel over a copy of a home that 0.1.0 left."""
    shutil.copytree(stored, folder / "home")
    with kernel({**further.ENVIRONMENT, "LLM_MAGICS_HOME": str(folder / "home")}) as k:
        further.set_up(k, replayed=True)
        yield k


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Over ``home_0_1_0``."""
    with replaying(first.HERE, tmp_path_factory.mktemp("old")) as k:
        yield k


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Over ``home_0_1_0_further``."""
    with replaying(further.FURTHER, tmp_path_factory.mktemp("more")) as k:
        yield k


NUMBERS = "label numbers"
"""The cell whose labels are numbers: 0.1.0 gave them back as texts."""


def as_text(value: Any) -> Any:
    """A result with its whole numbers as texts."""
    if isinstance(value, list):
        return [as_text(each) for each in value]
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def astray(k: Kernel, cells: Mapping[str, str], results: Mapping[str, Any]) -> dict[str, Any]:
    """The cells that gave another frame, paid for tokens or opened a connection; cells that failed."""
    wrong: dict[str, Any] = {}
    for name, cell in cells.items():
        k.run("connections.clear()")
        try:
            found, right = first.run(k, name, cell), results[name]
            same = found == right if name != NUMBERS else as_text(found) == as_text(right)
        except AssertionError as error:
            wrong[name] = str(error).splitlines()[0]
            continue
        paid = further.read(k, further.USED) if name != "embedded" else [0, 0]
        opened = further.read(k, CONNECTIONS)
        if not same or paid != [0, 0] or opened:
            wrong[name] = {"same": same, "tokens": paid, "connections": opened}
    return wrong


@pytest.mark.checklist("R2")
def test_the_first_cells_ask_nobody(old: Kernel) -> None:
    """``test_stored_answers`` compares their frames; here also what they cost and whom they call."""
    results = json.loads((first.HERE / "results.json").read_text(encoding="utf-8"))
    assert astray(old, first.CELLS, results) == {}
    assert further.read(old, "print(json.dumps(calls))") == []


@pytest.mark.checklist("R2")
def test_the_further_cells_ask_nobody(more: Kernel) -> None:
    """More hosts, flags and functions; the functions raise where they are called.

    The embedded default of 0.1.0 has another name now, ``embedded::wordllama``. Labels of a local chat model are
    asked anew: they are computed from another prompt, and cost nothing.
    """
    cells = dict(further.CELLS)
    cells["embedded"] = cells["embedded"].replace(
        "%llm_config unset model", "%llm_config use embedded::wordllama"
    )
    del cells["gguf label"]
    assert astray(more, cells, RESULTS) == {}


def test_a_request_would_be_noticed(more: Kernel) -> None:
    """A cell that asks again fails, for nobody listens, and the watch has seen it."""
    more.run("connections.clear()")
    out = more.run("%llm label tickets.body --labels billing,outage,how-to --refresh -o out", check=False)
    assert "nothing answers at" in out.text
    assert ["127.0.0.1", first.OPENAI] in further.read(more, CONNECTIONS)


def test_what_a_person_said_in_a_review_is_found(more: Kernel) -> None:
    """Through ``%llm review``: several labels a row, and labels that were numbers."""
    assert all(any(labels) for labels in RESULTS["gold"].values())
    found = {name: further.review(more, name) for name in further.GOLD}
    assert found | {NUMBERS: as_text(found[NUMBERS])} == RESULTS["gold"]
    assert any(isinstance(label, int) for label in found[NUMBERS])


def test_a_profile_brings_every_backend_back(more: Kernel) -> None:
    """Last in this file: it changes what the cells run on."""
    said = {"google": str(further.GEMINI), "tiny": "tiny.gguf", "both": "warm"}
    for name in said:
        more.run(f"%llm_config remove {name}")
    more.run("%llm_config profile load further")
    for name, text in said.items():
        assert text in more.run(f"%llm_config show {name}").text
