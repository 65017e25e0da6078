"""Several workers of one model: who helps when, who gets which threads, and that answers stay the same."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.gguf.llama import worker as workers
from llm_magics.backends.gguf.llama.context import Cores
from llm_magics.backends.gguf.llama.queue import (
    EmbeddingItem,
    GenerationItem,
    ScoringItem,
    WorkItem,
    WorkQueue,
)
from llm_magics.backends.gguf.llama.scheduler import Scheduler
from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.backends.in_kernel.label_trie import path_branches
from llm_magics.backends.in_kernel.model_cache import ModelCleared
from llm_magics.core.errors import ModelLoadError, UsageError

INSTRUCTIONS = "Choose the label that fits the text best. " * 3


def scoring(scheduler: Scheduler, text: str) -> ScoringItem:
    tree = path_branches([[1, 2], [1, 3]]).behind(scheduler.model.tokens(INSTRUCTIONS + text))
    work = ScoringItem("s", tree, lambda _, logits: np.array(logits[:50]))
    scheduler.submit(work)
    return work


def writing(scheduler: Scheduler, text: str, most: int = 12) -> GenerationItem:
    work = GenerationItem("w", scheduler.model.tokens(INSTRUCTIONS + text), most, {"temperature": 0})
    scheduler.submit(work)
    return work


def opened(path: Path, number: int, threads: int = 2) -> Scheduler:
    return Scheduler(path, LoadOptions(context=512, lanes=16, batch=64, workers=number, threads=threads))


@pytest.mark.checklist("X2")
def test_crowded_rows_are_shared_and_answered_as_by_one(tiny_gguf: Path) -> None:
    """Both workers evaluate rows and their own prefix; every score is the one worker's."""
    texts = [f"text {i} " * (1 + i % 5) for i in range(400)]
    one, two = opened(tiny_gguf, 1), opened(tiny_gguf, 2)
    try:
        found = [[scoring(made, text) for text in texts] for made in (one, two)]
        for alone, helped in zip(*found, strict=True):
            a, b = alone.future.result(60).pieces, helped.future.result(60).pieces
            assert a.keys() == b.keys()
            assert all(np.allclose(a[k], b[k], atol=0.05) for k in a)
        shares = [worker.evaluated for worker in two.workers]
        assert all(share["rows"] > 0 for share in shares), shares
        assert two.evaluated["rows"] == sum(share["rows"] for share in shares)
    finally:
        one.close()
        two.close()


def test_texts_are_shared_too_and_embeddings(tiny_gguf: Path) -> None:
    """Both write; greedy texts are the one worker's, vectors point the same way."""
    one, two = opened(tiny_gguf, 1), opened(tiny_gguf, 2)
    try:
        pairs = [[writing(made, f"Row {i}") for i in range(120)] for made in (one, two)]
        same = [a.future.result(60).text == b.future.result(60).text for a, b in zip(*pairs, strict=True)]
        assert sum(same) > 110  # half precision may flip a near tie
        assert all(worker.writer is not None and worker.writer.evaluated for worker in two.workers)
        vectors = []
        for made in (one, two):
            works = [EmbeddingItem("e", made.model.document(f"Text {i}")) for i in range(300)]
            for work in works:
                made.submit(work)
            vectors.append(np.array([work.future.result(60) for work in works]))
        cosine = (vectors[0] * vectors[1]).sum(1) / np.prod(
            [np.linalg.norm(v, axis=1) for v in vectors], axis=0
        )
        assert cosine.min() > 0.999
    finally:
        one.close()
        two.close()


def test_few_rows_are_one_worker_s(tiny_gguf: Path) -> None:
    """A helper would evaluate the instructions once more for them; its context isn't even opened."""
    made = opened(tiny_gguf, 4)
    try:
        for _ in range(3):
            for work in [scoring(made, f"t{i}") for i in range(workers.CROWD)]:
                work.future.result(30)
        assert [worker.prefix is not None for worker in made.workers] == [True, False, False, False]
    finally:
        made.close()


def test_a_helper_without_memory_retires_and_no_row_knows(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows go back into the line."""
    made = opened(tiny_gguf, 2)

    def full(*_: object, **__: object) -> None:
        raise ModelLoadError("no room")

    monkeypatch.setattr(workers, "Context", full)
    try:
        works = [scoring(made, f"t{i}") for i in range(300)]
        assert all(work.future.result(60).pieces for work in works)
        assert made.workers[1].prefix is None
    finally:
        made.close()


@pytest.mark.checklist("M7")
def test_close_ends_all_workers_and_tells_every_row(tiny_gguf: Path) -> None:
    """Whoever holds a row: answered, or ModelCleared; nothing hangs, no thread is left."""
    made = opened(tiny_gguf, 3, threads=3)
    works: list[WorkItem] = [scoring(made, f"t{i}") for i in range(500)]
    works += [writing(made, f"t{i}", 10**6) for i in range(100)]
    wait([works[0].future], 30)
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 5
    for work in works:
        assert work.future.done()
        assert isinstance(work.future.exception(), ModelCleared | None)
    assert not [t for t in threading.enumerate() if t.name.startswith("llama tiny") and t.is_alive()]


def test_cancelled_rows_stop_their_worker_only(tiny_gguf: Path) -> None:
    """The other worker's rows are all answered."""
    made = opened(tiny_gguf, 2)
    try:
        endless = [writing(made, f"t{i}", 10**6) for i in range(60)]
        rows = [scoring(made, f"t{i}") for i in range(200)]
        time.sleep(0.1)
        for work in endless:
            work.future.cancel()
        assert all(work.future.result(30).pieces for work in rows)
    finally:
        made.close()


def test_threads_are_shared_by_those_at_work() -> None:
    """All for one alone, equal parts for several, never none."""
    cores = Cores(8)
    a, b, c = object(), object(), object()
    assert cores.share == 8
    for worker, share in ((a, 8), (b, 4), (c, 2), (a, 2)):
        cores.join(worker)
        assert cores.share == share
    cores.leave(b)
    assert cores.share == 4
    few = Cores(1)
    for worker in (a, b, c):
        few.join(worker)
    assert few.share == 1


def test_the_number_of_workers_fits_cores_and_memory(tiny_gguf: Path) -> None:
    """As many as threads, four at most; told beats found; a bad number is refused."""
    for threads, told, number in ((1, 0, 1), (2, 0, 2), (16, 0, 4), (2, 3, 3)):
        made = Scheduler(tiny_gguf, LoadOptions(context=128, threads=threads, workers=told))
        assert len(made.workers) == made.options.workers == number
        made.close()
    with pytest.raises(UsageError, match="workers"):
        LoadOptions.of({"workers": -1})


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 8))
def test_a_line_loses_nothing_and_keeps_the_order(rows: list[tuple[int, bool]], most: int) -> None:
    """Claims are of one kind, at most so many, oldest first; what is put back comes first again."""
    line = WorkQueue()
    works = [WorkItem(group) for group, _ in rows]
    for work, (_, dropped) in zip(works, rows, strict=True):
        line.put(work)
        if dropped:
            work.future.cancel()
    wanted = [work for work in works if not work.dropped]
    taken: list[WorkItem] = []
    last: tuple[object, type[WorkItem]] = (None, WorkItem)
    while claimed := line.claim(last, most):
        assert len(claimed) <= most and len({work.group for work in claimed}) == 1
        kept, rest = claimed[:1], claimed[1:]
        line.back(rest)
        taken += kept
        last = (claimed[0].group, WorkItem)
    assert sorted(map(id, taken)) == sorted(map(id, wanted))
    for group in range(4):
        assert [w for w in taken if w.group == group] == [w for w in wanted if w.group == group]
    assert line.drain() == []
    line.closed = True
    assert not line.put(WorkItem("late"))


def test_a_line_is_impatient_for_those_who_wait_long() -> None:
    """The group under way gets no more rows while another has waited for two seconds."""
    line = WorkQueue()
    old, new = WorkItem("old"), WorkItem("new")
    line.put(old)
    line.put(new)
    assert line.claim(("new", WorkItem)) == [new]
    line.back([new])
    assert line.claim(("new", WorkItem)) == [new]
    line.back([new])
    old.arrived -= 3
    assert line.more(("new", WorkItem), 5) == []
    line.back(line.claim(("old", WorkItem)))
    assert line.claim(("new", WorkItem)) == [old], "what is put back doesn't jump the queue"
    line.back([old])
    assert line.claim(("new", WorkItem)) == [old]
