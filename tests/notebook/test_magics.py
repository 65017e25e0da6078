"""The magics as a person uses them: typed into a real kernel, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.kernels import Kernel, Output, kernel, value

SETUP = """
%load_ext llm_magics
import pandas as pd, polars as pl, pyarrow as pa
tickets = pd.DataFrame(
    {
        "body": ["charged twice", "app is down", "how to export", None, "charged twice"],
        "stars": [1, 2, 5, 3, 1],
    },
    index=[7, 7, 8, 9, 10],
)
gold = tickets.assign(truth=["billing", "outage", "how-to", None, "outage"])
brand = "ACME"
"""
USAGE = "[row['rows'] for row in get_ipython().run_line_magic('llm', 'usage').rows]"
LABELS = "billing: charges, refunds\noutage: service is down\nhow-to: asks how\n"


def answer(request: dict[str, Any]) -> str:
    """A model that understands tickets, and answers anything else with its own question."""
    text = request["messages"][-1]["content"]
    if "can't be used" in text:
        text = request["messages"][-3]["content"]
    words = {"charged": "billing", "down": "outage", "export": "how-to"}
    return next(
        (json.dumps({"label": label}) for word, label in words.items() if word in text), f"said: {text}"
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Server]]:
    """One kernel and one server for the file."""
    home = str(tmp_path_factory.mktemp("kernel_home"))
    with Server(answer=answer) as server, kernel({"LLM_MAGICS_HOME": home}) as made:
        made.run(SETUP)
        made.run(f"%llm_config add fast --openai {server.url} --id small --price 1/2")
        made.run("%llm_config use fast")
        yield made, server


@pytest.fixture
def k(world: tuple[Kernel, Server]) -> Kernel:
    """The kernel, its store empty."""
    world[0].run("%llm_config responses clear")
    return world[0]


@pytest.fixture
def server(world: tuple[Kernel, Server]) -> Server:
    """The server, nothing counted yet and well behaved."""
    world[1].script_left.clear()
    world[1].misbehave(None)
    world[1].forget()
    return world[1]


def lines(output: Output) -> list[str]:
    """The displays' plain texts."""
    return [bundle["text/plain"] for bundle in output.displays]


@pytest.mark.checklist("T1", "R11")
def test_label_binds_a_new_frame_and_leaves_the_users_alone(k: Kernel, server: Server) -> None:
    """Index and columns kept, null row skipped, the footer is the last line."""
    out = k.run(f"%%llm label tickets.body --as topic -o labelled\n{LABELS}")
    assert value(k, "labelled.topic.astype(object).where(labelled.topic.notna(), None).tolist()") == [
        "billing",
        "outage",
        "how-to",
        None,
        "billing",
    ]
    assert value(k, "labelled.topic_status.tolist()") == ["ok", "ok", "ok", "skipped", "ok"]
    assert value(k, "[labelled.index.tolist(), list(tickets.columns)]") == [
        [7, 7, 8, 9, 10],
        ["body", "stars"],
    ]
    assert value(k, "labelled.topic.cat.categories.tolist()") == ["billing", "outage", "how-to"]
    last = lines(out)[-1]
    assert last.startswith("label: 5 rows, ")
    assert "1 skipped" in last
    assert "fast" in last
    assert server.count == 3


@pytest.mark.checklist("T1")
@pytest.mark.parametrize("data", ['tickets["body"]', "tickets['body']", 'spaced["the body"]'])
def test_a_column_may_be_named_as_pandas_does(k: Kernel, server: Server, data: str) -> None:
    """``frame["column"]`` is no computation; the first thing that a pandas user types is understood."""
    k.run("spaced = tickets.rename(columns={'body': 'the body'})")
    k.run(f"%%llm label {data} --as topic -o labelled\n{LABELS}")
    assert value(k, "labelled.topic.dropna().tolist()") == ["billing", "outage", "how-to", "billing"]


@pytest.mark.checklist("R2", "R8")
def test_equal_rows_are_one_call_and_a_second_run_none(k: Kernel, server: Server) -> None:
    """Then --refresh asks again, --no-store keeps nothing."""
    cell = "%llm label tickets.body --labels billing,outage,how-to -q"
    k.run(cell)
    assert server.count == 3
    k.run(cell)
    assert server.count == 3
    k.run(cell + " --refresh")
    assert server.count == 6
    k.run(cell + " --no-store -p temperature=0.5")
    assert server.count == 9
    k.run(cell + " -p temperature=0.5")
    assert server.count == 12


@pytest.mark.checklist("R8")
def test_forty_equal_rows_are_one_call_without_a_store_too(k: Kernel, server: Server) -> None:
    """Also when they outnumber what is in flight."""
    k.run("same = pd.DataFrame({'t': ['app is down'] * 400})")
    k.run("%llm label same.t --labels billing,outage --no-store -q --concurrency 2")
    assert server.count == 1


@pytest.mark.checklist("G1", "G2", "G3")
def test_generate_fills_a_template_twice_a_row(k: Kernel, server: Server) -> None:
    """JSON in the template stays, results have LLMOutput's keys and more."""
    k.run(
        "%%llm generate tickets --as reply --num-generations 2 -p temperature=0.8 -p max_tokens=120 -o replies\n"
        'To {stars} stars for {@brand}, {"ok": true}:\n{body}'
    )
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": 'To 1 stars for ACME, {"ok": true}:\ncharged twice'}
    ]
    assert server.bodies[0]["max_tokens"] == 120
    assert value(k, "[len(r) for r in replies.reply]") == [2] * 5
    keys = value(k, "list(llm.last.outputs.columns)")
    assert set(keys) >= {
        *("model_name", "prompt_used", "raw_output", "parsed_output"),
        *("input_tokens", "output_tokens", "latency", "finish_reason", "error", "status"),
    }
    first = value(
        k,
        "llm.last.outputs.iloc[0][['model_name', 'raw_output', 'parsed_output', 'finish_reason']].to_dict()",
    )
    assert first["parsed_output"] == {"reply": first["raw_output"]}
    assert first["finish_reason"] == "stop"
    k.run("%%llm generate tickets --as reply -N 2 --long -o long\n{body} {stars}")
    assert value(k, "[long.index.tolist(), long.generation_number.tolist()]") == [
        [7, 7, 7, 7, 8, 8, 9, 9, 10, 10],
        [0, 1] * 5,
    ]


@pytest.mark.checklist("G6", "K1")
def test_dry_run_and_estimate_send_nothing(k: Kernel, server: Server) -> None:
    """Rows, duplicates, stored, calls, tokens, money, and the first prompt as it would be sent."""
    out = k.run("%llm estimate label tickets.body --labels billing,outage,how-to")
    assert "5 rows (1 duplicate, 0 stored, 1 empty) -> 3 calls" in out.text
    assert "$0." in out.text
    assert "charged twice" in out.text
    dry = k.run("%%llm generate tickets --dry-run -N 2\nAnswer {body} {stars}")
    assert "5 rows x 2 (2 duplicates" in dry.text
    assert "Answer charged twice 1" in dry.text
    again = k.run("%llm estimate generate tickets --num-generations 3")
    assert "5 rows x 3 (3 duplicates" in again.text
    assert "Answer charged twice 1" in again.text
    assert server.count == 0


@pytest.mark.checklist("T6", "T8")
def test_an_answer_outside_the_list_is_asked_once_more_then_null(k: Kernel, server: Server) -> None:
    """Re-asked with what was wrong; never random."""
    server.script("off_label")
    k.run("%llm label tickets.body --labels billing,outage,how-to --head 1 -o once -q")
    assert value(k, "once.label_status.tolist()[0]") == "repaired"
    assert server.count == 2
    assert "none of the labels" in server.bodies[-1]["messages"][-1]["content"]
    server.misbehave("off_label")
    out = k.run("%llm label tickets.body --labels billing,outage,how-to,x --head 1 -o never")
    assert value(k, "[never.label.isna().tolist()[0], never.label_status.tolist()[0]]") == [True, "failed"]
    assert "none of the labels" in value(k, "never.label_error.tolist()[0]")
    assert "1 failed" in lines(out)[-1]


@pytest.mark.checklist("T7")
def test_a_default_is_used_only_where_asked_and_said(k: Kernel, server: Server) -> None:
    """A named one, or a random one by seed; the count stands in the footer."""
    server.misbehave("off_label")
    out = k.run("%llm label tickets.body --labels billing,outage --default outage --head 2 -o named")
    assert value(k, "[named.label.tolist()[:2], named.label_status.tolist()[:2]]") == [
        ["outage"] * 2,
        ["defaulted"] * 2,
    ]
    assert "2 defaulted" in lines(out)[-1]
    cell = "%llm label tickets.body --labels billing,outage --default random --random-state 4 -q -o "
    k.run(cell + "one")
    k.run(cell + "two")
    assert value(k, "one.label.astype(str).tolist() == two.label.astype(str).tolist()") is True


def test_a_semicolon_hides_the_result_and_is_no_label(k: Kernel, server: Server) -> None:
    """At the end of a line magic, as after an expression; the value is there all the same."""
    out = k.run("x = %llm label tickets.body --labels billing,outage,how-to;")
    assert out.text == ""
    assert k.run("%llm label tickets.body --labels billing,outage,how-to;").text == ""
    assert value(k, "[x.label.tolist()[2], _.label.tolist()[2]]") == ["how-to", "how-to"]
    assert server.count == 3


def test_quiet_hides_its_own_cells_value_and_no_later_one(k: Kernel, server: Server) -> None:
    """Also where the magic is not the cell's last line, or its value has a name."""
    line = "%llm label tickets.body --labels billing,outage -m embedded::wordllama"
    for hidden in (f"{line} -q", f"{line};", f"{line} -q\n# done", f"{line} -q".replace("%llm", "y = %llm")):
        assert k.run(hidden).text == ""
    assert "label_status" in k.run(f"{line} -q -o quietly\nquietly").text
    assert k.run(f"for n in range(2):\n    {line} -q -o quietly").text == ""
    assert "label_status" in k.run("quietly").text
    assert "label_status" in k.run("y").text


def test_a_pyarrow_table_is_the_value_of_its_cell_too(k: Kernel, server: Server) -> None:
    """In ``_`` and by assignment, quiet or not; its own display and others' stay what they were."""
    k.run("table = pa.table({'t': ['app is down']}); other = pa.table({'o': [1]})")
    cell = "%llm label table.t --labels billing,outage"
    assert "label: 1 row" in k.run(cell).text
    assert value(k, "_.column_names[:2]") == ["t", "label"]
    for quiet in (" -q", ";"):
        assert k.run(cell + quiet).text == ""
        assert value(k, "_.column_names[:2]") == ["t", "label"]
    k.run(f"bound = {cell}")
    assert value(k, "bound.column('label').to_pylist()") == ["outage"]
    assert "label: 1 row" not in k.run("other").text
    assert "label: 1 row" not in k.run("bound").text


@pytest.mark.parametrize("line", ["%llm estimate label -h", "%%llm -h\nhello"])
def test_help_is_shown_wherever_it_is_asked_for(k: Kernel, server: Server, line: str) -> None:
    """No traceback, nothing sent."""
    assert "label" in k.run(line).text
    assert server.count == 0


def test_an_option_nobody_knows_is_refused_in_python_too(k: Kernel, server: Server) -> None:
    """With the near ones, before any request."""
    out = k.run("llm.label(tickets, ['billing', 'outage'], on='body', max_cots=1)", check=False)
    assert "Did you mean 'max_cost'" in out.text
    assert "can't be blank" in k.run("%llm label tickets.body --labels a,b --as ''", check=False).text
    assert server.count == 0


def test_the_embedded_default_says_which_parameters_it_left_out(k: Kernel, server: Server) -> None:
    """Once, and only those that were set."""
    out = k.run("%llm label tickets.body --labels billing,outage -m embedded::tfidf -p seed=3 -p top_p=0.5")
    assert out.text.count("embedded::tfidf has no parameters; left out: seed, top_p") == 1
    assert "left out" not in k.run("%llm label tickets.body --labels billing,outage -m embedded::tfidf").text


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("end", [";", " ;", " ;;", "; "])
def test_a_semicolon_behind_the_line_of_a_cell_hides_its_value(k: Kernel, server: Server, end: str) -> None:
    """``-o labelled;`` as people type it to silence a cell; nothing of the name is lost."""
    out = k.run(f"%%llm label tickets.body -o silenced{end}\n{LABELS}")
    assert out.displays == [] and out.value is None and out.text == ""
    assert value(k, "silenced.label.tolist()[:3]") == ["billing", "outage", "how-to"]
    assert k.run(f"%llm label tickets.body --labels 'billing,outage;' -o kept{end}").text == ""
    assert value(k, "list(kept.label.cat.categories)") == ["billing", "outage;"]


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("name", ["print", "list", "get_ipython", "class", "_."])
def test_a_result_takes_no_name_that_every_cell_relies_on(k: Kernel, server: Server, name: str) -> None:
    """Refused before anything is sent; --yes agrees to costs, not to this."""
    for line in (
        f"%llm label tickets.body --labels a,b -o {name} --yes",
        f"%llm review tickets.stars --on body -o {name}",
        f"%llm concepts tickets.body -m embedded::wordllama -o {name} --yes",
    ):
        out = k.run(line, check=False)
        reason = "would hide it" if name in ("print", "list", "get_ipython") else "can't be a variable's name"
        assert out.error is not None and reason in out.text, line
    assert server.count == 0
    assert k.run("print(list((1,)))").stdout == "[1]\n"


def test_a_semicolon_ends_a_line_of_settings_too(k: Kernel, server: Server) -> None:
    """It is no part of the value."""
    k.run("%llm_config set timeout=30;")
    assert "30" in k.run("%llm_config get timeout;").text
    k.run("%llm_config unset timeout")


def test_rows_are_counted_as_rows_however_many_generations(k: Kernel, server: Server) -> None:
    """In the footer, the estimate and the session's books."""
    before = sum(value(k, USAGE))
    out = k.run("%%llm generate tickets -N 2\n{body} {stars}")
    assert lines(out)[-1].startswith("generate: 5 rows x 2, 2 cached, ")
    said = k.run("%%llm generate tickets -N 2 -n --refresh\n{body} {stars}").text
    assert said.startswith("5 rows x 2 (2 duplicates, 0 stored) -> 8 calls")
    after = sum(value(k, USAGE))
    assert after - before == 5


def test_the_footer_says_why_rows_failed(k: Kernel, server: Server) -> None:
    """And a job in the list says what ended it."""
    server.misbehave("error")
    out = k.run("%llm label tickets.body --labels billing,outage,how-to --retries 0")
    assert "4 failed: 127.0.0.1" in lines(out)[-1]
    server.misbehave("auth")
    k.run("failing = %llm label tickets.body --labels billing,outage -b")
    k.run("await failing", check=False)
    assert "answered 401" in k.run("%llm jobs").text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("generate series --inplace", "--inplace needs a DataFrame"),
        ("generate several --inplace", "--inplace works on pandas frames"),
        ("generate tickets --inplace --long -N 2", "--inplace can't add rows"),
    ],
)
def test_what_can_not_be_changed_in_place_is_said_before_any_request(
    k: Kernel, server: Server, flags: str, said: str
) -> None:
    """Nothing is spent, nothing is changed."""
    k.run("series = tickets.body\nseveral = pl.DataFrame({'body': ['a']})")
    out = k.run(f"%%llm {flags}\n{{body}} once more", check=False)
    assert said in out.text
    assert server.count == 0
    assert value(k, "list(tickets.columns)") == ["body", "stars"]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--head 0", "not a whole number, 1 or more"),
        ("--retries -1", "not a whole number, 0 or more"),
        ("--max-cost -1", "not an amount, 0 or more"),
        ("--max-cost nan", "not an amount"),
        ("--rpm 0", "not a number above 0"),
    ],
)
def test_a_number_out_of_range_is_refused(k: Kernel, server: Server, flag: str, said: str) -> None:
    """Before any request, by its flag."""
    out = k.run(f"%llm label tickets.body --labels billing,outage {flag}", check=False)
    assert said in out.text
    assert flag.split(maxsplit=1)[0] in out.text
    assert server.count == 0


def test_what_the_notebook_itself_holds_is_not_offered_as_data(k: Kernel, server: Server) -> None:
    """``In`` is a list of texts, ``open`` a name, and neither is the person's."""
    said = k.run("%llm label nope.x --labels a,b", check=False).text
    assert "'tickets'" in said
    assert "'In'" not in said
    assert "open" not in said


def test_a_chats_code_and_json(k: Kernel, server: Server) -> None:
    """Every flag typed stands in the code; ``-f json`` is JSON."""
    out = k.run('%%llm chat --show-code -m fast -p temperature=1 --system "be nice"\nhi')
    assert "chat('hi', system='be nice', model='fast', parameters={'temperature': 1})" in out.text
    assert json.loads(k.run('%%llm chat -f json\n"quoted"').stdout) == 'said: "quoted"'


@pytest.mark.checklist("R1")
def test_one_bad_row_is_one_failed_row(k: Kernel, server: Server) -> None:
    """19 of 20 answered, the error of the other beside it."""
    k.run("twenty = pd.DataFrame({'t': [f'app is down {i}' for i in range(20)]})")
    server.script(*["ok"] * 7, "filtered")
    k.run("%llm label twenty.t --labels billing,outage -o t20 -q")
    assert value(k, "t20.label_status.value_counts().to_dict()") == {"ok": 19, "failed": 1}
    assert "filter" in value(k, "t20.label_error.dropna().tolist()[0]").lower()


@pytest.mark.checklist("R3")
def test_retry_asks_only_for_what_failed(k: Kernel, server: Server) -> None:
    """The rest comes from the store."""
    server.script(*["ok"] * 2, "bad_request")
    k.run("%llm label tickets.body --labels billing,outage,how-to -q")
    assert server.count == 3
    k.run("fixed = %llm retry")
    assert server.count == 4
    assert value(k, "fixed.label_status.tolist()") == ["ok", "ok", "ok", "skipped", "ok"]


@pytest.mark.checklist("R3")
def test_retry_fills_the_name_and_the_frame_of_the_first_run(k: Kernel, server: Server) -> None:
    """-o is bound anew, --inplace goes into the user's frame again; unusable answers are asked for anew."""
    server.script("bad_request")
    k.run("%llm label tickets.body --labels billing,outage,how-to -o once -q")
    assert "failed" in value(k, "once.label_status.tolist()")
    k.run("%llm retry")
    assert value(k, "once.label_status.tolist()") == ["ok", "ok", "ok", "skipped", "ok"]
    assert server.count == 4

    server.forget()
    server.script("off_label", "off_label")
    k.run("few = tickets.head(1).copy()\n%llm label few.body --labels billing,outage --inplace -q")
    assert value(k, "few.label_status.tolist()") == ["failed"]
    k.run("%llm retry")
    assert value(k, "few.label_status.tolist()") == ["ok"]


def test_none_is_one_of_the_labels_or_can_be_told_from_them(k: Kernel, server: Server) -> None:
    """One clear error before anything is sent."""
    out = k.run("%llm label tickets.body --labels billing,Other --none other", check=False)
    assert "can't be told apart" in out.text and "--none 'Other'" in out.text
    assert server.count == 0
    k.run("%llm label tickets.body --labels billing,Other --none Other -q")
    assert "- Other: none of the other labels" in server.bodies[0]["messages"][0]["content"]


@pytest.mark.checklist("T12")
def test_truth_scores_the_labels(k: Kernel, server: Server) -> None:
    """Accuracy and macro-F1 in the footer, the confusion in llm.last.evaluation."""
    out = k.run(f"%%llm label gold.body --truth truth\n{LABELS}")
    assert "accuracy 0.750" in lines(out)[-1]
    assert value(k, "int(llm.last.evaluation.confusion.loc['outage', 'billing'])") == 1


@pytest.mark.checklist("K2")
def test_the_money_is_the_sum_of_what_was_answered(k: Kernel, server: Server) -> None:
    """Re-asks and all; stored answers cost nothing."""
    server.script("off_label")
    k.run("%llm label tickets.body --labels billing,outage,how-to -q")
    spent = value(k, "llm.last.usage.cost")
    tokens = value(k, "[llm.last.usage.input_tokens, llm.last.usage.output_tokens]")
    assert spent == pytest.approx((tokens[0] * 1 + tokens[1] * 2) / 1e6)
    assert server.count == 4
    k.run("%llm label tickets.body --labels billing,outage,how-to -q")
    assert value(k, "llm.last.usage.cost") == 0
    assert "fast" in k.run("%llm usage").text


@pytest.mark.checklist("K4")
def test_a_budget_stops_before_it_is_passed_and_keeps_what_is_done(k: Kernel, server: Server) -> None:
    """The rest is failed, with the reason."""
    k.run("many = pd.DataFrame({'t': [f'app is down {i}' for i in range(60)]})")
    k.run("%llm label many.t --labels billing,outage --max-cost 0.001 -o part -q", check=False)
    cost, counts = value(k, "[llm.last.usage.cost, llm.last.counts]")
    assert 0 < cost <= 0.001
    assert 0 < counts["ok"] < 60


@pytest.mark.checklist("K3")
def test_a_dear_run_wants_yes_and_never_asks(k: Kernel, server: Server) -> None:
    """No input(): an error that names the flags."""
    k.run("%llm_config set confirm_above=0.000001")
    out = k.run("%llm label tickets.body --labels billing,outage,how-to -q", check=False)
    assert out.error is not None
    assert "--yes" in out.text
    assert server.count == 0
    k.run("%llm label tickets.body --labels billing,outage,how-to -q --yes")
    k.run("%llm_config unset confirm_above")
    assert server.count == 3


@pytest.mark.checklist("C5")
def test_a_cut_answer_is_flagged(k: Kernel, server: Server) -> None:
    """The finish reason stands in a column of its own."""
    server.script("length")
    k.run("%%llm generate tickets --head 2 -o cut -q\n{body}")
    assert "length" in value(k, "cut.generation_finish.tolist()[:2]")


def test_of_a_part_that_was_asked_that_part_is_shown(k: Kernel, server: Server) -> None:
    """A sample of 3 out of 200 rows would drown in nulls; the value is the whole frame all the same."""
    k.run("many = pd.DataFrame({'body': [f'charged twice {i}' for i in range(200)]})")
    out = k.run("%llm label many.body --labels billing,outage,how-to --sample 3 -o some")
    assert "shown: the 3 rows asked, of 200; the others are null" in out.displays[-1]["text/plain"]
    assert "NaN" not in out.displays[-2]["text/plain"]
    assert out.displays[-2]["text/html"].count('<th scope="row" class="llmx-key" align="left">') == 3
    assert value(k, "[len(some), int(some.label.notna().sum()), len(_)]") == [200, 3, 200]


@pytest.mark.checklist("R10", "X6")
def test_a_result_says_how_it_was_made_and_its_code_replays(k: Kernel, server: Server) -> None:
    """The manifest is on the frame; --show-code gives the same frame from Python."""
    k.run(f"%%llm label tickets.body --as topic -o labelled -q\n{LABELS}")
    manifest = value(k, "labelled.attrs['llm_magics']")
    assert manifest["backend"] == "fast"
    assert manifest["parameters"] == {"temperature": 0}
    assert len(manifest["prompt_sha256"]) == 64
    assert manifest["versions"]["llm_magics"]
    code = k.run(f"%%llm label tickets.body --as topic -o replayed --show-code\n{LABELS}").value["text/plain"]
    k.run(code)
    assert value(k, "replayed.equals(labelled)") is True
    assert server.count == 3
    code = k.run("%%llm generate tickets -o told --show-code\nFor {@brand}: {body}").value["text/plain"]
    k.run(code)
    assert "For ACME" in server.bodies[-1]["messages"][-1]["content"]


@pytest.mark.checklist("X9")
def test_polars_and_pyarrow_come_back_as_they_came(k: Kernel, server: Server) -> None:
    """The same labels over three frame libraries."""
    k.run(
        "small = tickets[['body']].dropna(); ps = pl.DataFrame({'body': small.body.tolist()}); pt = ps.to_arrow()"
    )
    for name, kind in (("small", "pandas"), ("ps", "polars"), ("pt", "pyarrow")):
        k.run(f"%llm label {name}.body --labels billing,outage,how-to -o out_{name} -q")
        assert value(
            k,
            f"[type(out_{name}).__module__.split('.')[0], list(out_{name}['label'].to_pylist() if {name!r} == 'pt' else out_{name}['label'])]",
        ) == [
            kind,
            ["billing", "outage", "how-to", "billing"],
        ]


@pytest.mark.checklist("G7")
def test_a_background_job_returns_at_once_and_binds_when_done(k: Kernel, server: Server) -> None:
    """Listed, awaitable, stoppable; a failing last row resolves too (D2)."""
    server.script("ok", "ok", "bad_request")
    out = k.run("job = %llm label tickets.body --labels billing,outage,how-to -b -o later")
    assert out.error is None
    k.run("frame = await job")
    assert value(k, "[later is frame, sorted(set(later.label_status))]") == [
        True,
        ["failed", "ok", "skipped"],
    ]
    assert "label" in k.run("%llm jobs").text
    server.misbehave("hang")
    before = value(
        k,
        "sum(row['runs'] for row in __import__('llm_magics.runs.session', fromlist=['x']).current().usage_by_backend.values())",
    )
    k.run("%llm label tickets.body --labels billing,outage,x,y -b")
    during = value(
        k,
        "sum(row['runs'] for row in __import__('llm_magics.runs.session', fromlist=['x']).current().usage_by_backend.values())",
    )
    assert during == before + 1  # what %llm usage shows counts the job under way
    number = value(k, "list(__import__('llm_magics.runs.session', fromlist=['x']).current().jobs)[-1]")
    k.run(f"%llm stop {number}")
    assert "cancelled" in k.run("%llm jobs").text


@pytest.mark.checklist("W8")
def test_a_jobs_button_stops_it(k: Kernel, server: Server) -> None:
    """The display follows the job; a click, as the front end sends it, ends it with what is answered."""
    k.run("queue = pd.DataFrame({'t': [f'app is down {i}' for i in range(100)]})")
    server.latency = 0.2
    out = k.run("stoppable = %llm label queue.t --labels x,outage -b --concurrency 2\nstoppable")
    assert out.displays[0]["text/plain"].startswith("<Job ")
    assert "application/vnd.jupyter.widget-view+json" in out.displays[0]
    made = out.displays[0]["application/vnd.jupyter.widget-view+json"]["model_id"]
    click = {"comm_id": made, "data": {"method": "custom", "content": {"intent": "stop", "values": {}}}}
    k.client.shell_channel.send(k.client.session.msg("comm_msg", click))
    k.run("import time\nwhile stoppable.status == 'running': time.sleep(0.05)", timeout=60)
    server.latency = 0.0
    assert value(k, "stoppable.status") == "cancelled"
    assert value(k, "int(stoppable.df.label_status.isna().sum())") > 0
    assert "Job" in k.run("stoppable").value["text/plain"]


def test_chat_is_stateless_unless_told(k: Kernel, server: Server) -> None:
    """Nothing from other cells is sent unless asked; --continue and --context do."""
    out = k.run("%%llm\nHello?")
    assert any("llmx-markdown" in bundle.get("text/html", "") for bundle in out.displays)
    k.run("%%llm chat -o second\nAgain?")
    assert len(server.bodies[-1]["messages"]) == 1
    k.run("%%llm chat --continue -o third\nAnd?")
    assert [m["role"] for m in server.bodies[-1]["messages"]] == ["user", "assistant", "user"]
    assert value(k, "third") == "said: And?"
    k.run("%%llm chat --context tickets:2 -q\nWhich?")
    sent = server.bodies[-1]["messages"][-1]["content"]
    assert "stars (Int64)" in sent
    assert "app is down" in sent
    assert "how to export" not in sent


@pytest.mark.checklist("G9")
def test_embed_is_a_column_of_vectors(k: Kernel, server: Server) -> None:
    """Full texts, few requests, null skipped."""
    k.run("%llm embed tickets.body --as v -o vectors -q")
    assert value(
        k, "[None if v is None else len(v) for v in vectors.v.astype(object).where(vectors.v.notna(), None)]"
    ) == [8, 8, 8, None, 8]
    assert server.count == 1
    assert "charged twice" in server.bodies[0]["input"]


@pytest.mark.checklist("W8")
def test_progress_is_one_display_and_prints_nothing_per_row(k: Kernel, server: Server) -> None:
    """At most 5 updates a second; what stays is the footer."""
    k.run("hundred = pd.DataFrame({'t': [f'app is down {i}' for i in range(100)]})")
    server.latency = 0.1
    out = k.run("%llm label hundred.t --labels billing,outage --concurrency 8")
    server.latency = 0.0
    assert out.stdout == out.stderr == ""
    assert 1 <= out.updates <= 6 * out.seconds + 3
    assert lines(out)[-1].startswith("label: 100 rows, ")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%llm label tickes.body --labels a,b", "Did you mean 'tickets' (DataFrame, 5 rows)?"),
        ("%llm label tickets.bdy --labels a,b", "Did you mean 'body'?"),
        ('%llm label tickets["bodi"] --labels a,b', "data is named, not computed"),
        ("%llm label tickets[tickets.stars>2].body --labels a,b", 'tickets --where "stars <= 2"'),
        ("%llm label np.zeros(3) --labels a,b", "data is named, not computed"),
        ("%llm label tickets.the body --labels a,b", "Quote what holds a space"),
        ("lazy = pl.LazyFrame({'t': ['x']})\n%llm label lazy --labels a,b", "lazy.collect()"),
        ("three = 3\n%llm label three --labels a,b", "of type int: no rows"),
        ("%llm label tickets.body", "labels are missing"),
        ("%llm label tickets.body --labels-from nope", "no column or variable 'nope'"),
        ("%llm label tickets.body --labels-from tickets", "tickets is a whole frame"),
        ("wide = [str(i) for i in range(1001)]\n%llm label tickets.body --labels-from wide", "1,001 labels"),
        ("%llm label tickets.body --labels a,a", "stands twice"),
        ("%llm label tickets.body --labels only", "two or more"),
        ('%%llm label tickets.body\n["a", "b"]', "All on one line: --labels a,b"),
        ("%%llm label tickets.body --labels a,b\nc\nd", "more than once"),
        ("%llm label tickets.body --labels a,b -m nope::x", "no backend namespace 'nope'"),
        ("%llm label tickets.body --labels a,b -p temprature=1", "Did you mean 'temperature'?"),
        ("%llm label tickets.body --labels a,b -p temperature=hot", "a number, 0 or more, not 'hot'"),
        ("%llm label tickets.body --labels a,b -p max_tokens=0", "1 or more, not 0"),
        ("%llm label tickets.body --labels a,b --temperature 0.2", "Type -p temperature=VALUE"),
        ("%llm label tickets.body --labels a,b --api-key x", "A key belongs to a backend"),
        ("%llm label tickets.body --labels a,b --on-error stop", "Known: null, raise"),
        ("%llm label tickets.body --labels a,b -m gguf::/no/such.gguf", "no file '/no/such.gguf'"),
        ("%llm label tickets.body --labels a,b --truth stars", "holds none of the labels"),
        ("%llm label tickets.body --labels a,b --wehre x", "Did you mean --where"),
        ("%llm label tickets.body --labels a,b --where 'stars >'", "can't be read"),
        ("%llm label tickets.body --labels a,b -o 3x", "can't be a variable's name"),
        ("%llm label tickets.body --labels a,b --as stars", "already has a column 'stars'"),
        ("%llm label tickets.body --labels a,b --truth nope", "no column 'nope'"),
        ("%llm label tickets.body --labels a,b --default c", "no label 'c'"),
        ("%llm label tickets.body --labels a,b -m openai::gpt-4.1-mini", "%llm_config key set openai"),
        ("%llm lable tickets.body", "Did you mean 'label'?"),
        ("%%llm generate tickets\nno columns", "names no column"),
        ("%%llm generate tickets\n{bdoy}", "Did you mean 'body'?"),
        ("%%llm generate tickets\n{@brnad} {body}", "Did you mean 'brand'"),
        ("%llm generate tickets", "template is missing"),
        ("empty = tickets.head(0)\n%llm label empty.body --labels a,b", "no rows"),
        ("%llm chat", "question is missing"),
        ("%llm chat hello there", "goes in the cell's body"),
        ("%%llm chat --context nope\nhi", "Data here: 'tickets'"),
        ("%llm_config set temperature=0.2", "Parameters go with a cell"),
        ("%llm_config set openai.api_key=abc", "%llm_config key set openai"),
        ("%llm_config add f --call get_ipython", "no function of this notebook"),
        ("number = 3\n%llm_config add f --call number", "is no function: its type is int"),
        ("%llm_config add f --openai http://localhost/v1 --id m -p top_p=2", "a number from 0 to 1"),
        ("%%llm_config\n[settings\nx=1", "line"),
        ("%llm label tickets.body --labels a,b --key sk-abcdefghijklmnop1234567890", "a key was typed"),
        ("%llm label 'tickets.body --labels a,b", "Quote"),
        ("%llm stop 99", "no job '99'"),
    ],
)
def test_bad_input_is_one_clear_error_before_any_request(
    k: Kernel, server: Server, cell: str, said: str
) -> None:
    """A few lines that say what to type next; an error status, so that Run All stops."""
    out = k.run(cell, check=False)
    assert out.error is not None
    assert said in out.text
    assert "Traceback" not in out.text
    assert "sk-abcdef" not in out.text
    assert len(out.error["traceback"]) <= 8
    assert server.count == 0


def test_every_subcommand_explains_itself(k: Kernel, server: Server) -> None:
    """-h on each; nothing exits, nothing is sent."""
    from llm_magics.notebook.commands import COMMANDS

    for name in COMMANDS:
        assert "usage:" in k.run(f"%llm {name} -h").text, name
    assert all(name in k.run("%llm help").text for name in COMMANDS)
    assert server.count == 0


def test_the_table_of_subcommands_and_their_handlers_agree() -> None:
    """Parser and dispatcher never drift apart."""
    from llm_magics.notebook.commands import COMMANDS
    from llm_magics.notebook.subcommands import HANDLERS
    from llm_magics.options.synonyms import SUBCOMMANDS

    assert set(HANDLERS) == set(COMMANDS) == set(SUBCOMMANDS)


def test_inplace_changes_the_users_frame_and_only_then(k: Kernel, server: Server) -> None:
    """And --where leaves the other rows null."""
    k.run("mine = tickets.copy()")
    k.run("%llm label mine.body --labels billing,outage,how-to --where 'stars <= 2' --inplace -q")
    assert value(k, "mine.label_status.astype(object).where(mine.label_status.notna(), None).tolist()") == [
        "ok",
        "ok",
        None,
        None,
        "ok",
    ]


@pytest.mark.parametrize(
    ("shape", "said"), [("json", '"label":"billing"'), ("text", "billing"), ("md", "| body |")]
)
def test_formats(k: Kernel, server: Server, shape: str, said: str) -> None:
    """-f as the reader needs it."""
    out = k.run(f"%llm label tickets.body --labels billing,outage,how-to -f {shape}")
    shown = out.stdout + "".join(bundle.get("text/plain", "") for bundle in out.displays)
    assert said in shown


@pytest.mark.parametrize(("shape", "lines"), [("json", 1), ("text", 1001)])
def test_a_printed_frame_is_not_the_end_of_the_page(
    k: Kernel, server: Server, shape: str, lines: int
) -> None:
    """A million rows as text would be; the first thousand are printed, and that is said."""
    k.run("crowd = pd.DataFrame({'body': [f'charged twice {i}' for i in range(1500)]})")
    out = k.run(f"%llm label crowd.body --labels billing,outage -m embedded::wordllama -f {shape}")
    assert out.stdout.count("charged twice") == 1000 and len(out.stdout.strip().splitlines()) == lines
    assert "shown: the first 1,000 of 1,500 rows" in out.displays[-1]["text/plain"]
    assert value(k, "len(_)") == 1500


def test_markup_in_rows_and_answers_is_inert(k: Kernel, server: Server) -> None:
    """Whatever the text says, no tag of it reaches an html output."""
    k.run("evil = pd.DataFrame({'t': ['<script>alert(1)</script> app is down']})")
    out = k.run("%llm label evil.t --labels billing,outage")
    out2 = k.run("%%llm generate evil\n{t} <img src=x onerror=alert(1)>")
    out3 = k.run("%%llm\n<script>alert(2)</script>")
    for bundle in [*out.displays, *out2.displays, *out3.displays]:
        for kind in ("text/html", "text/markdown"):
            assert "<script" not in bundle.get(kind, "")
            assert "<img" not in bundle.get(kind, "")


def test_unload_ends_the_thread_and_takes_the_magics_away(world: tuple[Kernel, Server]) -> None:
    """And a second load starts afresh. (Last in this file: the kernel is new after it.)"""
    made, _ = world
    made.run("%unload_ext llm_magics")
    assert value(made, "[t.name for t in __import__('threading').enumerate() if 'llm' in t.name]") == []
    assert made.run("%llm help", check=False).stderr.startswith("UsageError")
    assert value(made, "'llm' in globals()") is False
    made.run("%load_ext llm_magics")
    assert "label" in made.run("%llm help").text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--k 3", "--k says how many examples"),
        ("--sure 0.95", "--sure is for --agree"),
        ("--with fast", "--with is for --agree and --dynamic"),
        ("--explain --explain-after", "don't go together"),
        ("--labels -1,0", "--labels=-1"),
    ],
)
def test_no_flag_of_label_is_without_effect(k: Kernel, server: Server, flags: str, said: str) -> None:
    """A flag that would do nothing is an error that says what it is for."""
    out = k.run(f"%llm label tickets.body --labels billing,outage {flags}", check=False)
    assert said in out.text
    assert server.count == 0
