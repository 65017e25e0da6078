"""A backend in a process of its own, with real child processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_magics.backends.process.client import ProcessBackend
from llm_magics.core.errors import BadRequest, ConnectionLost, ModelLoadError, RateLimited, UsageError
from llm_magics.core.types import BackendSpec, Choice, Limits, Message, OneOf, Request, Schema, Usage
from llm_magics.testing import Server
from tests.backends import loaders

SECONDS = 20
"""What a test waits for; a hang would take forever, a good answer less than one of these."""


def custom(fn, **more):
    return BackendSpec("custom", "inner", options={"fn": fn, **more.pop("options", {})}, **more)


def process(*members, secrets=None, **options):
    given = {"members": members} if members else {}
    return ProcessBackend(
        BackendSpec("process", "child", name="child", options={**given, **options}), secrets
    )


def ask(text="hello", response_format=None, **parameters):
    extra = {"response_format": response_format} if response_format else {}
    return Request("process", "child", (Message("user", text),), parameters=parameters, **extra)


@pytest.fixture
async def open_one():
    made = []

    def make(*members, **options):
        made.append(process(*members, **options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def within(awaitable):
    return await asyncio.wait_for(awaitable, SECONDS)


@pytest.mark.checklist("R7", "D4")
async def test_many_rows_go_to_one_child_and_come_back_in_order(open_one):
    """Several requests are in flight at once; what the library prints breaks nothing."""
    made = open_one(custom(loaders.upper, options={"embed_fn": loaders.vectors}))
    answers = await within(asyncio.gather(*(made.complete(ask(f"row {i} é \ud800")) for i in range(20))))
    assert [answer.text[:-1] for answer in answers] == [f"ROW {i} É " for i in range(20)]
    assert answers[0].usage == Usage(1, 2)
    assert made._child.process.pid != os.getpid()
    out = await within(made.embed(["a", "bbb"]))
    assert out.vectors[:, 0].tolist() == [1.0, 3.0] and out.vectors.dtype == "float32"


async def test_formats_parameters_and_prompts_survive_the_way(open_one):
    """A label's choices, a schema, a formatting function's text: as if it were one process."""
    made = open_one(custom(loaders.upper))
    form = OneOf((Choice("a", "first", ("x",)), Choice("b")), many=True)
    assert (await within(made.complete(ask("hi", form)))).text == "HI"
    assert (await within(made.complete(ask('{"n": 1}', Schema({"type": "object"}))))).parsed == {"N": 1}
    answer = await within(made.complete(ask("hi", prompt_formatting_fn=lambda p: "only " + p[0]["content"])))
    assert answer.text == "ONLY HI"


@pytest.mark.checklist("R7", "D4")
@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (loaders.broken, "no model at /models/x.gguf"),
        (loaders.dying, "ended with 3"),
        ("nowhere:at_all", "nowhere"),
    ],
)
async def test_a_loader_that_fails_is_an_error_within_seconds(open_one, loader, said):
    """Raising, dying, not being there: the run stops with its words, and nobody waits forever."""
    made = open_one(loader=loader)
    with pytest.raises(ModelLoadError, match=said):
        await within(made.complete(ask()))


@pytest.mark.checklist("D4")
async def test_a_loader_may_make_the_backend(open_one):
    """distilabel's load function, by reference or by name."""
    assert (await within(open_one(loader=loaders.fine).complete(ask()))).text == "HELLO"
    made = open_one(loader="tests.backends.loaders:fine")
    assert (await within(made.complete(ask()))).text == "HELLO"
    assert made.capabilities.embed


@pytest.mark.checklist("R7", "D4")
async def test_a_killed_process_is_an_error_and_the_next_row_starts_another(open_one, tmp_path):
    """The rows with it are told at once which signal it was; work goes on."""
    made = open_one(custom(loaders.waiting))
    note = tmp_path / "pid"
    row = asyncio.create_task(made.complete(ask(str(note))))
    pid = int(await until(lambda: note.exists() and note.read_text()))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match="SIGKILL") as caught:
        await within(row)
    assert caught.value.retryable and "memory" in caught.value.hint
    again = tmp_path / "again"
    row = asyncio.create_task(made.complete(ask(str(again))))
    assert int(await until(lambda: again.exists() and again.read_text())) != pid
    row.cancel()


@pytest.mark.checklist("R7", "D4")
async def test_a_process_that_always_dies_stops_the_run(open_one):
    """One bad row costs one process; three deaths in a row are a broken model."""
    made = open_one(custom(loaders.fatal))
    with pytest.raises(ConnectionLost, match="ended with 7"):
        await within(asyncio.gather(*(made.complete(ask(f"die {i}")) for i in range(4))))
    assert made.crashes == 1
    assert (await within(made.complete(ask("fine")))).text == "alive"
    for kind in (ConnectionLost, ConnectionLost, ModelLoadError):
        with pytest.raises(kind):
            await within(made.complete(ask("die")))


async def test_an_exception_over_there_is_its_row_s_alone(open_one):
    """The message crosses, the process stays."""
    made = open_one(custom(loaders.raising))
    with pytest.raises(BadRequest, match="odd row 1"):
        await within(made.complete(ask("1")))
    with pytest.raises(BadRequest, match="odd row 2"):
        await within(made.complete(ask("2")))
    assert made.crashes == 0


@pytest.mark.checklist("C4")
async def test_keys_go_through_the_pipe_and_nowhere_else(open_one):
    """A session's key is in no command line and no environment of the child."""

    class Held:
        def resolve(self, reference):
            return {"session:mine": "s3cret-value"}.get(reference)

    inner = custom(loaders.keyed, key="session:mine", options={"setup_fn": loaders.client})
    made = open_one(inner, secrets=Held())
    assert (await within(made.complete(ask()))).text == "s3cret-value None"
    if Path("/proc").is_dir():
        pid = made._child.process.pid
        assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.checklist("K5", "K6")
async def test_limits_and_what_the_host_says_of_them_reach_this_side(open_one):
    """The inner backend's own limits hold, under those of the process; its host's headers and waits come through."""
    with Server(lambda request: "fine", rpm=6000) as server:
        inner = BackendSpec("custom_url", "m", base_url=server.url, limits=Limits(rpm=50, window=(3, 1.0)))
        made = open_one(inner)
        assert (made.limits.rpm, made.limits.window) == (50, (3, 1.0))
        assert (await within(made.complete(ask()))).text == "fine"
        assert made.observe()["limit_requests"] == 6000
        server.script("rate_limited", retry_after=7)
        with pytest.raises(RateLimited) as caught:
            await within(made.complete(ask("again")))
        assert caught.value.retry_after == 7
    stricter = BackendSpec("process", "child", options={"members": (inner,)}, limits=Limits(rpm=5))
    assert (ProcessBackend(stricter).limits.rpm, ProcessBackend(stricter).limits.window) == (5, (3, 1.0))


def test_functions_of_the_notebook_are_told_where_to_go():
    """A function without a module can't be seen from there."""
    with pytest.raises(UsageError, match="writefile"):
        process(custom(lambda prompt: prompt))
    with pytest.raises(UsageError, match="one backend"):
        process()


@pytest.mark.checklist("R4")
async def test_cancelling_a_row_frees_the_wait_and_closing_ends_the_process(open_one, tmp_path):
    """Neither waits for the call over there."""
    made = open_one(custom(loaders.waiting))
    note = tmp_path / "pid"
    row = asyncio.create_task(made.complete(ask(str(note))))
    pid = int(await until(lambda: note.exists() and note.read_text()))
    row.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(row)
    await within(made.close())
    assert not alive(pid)


@pytest.mark.skipif(os.name != "posix", reason="signals as posix has them")
async def test_the_child_ends_with_its_parent(tmp_path):
    """A killed kernel leaves no model behind in memory."""
    note = tmp_path / "pid"
    program = (
        "import asyncio\n"
        "from tests.backends.test_process import ask, custom, loaders, process\n"
        f"asyncio.run(process(custom(loaders.waiting)).complete(ask({str(note)!r})))\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    pid = int(await until(lambda: note.exists() and note.read_text()))
    parent.kill()
    parent.wait()
    await until(lambda: not alive(pid))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


async def until(true):
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.02)
    return found
