"""Labelling and extraction to their depth, typed into a real kernel, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.testing import Server
from llm_magics.testing.answers import default_answer
from tests.kernels import Kernel, kernel

SETUP = """
%load_ext llm_magics
import pandas as pd
notes = pd.DataFrame(
    {
        "body": ["the lamp cost 5 EUR, Ann says", "Annie met Ann", None, "the sofa cost 90 EUR"],
        "draft": ["short", "longer draft", "x", "y"],
        "kind": ["price", "people", None, "price"],
    },
    index=[3, 3, 4, 5],
)
gold = pd.DataFrame({"t": ["a lamp for 3 EUR", "Ben met Bob", "cost 7 EUR"], "l": ["price", "people", "price"]})
"""


def reply(request: dict[str, Any]) -> str:
    """A model that reads prices, names and instructions."""
    system, text = request["messages"][0]["content"], request["messages"][-1]["content"]
    if "Propose" in system:
        return json.dumps(
            {"labels": [{"name": "price", "description": "money"}, "people", {"name": "People"}]}
        )
    if "every mention" in system:
        return json.dumps({"entities": [{"label": "person", "text": n} for n in ("Ann",) if n in text]})
    if '"records"' in system:
        items = [{"item": w} for w in ("lamp", "sofa", "Ann") if w in text]
        return json.dumps({"records": items})
    if "Find these fields" in system:
        tries = sum(m["role"] == "assistant" for m in request["messages"])
        asked = request["messages"][1]["content"]
        price = "five" if "5 EUR" in asked and not tries else 5 if "5 EUR" in asked else None
        return json.dumps({"item": "lamp" if "lamp" in asked else None, "price": price, "when": "2024-05-01"})
    if "Compare" in system:
        first, second = text.split("First:\n")[1].split("\n\nSecond:\n")
        return json.dumps({"reason": "length", "better": "first" if len(first) > len(second) else "second"})
    if "Rate" in system:
        return '{"reason": "fine", "rating": 4}'
    if "Summarize" in system or "Translate" in system:
        return f"[{system.split()[0]}] {text[:9]}"
    if "explanation" in system:
        return json.dumps({"label": "price" if "EUR" in text else "people", "explanation": "it says so"})
    if request.get("response_format"):
        return default_answer(request)
    return "price" if "EUR" in text else "people"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Server]]:
    home = str(tmp_path_factory.mktemp("home"))
    with Server(answer=reply, lacks={"response_format"}) as server, kernel({"LLM_MAGICS_HOME": home}) as made:
        made.run(SETUP)
        made.run(f"%llm_config add fast --openai {server.url} --id small\n%llm_config use fast")
        yield made, server


def value(k: Kernel, expression: str) -> Any:
    out = k.run(f"import json; print(json.dumps({expression}, default=str))")
    return json.loads(out.stdout.strip().splitlines()[-1])


@pytest.mark.checklist("G5")
def test_extract_makes_typed_columns_and_repairs_once(world: tuple[Kernel, Server]) -> None:
    """The answer that doesn't fit is asked about with its fault; dtypes stand even where values are missing."""
    k, server = world
    server.forget()
    k.run(
        "%%llm extract notes.body -o facts\nitem: what it is\nprice float: in euros\nwhen date\ntone one of calm|angry"
    )
    assert value(k, "facts['price'].tolist()")[0] == 5.0
    assert value(k, "{c: str(t) for c, t in facts.dtypes.items()}") | {
        "price": "float64",
        "when": "datetime64[s]",
        "tone": "category",
    } == value(k, "{c: str(t) for c, t in facts.dtypes.items()}")
    assert value(k, "facts['extract_status'].tolist()") == ["repaired", "repaired", "skipped", "repaired"]
    assert any("price is 'five'" in r.body.decode() for r in server.requests)
    assert value(k, "facts.index.tolist()") == [3, 3, 4, 5]


@pytest.mark.checklist("G5")
def test_extract_many_gives_a_row_a_record(world: tuple[Kernel, Server]) -> None:
    """Index and columns repeat; a row without records stays."""
    k, _ = world
    out = k.run("%%llm extract notes.body --many -o things\nitem: what")
    assert "are null" not in out.text and out.displays[0]["text/html"].count("<tr") == 1 + 5
    assert value(k, "things.index.tolist()") == [3, 3, 3, 4, 5]
    assert value(k, "things['item'].tolist()")[:3] == ["lamp", "Ann", "Ann"]


@pytest.mark.checklist("G5")
def test_extract_takes_a_pydantic_model_of_the_notebook(world: tuple[Kernel, Server]) -> None:
    """And its code names it."""
    k, _ = world
    k.run(
        "from pydantic import BaseModel\nclass Fact(BaseModel):\n    item: str | None\n    price: float | None"
    )
    k.run("%llm extract notes.body --schema Fact --as f_ -o facts")
    assert value(k, "facts['f_price'].tolist()")[0] == 5.0
    assert "fields=Fact" in k.run("%llm extract notes.body --schema Fact --show-code").text


@pytest.mark.checklist("T10")
def test_spans_are_exact_and_shown_escaped(world: tuple[Kernel, Server]) -> None:
    """S15: Ann in "Annie met Ann" is the second word."""
    k, _ = world
    shown = k.run("%%llm extract notes.body --spans -o tagged\nperson: names of people")
    assert any("Annie met <mark" in d.get("text/html", "") for d in shown.displays)
    found = value(k, "tagged['spans'].tolist()")
    assert found[1] == [{"start": 10, "end": 13, "label": "person", "text": "Ann"}]
    assert found[2] is None
    out = k.run("from llm_magics import SpansView\nSpansView(tagged['body'], tagged['spans'])")
    assert "Annie met <mark" in out.value["text/html"]


@pytest.mark.checklist("G4")
def test_summaries_and_translations(world: tuple[Kernel, Server]) -> None:
    """On one line, no body."""
    k, _ = world
    k.run(
        "%llm summarize notes.body --max-words 9 --focus price -o s\n%llm translate notes.body --to German -o t"
    )
    assert value(k, "s['summary'].tolist()")[0].startswith("[Summarize] the lamp")
    assert value(k, "t['translation'].tolist()")[1].startswith("[Translate] Annie")
    assert "into which language" in k.run("%llm translate notes.body", check=False).text


@pytest.mark.checklist("G8")
def test_judging_rates_and_ranks(world: tuple[Kernel, Server]) -> None:
    """One column is rated; two are compared both ways round, and so are the generations in a list."""
    k, server = world
    k.run("%%llm judge notes.body -o rated\nIs it clear?")
    assert value(k, "rated['rating'].dropna().tolist()") == [4, 4, 4]
    server.forget()
    k.run("%%llm judge notes --on body,draft -o best\nThe longer the better.")
    assert value(k, "best['best'].dropna().tolist()") == ["body", "body", "body"]
    assert value(k, "best['best_agreement'].tolist()")[0] == 1.0
    assert server.count == 6
    k.run("lists = pd.DataFrame({'texts': [['aa', 'b', 'cccc'], ['x', 'yy']]})")
    k.run("%llm judge lists.texts -o ranked")
    assert value(k, "ranked['best_ranking'].tolist()") == [[2, 0, 1], [1, 0, 2]]


@pytest.mark.checklist("T4")
def test_dynamic_few_shot_sends_the_k_nearest_and_nothing_more(world: tuple[Kernel, Server]) -> None:
    """Least similar first, each row its own; a copy of the row is not shown."""
    k, server = world
    server.forget()
    k.run(
        "more = pd.concat([gold, pd.DataFrame({'t': [notes.body.iloc[0]], 'l': ['people']})])\n"
        "%llm label notes.body --labels price,people --examples more:t,l --dynamic --k 2 "
        "--with embedded::wordllama -o near"
    )
    asked = {r.json["messages"][-1]["content"]: r.json["messages"] for r in server.requests}
    assert len(asked) == 3
    for text, messages in asked.items():
        assert len(messages) == 2 + 2 * 2
        assert text not in [m["content"] for m in messages[:-1]], "never the row itself"
    lamp = next(m for text, m in asked.items() if "lamp" in text)
    assert [m["content"] for m in lamp if m["role"] == "assistant"][-1] == "price"
    assert value(k, "near['label'].dropna().tolist()") == ["price", "people", "price"]


@pytest.mark.checklist("T4", "T5")
def test_fixed_examples_and_reasons_after_the_label(world: tuple[Kernel, Server]) -> None:
    """The frame's rows stand in every prompt; the reason is a column."""
    k, server = world
    server.forget()
    k.run("%llm label notes.body --labels price,people --examples gold:t,l --k 2 --explain-after -o why")
    assert value(k, "why['label_explanation'].tolist()")[0] == "it says so"
    assert all(len(r.json["messages"]) == 6 for r in server.requests)
    assert "label" in server.requests[0].json["messages"][2]["content"]


@pytest.mark.checklist("T3")
def test_without_labels_the_model_proposes_some_first(world: tuple[Kernel, Server]) -> None:
    """They are shown as a body that can be edited, then used; without --propose it is an error."""
    k, _ = world
    out = k.run("%llm label notes.body --propose 4 -o free")
    assert "price: money\npeople: " in out.stdout
    assert value(k, "free['label'].dropna().tolist()") == ["price", "people", "price"]
    assert "--propose 8" in k.run("%llm label notes.body", check=False).text
    both = k.run("%llm label notes.body --labels a,b --propose 4", check=False)
    assert "labels are given" in both.text


def test_several_models_side_by_side(world: tuple[Kernel, Server]) -> None:
    """A column each, and how far they agree."""
    k, _ = world
    out = k.run(
        "%llm label notes --on body --labels price,people -m fast,embedded::wordllama --as topic -o both"
    )
    assert value(k, "both['topic_fast'].dropna().tolist()") == ["price", "people", "price"]
    assert value(k, "both['topic_embedded_wordllama'].notna().sum().item()") == 3
    assert "fast and embedded::wordllama agree on" in out.text and "kappa" in out.text
    assert "one model" in k.run("%llm label notes.body --labels a,b -m fast,nope -b", check=False).text
    assert "fast twice" in k.run("%llm label notes.body --labels a,b -m fast,fast", check=False).text
    assert "no model 'nope'" in k.run("%llm label notes.body --labels a,b -m fast,nope", check=False).text
    dry = k.run("%llm label notes.body --labels a,b -m fast,embedded::wordllama -n")
    assert [line.split()[-1] for line in dry.text.splitlines()] == ["fast", "embedded::wordllama"]


def test_models_side_by_side_agree_on_sets_ratings_and_fields(world: tuple[Kernel, Server]) -> None:
    """Each kind of answer is compared as what it is; wide columns and fields bear the model's name in front."""
    k, server = world
    k.run(f"%llm_config add other --openai {server.url} --id small")
    sets = k.run("%llm label notes.body --labels price,people -m fast,other --multi --wide --as about_ -o w")
    assert "agree on 100.0% of 3 rows, sharing 100.0% of their labels" in sets.text
    assert "about_fast_price" in value(k, "w.columns.tolist()")
    rated = k.run("%%llm judge notes.body -m fast,other\nclear?")
    assert "0.00 apart on average" in rated.text
    found = k.run("%%llm extract notes.body -m fast,other -o e\nitem\nprice float")
    assert "find the same over 3 rows: item 100.0%, price 100.0%" in found.text
    assert "other_price" in value(k, "e.columns.tolist()")
    asked = k.run("%llm label notes.body --propose 3 -m fast,other", check=False)
    assert "--propose goes with one model" in asked.text


@pytest.mark.checklist("T9", "T12")
def test_votes_are_a_confidence(world: tuple[Kernel, Server]) -> None:
    """Three samples a row, one row in the frame; --truth scores the majority."""
    k, server = world
    server.forget()
    out = k.run("%llm label notes.body --labels price,people --votes 3 --truth kind -o voted")
    assert server.count == 9
    assert value(k, "voted['label_confidence'].dropna().tolist()") == [1.0, 1.0, 1.0]
    assert "accuracy 1.000" in out.text and "calibration error" in out.text


@pytest.mark.checklist("T2", "T12")
def test_several_labels_are_scored_too(world: tuple[Kernel, Server]) -> None:
    """Exact match, Jaccard, F1."""
    k, _ = world
    out = k.run("%llm label notes.body --labels price,people --multi --truth kind")
    assert "exact match" in out.text and "Jaccard" in out.text


@pytest.mark.checklist("T9")
def test_calibration_divides_out_the_bias() -> None:
    """The embedded default gives chances; what it says to texts that say nothing is taken off."""
    from llm_magics.runs import session as sessions
    from llm_magics.tasks.label.plan import label

    texts = ["the team won the match", "the bank lent money", "a striker and a coach"]
    done = label(texts, ["sport", "money"], calibrate=True, progress=False)
    assert done["label"].tolist() == ["sport", "money", "sport"]
    assert (done["label_score_sport"] + done["label_score_money"]).round(6).eq(1).all()
    assert "texts without content" in sessions.current().last.report()
    frame = done[["text"]].assign(truth=["sport", "money", "money"])
    label(frame, ["sport", "money"], on="text", calibrate=True, truth="truth", progress=False)
    assert "at temperature" in sessions.current().last.report()
    assert sessions.current().last.manifest()["calibration"]["rows"] == 3


@pytest.mark.checklist("X4")
def test_the_last_labels_can_be_reviewed_from_the_line(world: tuple[Kernel, Server]) -> None:
    """The summary is an output of its own; the widget beside it; the object is bound."""
    k, _ = world
    k.run("%llm label notes.body --labels price,people -q")
    out = k.run("%llm review -o r")
    assert any("Least certain first" in d.get("text/html", "") for d in out.displays)
    assert any("application/vnd.jupyter.widget-view+json" in d for d in out.displays)
    k.run("r.correct(0, 'people')")
    assert value(k, "r.df['label_gold'].tolist()")[0] == "people"
    still = k.run("%llm review --static")
    assert not any("application/vnd.jupyter.widget-view+json" in d for d in still.displays)


@pytest.mark.checklist("G1")
def test_a_template_that_shows_an_answer_in_json_goes_out_as_typed(world: tuple[Kernel, Server]) -> None:
    """S12: braces that name no column are the user's own, in the cell and in --system."""
    k, server = world
    server.forget()
    shown = '{"label": "price", "parts": {"of": ["{"]}, "n": {}}'
    k.run(f"%%llm generate notes --system '{shown}' -o said\nAnswer like {shown}:\n{{body}}")
    asked = {tuple(message["content"] for message in body["messages"]) for body in server.bodies}
    assert (shown, f"Answer like {shown}:\nAnnie met Ann") in asked
    assert value(k, "said['generation_status'].tolist()") == ["ok", "ok", "skipped", "ok"]


@pytest.mark.checklist("B1")
def test_a_tuned_model_is_used_like_any_other(world: tuple[Kernel, Server]) -> None:
    """S14: asked for by its whole name, colons and all, with a price."""
    k, server = world
    server.forget()
    tuned = "ft:gpt-4.1-2025-04-14:acme::8h2k"
    k.run(f"%llm_config add tuned --openai {server.url} --id {tuned}")
    k.run("%llm label notes.body --labels price,people -m tuned -o by_tuned")
    assert {body["model"] for body in server.bodies} == {tuned}
    assert value(k, "by_tuned['label'].dropna().tolist()") == ["price", "people", "price"]


@pytest.mark.checklist("T2")
def test_a_prefix_of_wide_columns_stands_apart_from_the_labels(world: tuple[Kernel, Server]) -> None:
    """``--as about`` and ``--as about_`` are one."""
    k, _ = world
    line = "%llm label notes.body --labels price,people -m embedded::wordllama --wide -q"
    for name in ("about", "about_"):
        k.run(f"{line} --as {name} -o apart")
        assert value(k, "[c for c in apart if c.startswith('about')][:3]") == [
            *("about_price", "about_people", "about_status"),
        ]
