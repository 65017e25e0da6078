"""The response store: on disk at once, shared by kernels, private, and never silently broken."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.core.errors import StoreError
from llm_magics.core.types import Choice, Message, OneOf, Request, Response, Usage, Vector
from llm_magics.store import responses as stores
from llm_magics.store.responses import ResponseStore


def ask(text: str = "x", model: str = "m", **more) -> Request:
    return Request("openai", model, (Message("user", text),), **more)


@pytest.fixture
def store(tmp_path: Path):
    made = ResponseStore(tmp_path / "deep" / "responses.sqlite3")
    yield made
    made.close()


texts = st.text(st.characters(codec=None), max_size=30)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
answers = st.builds(
    Response,
    text=texts,
    parsed=jsons,
    scores=st.none() | st.dictionaries(texts, st.floats(0, 1), max_size=3),
    method=texts,
    finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
    usage=st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6), cost=st.none() | st.floats(0, 5)),
    model=texts,
    request_id=texts,
    notes=st.lists(texts, max_size=2).map(tuple),
)


@pytest.mark.checklist("K1")
def test_what_is_known_is_told_without_reading_it(store: ResponseStore) -> None:
    """An estimate over a million stored rows needs no answer, only that there is one."""
    for n in range(600):
        store.put(ask(str(n)), Response(text="x"))
    keys = [ask(str(n)).key for n in range(1200)]
    assert store.known(keys) == set(keys[:600])
    assert store.known([]) == set()


@pytest.mark.checklist("R2")
def test_answers_of_an_earlier_version_are_read(store: ResponseStore) -> None:
    """Which wrote every field; now only those that say something are kept, in half the room."""
    store.put(ask("new"), Response(text="yes", model="m", usage=Usage(3, 1, cost=0.5), latency=0.25))
    old = (
        '{"text":"yes","parsed":null,"scores":null,"method":"","finish_reason":"stop","usage":[3,1,0,0.5,false],'
        '"model":"m","request_id":"","latency":0.25,"notes":[]}'
    )
    with sqlite3.connect(store.path) as file:
        (new,) = file.execute("SELECT answer FROM responses").fetchone()
        file.execute(
            "INSERT INTO responses (key, created, backend, model, answer) VALUES (?, 1, 'openai', 'm', ?)",
            (bytes.fromhex(ask("old").key), old),
        )
    assert len(new) < len(old) / 2
    assert store.get(ask("old").key) == store.get(ask("new").key)


@pytest.mark.checklist("R2")
@settings(max_examples=80, deadline=None)
@given(pairs=st.lists(st.tuples(texts, answers), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_an_answer_comes_back_as_it_went_in(pairs):
    """Any text, value, score; also surrogates, empty and false ones; marked as cached."""
    store = ResponseStore.temporary()
    try:
        for text, answer in pairs:
            store.put(ask(text), answer)
        for text, answer in pairs:
            found = store.get(ask(text).key)
            assert found is not None
            assert found.cached
            for name in (
                "text",
                "parsed",
                "scores",
                "method",
                "finish_reason",
                "usage",
                "model",
                "request_id",
                "notes",
            ):
                assert getattr(found, name) == getattr(answer, name), name
    finally:
        store.close()


def test_what_was_never_asked_is_not_there(store):
    """Another text, model, host or sample is another key."""
    store.put(ask("x"), Response("a"))
    others = [
        ask("y"),
        ask("x", "n"),
        ask("x", base_url="http://b"),
        ask("x", sample=1),
        ask("x", parameters={"seed": 1}),
    ]
    assert store.get_many([other.key for other in others]) == {}


def test_vectors_keep_every_bit(store):
    """float32 in, float32 out."""
    vector = np.random.default_rng(0).normal(size=384).astype("float32")
    request = ask(response_format=Vector())
    store.put(request, Response(vector=vector))
    found = store.get(request.key)
    assert found is not None
    assert found.vector.dtype == np.float32
    assert (found.vector == vector).all()


def test_many_keys_are_read_at_once(store):
    """More keys than SQLite takes in one statement are no trouble."""
    requests = [ask(str(i)) for i in range(2500)]
    store.put_many([(request, Response(str(i))) for i, request in enumerate(requests)])
    found = store.get_many([request.key for request in requests])
    assert [found[request.key].text for request in requests] == [str(i) for i in range(2500)]


def test_newer_than_hides_older_answers(store):
    """--refresh: what stood there before the run is not an answer of it."""
    store.put(ask(), Response("old"))
    now = time.time() + 0.001
    assert store.get(ask().key, newer_than=now) is None
    while time.time() <= now:
        pass
    store.put(ask(), Response("new"))
    found = store.get(ask().key, newer_than=now)
    assert found is not None
    assert found.text == "new"
    assert store.stats().rows == 1


@pytest.mark.checklist("R2", "R13")
def test_the_file_is_its_owners_alone_and_holds_no_prompt(store):
    """0600 in a 0700 folder, the log beside it too; the prompt is there as a hash only."""
    store.put(ask("a very private prompt"), Response("yes"))
    folder = store.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert not any(b"private prompt" in path.read_bytes() for path in folder.iterdir())


@pytest.mark.checklist("R2")
def test_an_answer_survives_a_killed_process(tmp_path):
    """put returned, kill -9: the next process finds it."""
    path = tmp_path / "responses.sqlite3"
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from llm_magics.store.responses import ResponseStore
        from llm_magics.core.types import Message, Request, Response
        store = ResponseStore(Path({str(path)!r}))
        for i in range(50):
            store.put(Request("openai", "m", (Message("user", str(i)),)), Response(str(i)))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    store = ResponseStore(path)
    found = store.get_many([ask(str(i)).key for i in range(50)])
    store.close()
    assert len(found) == 50


@pytest.mark.checklist("R2")
def test_several_kernels_write_one_file(tmp_path):
    """Four processes at once: all their answers are there, none fails."""
    path = tmp_path / "responses.sqlite3"
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from llm_magics.store.responses import ResponseStore
        from llm_magics.core.types import Message, Request, Response
        store = ResponseStore(Path(sys.argv[1]))
        for i in range(100):
            store.put(Request("openai", "m", (Message("user", sys.argv[2] + str(i)),)), Response(str(i)))
    """)
    kernels = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abcd"]
    assert [kernel.wait() for kernel in kernels] == [0, 0, 0, 0]
    store = ResponseStore(path)
    assert store.stats().rows == 400
    store.close()


def test_threads_share_a_store(store):
    """The loop thread writes while the kernel thread reads."""
    faults: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for i in range(50):
                store.put(ask(f"{name}{i}"), Response(str(i)))
                store.stats()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert store.stats().rows == 150


def test_clear_forgets_all_or_some(store):
    """By model (with or without namespace), by age, or everything."""
    store.put(ask("1", "a"), Response("1"))
    store.put(ask("2", "b"), Response("2"))
    store.put(ask("3", "b"), Response("3"))
    assert store.clear(model="openai::a") == 1
    assert store.clear(older_than=3600) == 0
    assert store.stats().models == {"b": 2}
    assert store.clear() == 2
    assert store.stats().rows == 0


def test_stats_tell_rows_size_and_models(store):
    """What %llm_config responses shows."""
    store.put(ask("1"), Response("1"))
    stats = store.stats()
    assert (stats.path, stats.rows, stats.models) == (store.path, 1, {"m": 1})
    assert stats.size > 0
    assert abs(stats.oldest - time.time()) < 60


def test_the_oldest_answers_go_when_the_file_grows_over_its_limit(tmp_path):
    """The size limit holds, and the newest answers are the ones kept."""
    store = ResponseStore(tmp_path / "r.sqlite3", limit=300_000)
    for start in range(0, 4000, 500):
        store.put_many([(ask(str(i)), Response("x" * 200)) for i in range(start, start + 500)])
    stats = store.stats()
    assert stats.rows < 4000
    assert stats.size < 300_000
    assert store.get(ask("3999").key) is not None
    assert store.get(ask("0").key) is None
    store.close()


@pytest.mark.checklist("R2")
def test_a_damaged_file_is_one_clear_error(tmp_path):
    """No traceback of SQLite's, but what to do."""
    path = tmp_path / "responses.sqlite3"
    path.write_bytes(b"this is no database at all, not even nearly" * 100)
    with pytest.raises(StoreError, match="damaged") as caught:
        ResponseStore(path).get(ask().key)
    assert "--no-store" in caught.value.hint
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    """Never guess at an unknown schema."""
    path = tmp_path / "responses.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="newer llm_magics"):
        ResponseStore(path).put(ask(), Response("a"))


def test_an_older_schema_is_taken_step_by_step_to_ours(tmp_path, monkeypatch):
    """Each migration runs once, in order, and the answers stay."""
    path = tmp_path / "responses.sqlite3"
    store = ResponseStore(path)
    store.put(ask(), Response("a"))
    store.close()
    ran: list[int] = []

    def add_column(connection: sqlite3.Connection) -> None:
        ran.append(1)
        connection.execute("ALTER TABLE responses ADD COLUMN extra TEXT")

    monkeypatch.setattr(stores, "VERSION", stores.VERSION + 1)
    monkeypatch.setitem(stores._MIGRATIONS, stores.VERSION - 1, add_column)
    for _ in range(2):
        store = ResponseStore(path)
        found = store.get(ask().key)
        assert found is not None
        assert found.text == "a"
        store.close()
    assert ran == [1]


def test_a_full_disk_is_a_store_error_that_says_so(store):
    """SQLite's own page limit stands in for a disk without room."""
    store.put(ask(), Response("a"))
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count=1")
    with pytest.raises(StoreError, match="no room on the disk"):
        store.put(ask("y"), Response("x" * 100_000))
    assert store.get(ask().key) is not None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_store_error(tmp_path):
    """The hint names the way out."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="can't be used") as caught:
        ResponseStore(tmp_path / "sub" / "r.sqlite3").put(ask(), Response("a"))
    assert "LLM_MAGICS_HOME" in caught.value.hint


def test_a_store_opens_nothing_before_it_is_used(tmp_path):
    """A constructor makes no file."""
    ResponseStore(tmp_path / "sub" / "r.sqlite3")
    assert not (tmp_path / "sub").exists()


def test_a_temporary_store_leaves_nothing_behind():
    """--no-store."""
    store = ResponseStore.temporary()
    store.put(ask(response_format=OneOf((Choice("a"),))), Response("a"))
    folder = store.path.parent
    assert folder.exists()
    store.close()
    assert not folder.exists()


def test_dropping_forgets_those_keys_and_no_others(store):
    """However many they are: what could not be used is asked for anew."""
    requests = [ask(str(i)) for i in range(1200)]
    store.put_many([(request, Response(str(i))) for i, request in enumerate(requests)])
    store.drop([request.key for request in requests[:1100]])
    kept = store.get_many([request.key for request in requests])
    assert sorted(answer.text for answer in kept.values()) == sorted(map(str, range(1100, 1200)))


def test_a_closed_store_lets_go_of_its_file_and_opens_a_new_one(store):
    """The way out that the errors name: move the file away, and the next answer makes another."""
    store.put(ask(), Response("a"))
    store.close()
    for path in store.path.parent.iterdir():
        path.unlink()
    assert store.get(ask().key) is None
    store.put(ask(), Response("b"))
    assert store.path.exists()


def test_a_file_damaged_within_is_one_clear_error(store):
    """A good header, and pages that are none."""
    store.put_many([(ask(str(i)), Response("x" * 500)) for i in range(500)])
    store.close()
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (store.path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="damaged"):
        store.get_many([ask(str(i)).key for i in range(500)])


def test_a_file_kept_busy_by_another_kernel_is_a_store_error_that_says_so(store):
    """A write waits for its turn, and not for ever."""
    store.put(ask(), Response("a"))
    assert store._connection is not None
    store._connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another kernel keeps") as caught:
        store.put_many([(ask(str(i)), Response("b")) for i in range(3)])
    assert "run the cell again" in caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    store.put_many([(ask(str(i)), Response("b")) for i in range(3)])
    assert store.stats().rows == 4


def test_what_is_no_file_is_a_store_error(tmp_path):
    """A folder of that name, say."""
    with pytest.raises(StoreError, match="can't be used") as caught:
        ResponseStore(tmp_path).get(ask().key)
    assert "LLM_MAGICS_HOME" in caught.value.hint
