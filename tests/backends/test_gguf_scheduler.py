"""The owner thread under what notebooks do to it: stops, clears, threads, bad rows, mixed work."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.gguf.llama.queue import EmbeddingItem, GenerationItem, ScoringItem
from llm_magics.backends.gguf.llama.scheduler import Scheduler
from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.backends.in_kernel.label_trie import path_branches
from llm_magics.backends.in_kernel.model_cache import ModelCache, ModelCleared, cache
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Text
from llm_magics.testing.gguf import Shape, build

SLOW = Shape(width=256, feed=1024, layers=6)
"""Large enough that a prompt of its whole context takes a second or so to read."""

ENDLESS = 10**6


@pytest.fixture(scope="session")
def slow_gguf(gguf_folder: Path) -> Path:
    return build(gguf_folder / "slow.gguf", SLOW)


@pytest.fixture
def scheduler(tiny_gguf: Path) -> Iterator[Scheduler]:
    made = Scheduler(tiny_gguf, LoadOptions(context=512, lanes=8, batch=64))
    yield made
    made.close()


def writing(
    scheduler: Scheduler, text: str = "Once upon a time", most: int = 8, group: str = "w", **fields: object
) -> GenerationItem:
    work = GenerationItem(group, scheduler.model.tokens(text), most, **fields)  # type: ignore[arg-type]
    scheduler.submit(work)
    return work


def scoring(scheduler: Scheduler, text: str, group: str = "s") -> ScoringItem:
    tree = path_branches([[1, 2], [1, 3]]).behind(scheduler.model.tokens(text))
    work = ScoringItem(group, tree, lambda _, logits: float(logits.max()))
    scheduler.submit(work)
    return work


def wait_until(true: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def test_cancelled_rows_are_dropped_within_a_step(scheduler: Scheduler) -> None:
    """A cancelled text frees its lane at the next step; its neighbours go on undisturbed."""
    kept = [writing(scheduler, f"Row {i}", 300) for i in range(3)]
    dropped = [writing(scheduler, f"Drop {i}", ENDLESS) for i in range(5)]
    wait_until(lambda: len(scheduler.workers[0].writer.live) == 8)
    for work in dropped:
        assert work.future.cancel()
    wait_until(lambda: len(scheduler.workers[0].writer.live) <= 3)
    assert all(work.future.result(30) for work in kept)
    assert sorted(scheduler.workers[0].writer._free) == list(range(8))


def test_a_decode_whose_rows_are_all_cancelled_stops_at_once(slow_gguf: Path) -> None:
    """A prompt that takes long to read is given up in the middle, not at its end."""
    scheduler = Scheduler(slow_gguf, LoadOptions(context=2048, batch=2048, threads=1))
    tokens = np.tile(scheduler.model.tokens("a long story "), 600)[:2000]

    def read() -> float:
        work = ScoringItem("s", path_branches([[1]]).behind(tokens), lambda _, logits: float(logits.max()))
        scheduler.submit(work)
        began = time.monotonic()
        work.future.result(60)
        return time.monotonic() - began

    whole = read()
    scheduler.workers[0].prefix.forget()
    doomed = ScoringItem("s", path_branches([[1]]).behind(tokens[::-1].copy()), lambda _, logits: 0.0)
    scheduler.submit(doomed)
    wait_until(lambda: scheduler.workers[0].decoding)
    time.sleep(whole / 10)
    doomed.future.cancel()
    began = time.monotonic()
    wait_until(lambda: not scheduler.workers[0].decoding and not len(scheduler._line))
    stopped = time.monotonic() - began
    assert stopped < max(whole / 2, 0.05)
    assert read() > 0
    scheduler.close()


@pytest.mark.checklist("M7")
def test_close_in_the_middle_fails_what_waits_and_ends(slow_gguf: Path) -> None:
    """Running, live and waiting work gets ModelCleared; nothing hangs; later work is refused."""
    scheduler = Scheduler(slow_gguf, LoadOptions(context=1024, lanes=4))
    works = [writing(scheduler, f"Row {i}", ENDLESS) for i in range(12)]
    works += [scoring(scheduler, f"Text {i}") for i in range(3)]  # type: ignore[list-item]
    wait_until(lambda: len(scheduler.workers[0].writer.live) == 4)
    scheduler.close()
    for work in works:
        assert isinstance(work.future.exception(5), ModelCleared)
    with pytest.raises(ModelCleared):
        scoring(scheduler, "too late")


def test_a_bad_row_fails_alone(scheduler: Scheduler) -> None:
    """A grammar that llama.cpp refuses is that row's error; the others are written."""
    good = [writing(scheduler, f"Row {i}", 5) for i in range(4)]
    bad = writing(scheduler, "Row bad", 5, grammar="root ::= (")
    more = [writing(scheduler, f"Row {i}", 5) for i in range(4, 8)]
    assert isinstance(bad.future.exception(20), UsageError)
    assert all(work.future.result(20).tokens <= 5 for work in good + more)


def test_a_failing_decode_fails_its_rows_and_the_thread_goes_on(scheduler: Scheduler) -> None:
    """A token that does not exist is refused by llama.cpp; the next rows are answered as ever."""
    before = scoring(scheduler, "fine").future.result(20).pieces
    work = ScoringItem(
        "s", path_branches([[1]]).behind(np.array([5, 10**6], np.int32)), lambda _, logits: 0.0
    )
    scheduler.submit(work)
    assert "could not evaluate" in str(work.future.exception(20))
    assert scoring(scheduler, "fine").future.result(20).pieces == pytest.approx(before, abs=1e-2)


def test_texts_and_scores_of_many_groups_all_get_done(scheduler: Scheduler) -> None:
    """Eight threads, three kinds of work, several prompts: every future is answered."""
    found: list[object] = []

    def ask(thread: int) -> None:
        works = [
            scoring(scheduler, f"Thread {thread} row {i}", f"s{thread % 3}")
            if i % 3 == 0
            else writing(scheduler, f"Thread {thread} row {i}", 6, f"w{thread % 2}")
            if i % 3 == 1
            else embedding(scheduler, f"Thread {thread} row {i}")
            for i in range(12)
        ]
        found.extend(work.future.result(60) for work in works)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(found) == 8 * 12


def embedding(scheduler: Scheduler, text: str) -> EmbeddingItem:
    work = EmbeddingItem("embed", scheduler.model.document(text))
    scheduler.submit(work)
    return work


def test_texts_that_outgrow_the_memory_wait_and_come_back(tiny_gguf: Path) -> None:
    """More live tokens than cells: the newest rows give way, and all are written whole and alike."""
    options = LoadOptions(context=256, lanes=8, kv_type="f32", flash=False)
    scheduler = Scheduler(tiny_gguf, options)
    texts = [f"Row {i} of the story" for i in range(8)]
    greedy = {"temperature": 0.0}
    works = [writing(scheduler, text, 100, sampling=greedy) for text in texts]
    together = [work.future.result(60) for work in works]
    alone = [writing(scheduler, text, 100, sampling=greedy).future.result(60) for text in texts]
    assert [one.text for one in together] == [one.text for one in alone]
    scheduler.close()


def backend(path: Path, **options: object) -> GGUFBackend:
    return GGUFBackend(BackendSpec("gguf", str(path), options={"context": 1024, **options}))


def label(text: str) -> Request:
    choices = OneOf(tuple(map(Choice, ("positive", "negative"))))
    return Request("gguf", "m", (Message("user", text),), choices, subject=text)


def story(text: str) -> Request:
    return Request("gguf", "m", (Message("user", text),), Text(), {"max_new_tokens": 900}, subject=text)


@pytest.mark.checklist("M7", "R4")
async def test_interrupt_then_run_again(slow_gguf: Path, model_cache: ModelCache) -> None:
    """Cancelled tasks leave at once, the model is idle again, and the next cell is answered."""
    tested = backend(slow_gguf)
    tasks = [asyncio.create_task(tested.complete(story(f"Row {i}"))) for i in range(20)]
    await tested.complete(label("first"))
    began = time.monotonic()
    for task in tasks:
        task.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*tasks, return_exceptions=True)
    )
    assert time.monotonic() - began < 10
    assert not any(info.in_use for info in model_cache.entries())
    assert (await tested.complete(label("second"))).parsed in ("positive", "negative")
    model_cache.clear()


@pytest.mark.checklist("M7")
async def test_clear_in_the_middle_of_a_run(slow_gguf: Path, model_cache: ModelCache) -> None:
    """Refused while rows are under way; forced, the rows end in an error and the model loads anew later."""
    tested = backend(slow_gguf)
    tasks = [asyncio.create_task(tested.complete(story(f"Row {i}"))) for i in range(20)]
    await tested.complete(label("first"))
    with pytest.raises(UsageError, match=r"slow\.gguf is in use"):
        model_cache.clear()
    cleared = await asyncio.to_thread(model_cache.clear, force=True)
    assert cleared.freed > 1e6
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, ModelCleared) for end in ends)
    assert (await tested.complete(label("again"))).parsed in ("positive", "negative")


async def test_rows_that_come_while_it_loads_share_the_load(tiny_gguf: Path, model_cache: ModelCache) -> None:
    """A hundred rows at once load one model."""
    loads = cache().loads
    tested = backend(tiny_gguf)
    await asyncio.gather(*(tested.complete(label(f"Row {i}")) for i in range(100)))
    assert cache().loads == loads + 1


def test_two_event_loops_use_one_model(tiny_gguf: Path, model_cache: ModelCache) -> None:
    """A kernel's loop thread and a script's own loop: same model, no crash, all answered."""
    found: list[str] = []

    def run() -> None:
        async def ask() -> None:
            tested = backend(tiny_gguf)
            found.extend(
                r.text for r in await asyncio.gather(*(tested.complete(label(f"Row {i}")) for i in range(30)))
            )

        asyncio.run(ask())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 90
