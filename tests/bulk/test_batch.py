"""Calls answered in bulk elsewhere: files by hand, and a provider's batch service."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from llm_magics import generate, label
from llm_magics.bulk.batch import Batch
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Price
from llm_magics.runs.session import current
from tests.servers.batches import BatchServer

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-loopback-0123456789"
TEXTS = ["I am calm", "I am angry", "I am calm", None, "so angry"]


@pytest.fixture
def server():
    with BatchServer(key=KEY) as server:
        yield server


@pytest.fixture
def frame(server, monkeypatch):
    monkeypatch.setenv("MINE", KEY)
    spec = BackendSpec(
        "openai", "small", name="mine", base_url=server.url, key="env:MINE", price=Price(1.0, 2.0)
    )
    current().registry.add(spec)
    return pd.DataFrame({"text": TEXTS})


def batch(frame, **more):
    return Batch(label, frame, ["calm", "angry"], on="text", model="mine", **more)


def chats(server):
    return sum(received.route.endswith("/chat/completions") for received in server.requests)


@pytest.mark.checklist("X7")
def test_a_batch_comes_back_and_the_call_sends_nothing(server, frame):
    """Equal rows and empty ones are not sent; half the price is booked; the call finds its answers."""
    made = batch(frame)
    state = made.submit()
    assert (state.status, state.over) == ("in_progress", False)
    assert len(server.files["file-0"].splitlines()) == 3
    assert made.collect() == made.status() and not made.status().over
    server.finish()
    told = made.collect()
    assert (told.answered, told.missing, dict(told.failed)) == (3, 0, {})
    for answer in current().store.get_many(list(made.requests)).values():
        used = answer.usage
        assert used.cost == pytest.approx(0.5 * (used.input_tokens * 1.0 + used.output_tokens * 2.0) / 1e6)
        assert used.cost > 0
    out = label(frame, ["calm", "angry"], on="text", model="mine")
    assert out["label"].dropna().tolist() == ["calm", "angry", "calm", "angry"]
    assert chats(server) == 0
    with pytest.raises(errors.UsageError, match="nothing is open"):
        batch(frame).submit()


@pytest.mark.checklist("X7", "R3")
def test_rows_that_failed_in_the_batch_are_asked_by_the_call(server, frame):
    """An error line is no answer: it is counted, stays open, and the next run asks for it alone."""
    server.refuse = {"so angry"}
    made = batch(frame)
    made.submit()
    server.finish()
    told = made.collect()
    assert (told.answered, told.missing, dict(told.failed)) == (2, 1, {"BadRequest": 1})
    out = label(frame, ["calm", "angry"], on="text", model="mine")
    assert out["label"].tolist()[-1] == "angry" and chats(server) == 1


@pytest.mark.checklist("X7", "K9")
def test_another_kernel_collects(server, frame, own_home):
    """One process submits and ends; another makes the same batch, collects, and runs without a request."""
    program = f"""
import os, sys
import pandas as pd
os.environ["MINE"] = {KEY!r}
from llm_magics import label
from llm_magics.bulk.batch import Batch
from llm_magics.runs.session import current
from llm_magics.core.types import BackendSpec
current().registry.add(BackendSpec("openai", "small", name="mine", base_url={server.url!r}, key="env:MINE"))
frame = pd.DataFrame({{"text": {TEXTS!r}}})
batch = Batch(label, frame, ["calm", "angry"], on="text", model="mine")
"""

    def run(more):
        done = subprocess.run(
            [sys.executable, "-c", program + more], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "in_progress" in run("print(batch.submit().status)")
    server.finish()
    again = "print(batch.collect())\nprint(label(frame, ['calm', 'angry'], on='text', model='mine')['label'].dropna().tolist())"
    out = run(again)
    assert "3 answers kept" in out and "['calm', 'angry', 'calm', 'angry']" in out
    assert chats(server) == 0


@pytest.mark.checklist("X7")
def test_a_file_by_hand(server, frame, tmp_path):
    """For vllm run-batch or a cluster: out as a file, answered anywhere, back as a file."""
    made = Batch(generate, frame, "Say it kindly: {text}", model="mine", num_generations=2)
    assert made.write(tmp_path / "in.jsonl") == 6
    import json

    lines = [json.loads(line) for line in (tmp_path / "in.jsonl").read_text().splitlines()]
    (tmp_path / "out.jsonl").write_bytes(server.answers(lines))
    assert made.read(tmp_path / "out.jsonl").answered == 6
    out = generate(frame, "Say it kindly: {text}", model="mine", num_generations=2)
    assert out["generation"].iloc[0] == ["echo: Say it kindly: I am calm"] * 2 and chats(server) == 0


def test_a_file_without_token_counts_is_read_like_an_answer_without_them(server, frame, tmp_path):
    """As some clusters write them: the tokens are counted here, and marked so."""
    import json

    made = Batch(generate, frame, "Say it kindly: {text}", model="mine")
    made.write(tmp_path / "in.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "in.jsonl").read_text().splitlines()]
    answers = [json.loads(line) for line in server.answers(lines).splitlines()]
    for answer in answers:
        del answer["response"]["body"]["usage"]
    (tmp_path / "out.jsonl").write_text("\n".join(map(json.dumps, answers)))
    assert made.read(tmp_path / "out.jsonl").answered == 3
    used = [answer.usage for answer in current().store.get_many(list(made.requests)).values()]
    assert all(one.estimated and one.input_tokens and one.output_tokens and one.cost for one in used)


def test_what_can_not_be_a_batch_says_so(server, frame):
    """A backend without batch files, a function that is none, a call nobody submitted."""
    with pytest.raises(errors.Unsupported, match="batch files"):
        Batch(label, frame, ["a", "b"], on="text", model="embedded::wordllama")
    with pytest.raises(errors.NotFound, match="print"):
        Batch(print, frame)
    with pytest.raises(errors.NotFound, match="submitted"):
        batch(frame).collect()


def test_a_refused_key_is_ours(server, frame, monkeypatch):
    """The service's no is one of our errors."""
    monkeypatch.setenv("MINE", "sk-another-0123456789")
    with pytest.raises(errors.AuthError):
        batch(frame).submit()
