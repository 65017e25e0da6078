"""A review as plain data: order, gold, undo, relabelling, kappa, disk."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from llm_magics.api import session as sessions
from llm_magics.api.gold import GoldStore, task_key
from llm_magics.api.reviewing import review
from llm_magics.api.reviews import Review
from llm_magics.api.verbs import label
from llm_magics.backends.registry import create
from llm_magics.errors import NotFound, UsageError
from llm_magics.frames import Frame
from llm_magics.testing import Server
from llm_magics.types import BackendSpec


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    yield
    sessions.end()


def labelled(n: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [f"text {i}" for i in range(n - 1)] + [" "],
            "topic": (["a", "b", None] * n)[:n],
            "topic_confidence": [0.9, 0.2, 0.5, 0.4, 0.1][:n],
            "topic_status": ["ok", "repaired", "failed", "ok", "skipped"][:n],
        },
        index=[7] * n,
    )


def reviewed(**more: Any) -> Review:
    return Review(Frame(labelled()), "text", "topic", ["a", "b"], **more)


@pytest.mark.checklist("X4", "W7")
def test_the_least_certain_come_first_and_can_be_filtered() -> None:
    """Rows without a label before all others; blank texts never."""
    made = reviewed()
    assert made.rows() == [2, 1, 3, 0]
    assert made.rows(state="no label") == made.rows(state="failed") == [2]
    assert made.rows(label="a") == [3, 0]
    assert made.rows(search="TEXT 1") == [1]
    made.accept(3)
    assert made.rows(state="to review") == [2, 1, 0]
    assert made.rows(state="reviewed") == [3]


@pytest.mark.checklist("X4", "W7")
def test_a_persons_word_is_gold_and_written_back() -> None:
    """In a new frame, index and dtype kept; the user's own is not touched; undo takes it back."""
    frame = labelled()
    made = Review(Frame(frame), "text", "topic", ["a", "b"])
    made.correct(2, "a")
    made.accept([0, 1])
    made.accept(2)
    assert made.df["topic"].tolist()[:4] == ["a", "b", "a", "a"]
    assert made.df["topic_gold"].tolist()[:3] == ["a", "b", "a"] and pd.isna(made.df["topic_gold"].iloc[3])
    assert made.df["topic"].cat.categories.tolist() == ["a", "b"] and made.df.index.tolist() == [7] * 5
    pd.testing.assert_frame_equal(frame, labelled())
    assert (made.progress.reviewed, made.progress.corrected, made.progress.accuracy) == (3, 1, 2 / 3)
    assert made.to_code() == "review.correct(2, 'a')\nreview.accept([0, 1])\nreview.accept([2])"
    assert made.undo() == (2,) and made.undo() == (0, 1)
    assert made.gold == {2: "a"}
    with pytest.raises(NotFound, match="no label 'c'"):
        made.correct(0, "c")
    with pytest.raises(UsageError, match="no row 99"):
        made.correct(99, "a")


def test_polars_frames_come_back_as_they_were() -> None:
    """With the gold column beside."""
    made = Review(Frame(pl.from_pandas(labelled().reset_index(drop=True))), "text", "topic", ["a", "b"])
    made.correct(0, "b")
    assert isinstance(made.df, pl.DataFrame)
    assert made.df["topic_gold"].to_list() == ["b", None, None, None, None]


@pytest.mark.checklist("X4")
def test_gold_outlives_the_session_and_holds_no_text(tmp_path: Path) -> None:
    """By text, for this column and these labels; the file is the owner's alone."""
    store = GoldStore(tmp_path / "deep" / "gold.sqlite3")
    first = reviewed(store=store)
    first.correct(1, "a")
    first.accept(0)
    first.undo()
    assert reviewed(store=store).gold == {1: "a"}
    assert Review(Frame(labelled()), "text", "topic", ["a", "b", "c"], store=store).gold == {}
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert b"text 1" not in store.path.read_bytes()
    assert store.get(task_key("topic", ["b", "a"]), ["text 1", "text 0"]) == {"text 1": "a"}


@pytest.mark.checklist("X4")
def test_relabelling_asks_only_about_what_may_change_and_never_overwrites_gold() -> None:
    """The corrections are examples; rows that are sure enough stay; undo brings labels back."""

    def answer(request: dict[str, Any]) -> str:
        asked = request["messages"][-1]["content"]
        taught = any(m["role"] == "assistant" and "sport" in m["content"] for m in request["messages"])
        return '{"label": "sport"}' if taught and "match" in asked else '{"label": "money"}'

    def chances(request: dict[str, Any]) -> dict[str, float]:
        sure = 0.99 if "bank" in request["messages"][-1]["content"] else 0.6
        said = "sport" if "sport" in answer(request) else "money"
        return {said: sure, "money" if said == "sport" else "sport": 1 - sure}

    texts = ["the match", "a match", "this match", "the bank", "a bank"]
    with Server(answer=answer, chances=chances) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        frame = pd.DataFrame({"text": texts})
        done = label(frame, ["sport", "money"], scores=True, model=model, progress=False)
        assert set(done["label"]) == {"money"} and done["label_confidence"].iloc[3] > 0.9
        under = review()
        under.correct(0, "sport")
        under.accept(1)  # a person's mistake stays a person's word
        server.forget()
        assert under.may_change() == [2, 3, 4]
        assert under.may_change(below=0.9) == [2]
        assert under.relabel(below=0.9) == 1
        assert server.count == 1
        assert "the match" in server.requests[0].body.decode()
    assert under.df["label"].tolist() == ["sport", "money", "sport", "money", "money"]
    under.undo()
    assert under.df["label"].tolist() == ["sport", "money", "money", "money", "money"]


def test_relabelling_needs_gold_and_a_run() -> None:
    """Said, not guessed."""
    with pytest.raises(UsageError, match="no run of this session"):
        review(labelled(), "topic", on="text").relabel()
    with pytest.raises(UsageError, match="no labels to review"):
        review()
    label(["a team", "a bank"], ["sport", "money"], progress=False)
    with pytest.raises(UsageError, match="nothing is reviewed"):
        review().relabel()


def test_two_annotators() -> None:
    """Cohen's kappa over the rows that both labelled."""
    frame = labelled().assign(other=["a", "b", None, "b", None])
    made = review(frame, "topic", on="text", second="other")
    assert made.kappa == pytest.approx(0.4)
    made.correct(3, "b")
    assert made.kappa == pytest.approx(1.0)
    assert "kappa" in str(made.progress)


def test_what_is_reviewed_is_found_or_asked_for() -> None:
    """The status column tells the labels', the only other text is the text's; lists can't be reviewed."""
    made = review(labelled())
    assert (made.label, made.text) == ("topic", "text")
    with pytest.raises(UsageError, match="holds the text"):
        review(labelled().assign(title="x"))
    with pytest.raises(UsageError, match="several labels"):
        review(pd.DataFrame({"text": ["x"], "topic": [["a"]]}), "topic", on="text")


@pytest.mark.checklist("W7")
def test_the_grid_calls_the_same_methods_and_its_page_is_bounded() -> None:
    """5,000 long texts: ten rows are sent, cut; a filter, a page and keys move through them."""
    from llm_magics.widgets.review import ReviewGrid, summary

    n = 5_000
    frame = pd.DataFrame({"text": ["<b>" + "x" * 3_000] * n, "topic": ["a", "b"] * (n // 2)})
    made = Review(Frame(frame), "text", "topic", ["a", "b"])
    grid = ReviewGrid(made)
    sent = sum(len(str(one.get_state())) for row in grid.lines for one in row.box.children)
    assert sent < 60_000
    assert "<b>" not in summary(made) and len(summary(made)) < 10_000
    grid.press("2")
    grid.press("Enter")
    assert made.gold == {0: "b", 1: "b"}
    grid.press("ArrowRight")
    assert grid.page == 1 and grid.shown[0] == 10
    grid.press("u")
    assert grid.page == 0 and grid.at == 1 and made.gold == {0: "b"}
    grid.buttons["accept"].click()
    assert len(made.gold) == 10
    grid.label.value = "b"
    assert all(made.current(row) == "b" for row in grid.shown) and grid.page == 0
    grid.lines[0].label.value = "a"
    assert made.gold[grid.order[0]] == "a"
    grid.buttons["relabel"].click()
    assert "no run of this session" in grid.status.value
