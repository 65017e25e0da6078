"""Label probabilities from tokens: exact where they can be known, silent where not."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_magics.backends.openai.log_probabilities import SMALL, label_scores
from llm_magics.testing.answers import label_logprobs

NAMES = st.lists(st.text('abcé 日"\\', min_size=1, max_size=9), min_size=2, max_size=6, unique=True)


def entries(label: str, chances: dict[str, float], top: int = 20, size: int = 4) -> list:
    return label_logprobs(json.dumps({"label": label}, ensure_ascii=False), label, chances, top, size)


def test_first_token_decides() -> None:
    """Labels that part at their first token: the host's own distribution."""
    chances = {"billing": 0.6, "outage": 0.3, "how-to": 0.1}
    assert label_scores(entries("billing", chances), list(chances)) == pytest.approx(chances)


def test_prefix_of_another() -> None:
    """``bill`` and ``billing`` part at the closing quote."""
    chances = {"bill": 0.5, "billing": 0.4, "x": 0.1}
    assert label_scores(entries("bill", chances), list(chances)) == pytest.approx(chances)
    assert label_scores(entries("billing", chances), list(chances)) == pytest.approx(chances)


def test_branch_not_taken_is_unknown() -> None:
    """Two labels on one branch that the answer did not take: left out, but their mass counts."""
    chances = {"outage": 0.6, "card_arrival": 0.3, "card_linking": 0.1}
    found = label_scores(entries("outage", chances, size=5), list(chances))
    assert found == pytest.approx({"outage": 0.6})


def test_branch_taken_is_walked() -> None:
    """On the branch that was taken the labels are told apart."""
    chances = {"outage": 0.6, "card_arrival": 0.3, "card_linking": 0.1}
    found = label_scores(entries("card_arrival", chances, size=5), list(chances))
    assert found == pytest.approx(chances)


def test_other_spellings_are_dropped() -> None:
    """What no label can go on from is not a label: the rest is normalised."""
    chances = {"billing": 0.3, "outage": 0.1, "Billing": 0.6}
    found = label_scores(entries("billing", chances), ["billing", "outage"])
    assert found == pytest.approx({"billing": 0.75, "outage": 0.25})


def test_unseen_labels() -> None:
    """A label beyond the alternatives is 0 where nothing is left for it, and unknown otherwise."""
    sure = {"a": 0.999, "b": 0.0005, "c": 0.0005}
    assert label_scores(entries("a", sure, top=1), list(sure)) == {"a": 1.0, "b": 0.0, "c": 0.0}
    unsure = {"a": 0.5, "b": 0.3, "c": 0.2}
    assert label_scores(entries("a", unsure, top=2), list(unsure)) == pytest.approx({"a": 0.625, "b": 0.375})


def test_bare_answer() -> None:
    """A label without JSON around it has its probabilities too."""
    tokens = [
        {
            "token": "out",
            "logprob": math.log(0.7),
            "top_logprobs": [{"token": "bill", "logprob": math.log(0.3)}],
        },
        {"token": "age", "logprob": 0.0, "top_logprobs": []},
    ]
    assert label_scores(tokens, ["outage", "billing"]) == pytest.approx({"outage": 0.7, "billing": 0.3})


def test_split_characters() -> None:
    """Tokens that are parts of one character are put together by their bytes."""
    whole = '{"label":"日本"}'.encode()
    tokens = [{"token": "�", "bytes": list(whole[n : n + 1]), "logprob": 0.0} for n in range(len(whole))]
    assert label_scores(tokens, ["日本", "中国"]) == pytest.approx({"日本": 1.0, "中国": 0.0})


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [{}],
        [{"token": '{"label":"', "logprob": None}],
        [{"token": "something else", "logprob": -1.0}],
        [{"token": '{"label":"a"}', "logprob": float("nan")}],
    ],
)
def test_nothing_to_tell(tokens: list) -> None:
    """Without usable tokens there are no scores."""
    assert label_scores(tokens, ["a", "b"]) is None


@given(NAMES, st.data())
def test_a_model_without_shared_branches(names: list[str], data: st.DataObject) -> None:
    """Against a model whose true distribution is known: what is given is right, what is not is unknown."""
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(names), max_size=len(names)))
    chances = {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}
    label = data.draw(st.sampled_from(names))
    size = data.draw(st.integers(1, 5))
    found = label_scores(entries(label, chances, size=size), names)
    assert found is not None
    assert label in found
    for name, score in found.items():
        unseen = score == 0 and chances[name] <= SMALL + 1e-6
        assert unseen or score == pytest.approx(chances[name], abs=1e-6)
    known = sum(found.values())
    assert known <= 1 + 1e-6
    if len(found) == len(names):
        assert known == pytest.approx(1, abs=SMALL + 1e-6)


@given(NAMES, st.integers(1, 4), st.data())
def test_few_alternatives_never_mislead(names: list[str], top: int, data: st.DataObject) -> None:
    """With a few alternatives the given scores keep their proportions."""
    label = data.draw(st.sampled_from(names))
    chances = {name: 1 / len(names) for name in names}
    found = label_scores(entries(label, chances, top=top, size=20), names)
    assume(found is not None)
    assert found is not None
    positive = [score for score in found.values() if score > 0]
    assert max(positive) == pytest.approx(min(positive))
