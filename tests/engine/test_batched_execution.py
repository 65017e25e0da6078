"""--rows-per-request over a real server: fewer requests, each row its own answer, sums that are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from llm_magics.backends.registry import create
from llm_magics.core.errors import Unsupported, UsageError
from llm_magics.core.types import BackendSpec, Price
from llm_magics.engine.batched_requests import GIVEN_UP, LEFT_OUT
from llm_magics.runs import session as sessions
from llm_magics.runs.run import Run
from llm_magics.tasks.embed.plan import embed
from llm_magics.tasks.extract.plan import extract
from llm_magics.tasks.generate.plan import generate
from llm_magics.tasks.label.plan import label
from llm_magics.testing import Chaos, Fault, Server
from llm_magics.testing.answers import default_answer, last_user_text

LABELS = ["good", "bad"]


def texts(n: int) -> list[str]:
    return [f"row {i} is {LABELS[i % 3 == 0]}" for i in range(n)]


def answer(request: dict[str, Any]) -> str:
    """What the row's own message says, also where the model is asked once more."""
    said = [message["content"] for message in request["messages"] if message["role"] == "user"]
    row = [text for text in said if not text.startswith("That can't be used")][-1]
    return "good" if "good" in row else "bad"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer=answer) as made:
        yield made


def model(server: Server, **more: Any) -> Any:
    return create(BackendSpec("custom_url", "m", base_url=server.url, price=Price(1.0, 2.0), **more), None)


def last() -> Run:
    run = sessions.current().last
    assert run is not None
    return run


def labelled(server: Server, n: int = 25, rows_per_request: int | None = 10, **more: Any) -> pd.DataFrame:
    frame = label(
        texts(n),
        LABELS,
        model=model(server),
        rows_per_request=rows_per_request,
        progress=False,
        store=True,
        **more,
    )
    assert frame["label"].tolist() == [LABELS[i % 3 == 0] for i in range(n)], "each row its own answer"
    return frame


def exact() -> None:
    """Every token that the host billed stands with one row, and the costs are those tokens' price."""
    used, each = last().usage, last().outputs
    assert each["input_tokens"].sum() == used.input_tokens
    assert each["output_tokens"].sum() == used.output_tokens
    assert used.cost == pytest.approx((used.input_tokens + 2 * used.output_tokens) / 1e6)


def billed(server: Server) -> int:
    """Input tokens of all requests, as the server counts them."""
    return sum(max(1, sum(len(m["content"]) for m in body["messages"]) // 4) for body in server.bodies)


def _fates(server: Server, fate: Callable[[bytes], str | None]) -> None:
    """Let the body decide what becomes of a request."""
    server.fate = lambda received: (  # type: ignore[method-assign]
        Fault(kind) if (kind := fate(received.body)) else None
    )


def test_rows_share_requests_and_a_second_run_sends_nothing(server: Server) -> None:
    """25 rows, 10 a request: three. The store has a row each, so that a changed frame pays for new rows."""
    labelled(server)
    assert server.count == 3
    exact()
    assert last().usage.input_tokens == billed(server)
    assert last().manifest()["rows_per_request"] == 10
    labelled(server, 27)
    assert server.count == 4, "two new rows, one request"
    assert last().meter.cached == 25
    labelled(server, 25, 5)
    assert server.count == 9, "another N is another question"
    labelled(server, 25, None)
    assert server.count == 34, "and so is none at all"


@pytest.mark.parametrize("fault", ["left_out", "twice", "strange"])
def test_a_row_that_an_answer_leaves_out_is_asked_alone(server: Server, fault: str) -> None:
    """An id missing, there twice or made up: its row alone, and its share of the first bill stays its own."""
    server.script(fault)
    labelled(server)
    assert server.count == 4
    assert last().outputs["attempts"].value_counts().to_dict() == {1: 24, 2: 1}
    assert LEFT_OUT in last().report()
    exact()
    assert last().usage.input_tokens == billed(server)


def test_faults_that_may_pass_are_waited_out_for_the_request_as_a_whole(server: Server) -> None:
    """A 429 and a broken answer cost a request each, no row."""
    server.script("rate_limited", "truncated", "error")
    labelled(server)
    assert server.count == 6
    assert set(last().status) == {"ok"}


def test_an_answer_that_breaks_off_keeps_its_whole_entries(server: Server) -> None:
    """The rows behind the break are asked alone."""
    server.script("length")
    labelled(server, 10)
    assert 2 <= server.count <= 8
    exact()


def test_one_refused_row_costs_no_other(server: Server) -> None:
    """Too long or filtered as a whole: halves, until the row stands alone with its error."""

    _fates(server, lambda body: "filtered" if b"row 7 " in body else None)
    frame = label(texts(20), LABELS, model=model(server), rows_per_request=10, progress=False)
    assert frame["label_status"].value_counts().to_dict() == {"ok": 19, "failed": 1}
    assert frame["label_status"][7] == "failed" and "filter" in frame["label_error"][7]


def test_a_model_that_never_answers_by_id_is_asked_row_by_row(server: Server) -> None:
    """After a few useless answers, and that is said."""
    _fates(server, lambda body: "off_label" if b"Several cases" in body else None)
    labelled(server, 60, 4, concurrency=1)
    assert server.count == 3 + 60
    assert GIVEN_UP in last().report()
    exact()


def test_a_bad_label_is_asked_about_alone(server: Server) -> None:
    """One of ten is none of the labels: one more request, about that row."""

    def moody(request: dict[str, Any]) -> str:
        asked = request["messages"]
        if "row 3 " in asked[-1]["content"]:
            return "banana"
        return answer({"messages": asked[1:2]}) if len(asked) > 2 else answer(request)

    server.host.answer = moody
    labelled(server, 10)
    assert server.count == 2
    assert last().counts == {"ok": 9, "repaired": 1}


def test_generate_and_extract_share_requests_too(server: Server) -> None:
    """Texts and JSON objects come back by id like labels."""
    server.host.answer = lambda request: (
        "echo: " + last_user_text(request) if "Say it" in last_user_text(request) else default_answer(request)
    )
    made = generate(
        pd.DataFrame({"text": texts(6)}),
        "Say it: {text}",
        model=model(server),
        rows_per_request=3,
        progress=False,
    )
    assert made["generation"].tolist() == [f"echo: Say it: {text}" for text in texts(6)]
    assert server.count == 2
    found = extract(
        texts(6), "verdict one of good|bad", model=model(server), rows_per_request=3, progress=False
    )
    assert found["verdict"].tolist() == [LABELS[i % 3 == 0] for i in range(6)]
    assert server.count == 4
    exact()


def test_reasons_and_several_labels_share_requests(server: Server) -> None:
    """The answer to a row may be an object or a list."""
    server.host.answer = None
    labelled(server, 8, 4, explain="after")
    assert server.count == 2
    assert last().df["label_explanation"].notna().all()
    label(texts(8), LABELS, multi=True, model=model(server), rows_per_request=4, progress=False)
    assert last().df["label"].tolist() == [[LABELS[i % 3 == 0]] for i in range(8)]
    assert server.count == 4


def test_the_estimate_is_what_is_sent(server: Server) -> None:
    """Calls, tokens and the first prompt; and a budget counts the shared request, not its rows."""
    counted = label(texts(25), LABELS, model=model(server), rows_per_request=10, dry_run=True)
    assert counted.calls == 3 and server.count == 0
    assert '"10": "Text:' in counted.first_prompt
    labelled(server, max_cost=0.01)
    assert counted.input_tokens == pytest.approx(last().usage.input_tokens, rel=0.3)


def test_a_budget_stops_between_requests(server: Server) -> None:
    """What was answered is kept, the rest says why."""
    frame = label(
        texts(40),
        LABELS,
        model=model(server),
        rows_per_request=10,
        max_cost=0.0015,
        parameters={"max_new_tokens": 12},
        concurrency=1,
        progress=False,
    )
    counts = frame["label_status"].value_counts().to_dict()
    assert counts["ok"] % 10 == 0 and counts["ok"] + counts["failed"] == 40
    assert "--max-cost" in frame["label_error"].dropna().iloc[0]
    assert (last().usage.cost or 0) <= 0.0015


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scores": True}, "probabilities"),
        ({"calibrate": True}, "probabilities"),
        ({"votes": 3}, "one plain answer"),
        ({"agree": 0.9}, "one plain answer"),
        ({"parameters": {"stop": "x"}}, "stop text"),
        ({"rows_per_request": 0}, "1 or more"),
    ],
)
def test_what_needs_each_rows_own_request_says_so(server: Server, more: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=said):
        label(["a", "b"], LABELS, model=model(server), **{"rows_per_request": 5, **more})
    assert server.count == 0


def test_a_backend_without_prompts_has_nothing_to_share(server: Server) -> None:
    """The embedded default works in batches by itself; so do embeddings."""
    with pytest.raises(Unsupported, match="reads no prompts"):
        label(["a", "b"], LABELS, rows_per_request=5)
    with pytest.raises(UsageError, match="batches by themselves"):
        embed(["a", "b"], model=model(server), rows_per_request=5)


def test_rows_that_are_examples_dont_see_themselves_in_shared_requests(server: Server) -> None:
    """Such a row has examples of its own and is asked alone; the others still share."""
    known = [(texts(25)[3], "bad"), ("row x is good", "good")]
    labelled(server, 25, 10, examples=known)
    assert server.count == 4
    alone = next(b for b in server.bodies if b["messages"][-1]["content"] == f"Text:\n{texts(25)[3]}")
    assert texts(25)[3] not in str(alone["messages"][:-1])


@pytest.mark.checklist("R1")
def test_under_all_faults_every_row_gets_its_own_answer(server: Server) -> None:
    """A third of the answers are spoilt in some way, ids among them."""
    rates = dict.fromkeys(
        ["left_out", "twice", "strange", "length", "empty", "error", "rate_limited", "reset", "truncated"],
        0.04,
    )
    server.chaos = Chaos(rates, seed=1)
    labelled(server, 200, 8)
    assert set(last().status) <= {"ok", "repaired"}
    exact()
