"""``%%llm concepts`` in a real kernel: what is bound and shown, and what a kill costs."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from queue import Empty

import pytest

from llm_magics.testing import Server
from tests.concepts.scripted import answer, kind
from tests.kernels import Kernel, kernel

DATA = """
%load_ext llm_magics
import pandas as pd
from tests.concepts.scripted import texts
reviews = pd.DataFrame({"text": texts(60), "shop": ["a", "b"] * 30})
mine = {"delivery": "Is it about delivery?", "price": "Is it about price?"}
"""


def prepared(k: Kernel, server: Server | None = None) -> None:
    k.run(DATA)
    if server is not None:
        k.run(f"%llm_config add fast --openai {server.url} --id small\n%llm_config use fast")


@pytest.mark.checklist("N1", "R2")
def test_a_kernel_killed_while_scoring_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9 in the middle of the scores; the same cell in a new kernel asks for the missing ones only."""
    env = {"LLM_MAGICS_HOME": str(tmp_path)}
    cell = "%llm concepts reviews.text --concepts mine -o themes -q --concurrency 4"
    with Server(answer=answer, latency=0.03) as server:
        with kernel(env) as k:
            prepared(k, server)
            k.start(cell)
            end = time.monotonic() + 60
            while server.count < 25:
                assert time.monotonic() < end
                time.sleep(0.01)
            k.kill()
        time.sleep(0.2)
        with kernel(env) as k:
            prepared(k, server)
            k.run(cell)
            done = k.run("print(themes.scores.notna().all().all(), len(themes.rows('delivery')))")
        bodies = Counter(
            json.dumps(r.json, sort_keys=True) for r in server.requests if kind(r.json) == "score"
        )
    assert done.stdout.split() == ["True", "20"]
    assert len(bodies) == 60
    assert sum(bodies.values()) - 60 <= 4  # those in flight at the kill


@pytest.mark.checklist("N1", "W6")
def test_the_cell_binds_the_set_and_shows_summary_and_widget() -> None:
    """-o binds a ConceptSet; the summary is an output of its own; --static leaves the widget out."""
    with kernel() as k:
        prepared(k)
        shown = k.run("%%llm concepts reviews.text --slice shop --max-concepts 4 -o themes\nConcrete ones.")
        kinds = [set(bundle) for bundle in shown.displays]
        assert any(
            "text/html" in kind and "concepts in 60 documents" in str(shown.displays) for kind in kinds
        )
        assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)
        assert k.run(
            "print(type(themes).__name__, themes.slice_shown, len(themes.selected) <= 4)"
        ).stdout.split() == [
            "ConceptSet",
            "shop",
            "True",
        ]
        quiet = k.run("%llm concepts reviews.text --static -o more")
        assert not any("application/vnd.jupyter.widget-view+json" in bundle for bundle in quiet.displays)
        table = k.run("%llm concepts reviews.text --concepts mine -f df")
        assert "prevalence" in table.text
        code = k.run("%llm concepts reviews.text --concepts mine --show-code -o again").text
        assert "again = concepts(reviews, concepts=mine, on='text')" in code
        assert (
            k.run(
                "from llm_magics import concepts\nagain = concepts(reviews, concepts=mine, on='text')"
            ).error
            is None
        )
        points = k.run("%llm concepts reviews.text --stage distill -o points -q\nprint(list(points.columns))")
        assert points.stdout.strip() == "['row', 'document', 'point']"
        assert "score: by similarity" in k.run("%llm estimate concepts reviews.text").text


def test_awaiting_a_job_keeps_the_explorer_live() -> None:
    """await themes.rescore() shows no second explorer and leaves the scores in place."""
    with Server(answer=answer) as server, kernel() as k:
        prepared(k, server)
        k.run("%llm concepts reviews.text --concepts mine -o themes -q")
        shown = k.run("themes.add('taste', 'Is it about taste?')\nawait themes.rescore()")
        assert shown.value is None and not any("text/html" in bundle for bundle in shown.displays)
        assert k.run("print(len(themes.rows('taste')))").stdout.strip() == "20"


def scripts_sent(k: Kernel, cell: str, seconds: float) -> int:
    """How many messages as large as Plotly's script the kernel sends in these seconds from a cell's start."""
    k.start(cell)
    found, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            message = k.client.get_iopub_msg(timeout=left)
        except Empty:
            break
        if message["msg_type"] == "comm_msg" and any(len(one) > 1_000_000 for one in message["buffers"]):
            found += 1
    return found


@pytest.mark.checklist("W11")
def test_a_page_gets_plotly_while_the_cell_computes_once_a_kernel() -> None:
    """Sent unasked by a cell that will show an explorer, and by it alone."""
    cell = "%llm concepts reviews.text --concepts mine -m embedded::wordllama"
    with kernel() as k:
        prepared(k)
        k.run(f"{cell} -o themes -q")
        assert [
            scripts_sent(k, f"{cell} --static", 2),
            scripts_sent(k, cell, 4),
            scripts_sent(k, cell, 2),
        ] == [0, 1, 0]
