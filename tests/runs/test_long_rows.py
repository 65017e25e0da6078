"""Rows that are too long for the model: cut, split and put together, or failed; always recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.registry import create
from llm_magics.core import tokens
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec
from llm_magics.runs import session as sessions
from llm_magics.runs.long_rows import LengthPolicy
from llm_magics.tasks.extract.plan import extract
from llm_magics.tasks.generate.plan import generate, summarize
from llm_magics.tasks.label.plan import label
from llm_magics.testing import Server

LONG = "The bank lent money. " * 30 + "Ann scored a goal. " * 5


def answer(request: dict[str, Any]) -> str:
    system, text = request["messages"][0]["content"], request["messages"][-1]["content"]
    if "every mention" in system:
        return json.dumps({"entities": [{"label": "person", "text": "Ann"}] * text.count("Ann")})
    if "Summarize" in system:
        return f"{len(text)} characters"
    return "sport" if text.count("goal") > text.count("money") else "money"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer=answer, lacks={"response_format"}) as made:
        yield made


@pytest.fixture
def options(server: Server) -> dict[str, Any]:
    model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
    return {"model": model, "progress": False, "room": 60}


@given(st.text(max_size=400), st.integers(4, 40))
def test_parts_lose_nothing_and_fit(text: str, room: int) -> None:
    """Together they are the text; each fits, but for one character that alone is too much."""
    parts = LengthPolicy("split", room, "text", "m").parts(text)
    assert "".join(parts) == text or not text[len("".join(parts)) :].strip()
    assert all(tokens.count_tokens(part, "m") <= room or len(part) == 1 for part in parts)


@pytest.mark.checklist("R9")
def test_truncated_rows_say_how_much_was_left_out(server: Server, options: dict[str, Any]) -> None:
    """The instructions are never cut, short rows never touched."""
    frame = pd.DataFrame({"text": ["a goal", LONG, None]})
    done = label(frame, ["sport", "money"], on="text", too_long="truncate", **options)
    assert done["label"].tolist()[:2] == ["sport", "money"]
    assert done["label_cut"].tolist()[0] == 0 and 100 < done["label_cut"].tolist()[1] < len(LONG)
    sent = [r.json["messages"] for r in server.requests]
    assert len({messages[0]["content"] for messages in sent}) == 1
    assert max(tokens.count_tokens(m[-1]["content"]) for m in sent) <= 65
    last = sessions.current().last
    assert "1 row was longer than 60 tokens: cut at the end; label_cut has the characters" in last.report()
    assert last.manifest()["too_long"] == {"policy": "truncate", "room": 60, "rows": 1}


@pytest.mark.checklist("R9")
def test_split_rows_are_put_together(server: Server, options: dict[str, Any]) -> None:
    """Labels by vote, spans with offsets into the whole text, summaries of summaries; the parts counted."""
    frame = pd.DataFrame({"text": ["a goal", LONG]})
    done = label(frame, ["sport", "money"], on="text", too_long="split", **options)
    assert done["label"].tolist() == ["sport", "money"]
    assert done["label_cut"].tolist()[0] == 0 and done["label_cut"].tolist()[1] > 2
    spans = extract(frame, "person", on="text", spans=True, too_long="split", **options)["spans"].tolist()
    assert len(spans[1]) == 5
    assert all(LONG[span["start"] : span["end"]] == "Ann" for span in spans[1])
    server.forget()
    short = summarize(frame, on="text", too_long="split", **options)
    assert server.count > 4
    assert "characters" in server.requests[-1].json["messages"][-1]["content"]
    assert short["summary_status"].tolist() == ["ok", "ok"]


@pytest.mark.checklist("R9", "T2")
def test_parts_of_several_labels_are_united(server: Server, options: dict[str, Any]) -> None:
    """One label a row goes by vote in true/false columns too."""
    frame = pd.DataFrame({"text": ["a goal", LONG]})
    labels = ["sport", "money", "war"]
    many = label(frame, labels, on="text", multi=True, too_long="split", **options)
    assert many["label"].tolist() == [["sport"], ["sport", "money"]]
    wide = label(frame, labels, on="text", multi=True, wide=True, too_long="split", **options)
    assert wide[["is_sport", "is_money", "is_war"]].values.tolist()[1] == [True, True, False]
    one = label(frame, labels, on="text", wide=True, too_long="split", **options)
    assert one[["is_sport", "is_money", "is_war"]].values.tolist()[1] == [False, True, False]


@pytest.mark.checklist("R9", "G4")
def test_summaries_too_long_themselves_are_summarized_in_parts(options: dict[str, Any]) -> None:
    """Each round fits the room; a model that makes nothing shorter ends it, and nothing is lost."""

    def half(request: dict[str, Any]) -> str:
        words = request["messages"][-1]["content"].split()
        return " ".join(words[: -(-len(words) // 2)])

    text = " ".join(f"word{n}" for n in range(300))
    with Server(answer=half) as halving:
        model = create(BackendSpec("custom_url", "test-model", base_url=halving.url), None)
        done = summarize([text], too_long="split", **{**options, "model": model})
        assert max(tokens.count_tokens(r.json["messages"][-1]["content"]) for r in halving.requests) <= 65
    assert done["summary_cut"].item() > 10 and tokens.count_tokens(done["summary"].item()) <= 60
    with Server(answer=lambda request: request["messages"][-1]["content"]) as stubborn:
        model = create(BackendSpec("custom_url", "test-model", base_url=stubborn.url), None)
        whole = summarize([text], too_long="split", **{**options, "model": model})
        assert stubborn.count < 50
    assert "word0" in whole["summary"].item() and "word299" in whole["summary"].item()


@pytest.mark.checklist("R9")
def test_a_row_that_should_fail_fails_alone_and_unsent(server: Server, options: dict[str, Any]) -> None:
    """With the count and what to type next."""
    frame = pd.DataFrame({"text": ["a goal", LONG]})
    done = label(frame, ["sport", "money"], on="text", too_long="fail", **options)
    assert done["label_status"].tolist() == ["ok", "failed"]
    assert "60 fit" in done["label_error"].iloc[1]
    assert not any("bank lent" in request.body.decode() for request in server.requests)


def test_what_cant_be_split_or_measured_is_said(options: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match="can't be split"):
        generate(["x"], "{text}", too_long="split", **options)
    with pytest.raises(UsageError, match="not known"):
        label(["x"], ["a", "b"], too_long="split", **{**options, "room": None})
    with pytest.raises(UsageError, match="one answer a row"):
        label(["x"], ["a", "b"], votes=3, too_long="truncate", **options)


@pytest.mark.checklist("R9")
@pytest.mark.parametrize("policy", ["truncate", "split", "fail"])
def test_the_prompts_and_the_estimate_are_of_what_was_sent(
    server: Server, options: dict[str, Any], policy: str
) -> None:
    """A cut text as it was cut, all parts of one in parts, nothing of a row that was not sent."""
    given = {**options, "too_long": policy}
    counted = label(["a goal", LONG], ["sport", "money"], dry_run=True, **given)
    assert server.count == 0
    label(["a goal", LONG], ["sport", "money"], **given)
    run = sessions.current().last
    assert run is not None
    sent = {body["messages"][-1]["content"] for body in server.bodies}
    shown = [[m["content"] for m in prompt or () if m["role"] == "user"] for prompt in run.prompts()]
    assert {text for texts in shown for text in texts} == sent
    assert counted.calls == len(sent), "equal parts are asked about once"
    assert len(shown[1]) == {"truncate": 1, "fail": 0}.get(policy, len(shown[1]))
    assert policy != "split" or "".join(text.removeprefix("Text:\n") for text in shown[1]) == LONG
    assert len(run.outputs) == 2
