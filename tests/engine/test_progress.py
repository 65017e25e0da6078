"""Progress: one count, one line, one output, whatever the front end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.types import STATUSES, Response, Result, Usage
from llm_magics.engine import progress
from llm_magics.engine.progress import Display, Meter, count, dollars, mime_bundle, seconds


class Time:
    """A hand-moved clock."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def result(index: int = 0, status="ok", *, cached: bool = False, usage: Usage | None = None) -> Result:
    response = Response("x", cached=cached)
    return Result(index, status, response=response, **({"usage": usage} if usage else {}))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(STATUSES), st.integers(0, 500), st.integers(0, 500), st.none() | st.floats(0, 1)
        ),
        max_size=40,
    )
)
def test_the_count_is_the_sum_of_the_results(found):
    """Rows by status, tokens, money; an unknown price makes the whole cost unknown, and says so."""
    meter = Meter(len(found))
    for status, given_, made, cost in found:
        meter.add(result(status=status, usage=Usage(given_, made, cost=cost)))
    assert meter.done == len(found)
    for name in STATUSES[1:]:
        assert getattr(meter, name) == sum(status == name for status, *_ in found)
    unpriced = any(cost is None and given_ + made for _, given_, made, cost in found)
    assert meter.usage.input_tokens == sum(row[1] for row in found)
    assert meter.usage.output_tokens == sum(row[2] for row in found)
    assert meter.usage.cost == (None if unpriced else pytest.approx(sum(row[3] or 0 for row in found)))
    assert "\n" not in meter.line()


@pytest.mark.checklist("K2", "W8")
def test_one_estimated_answer_makes_the_whole_count_an_estimate():
    """Whatever comes after it was counted exactly."""
    meter = Meter(2)
    for i, estimated in enumerate((True, False)):
        meter.add(Result(i, "ok", {}, usage=Usage(100, 10, estimated=estimated)))
    assert meter.usage == Usage(200, 20, cost=None, estimated=True)
    assert "~200 in / ~20 out tokens" in meter.line()


def test_the_last_line_is_the_record_of_the_run():
    """Rows, cached, failed, tokens, money, time, backend: what a reader of the notebook needs."""
    clock = Time()
    meter = Meter(1000, "label", "fast", clock=clock)
    for i in range(1000):
        clock.now += 0.018
        meter.add(result(i, "failed" if i < 3 else "ok", cached=i >= 988, usage=Usage(41, 6, cost=0.00007)))
    assert meter.line() == "label: 1,000 rows, 12 cached, 3 failed, 41k in / 6k out tokens, $0.07, 18 s, fast"
    clock.now += 1000
    assert "18 s" in meter.line()


def test_a_run_under_way_says_how_long_it_will_take():
    """The rate of late, not of the whole run."""
    clock = Time()
    meter = Meter(400, "label", "fast", clock=clock)
    for second in range(100):
        clock.now += 1
        meter.add(result(second))
        meter.line()
    assert meter.line() == "label: 100/400 rows, 100 s, about 5 min left, fast".replace("100 s", "2 min")
    for second in range(200):
        clock.now += 0.1
        meter.add(result(second))
        meter.line()
    assert meter.eta == pytest.approx(10, rel=0.05)


def test_stored_answers_promise_no_speed():
    """They come at once and first; what is left is asked for, at the pace of what was asked."""
    clock = Time()
    meter = Meter(200, "label", "fast", clock=clock)
    for i in range(100):
        meter.add(result(i, cached=True))
    clock.now += 0.1
    assert "left" not in meter.line()
    for i in range(10):
        clock.now += 1
        meter.add(result(i))
        meter.line()
    assert meter.eta == pytest.approx(90, rel=0.05)


def test_a_run_that_was_stopped_stands_still():
    """Looked at an hour later, it has not gone on."""
    clock = Time()
    meter = Meter(10, "label", "fast", clock=clock)
    meter.add(result())
    clock.now += 2
    meter.stop()
    clock.now += 3600
    assert meter.line() == "label: 1/10 rows, 2.0 s, fast"


def test_free_answers_show_no_money_and_unknown_prices_are_said():
    """$0.00 would be a claim."""
    free, unknown = Meter(1), Meter(1)
    free.add(result(usage=Usage(5, 5, cost=0.0)))
    unknown.add(result(usage=Usage(5, 5)))
    assert "$" not in free.line()
    assert "price unknown" not in free.line()
    assert "price unknown" in unknown.line()


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (count(812), "812"),
        (count(41_000), "41k"),
        (count(1_234_567), "1.23M"),
        (count(999_999), "1M"),
        (dollars(0.07), "$0.07"),
        (dollars(1.239), "$1.24"),
        (dollars(0.000001), "<$0.0001"),
        (dollars(0.1), "$0.10"),
        (dollars(0.0999), "$0.1"),
        (dollars(0.0001), "$0.0001"),
        (seconds(0.42), "0.4 s"),
        (seconds(10.04), "10 s"),
        (seconds(99.4), "99 s"),
        (seconds(100), "2 min"),
        (seconds(3600), "1 h 0 min"),
        (seconds(18.2), "18 s"),
        (seconds(180), "3 min"),
        (seconds(4800), "1 h 20 min"),
    ],
)
def test_numbers_are_short(shown, text):
    """Three figures are enough."""
    assert shown == text


@pytest.mark.checklist("W5", "W8")
def test_what_is_shown_is_escaped():
    """A backend's name or a server's note never becomes markup."""
    shown = mime_bundle("<script>alert(1)</script>\nsecond", 0.5)
    assert "<script>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]
    assert "<br>second" in shown["text/html"]
    assert shown["text/plain"].startswith("<script>")


def drawn(code: str) -> str:
    """What a run of a hundred rows shows on the output of ``code``'s process."""
    body = """
        import time
        from llm_magics.engine.progress import Display, Meter
        from llm_magics.core.types import Result
        meter = Meter(100, "label", "fast")
        display = Display(meter)
        for i in range(100):
            time.sleep(0.01)
            meter.add(Result(i, "ok"))
            display.tick()
    """
    return textwrap.dedent(body) + textwrap.dedent(code)


@pytest.mark.checklist("W8", "K3")
def test_not_interactive_is_one_line():
    """In a script, a pipe, a log: the record, nothing else."""
    ended = subprocess.run(
        [sys.executable, "-c", drawn("display.close(meter.line())")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("label: 100 rows")


@pytest.mark.checklist("W8")
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_terminal_has_one_line_rewritten():
    """Carriage returns, at most five a second, the last state stays."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", drawn("display.close(meter.line())")], stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    process.wait()
    os.close(ours)
    text = said.decode()
    assert text.count("\n") == 1
    assert 2 <= text.count("\r\x1b[K") <= 9
    assert text.strip().splitlines()[-1].split("\x1b[K")[-1].startswith("label: 100 rows")


@pytest.mark.checklist("W8")
def test_a_kernel_has_one_output_that_ends_as_the_record():
    """In a real notebook run: one display, few updates, plain text and HTML, saved in its last state."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(drawn("display.close('<b> ' + meter.line())"))]
    )
    updates: list[str] = []

    class Counting(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            updates.append(msg["msg_type"])
            return super().process_message(msg, cell, cell_index)

    Counting(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("<b> label: 100 rows")
    assert "&lt;b&gt; label: 100 rows" in output.data["text/html"]
    assert "progressbar" not in output.data["text/html"]
    assert updates.count("display_data") == 1
    assert 1 <= updates.count("update_display_data") <= 9


def test_a_display_that_broke_does_not_stop_the_run(monkeypatch):
    """A terminal that went away, a stream that can't spell a name."""

    def gone(text, share, answer):
        raise BrokenPipeError

    monkeypatch.setattr(progress, "_place", lambda: gone)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    display = Display(Meter(1))
    display.tick()
    display.tick()
    display.close("the end")
    assert display.updates == 1


def test_quiet_draws_nothing(capsys):
    """-q."""
    display = Display(Meter(1), show=False)
    display.tick()
    display.close("text")
    assert capsys.readouterr() == ("", "")


def test_a_quick_run_draws_only_its_end(monkeypatch):
    """Nothing flickers for what is over in a fifth of a second."""
    shown: list[str] = []
    monkeypatch.setattr(progress, "_place", lambda: lambda text, share, answer: shown.append(text))
    display = Display(Meter(1))
    for _ in range(50):
        display.tick()
    display.close("the end")
    display.close("again")
    assert shown == ["the end"]
    untouched = Display(Meter(1))
    untouched.close(None)
    assert len(shown) == 1
