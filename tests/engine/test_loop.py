"""The loop thread: one loop a process, interruptible, and nothing on it is ever left waiting."""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from llm_magics.core.errors import AuthError, Interrupted
from llm_magics.engine.loop import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()
    assert not made.running


async def give(value, after: float = 0.0):
    await asyncio.sleep(after)
    return value


def until(condition, seconds: float = 5.0) -> None:
    """Poll for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.01)


def interrupt_soon(after: float = 0.2, times: int = 1) -> None:
    """SIGINT for this process, from a thread, as a kernel's stop button sends it."""

    def send() -> None:
        time.sleep(after)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.08)

    threading.Thread(target=send).start()


def test_it_starts_with_the_first_work_and_starts_again_after_a_close(loop):
    """No thread before it is needed; clients find the same loop in every cell."""

    async def which() -> int:
        return id(asyncio.get_running_loop())

    assert not loop.running
    assert loop.run(which()) == loop.run(which())
    loop.close()
    assert not loop.running
    assert loop.run(give(3)) == 3


@pytest.mark.checklist("R5")
async def test_it_works_under_a_running_loop(loop):
    """The kernel's own loop is running while a cell runs; no nested loops."""
    assert loop.run(give("fine", 0.01)) == "fine"


def test_an_error_is_raised_as_it_is(loop):
    """The same exception object, for the magics to show."""
    fault = AuthError("bad key")

    async def fail():
        raise fault

    with pytest.raises(AuthError) as caught:
        loop.run(fail())
    assert caught.value is fault


def test_a_timeout_of_the_work_is_not_taken_for_a_poll(loop):
    """TimeoutError from inside comes out."""

    async def late():
        raise TimeoutError("inside")

    with pytest.raises(TimeoutError, match="inside"):
        loop.run(late())


@pytest.mark.checklist("R7")
def test_a_system_exit_in_a_users_function_ends_that_work_only(loop):
    """exit() in somebody's backend neither hangs the cell nor ends the thread."""

    async def leave():
        async def inner():
            raise SystemExit(3)

        await asyncio.gather(inner(), asyncio.sleep(60))

    with pytest.raises(SystemExit):
        loop.run(leave())
    assert loop.run(give("still there")) == "still there"


def test_ticks_come_on_the_calling_thread(loop):
    """Drawing happens where the cell runs, a few times a second."""
    threads: list[threading.Thread] = []
    loop.run(give(1, 0.35), tick=lambda: threads.append(threading.current_thread()))
    assert 1 <= len(threads) <= 4
    assert set(threads) == {threading.current_thread()}


def test_a_fault_in_a_tick_stops_the_work(loop):
    """Nothing goes on behind a cell that has failed."""
    ended = threading.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(ZeroDivisionError):
        loop.run(work(), tick=lambda: 1 / 0)
    assert ended.is_set()


def test_run_on_the_loop_thread_raises_at_once(loop):
    """It would wait for itself for ever."""

    async def nested():
        return loop.run(give(1))

    with pytest.raises(RuntimeError, match="wait for itself"):
        loop.run(nested())


def test_a_result_waited_for_on_the_loop_thread_raises_at_once(loop):
    """The same trap, through a job."""

    async def nested():
        return loop.submit(give(1, 0.1)).result()

    with pytest.raises(RuntimeError, match="wait for itself"):
        loop.run(nested())


@pytest.mark.checklist("R4")
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_cancels_and_cleans_up(loop, times):
    """SIGINT once or twice: one Interrupted, the work has ended, the handler is back."""
    before = signal.getsignal(signal.SIGINT)
    ended = threading.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            ended.set()

    interrupt_soon(times=times)
    start = time.monotonic()
    with pytest.raises(Interrupted):
        loop.run(work())
    assert ended.is_set()
    assert time.monotonic() - start < 10
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.checklist("R4", "R7")
def test_work_that_will_not_end_is_left_after_two_seconds(loop, monkeypatch):
    """A backend that swallows its cancellation can't hold a cell."""
    monkeypatch.setattr("llm_magics.engine.loop.GRACE", 0.3)
    release = threading.Event()

    async def stubborn():
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    interrupt_soon()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        loop.run(stubborn())
    assert time.monotonic() - start < 10
    release.set()


@pytest.mark.checklist("R4")
def test_a_swapped_handler_does_not_make_a_wait_deaf(loop):
    """ipykernel puts its own SIGINT handler in for async cells; ours stands while we wait."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        interrupt_soon()
        with pytest.raises(Interrupted):
            loop.run(give(1, 60))
    finally:
        signal.signal(signal.SIGINT, before)


def test_off_the_main_thread_it_works_without_signals(loop):
    """A subshell thread."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(loop.run(give(7, 0.05))))
    thread.start()
    thread.join(5)
    assert found == [7]


@pytest.mark.checklist("G7", "R7")
def test_a_job_comes_back_at_once_and_has_its_result_later(loop):
    """submit does not wait; result() does."""
    start = time.monotonic()
    job = loop.submit(give(5, 1.0), "1")
    assert job.status == "running"
    assert time.monotonic() - start < 1.0
    assert job.result() == 5
    assert (job.id, job.status, job.error) == ("1", "done", None)
    assert "done" in repr(job)


@pytest.mark.checklist("R7")
def test_a_failed_job_says_so_and_raises(loop):
    """Its error is there to look at, and raised by whoever asks for the result."""

    async def fail():
        raise AuthError("bad key")

    job = loop.submit(fail())
    with pytest.raises(AuthError):
        job.result()
    assert job.status == "failed"
    assert isinstance(job.error, AuthError)
    assert "bad key" in repr(job)


@pytest.mark.checklist("R7")
def test_a_cancelled_job_resolves(loop):
    """Also when it is cancelled before its first step."""
    for after in (0.0, 0.1):
        job = loop.submit(give(1, 60))
        time.sleep(after)
        assert job.cancel()
        with pytest.raises(Interrupted):
            job.result(timeout=5)
        assert job.status == "cancelled"
        assert not job.cancel()


def test_waiting_for_a_job_can_time_out_and_leaves_it_running(loop):
    """A look, not a stop."""
    job = loop.submit(give(1, 60))
    with pytest.raises(TimeoutError):
        job.result(timeout=0.15)
    assert job.status == "running"


@pytest.mark.checklist("R7")
def test_closing_ends_every_job(loop):
    """Unloading the extension leaves nobody waiting."""
    jobs = [loop.submit(give(1, 60)) for _ in range(3)]
    until(lambda: loop.running)
    loop.close()
    for job in jobs:
        with pytest.raises(Interrupted):
            job.result(timeout=5)


@pytest.mark.checklist("G7")
async def test_a_job_can_be_awaited(loop):
    """In a cell: await job."""
    assert await loop.submit(give("done", 0.05)) == "done"


@pytest.mark.checklist("G7", "R4")
async def test_a_cancelled_await_cancels_the_job(loop):
    """An interrupted async cell stops the work, not only the waiting."""
    job = loop.submit(give(1, 60))

    async def cell():
        return await job

    waiting = asyncio.create_task(cell())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(Interrupted):
        job.result(timeout=5)


def test_work_runs_in_the_callers_context(loop):
    """ipykernel finds the cell of an output by context variables."""
    cell: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="?")
    cell.set("A")

    async def inner():
        return cell.get()

    async def outer():
        return await asyncio.create_task(inner())

    job = loop.submit(outer())
    cell.set("B")
    assert job.result() == "A"


def test_a_process_with_a_running_job_still_exits():
    """A daemon thread, closed at exit: no hang, no complaint."""
    code = textwrap.dedent("""
        import asyncio
        from llm_magics.engine.loop import LoopThread
        loop = LoopThread()
        job = loop.submit(asyncio.sleep(60))
        loop.run(asyncio.sleep(0.01))
    """)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


class Kernel:
    """A real ipykernel."""

    def __init__(self) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.run("import asyncio, time; from llm_magics.engine.loop import LoopThread; loop = LoopThread()")

    def run(self, code: str, *, interrupt_after: float | None = None) -> tuple[str, str, float]:
        """Status, text of streams and errors, and seconds from the interrupt to idle."""
        message = self.client.execute(code)
        said, pressed = "", 0.0
        if interrupt_after is not None:
            time.sleep(interrupt_after)
            pressed = time.monotonic()
            self.manager.interrupt_kernel()
        while True:
            try:
                found = self.client.get_iopub_msg(timeout=20)
            except queue.Empty:
                raise AssertionError("the kernel never became idle") from None
            if found["parent_header"].get("msg_id") != message:
                continue
            kind, content = found["msg_type"], found["content"]
            if kind == "stream":
                said += content["text"]
            elif kind == "error":
                said += content["ename"] + ": " + content["evalue"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        idle = time.monotonic() - pressed
        while (reply := self.client.get_shell_msg(timeout=20))["parent_header"].get("msg_id") != message:
            pass
        return reply["content"]["status"], said, idle

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


WORK = "async def work():\n    global ended\n    try:\n        await asyncio.sleep(60)\n    finally:\n        ended = True\n"


@pytest.mark.checklist("R4", "R5")
@pytest.mark.parametrize(
    "cell",
    [
        "loop.run(work())",
        "await asyncio.sleep(0)\nloop.run(work())",
        "await loop.submit(work())",
        "loop.submit(work()).result()",
    ],
    ids=["plain", "in an async cell", "await job", "job.result()"],
)
def test_a_kernel_interrupt_stops_the_cell_within_a_second(kernel, cell):
    """Every way to wait in a real kernel: back soon, error status, the next cell runs."""
    kernel.run("ended = False\n" + WORK)
    status, said, idle = kernel.run(cell, interrupt_after=0.6)
    assert status == "error"
    assert idle < 1.5
    assert any(name in said for name in ("Interrupted", "KeyboardInterrupt", "CancelledError"))
    if "result()" not in cell:
        assert kernel.run("time.sleep(0.1); print(ended)")[1].strip() == "True"
    assert kernel.run("print(loop.run(asyncio.sleep(0, 'next')))")[1].strip() == "next"
