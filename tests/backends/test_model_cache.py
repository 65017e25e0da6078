"""The model cache with real models: what it keeps, when it lets go, and what it gives back."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.backends.gguf.loaded_model import LocalModel
from llm_magics.backends.in_kernel.model_cache import JOB, Key, ModelCache, resident_memory
from llm_magics.core.errors import ModelLoadError, NotFound, UsageError
from llm_magics.testing.gguf import Shape, build


class Block:
    """Something with a size and a close."""

    def __init__(self, size: int = 10) -> None:
        self.size = size
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def loaded(cache: ModelCache, file: str, size: int = 10, **key: Any) -> Block:
    with cache.use(Key(file, **key), lambda: Block(size), size) as block:
        return block


@pytest.mark.checklist("M1")
def test_a_second_use_does_not_load_again() -> None:
    """One load for any number of uses, from any thread."""
    cache = ModelCache(100)
    found: list[Block] = []
    threads = [threading.Thread(target=lambda: found.append(loaded(cache, "a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.loads == 1
    assert len(set(map(id, found))) == 1


@pytest.mark.checklist("M2")
def test_changed_load_options_load_anew_and_say_so() -> None:
    """The key is file, context, GPU layers and options; the name is not part of it."""
    cache = ModelCache(100)
    loaded(cache, "a", context=1024, name="one")
    loaded(cache, "a", context=1024, name="another name")
    assert cache.loads == 1
    loaded(cache, "a", context=2048, gpu_layers=-1, options=(("threads", 2),))
    assert cache.loads == 2
    note = cache.note(Key("a", 2048, -1, (("threads", 2),)))
    assert "context 1024 -> 2048" in note
    assert "gpu_layers 0 -> -1" in note
    assert "threads None -> 2" in note


@pytest.mark.checklist("M2")
def test_what_a_name_meant_before_is_closed_unless_in_use_or_pinned() -> None:
    """Two gigabytes that no name leads to any more would only wait for the memory to run short."""
    cache = ModelCache(100)
    old = loaded(cache, "a", context=1024, name="one")
    loaded(cache, "a", context=512, name="two")
    with cache.use(Key("a", 4096, name="one"), Block):
        assert old.closed
        assert cache.note(Key("a", 4096)) == "one was loaded anew: context 1024 -> 4096."
        loaded(cache, "a", context=8192, name="one")
        assert "once more" in cache.note(Key("a", 8192))
    assert sorted(info.context for info in cache.entries()) == [512, 4096, 8192]
    cache.pin("one")
    loaded(cache, "a", context=64, name="one")
    assert len(cache.entries()) == 4


@pytest.mark.checklist("M4")
def test_the_least_recently_used_idle_model_makes_room() -> None:
    """Models go in the order of their last use; one in use or pinned never goes."""
    cache = ModelCache(30, Clock())
    blocks = {name: loaded(cache, name) for name in "abc"}
    loaded(cache, "a")
    loaded(cache, "d")
    assert [name for name, block in blocks.items() if block.closed] == ["b"]
    cache.pin("c")
    with cache.use(Key("a"), Block):
        loaded(cache, "e")
        assert {info.name for info in cache.entries()} == {"a", "c", "e"}
        with cache.use(Key("e"), Block), pytest.raises(ModelLoadError, match="in use or pinned"):
            loaded(cache, "f")
    assert not blocks["c"].closed


@pytest.mark.checklist("M4")
def test_a_smaller_budget_closes_idle_models_at_once() -> None:
    """``limit`` takes effect without waiting for the next load."""
    cache = ModelCache(100, Clock())
    first, second = loaded(cache, "a"), loaded(cache, "b")
    cache.limit(15)
    assert (first.closed, second.closed) == (True, False)


@pytest.mark.checklist("M5")
def test_two_models_load_at_the_same_time() -> None:
    """Each load waits inside the other's: with one lock for all this would never end."""
    cache = ModelCache(100)
    meet = threading.Barrier(2, timeout=10)

    def load() -> Block:
        meet.wait()
        return Block()

    def use(name: str) -> None:
        with cache.use(Key(name), load, 1):
            pass

    threads = [threading.Thread(target=use, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert cache.loads == 2
    assert not meet.broken


def test_a_failed_load_leaves_nothing_behind_and_is_not_repeated_for_those_who_waited() -> None:
    """All who waited for the load get its error; the next one to come tries anew."""
    cache = ModelCache(100)
    tries: list[int] = []
    errors: list[BaseException] = []
    started = threading.Event()
    go_on = threading.Event()

    def fail() -> Block:
        tries.append(1)
        started.set()
        go_on.wait(10)
        raise ModelLoadError("broken file")

    def use() -> None:
        try:
            with cache.use(Key("a"), fail, 1):
                pass
        except ModelLoadError as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while cache._entries[Key("a")].uses.get(JOB.get(), 0) < 4:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert (len(tries), len(errors)) == (1, 4)
    assert cache.entries() == [] == list(cache._entries)
    loaded(cache, "a")
    assert cache.loads == 1


@pytest.mark.checklist("M7")
def test_a_model_in_use_is_not_cleared_and_the_job_is_named() -> None:
    """Only ``force`` closes what is in use."""
    cache = ModelCache(100)
    token = JOB.set("job 3: label reviews.text")
    try:
        with cache.use(Key("/models/a.gguf", name="local"), Block) as block:
            with pytest.raises(UsageError, match=r"local is in use by job 3: label reviews\.text"):
                cache.clear("local")
            assert not block.closed
            assert cache.entries()[0].in_use
            assert cache.clear("local", force=True).names == ("local",)
            assert block.closed
    finally:
        JOB.reset(token)
    assert cache.entries() == []


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    """Names are looked up by what people call the model, its file, or the file's name."""
    cache = ModelCache(100)
    loaded(cache, "/models/smol.gguf")
    with pytest.raises(NotFound, match=r"smol\.gguf"):
        cache.clear("smoll.gguf")
    assert cache.clear("smol.gguf").names == ("smol.gguf",)
    assert str(cache.clear()) == "No model was loaded."


@pytest.mark.checklist("M3")
def test_clearing_returns_the_memory(tmp_path: Path) -> None:
    """The process is smaller by most of what the model took, and the number is said."""
    path = build(tmp_path / "big.gguf", Shape(width=512, feed=2048, heads=8, layers=8), vocabulary=4096)
    cache = ModelCache()
    with cache.use(Key(str(path)), lambda: LocalModel(path, LoadOptions(context=8192, mmap=False))) as model:
        with_it, size = resident_memory(), model.size
    assert size > 50e6
    cleared = cache.clear()
    assert with_it - resident_memory() > 0.6 * size
    assert cleared.freed > 0.6 * size
    assert "MB of memory came back" in str(cleared)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 a zip", "is not a GGUF file"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"GGUF" + bytes(64), "can't load"),
        (None, "can't load"),
    ],
)
def test_a_bad_file_is_one_clear_error(
    tmp_path: Path, tiny_gguf: Path, content: bytes | None, said: str
) -> None:
    """Not a GGUF, an empty one, a header of nothing, a file cut short: an error, never a crash."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:-90_000] if content is None else content)
    cache = ModelCache(10**9)
    with (
        pytest.raises(ModelLoadError) as caught,
        cache.use(Key(str(path)), lambda: LocalModel(path, LoadOptions())),
    ):
        pass
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "llama_model" not in caught.value.message  # the names of its functions help nobody
    assert cache.entries() == []


def test_a_context_beyond_memory_is_one_clear_error(tiny_gguf: Path) -> None:
    """Asking for more than the machine has fails before anything is taken."""
    with pytest.raises(ModelLoadError, match="context"):
        LocalModel(tiny_gguf, LoadOptions(context=2_000_000_000))
