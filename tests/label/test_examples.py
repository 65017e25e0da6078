"""Which labelled rows are shown, to whom, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from llm_magics.core.errors import UsageError
from llm_magics.options.option import build
from llm_magics.runs import session as sessions
from llm_magics.tasks.label.examples import EXACT_TO, FOLDS, Gold, Nearest, fixed, folds, gold, shots
from llm_magics.tasks.label.plan import label
from llm_magics.testing import FakeBackend


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.checklist("T4")
def test_a_class_with_one_example_has_its_share() -> None:
    """S13: uneven classes; each label in turn, the same by the same seed."""
    some = gold([f"t{i}" for i in range(20)], ["a"] * 18 + ["b", "b"], ["a", "b"])
    some = Gold((*some.texts, "rare"), (*some.labels, "c"))
    for k in (3, 6, 9):
        chosen = [some.labels[i] for i in fixed(some, k, seed=1)]
        assert len(chosen) == k and {"a", "b", "c"} <= set(chosen)
    assert fixed(some, 6, 1) == fixed(some, 6, 1) != fixed(some, 6, 2)
    assert len(fixed(some)) == 5, "two a label, where there are two"
    assert len(fixed(some, 500)) == 21


def test_only_listed_labels_and_whole_rows_serve() -> None:
    """Nulls, blank texts, other labels and repeated texts are left out; none left is an error."""
    some = gold(["x", "x", None, "y", " ", "z"], ["a", "b", "a", "other", "a", None], ["a", "b"])
    assert some == Gold(("x",), ("a",))
    many = gold(["x", "y"], ["a|b", ["b"]], ["a", "b"], many=True)
    assert many.labels == (("a", "b"), ("b",))
    with pytest.raises(UsageError, match="no labelled example") as raised:
        gold(["x"], ["strange"], ["a"])
    assert "strange" in raised.value.hint


@pytest.mark.checklist("T4")
def test_the_nearest_are_shown_least_similar_first_and_never_the_row_itself() -> None:
    """A copy of the row would give its label away."""
    some = Gold(("one", "two", "three", "four"), ("a", "b", "a", "b"))
    vectors = unit(np.array([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]))
    near = Nearest(vectors).query(vectors[:1], 3)[0].tolist()
    assert near == [0, 1, 2]
    assert shots(some, near, "one", 2) == (2, 1)
    assert shots(some, near, "new", 2) == (1, 0)
    assert Nearest(vectors[:1]).query(vectors, 3)[0].tolist() == [0, -1, -1]


def test_cells_find_what_a_full_search_finds() -> None:
    """Beyond a few thousand rows the index looks into cells: nearly all of the true nearest."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(40, 32))
    some = unit(
        centres[chance.integers(0, 40, EXACT_TO + 2_000)] + 0.7 * chance.normal(size=(EXACT_TO + 2_000, 32))
    )
    queries = some[:300] + 0.01
    found = Nearest(some).query(queries, 5)
    true = np.argsort(-(queries @ some.T), axis=1)[:, :5]
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, true, strict=True)]) > 0.9
    assert (found[:, 0] == true[:, 0]).mean() > 0.95


GOLD = pd.DataFrame(
    {
        "text": [f"{word} {i}" for i in range(6) for word in ("striker", "bank")],
        "label": ["sport", "money"] * 6,
    }
)


def shown(messages: Any) -> str:
    return " ".join(message.content for message in messages[:-1])


@pytest.mark.checklist("T4")
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_row_of_the_examples_frame_never_sees_its_own_copy(dynamic: bool) -> None:
    """Every row is a gold row here: each prompt has examples, none of them the row."""
    backend = FakeBackend(default="sport")
    given = {"examples": (GOLD, "text", "label"), "dynamic": dynamic, "k": 12}
    label(GOLD["text"].tolist(), ["sport", "money"], model=backend, progress=False, **given)
    assert len(backend.history) == len(GOLD)
    for request in backend.history:
        assert request.subject not in shown(request.messages).splitlines()
        assert sum(message.role == "assistant" for message in request.messages) == 11
    prompts = list(sessions.current().last.prompts())
    assert [p[-1]["content"] for p in prompts] == [f"Text:\n{text}" for text in GOLD["text"]]


@pytest.mark.checklist("T4")
def test_the_embedded_default_labels_a_gold_row_by_what_the_others_teach() -> None:
    """A row that is an example learns from the other folds alone; any other row from all of them."""
    given = {"examples": (GOLD, "text", "label")}
    plan = label.plan(
        sessions.current(), build(label.options, ([*GOLD["text"], "new"], ["sport", "money"]), given)
    )
    for item in plan.work_items():
        (request,) = plan.requests(item)
        told = [text for choice in request.response_format.choices for text in choice.examples]
        assert request.subject not in told
        assert len(told) == (len(GOLD) if request.subject == "new" else 8 + 2 * (len(told) == 10))
    wrong = GOLD.assign(label=["money", *GOLD["label"][1:]])
    done = label(
        wrong["text"].tolist(), ["sport", "money"], examples=(wrong, "text", "label"), progress=False
    )
    assert done["label"][0] == "sport", "its own wrong label doesn't come back"


def test_each_label_is_spread_over_the_folds() -> None:
    """A rare label keeps examples in all folds but its own."""
    some = Gold(tuple(map(str, range(12))), (*["a"] * 10, "b", "b"))
    assert folds(some) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert max(folds(some)) < FOLDS
