"""What a run keeps of its results: enough to tell all, and little of each."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

import llm_magics
from llm_magics import embed, generate, label
from llm_magics.backends.base import Backend
from llm_magics.core.errors import BadRequest
from llm_magics.core.types import BackendSpec, Request, Response, Result
from llm_magics.runs import results, session
from llm_magics.runs.results import ResultColumns
from llm_magics.settings.config import embedded_default
from llm_magics.settings.keys import Keys
from llm_magics.testing import Chaos, Server


def _fault(cause: Exception) -> BadRequest:
    payload = "x" * 10_000  # what a frame holds on to
    try:
        raise BadRequest(f"refused {len(payload)}") from cause
    except BadRequest as error:
        return error


@pytest.mark.checklist("R6")
def test_the_first_errors_keep_where_they_came_from_and_the_rest_their_words() -> None:
    """A million failed rows would else keep a million requests in memory."""
    kept = ResultColumns(results.WHOLE + 50, ("generation",))
    faults = [_fault(ValueError(str(i))) for i in range(results.WHOLE + 50)]
    for i, error in enumerate(faults):
        kept.take(Result(i, "failed", error=error))
    assert faults[0].__traceback__ is not None
    assert faults[-1].__traceback__ is None
    assert isinstance(faults[-1].__cause__, ValueError)
    assert kept.error_text(len(faults) - 1) == "refused 10000"
    assert len(kept.errors_of("failed")) == len(faults)


def test_equal_words_are_kept_once() -> None:
    """A finish reason and a model stand in every answer, each time as a new text."""
    kept = ResultColumns(2, ())
    for i, said in enumerate(("STOP".lower(), "Stop".lower())):
        kept.take(Result(i, "ok", response=Response("a", finish_reason=said)))
    assert kept.finish[0] is kept.finish[1]
    assert sys.intern("stop") is kept.finish[0]


@pytest.mark.checklist("R1", "G3")
def test_failures_are_what_outputs_says_of_the_failed_asks() -> None:
    with Server(chaos=Chaos({"bad_request": 0.5}, seed=1)) as server:
        frame = pd.DataFrame({"n": range(40)}, index=[0] * 40)
        session.current().registry.add(BackendSpec("custom_url", "m", name="mine", base_url=server.url))
        generate(frame, "{n}", num_generations=2, model="mine", progress=False)
    run = llm_magics.last
    outputs, failures = run.outputs, run.failures
    expected = outputs[outputs["status"] == "failed"].reset_index(drop=True)
    assert 10 < len(failures) < 70
    assert list(failures.columns) == [name for name in outputs.columns if name != "parsed_output"]
    told = ["row", "model_name", "prompt_used", "status", "error", "attempts"]
    pd.testing.assert_frame_equal(failures[told], expected[told])
    assert failures["prompt_used"].tolist() == [
        [{"role": "user", "content": str(row)}] for row in failures["row"]
    ]
    assert failures["error"].str.contains("400").all()


def test_old_runs_of_many_rows_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last two always stay; twenty small ones do too."""
    for _ in range(5):
        label(["charged twice", "it is down"], ["billing", "outage"], progress=False)
    assert len(session.current().runs) == 5
    monkeypatch.setattr(session, "REMEMBERED", 5)
    label(["charged twice", "it is down"], ["billing", "outage"], progress=False)
    assert len(session.current().runs) == 2


@pytest.mark.checklist("K1", "X1")
def test_an_estimate_of_what_reads_no_prompts_tells_rows_and_time() -> None:
    """No tokens, no prompt that nobody will read."""
    said = label(["charged twice", "", "down"], ["billing", "outage"], dry_run=True)
    assert str(said) == f"3 rows (1 empty), free, about 1 s, {embedded_default()}"
    assert repr(said) == str(said)
    assert said.calls == 2
    many = [f"charged {number} times" for number in range(4_000)]
    words = label(many, ["billing", "outage"], model="embedded::wordllama", dry_run=True)
    assert label(many, ["billing", "outage"], dry_run=True).seconds > 5 * words.seconds
    assert embed(many, dry_run=True).seconds < 1


@pytest.mark.checklist("G6", "K1")
def test_an_estimate_is_a_page_and_not_the_longest_text() -> None:
    """A very long prompt is shown by both of its ends; where all is stored nothing is left to ask."""
    with Server() as server:
        session.current().registry.add(BackendSpec("custom_url", "m", name="mine", base_url=server.url))
        texts = ["begin " + "x " * 200_000 + "the end"]
        said = generate(texts, "Sum up: {text}", model="mine", dry_run=True)
        assert len(repr(said)) < 5_000
        assert "Sum up: begin x" in repr(said) and repr(said).endswith("the end")
        assert "characters more" in repr(said) and len(said.first_prompt) > 400_000
        generate(texts, "Sum up: {text}", model="mine", progress=False)
        again = generate(texts, "Sum up: {text}", model="mine", dry_run=True)
    assert str(again) == "1 row (0 duplicates, 1 stored) -> 0 calls: nothing is left to ask mine"


@pytest.mark.checklist("C4")
def test_a_key_in_a_strangers_exception_is_in_no_column_and_no_footer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backend of the user's own may raise anything, with what it was given in its words."""
    monkeypatch.setenv("THEIRS", "plain-key-of-theirs-4711")

    class Careless(Backend):
        async def complete(self, request: Request) -> Response:
            assert self.secrets is not None
            raise RuntimeError(f"401 for {self.secrets.resolve('env:THEIRS')}")

    backend = Careless(BackendSpec("careless", "m"), Keys())
    out = generate(["a", "b", "c"], "{text}", model=backend, progress=False)
    run = session.current().last
    assert out["generation_error"].tolist() == ["RuntimeError('401 for ***')"] * 3
    for shown in (repr(run), run.failures.to_string(), str(run.manifest()), out.to_csv()):
        assert "4711" not in shown
