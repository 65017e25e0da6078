"""--agree over a real server: who labels which row, what is promised, what is said."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from llm_magics.backends.registry import create
from llm_magics.core.errors import BudgetExceeded, UsageError
from llm_magics.core.types import BackendSpec, Price
from llm_magics.runs import session as sessions
from llm_magics.settings.config import embedded_default
from llm_magics.tasks.label.cascade.strategy import first_rows, random_numbers
from llm_magics.tasks.label.plan import label
from llm_magics.testing import Server

WORDS = {
    "sport": [
        "match",
        "goal",
        "team",
        "striker",
        "league",
        "referee",
        "stadium",
        "coach",
        "penalty",
        "tournament",
    ],
    "money": [
        "bank",
        "stock",
        "dividend",
        "inflation",
        "loan",
        "market",
        "profit",
        "shares",
        "budget",
        "invoice",
    ],
    "food": ["soup", "bread", "recipe", "garlic", "oven", "dessert", "butter", "pasta", "kitchen", "lemon"],
}


def texts(n: int, mixed: float, seed: int = 0) -> list[str]:
    """Six words a text, a share of them of another topic."""
    chance = random.Random(seed)
    names = list(WORDS)
    made = []
    for i in range(n):
        topic = chance.choice(names)
        words = [
            chance.choice(WORDS[chance.choice(names) if chance.random() < mixed else topic]) for _ in range(6)
        ]
        made.append(f"{' '.join(words)} {i}")
    return made


def answer(request: dict[str, Any]) -> str:
    """The topic that most of the words are of: a model that is never unsure."""
    words = request["messages"][-1]["content"].split()
    counts = {name: sum(word in topic for word in words) for name, topic in WORDS.items()}
    return f'{{"label": "{max(counts, key=counts.__getitem__)}"}}'


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer=answer) as made:
        yield made


def model(server: Server) -> Any:
    return create(BackendSpec("custom_url", "test-model", base_url=server.url), None)


@pytest.mark.checklist("X3")
def test_the_cheap_labeller_takes_what_it_is_sure_of(server: Server) -> None:
    """Each row says who labelled it; the model was asked for the others alone; the sentence says the rest."""
    said = texts(3_000, 0.15)
    frame = pd.DataFrame({"text": [*said, None]}, index=range(10_000, 13_001))
    result = label(frame, list(WORDS), on="text", agree=0.9, model=model(server), progress=False)
    by = result["label_by"].value_counts()
    cheap = int(by[f"{embedded_default()} + regression"])
    assert cheap > 1_000
    assert server.count == 3_000 - cheap
    true = [answer({"messages": [{"content": text}]})[11:-2] for text in said]
    assert (result["label"].iloc[:-1] == true).mean() >= 0.9
    assert result["label_status"].iloc[-1] == "skipped"
    taken = (result["label_by"] == f"{embedded_default()} + regression").iloc[:-1].to_numpy()
    agreed = (result["label"].iloc[:-1].to_numpy() == true)[taken].mean()
    assert result["label_confidence"].iloc[:-1][taken].mean() == pytest.approx(agreed, abs=0.05)
    run = sessions.current().last
    assert f"{cheap:,} calls saved" in run.report()
    assert "at least 90% of all labels are the model's own, with 90% confidence" in run.report()
    assert run.manifest()["agree"]["calls_saved"] == cheap

    again = label(frame, list(WORDS), on="text", agree=0.9, model=model(server), progress=False)
    assert server.count == 3_000 - cheap, "the same sample is drawn again, and it is in the store"
    pd.testing.assert_frame_equal(again, result)


@pytest.mark.checklist("X3")
def test_rows_in_another_order_cost_nothing(server: Server) -> None:
    """What is drawn follows from the rows' texts and the seed, not from their places, twins included."""
    said = [*texts(2_000, 0.15), *texts(200, 0.15)]
    first = label(said, list(WORDS), agree=0.9, model=model(server), progress=False)
    asked = server.count
    assert asked < 1_500
    order = np.random.default_rng(3).permutation(len(said))
    again = label([said[i] for i in order], list(WORDS), agree=0.9, model=model(server), progress=False)
    assert server.count == asked
    assert again["label"].tolist() == first["label"].iloc[order].tolist()
    numbers = random_numbers([*said, said[0]], 0)
    assert (numbers[1:-1] == random_numbers(said, 0)[1:]).all(), "one more row changes no other's"
    assert (numbers != random_numbers([*said, said[0]], 1)).all()
    assert len(set(numbers.ravel().tolist())) == numbers.size, "twins have numbers of their own"


def of_two_minds(request: dict[str, Any]) -> str:
    """The topic, but for food: there the words don't tell what the model will say."""
    said = answer(request)
    if '"food"' not in said:
        return said
    known = {word for topic in WORDS.values() for word in topic}
    words = [word for word in request["messages"][-1]["content"].split() if word in known]
    drawn = crc32(" ".join(words).encode()) % len(WORDS)
    return f'{{"label": "{list(WORDS)[drawn]}"}}'


@pytest.mark.checklist("X3")
def test_rows_that_the_cheap_labeller_is_not_sure_of_stay_the_models(server: Server) -> None:
    """It takes the surest part and no more, else the promise would be broken: it can't tell a third."""
    server.host.answer = of_two_minds
    said = texts(2_000, 0.15)
    asked = {"model": model(server), "random_state": 1, "progress": False}
    result = label(said, list(WORDS), agree=0.9, **asked)
    true = [of_two_minds({"messages": [{"content": text}]})[11:-2] for text in said]
    cheap = (result["label_by"] != "custom_url::test-model").to_numpy()
    food = np.array([answer({"messages": [{"content": text}]})[11:-2] == "food" for text in said])
    assert (result["label"].to_numpy() == true).mean() >= 0.9
    assert 0.3 < cheap.mean() < 0.8
    assert cheap[food].mean() < 0.5 * cheap[~food].mean()


@pytest.mark.checklist("X3")
def test_rows_that_the_labeller_is_least_sure_of_teach_it_too(server: Server) -> None:
    """After the random rows the model is asked about rows of the topic that the words don't tell."""
    server.host.answer = of_two_minds
    label(texts(2_000, 0.15), list(WORDS), agree=0.9, model=model(server), progress=False)
    food = ['"food"' in answer(body) for body in server.bodies]
    first = first_rows(2_000)
    assert 0.2 < np.mean(food[:first]) < 0.5
    assert np.mean(food[first : first + 100]) > 1.5 * np.mean(food[:first])


@pytest.mark.checklist("X3", "K4")
def test_a_budget_holds_over_all_steps_of_a_cascade(server: Server) -> None:
    """What the first step spent is gone for the next one; what was answered is kept."""
    priced = create(BackendSpec("custom_url", "test-model", base_url=server.url, price=Price(10, 10)), None)
    for limit in (0.10, 0.16):
        with contextlib.suppress(BudgetExceeded):
            label(texts(1_000, 0.15), list(WORDS), agree=0.9, model=priced, progress=False, max_cost=limit)
        run = sessions.current().last
        assert 0 < run.usage.cost <= limit
        assert run.counts["ok"] > 50
        sessions.current().store.clear()


@pytest.mark.checklist("X3")
def test_where_it_would_not_pay_the_model_labels_all_and_says_why(server: Server) -> None:
    """Labels that words don't tell; and frames that are too small."""
    server.host.answer = lambda request: (
        f'{{"label": "{crc32(request["messages"][-1]["content"].encode()) % 2}"}}'
    )
    frame = pd.DataFrame({"text": texts(800, 0.9)})
    result = label(frame, ["0", "1"], on="text", agree=0.99, model=model(server), progress=False)
    assert result["label_by"].nunique() == 1
    assert server.count == 800
    report = sessions.current().last.report()
    assert "the model labelled every row" in report and "too few calls" in report
    small = label(frame.head(50), ["0", "1"], on="text", agree=0.95, model=model(server), progress=False)
    assert small["label"].notna().all()
    assert "too few for a promise" in sessions.current().last.report()


@pytest.mark.parametrize(("agree", "sure"), [(0, 0.9), (1, 0.9), (95, 0.9), (0.9, 1.0)])
def test_a_promise_is_a_share(agree: float, sure: float) -> None:
    """Checked before anything is sent."""
    with pytest.raises(UsageError):
        label(["a", "b"], ["x", "y"], agree=agree, sure=sure)


def test_promises_and_other_depths_dont_mix() -> None:
    """With a sentence that says which."""
    for more in ({"multi": True}, {"votes": 3}, {"calibrate": True}):
        with pytest.raises(UsageError, match="--agree"):
            label(["a", "b"], ["x", "y"], agree=0.9, **more)


def counted(request: dict[str, Any]) -> dict[str, int]:
    """How many words of each topic the row has."""
    words = request["messages"][-1]["content"].split()
    return {name: sum(word in topic for word in words) for name, topic in WORDS.items()}


def small(request: dict[str, Any]) -> dict[str, float]:
    """What a smaller model makes of it: the same topic, less sure the more the text is mixed."""
    counts = counted(request)
    weights = {name: 8.0**count for name, count in counts.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


@pytest.fixture
def cheaper() -> Iterator[Server]:
    def likeliest(request: dict[str, Any]) -> str:
        chances = small(request)
        return f'{{"label": "{max(chances, key=chances.__getitem__)}"}}'

    with Server(likeliest, chances=small, models=("small",)) as made:
        yield made


@pytest.mark.checklist("X3")
def test_a_small_model_stands_in_by_its_own_probabilities(server: Server, cheaper: Server) -> None:
    """--with a model that writes: its label, its chance of it as confidence, under its own name."""
    frame = pd.DataFrame({"text": texts(2_000, 0.25)})
    little = create(BackendSpec("custom_url", "small", base_url=cheaper.url, name="little"), None)
    given = {"agree": 0.9, "cheap": little, "model": model(server), "progress": False}
    done = label(frame, list(WORDS), on="text", **given)
    by = done["label_by"].value_counts()
    assert set(by.index) == {"little", "custom_url::test-model"}
    assert by["little"] > 1_000 and server.count == 2_000 - by["little"]
    assert cheaper.count == 2_000, "each row once"
    true = [answer({"messages": [{"content": text}]})[11:-2] for text in frame["text"]]
    assert (done["label"] == true).mean() >= 0.9
    report = sessions.current().last.report()
    assert f"{by['little']:,} calls saved" in report and "for 2,000 to little" in report
    taken = done["label_by"] == "little"
    assert done["label_confidence"][taken].between(0, 1).all()

    label(frame, list(WORDS), on="text", **given)
    assert (server.count, cheaper.count) == (2_000 - by["little"], 2_000), "all of it is in the store"


@pytest.mark.checklist("X3")
def test_a_small_model_that_cant_say_how_sure_it_is_is_left_out(server: Server) -> None:
    """Or one that knows nothing: found out on the rows it was shown, not on all of them."""
    frame = pd.DataFrame({"text": texts(800, 0.2)})
    with Server(answer, models=("mute",), lacks={"logprobs", "top_logprobs"}) as mute:
        little = create(BackendSpec("custom_url", "mute", base_url=mute.url), None)
        label(frame, list(WORDS), on="text", agree=0.9, cheap=little, model=model(server), progress=False)
        assert mute.count < 300 and server.count == 800
    assert "gives no probabilities" in sessions.current().last.report()
    flat = dict.fromkeys(WORDS, 1 / 3)
    with Server(lambda _: '{"label": "food"}', chances=lambda _: flat, models=("dull",)) as dull:
        little = create(BackendSpec("custom_url", "dull", base_url=dull.url), None)
        label(frame, list(WORDS), on="text", agree=0.95, cheap=little, model=model(server), progress=False)
        assert dull.count == first_rows(800)
    assert "too few calls" in sessions.current().last.report()


def test_the_model_itself_is_no_cheap_labeller(server: Server) -> None:
    """One clear error."""
    big = model(server)
    with pytest.raises(UsageError, match="the model itself"):
        label(["a", "b"], ["x", "y"], agree=0.9, cheap=big, model=big)


@pytest.mark.checklist("X3")
def test_vectors_come_from_the_embedded_default_where_a_chat_model_is_the_default(server: Server) -> None:
    """A chat host has no embeddings under the chat model's name; ``concepts`` asks the same model."""
    from llm_magics.settings.config import embedded_default

    session = sessions.current()
    session.registry.add(BackendSpec("custom_url", "test-model", name="mine", base_url=server.url))
    session.config.set("model", "mine")
    try:
        frame = pd.DataFrame({"text": texts(800, 0.1)})
        result = label(frame, list(WORDS), on="text", agree=0.9, progress=False)
    finally:
        session.config.unset("model")
    assert set(result["label_by"]) == {"mine", f"{embedded_default()} + regression"}
    assert server.count < 800
