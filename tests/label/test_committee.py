"""Several labellers as one: ``--prior``, registered committees, and the default prior of small local models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llm_magics.backends.base import Backend
from llm_magics.backends.committee import weights
from llm_magics.backends.committee.client import CommitteeBackend
from llm_magics.backends.committee.combination import OVERLAP, combined, log_scores
from llm_magics.backends.registry import create
from llm_magics.core.errors import BadRequest, Unsupported, UsageError
from llm_magics.core.types import FREE, TEXT, BackendSpec, Choice, Message, OneOf, Price, Request
from llm_magics.runs import session as sessions
from llm_magics.settings.config import embedded_default
from llm_magics.tasks.label.committee import has_default_prior
from llm_magics.tasks.label.plan import label
from llm_magics.testing import Server
from tests.kernels import kernel

LABELS = {"sports": "games, teams, players, matches", "finance": "money, banks, stocks, markets"}
SURE = "The team won the match, its players and other teams play games"
UNSURE = "it rained on the mountain"
BROKEN = "The blue door is open"


class Scorer:
    """A function that gives label probabilities and remembers which texts it saw."""

    def __init__(self, **scores: float) -> None:
        self.scores, self.seen = scores, []

    def backend(self, name: str = "scorer", **options: Any) -> Backend:
        def answer(prompt: str) -> Any:
            text = prompt.rsplit("Text:\n", 1)[-1]
            self.seen.append(text)
            if text == BROKEN:
                raise BadRequest("this row can't be read")
            return dict(self.scores) if self.scores else "sports"

        return create(BackendSpec("custom", name, name=name, options={"fn": answer, **options}), None)


def by_hand(*members: tuple[float, Mapping[str, float]]) -> dict[str, float]:
    """The softmax of the weighted log-scores over the power of their sum."""
    flat = sum(weight for weight, _ in members) ** OVERLAP
    logits = {
        name: sum(weight * math.log(scores[name]) for weight, scores in members) / flat
        for name in members[0][1]
    }
    whole = sum(map(math.exp, logits.values()))
    return {name: math.exp(value) / whole for name, value in logits.items()}


def test_log_scores_are_added_by_weight() -> None:
    """Equal to the product of powers; one member alone keeps its probabilities; order doesn't matter."""
    one, two = {"a": 0.7, "b": 0.2, "c": 0.1}, {"a": 0.1, "b": 0.8, "c": 0.1}
    members = [(1.0, one), (0.3, two)]
    assert combined(members, "abc") == pytest.approx(by_hand(*members))
    assert combined(members[::-1], "abc") == pytest.approx(by_hand(*members))
    assert combined([(0.3, one)], "abc") == pytest.approx(one)
    assert sum(log_scores(one, "abc").values()) == pytest.approx(0)


def test_scores_that_miss_labels_are_never_above_those_given() -> None:
    """What a host left out is at most as likely as the least likely label that it named."""
    found = log_scores({"a": 0.6, "b": 0.1}, "abcd")
    assert found["a"] > found["b"] >= found["c"] == found["d"]
    assert combined([(1.0, {"a": 0.6}), (1.0, {"a": 0.2, "b": 0.7, "c": 0.1})], "abc")["b"] < 1


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("gemma-3-270m-q4_k_m.gguf", 0.27),
        ("/models/Qwen/Qwen3-0.6B", 0.6),
        ("llama3.2:1b", 1.0),
        ("Mistral-7B-Instruct-v0.3", 7.0),
        ("gpt-4.1-mini", None),
        ("qwen3", None),
        ("model-4bit", None),
    ],
)
def test_the_size_is_read_from_the_name(name: str, billions: float | None) -> None:
    assert weights.billions(name) == billions


def test_members_count_by_their_kind(tiny_gguf: Path) -> None:
    """Small models little; the default prior is for those in this kernel."""
    small = create(BackendSpec("gguf", "gemma-3-270m.gguf"), None)
    large = create(BackendSpec("gguf", "qwen-7b.gguf"), None)
    unnamed = create(BackendSpec("gguf", str(tiny_gguf)), None)
    hosted = create(BackendSpec("ollama", "llama3.2:1b"), None)
    vectors = create(BackendSpec("openai", "text-embedding-3-small"), None)
    default = create(BackendSpec(*embedded_default().split("::")), None)
    assert [weights.weight(each) for each in (small, unnamed, hosted)] == [weights.SMALL_MODEL] * 3 or (
        weights.weight(small) == weights.weight(unnamed) == weights.SMALL_MODEL
    )
    assert weights.weight(large) == weights.LARGE_MODEL
    assert weights.weight(vectors) == weights.EMBEDDER
    assert weights.weight(default) == weights.EMBEDDED
    assert [has_default_prior(each) for each in (small, unnamed, large, hosted, vectors, default)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    order = sorted((large, hosted, small, vectors, default), key=weights.slowness)
    assert order[0] is default
    assert order[1] is vectors
    assert order[-1] is large


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from llm_magics.testing.gguf import TINY, build

    return build(tmp_path_factory.mktemp("models") / "tiny.gguf", TINY, precision="float32")


@pytest.mark.checklist("Q3")
def test_the_model_sees_only_what_the_prior_is_unsure_of() -> None:
    """Sure rows are the prior's, unsure ones both's; a blank one nobody's; the result says who decided."""
    scorer = Scorer(sports=0.1, finance=0.9)
    frame = pd.DataFrame({"text": [SURE, UNSURE, None]})
    result = label(
        frame, LABELS, on="text", model=scorer.backend("mine"), prior=embedded_default(), progress=False
    )
    assert scorer.seen == [UNSURE]
    assert list(result["label_by"].iloc[:2]) == [embedded_default(), f"{embedded_default()} + mine"]
    assert list(result["label"].iloc[:2]) == ["sports", "finance"]
    assert list(result["label_status"]) == ["ok", "ok", "skipped"]
    run = sessions.current().last
    assert any("1 by mine" in note or f"1 by {embedded_default()} + mine" in note for note in run.notes)
    assert run.manifest()["committee"]["weights"] == {embedded_default(): 1.0, "mine": weights.LARGE_MODEL}


def test_the_confidence_is_of_the_sum() -> None:
    """The probability of an unsure row is that of both members' weighted log-scores."""
    scores = {"sports": 0.3, "finance": 0.7}
    frame = pd.DataFrame({"text": [UNSURE]})
    alone = label(frame, LABELS, on="text", model=embedded_default(), scores=True, progress=False)
    own = {name: alone[f"label_score_{name}"].iloc[0] for name in LABELS}
    together = label(
        frame,
        LABELS,
        on="text",
        model=Scorer(**scores).backend("mine"),
        prior=embedded_default(),
        scores=True,
        progress=False,
    )
    expected = by_hand((1.0, own), (weights.LARGE_MODEL, scores))
    found = {name: together[f"label_score_{name}"].iloc[0] for name in LABELS}
    assert found == pytest.approx(expected, abs=1e-6)
    assert together["label_confidence"].iloc[0] == pytest.approx(max(expected.values()), abs=1e-6)


def test_rows_do_not_depend_on_each_other() -> None:
    """Alone, and in another order, each row has the same label and confidence."""
    texts = [SURE, UNSURE, "stocks of banks fell on the markets", "nothing much", "it rained"]
    model = Scorer(sports=0.4, finance=0.6).backend("mine")

    def run(rows: list[str]) -> dict[str, tuple[str, float]]:
        frame = pd.DataFrame({"text": rows})
        made = label(frame, LABELS, on="text", model=model, prior=embedded_default(), progress=False)
        return {
            text: (name, round(float(confidence), 5))
            for text, name, confidence in zip(rows, made["label"], made["label_confidence"], strict=True)
        }

    whole = run(texts)
    assert run(texts[::-1]) == whole
    assert {text: run([text])[text] for text in texts} == whole


@pytest.mark.checklist("R2")
def test_what_the_model_said_alone_is_not_asked_again() -> None:
    """The model's answers are stored under its own keys: with and without a prior they are the same."""
    scorer = Scorer(sports=0.1, finance=0.9)
    model, frame = scorer.backend("mine"), pd.DataFrame({"text": [SURE, UNSURE]})
    label(frame, LABELS, on="text", model=model, progress=False)
    assert len(scorer.seen) == 2
    result = label(frame, LABELS, on="text", model=model, prior=embedded_default(), progress=False)
    assert len(scorer.seen) == 2
    assert result["label"].tolist() == ["sports", "finance"]


def test_a_row_of_which_the_model_fails_has_failed() -> None:
    """An unsure row's error is shown, not covered by the prior; a sure row needs no model."""
    frame = pd.DataFrame({"text": [SURE, BROKEN]})
    model = Scorer(sports=0.1, finance=0.9).backend("mine")
    result = label(frame, LABELS, on="text", model=model, prior=embedded_default(), progress=False)
    assert list(result["label_status"]) == ["ok", "failed"]
    assert result["label"].isna().tolist() == [False, True]
    assert "can't be read" in result["label_error"].iloc[1]


def test_a_member_without_probabilities_is_named() -> None:
    """A model that only names a label is left out of the sum, and a note says so."""
    frame = pd.DataFrame({"text": [UNSURE]})
    result = label(
        frame, LABELS, on="text", model=Scorer().backend("mute"), prior=embedded_default(), progress=False
    )
    assert result["label_by"].iloc[0] == embedded_default()
    assert any("mute gave no probabilities" in note for note in sessions.current().last.notes)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"multi": True}, "--prior and --multi don't go together: each label is a question of its own"),
        ({"explain": True}, "--prior and --explain don't go together: a label with a reason is written"),
        ({"votes": 3}, "--votes"),
        ({"rows_per_request": 5}, "--rows-per-request"),
        ({"prior": ["none", "embedded::tfidf"]}, "takes no names"),
        ({"prior": "anthropic::claude-sonnet-4-5"}, "no label probabilities"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], said: str) -> None:
    """One clear error before anything is asked."""
    scorer = Scorer(sports=0.1, finance=0.9)
    options = {"prior": embedded_default(), **more}
    with pytest.raises(UsageError, match=said):
        label([UNSURE], LABELS, model=scorer.backend("mine"), progress=False, **options)
    assert scorer.seen == []


def test_examples_reach_each_member_in_its_own_form() -> None:
    """They teach the similarity of the prior and stand in the prompt of the model."""
    prompts: list[str] = []

    def answer(messages: Any) -> dict[str, float]:
        prompts.append(str(messages))
        return {"A1": 0.5, "B2": 0.5}

    model = create(BackendSpec("custom", "mine", name="mine", options={"fn": answer}), None)
    examples = [("The package was not delivered", "A1"), ("What a lovely song", "B2")]
    text = "Where is my package, it was not delivered"
    result = label(
        [text, "so so", UNSURE, BROKEN, "the cat slept", "a strange thing"],
        ["A1", "B2"],
        examples=examples,
        model=model,
        prior=embedded_default(),
        progress=False,
    )
    assert result["label"].iloc[0] == "A1"
    assert prompts
    assert all("What a lovely song" in prompt for prompt in prompts)


@pytest.mark.checklist("Q3")
def test_a_registered_committee_labels(tmp_path: Path) -> None:
    """Added by its members' names, it labels, says who decided, and refuses text; it stays registered."""
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd\nnotes = pd.DataFrame({'body': ['the cat slept']})")
        k.run("def odd(prompt):\n    return {'sports': 0.05, 'finance': 0.95}")
        k.run("%llm_config add odd --call odd")
        k.run(f"%llm_config add best --committee {embedded_default()},odd")
        out = k.run("%llm label notes.body --labels sports,finance -m best -o out")
        assert f"label_by: 1 by {embedded_default()} + odd" in out.text
        assert k.run("print(out['label'][0], out['label_by'][0])").stdout.split()[0] == "finance"
        assert "can't write text" in k.run("%%llm generate notes -m best\nSay {body}", check=False).text
        assert "two members" in k.run("%llm_config add bad --committee odd", check=False).text
        assert "best" in k.run("%llm_config models").text


@pytest.mark.checklist("Q3")
@pytest.mark.checklist("K3")
def test_a_prior_that_is_paid_is_estimated_and_confirmed(tmp_path: Path) -> None:
    """A free model with a priced prior: its calls and dollars stand in the estimate, and --yes is asked for."""

    def chances(request: Mapping[str, Any]) -> Mapping[str, float]:
        sure = "match" in request["messages"][-1]["content"]
        return {"sports": 0.9, "finance": 0.1} if sure else {"sports": 0.4, "finance": 0.6}

    def answer(request: Mapping[str, Any]) -> str:
        return f'{{"label": "{max(chances(request).items(), key=lambda each: each[1])[0]}"}}'

    def dollars(text: str) -> float:
        return float(text.split("$")[1].split(" ", maxsplit=1)[0].rsplit("-", maxsplit=1)[-1].rstrip("),"))

    with Server(answer, chances=chances) as server, kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd")
        k.run("notes = pd.DataFrame({'t': ['the match', 'rain', 'snow', 'rain', None]})")
        k.run("def odd(prompt):\n    return {'sports': 0.05, 'finance': 0.95}")
        k.run("%llm_config add odd --call odd --price 0/0")
        k.run(f"%llm_config add dear --openai {server.url} --id big --price 1000/2000")
        k.run("%llm_config set confirm_above=0.01")
        ask = "%llm label notes.t --labels sports,finance -m odd --prior dear -o out -q"
        estimate = k.run(f"{ask} -n")
        assert estimate.value is not None
        said, shown = estimate.value["text/plain"], estimate.value["text/html"]
        assert "5 rows (1 duplicate, 0 stored, 1 empty) -> 6 calls" in said
        assert "At most 3 calls of dear ($" in said
        assert "3 calls of odd (free)" in said
        assert "At most 3 calls of dear" in shown
        assert dollars(said) > 0.1
        alone = k.run("%llm label notes.t --labels sports,finance -m odd -q -n")
        assert alone.value is not None
        assert "3 calls" in alone.value["text/plain"]
        assert "free" in alone.value["text/plain"]
        refused = k.run(ask, check=False)
        assert "confirm_above" in refused.text
        assert server.count == 0
        k.run(f"{ask} --yes")
        assert server.count == 3
        spent = float(k.run("print(llm.last.usage.cost)").stdout)
        assert 0 < spent <= dollars(said)
        again = k.run(f"{ask} -n")
        assert again.value is not None
        assert "of dear" not in again.value["text/plain"]
        assert "free" in again.value["text/plain"]
        k.run(ask)
        assert server.count == 3


@pytest.mark.checklist("Q3")
def test_a_committee_is_estimated_member_by_member(tmp_path: Path) -> None:
    """Each member's calls at its own price; a member that reads no prompts takes time alone."""
    with Server() as server, kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd\nnotes = pd.DataFrame({'t': ['rain', 'snow']})")
        k.run(f"%llm_config add dear --openai {server.url} --id big --price 1000/2000")
        k.run(f"%llm_config add other --openai {server.url} --id unknown")
        k.run("%llm_config add best --committee embedded::tfidf,dear,other")
        made = k.run("%llm label notes.t --labels sports,finance -m best -n").value
        assert made is not None
        assert "2 rows (0 duplicates, 0 stored) -> 4 calls" in made["text/plain"]
        assert "and what has no known price" in made["text/plain"].splitlines()[0]
        assert "2 calls of dear ($" in made["text/plain"]
        assert "2 calls of other (price unknown)" in made["text/plain"]
        k.run("%llm_config set confirm_above=0.01")
        refused = k.run("%llm label notes.t --labels sports,finance -m best", check=False)
        assert "confirm_above" in refused.text
        assert server.count == 0


def test_the_backend_decides_without_a_run_too() -> None:
    """A cascade or a partition asks the committee itself: the same gate, the same sum."""
    scorer = Scorer(sports=0.1, finance=0.9)
    spec = BackendSpec("committee", "x", options={"members": (scorer.backend("mine"), embedded_default())})
    committee = create(spec, None)
    assert isinstance(committee, CommitteeBackend)
    form = OneOf(tuple(Choice(*pair) for pair in LABELS.items()), scores=True)

    def ask(text: str, kind: Any = form) -> Request:
        return Request("committee", "x", (Message("user", text),), kind, subject=text)

    many = OneOf(form.choices, many=True)
    found = asyncio.run(
        committee.complete_many([ask(SURE), ask(UNSURE), ask("x", TEXT), ask("x", many), ask(BROKEN)])
    )
    sure, unsure, text, several, partly = found
    assert (sure.parsed, sure.model) == ("sports", embedded_default())
    assert (unsure.parsed, unsure.model) == ("finance", f"{embedded_default()} + mine")
    assert isinstance(text, Unsupported)
    assert isinstance(several, Unsupported)
    assert partly.model == embedded_default()
    assert scorer.seen == [UNSURE, BROKEN]


def test_a_committee_of_one_or_of_committees_is_refused() -> None:
    inner = create(BackendSpec("committee", "x", options={"members": ("embedded::tfidf", "echo::a")}), None)
    for members in (("embedded::tfidf",), ("embedded::tfidf", inner)):
        with pytest.raises(UsageError):
            create(BackendSpec("committee", "y", options={"members": members}), None)


@pytest.mark.checklist("Q3")
def test_the_price_is_that_of_every_member() -> None:
    """An estimate is never low: each row may be shown to all members, the dear input beside the dear output."""

    def of(*prices: Price | None) -> Price | None:
        def member(price: Price | None) -> Backend:
            spec = BackendSpec("custom", "odd", options={"fn": lambda prompt: {"sports": 1.0}}, price=price)
            return create(spec, None)

        return create(
            BackendSpec("committee", "x", options={"members": list(map(member, prices))}), None
        ).price

    together = of(Price(3.0, 1.0), Price(1.0, 10.0), FREE)
    assert together is not None
    assert (together.input, together.output) == (4.0, 11.0)
    assert of(FREE, FREE) == FREE
