"""A review as plain data: order, gold, undo, relabelling, kappa, disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from llm_magics.backends.registry import create
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec, Price
from llm_magics.data.frames import Frame
from llm_magics.store.gold_labels import GoldLabelStore, task_key
from llm_magics.tasks.label.plan import label
from llm_magics.tasks.label.review.open_review import review
from llm_magics.tasks.label.review.panel import ReviewPanel
from llm_magics.tasks.label.review.review import Review
from llm_magics.tasks.label.review.static import summary
from llm_magics.testing import Server


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
    made.accept(2)  # said already
    assert made.df["topic"].tolist()[:4] == ["a", "b", "a", "a"]
    assert made.df["topic_gold"].tolist()[:3] == ["a", "b", "a"] and pd.isna(made.df["topic_gold"].iloc[3])
    assert made.df["topic"].cat.categories.tolist() == ["a", "b"] and made.df.index.tolist() == [7] * 5
    pd.testing.assert_frame_equal(frame, labelled())
    assert (made.progress.reviewed, made.progress.corrected, made.progress.accuracy) == (3, 1, 2 / 3)
    assert made.to_code() == "review.correct(2, 'a')\nreview.accept([0, 1])"
    assert made.undo() == (0, 1)
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
    store = GoldLabelStore(tmp_path / "deep" / "gold.sqlite3")
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
    assert made.progress.kappa == pytest.approx(0.4)
    made.correct(3, "b")
    assert made.progress.kappa == pytest.approx(1.0)
    assert "kappa" in str(made.progress)
    with pytest.raises(UsageError, match="other holds none of the labels"):
        review(labelled().assign(other="x"), "topic", on="text", second="other")


def test_what_is_reviewed_is_found_or_asked_for() -> None:
    """The status column tells the labels', the only other text is the text's."""
    made = review(labelled())
    assert (made.label, made.text) == ("topic", "text")
    with pytest.raises(UsageError, match="holds the text"):
        review(labelled().assign(title="x"))


def panel_of(made: Review, view: str = "cards") -> tuple[ReviewPanel, list[dict[str, Any]]]:
    """The panel over a review, and what it sends to its page."""
    panel, sent = ReviewPanel(made, view), list[dict[str, Any]]()
    panel.panel.widget.send = lambda content, buffers=None: sent.append(content)
    panel.panel._received(None, {"intent": "ready", "number": 0, "view": "page"}, [])
    return panel, sent


def do(panel: ReviewPanel, intent: str, **values: Any) -> None:
    """What a key or a button of the page asks for."""
    panel.panel.intend(intent, values)


@pytest.mark.checklist("W7", "W13")
def test_the_panel_follows_what_code_decides() -> None:
    """A card changes with accept, correct and undo of the review; displayed twice, it is one panel."""
    made = Review(Frame(labelled()), "text", "topic", ["a", "b"])
    panel, sent = panel_of(made)
    row = panel.order[0]
    for decide, state in ((lambda: made.correct(row, "b"), "corrected"), (made.undo, "no label")):
        decide()
        cards = sent[-1]["parts"]["deck"][1]["cards"]
        assert cards[0]["state"] == state and panel.at == 0
    listening = len(made.listeners)
    made._ipython_display_()
    once = len(made.listeners)
    made._ipython_display_()
    assert len(made.listeners) == once == listening + 2


@pytest.mark.checklist("W7", "W13")
@pytest.mark.parametrize(("view", "most"), [("cards", 40_000), ("grid", 12_000)])
def test_the_panel_calls_the_same_methods_and_what_it_sends_is_bounded(view: str, most: int) -> None:
    """5,000 long texts: some cards or ten rows are sent, cut; a filter, a page and keys move through them."""
    n = 5_000
    frame = pd.DataFrame({"text": ["<b>" + "x" * 9_000] * n, "topic": ["a", "b"] * (n // 2)})
    made = Review(Frame(frame), "text", "topic", ["a", "b"])
    panel, sent = panel_of(made, view)
    assert len(json.dumps(sent)) < most
    assert "<b>x" not in summary(made) and len(summary(made)) < 20_000
    do(panel, "choose", row=0, number=1)
    do(panel, "accept", row=1)
    assert made.gold == {0: "b", 1: "b"} and panel.at == 2
    do(panel, "turn", pages=1)
    assert panel.page == 1 and panel.shown[0] == 10
    do(panel, "undo")
    assert panel.page == 0 and panel.at == 1 and made.gold == {0: "b"}
    do(panel, "page")
    assert len(made.gold) == 10 and panel.at == 10
    do(panel, "filter", label=1)
    assert all(made.current(row) == "b" for row in panel.shown) and panel.at == 0
    do(panel, "choose", row=panel.order[0], number=0)
    assert made.gold[panel.order[0]] == "a"
    do(panel, "filter", label=-1, state="corrected", search="XXX")
    assert panel.order == [row for row in made.rows() if made.state(row) == "corrected"]
    do(panel, "show", view="grid")
    do(panel, "show", view="nowhere")
    assert panel.view == "grid"
    do(panel, "relabel")
    assert "no run of this session" in panel.panel.status


@pytest.mark.checklist("W13")
def test_a_card_says_what_the_model_said_and_why_it_is_shown() -> None:
    """Rank and runner-up, a failed answer, another person's label, the model's own reason."""
    frame = labelled().assign(
        topic_score_a=[0.9, 0.2, None, 0.4, 0.1],
        topic_score_b=[0.1, 0.8, None, 0.6, 0.9],
        topic_error=[None, None, "the answer was empty", None, None],
        topic_explanation=["because", None, None, None, None],
        other=["b", "b", "a", "a", None],
    )
    about = {"a": "what a means"}
    made = Review(Frame(frame), "text", "topic", ["a", "b"], second="other", descriptions=about)
    panel, sent = panel_of(made)
    cards = {card["row"]: card for card in sent[0]["parts"]["deck"][1]["cards"]}
    assert cards[2]["why"] == "no usable answer: the answer was empty"
    assert cards[1]["why"] == ("its answer had to be repaired; least certain of 3 rows, next a 0.20")
    assert cards[0]["why"] == "3rd least certain of 3 rows, next b 0.10; the second column says b"
    assert cards[0]["said"] == "because" and cards[0]["given"] == [0] and cards[0]["sure"] == 0.9
    assert sent[0]["parts"]["setup"][1]["labels"][0]["about"] == "what a means"
    do(panel, "choose", row=1, number=0)
    progress = panel.panel.parts["progress"]()
    assert (progress["reviewed"], progress["corrected"], progress["counts"]) == (1, 1, [1, 0])
    assert panel.panel.parts["undo"]() == "correct(1, 'a')" and "kappa" in progress["agreement"]


def several() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": ["parcel late, costs much", "late", "dear", "fine", "lost and dear", "  "],
            "topics": [["delivery"], ["delivery"], ["price", "quality"], [], None, None],
            "topics_confidence": [0.6, 0.9, 0.5, None, None, None],
            "other": ["price|delivery", "delivery", "price", None, "price", None],
        }
    )


NAMES = ["delivery", "price", "quality"]


@pytest.mark.checklist("X4", "T2")
def test_several_labels_a_row_are_reviewed_as_sets() -> None:
    """In the list's order, one put in or taken out at a time; an empty set is an answer, no answer is none."""
    made = review(several(), "topics", on="text", labels=NAMES)
    assert made.many and made.rows() == [4, 2, 0, 1, 3]
    assert made.rows(state="no label") == [4, 3] and made.rows(label="price") == [2]
    made.toggle(0, "price")
    assert made.gold == {0: ("delivery", "price")}
    made.toggle(0, "price")
    assert made.state(0) == "reviewed", "back at what the model said"
    made.undo()
    made.accept([1, 3, 4])
    made.correct(2, "price")
    assert made.gold == {0: ("delivery", "price"), 1: ("delivery",), 3: (), 2: ("price",)}
    assert made.df["topics"].tolist()[:4] == [["delivery", "price"], ["delivery"], ["price"], []]
    assert made.df["topics_gold"].tolist()[3:5] == [[], None]
    assert made.to_code().splitlines()[-1] == "review.correct(2, ['price'])"
    with pytest.raises(NotFound, match="no label 'prise'"):
        made.toggle(0, "prise")
    with pytest.raises(UsageError, match="one label a row"):
        reviewed().toggle(0, "a")
    with pytest.raises(UsageError, match="one label a row"):
        reviewed().correct(0, ["a", "b"])


@pytest.mark.checklist("X4", "T2")
def test_sets_are_measured_as_sets() -> None:
    """Right is the whole set; the overlap says how nearly; two people's kappa is the mean over the labels."""
    made = review(several(), "topics", on="text", labels=NAMES, second="other")
    assert made.agreement.rows == 3 and made.agreement.same == pytest.approx(1 / 3)
    assert made.agreement.overlap == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    # delivery: 1 1 0 against 1 1 0; price: 0 0 1 against 1 0 1; quality: 0 0 1 against 0 0 0.
    assert made.agreement.by_label == pytest.approx({"delivery": 1.0, "price": 0.4, "quality": 0.0})
    assert made.progress.kappa == pytest.approx(1.4 / 3)
    made.toggle(0, "price")
    made.accept([1, 3])
    progress = made.progress
    assert (progress.accuracy, progress.overlap) == (2 / 3, pytest.approx((1 / 2 + 1 + 1) / 3))
    assert "all labels right in 67%" in str(progress) and "83% of a row's labels right" in str(progress)


@pytest.mark.checklist("X4", "T2")
def test_sets_are_kept_on_disk_and_come_back_in_polars_and_wide(tmp_path: Path) -> None:
    """The same labels with one a row are another task; a frame's own gold column counts too."""
    store = GoldLabelStore(tmp_path / "gold.sqlite3")
    frame = Frame(pl.from_pandas(several()))
    first = Review(frame, "text", "topics", NAMES, many=True, store=store)
    first.correct(4, ["price", "delivery"])
    first.correct(3, [])
    again = Review(Frame(first.df), "text", "topics", NAMES, many=True, store=store)
    assert again.gold == {4: ("delivery", "price"), 3: ()}
    assert again.df["topics_gold"].to_list()[3:5] == [[], ["delivery", "price"]]
    assert Review(Frame(several()), "text", "other", NAMES, store=store).gold == {}
    columns = {
        f"is_{name}": [name in cell if cell else None for cell in several()["topics"]] for name in NAMES
    }
    wide = Review(
        Frame(several()[["text"]].assign(**columns)), "text", "is_", NAMES, many=True, wide=True, store=store
    )
    wide.toggle(2, "quality")
    assert wide.df["is_quality"].tolist() == [False, False, False, pd.NA, pd.NA, pd.NA]
    assert wide.df["is_gold"].tolist()[2] == ["price"]


@pytest.mark.checklist("X4", "T2")
@pytest.mark.parametrize("wide", [False, True])
def test_relabelling_sets_asks_about_rows_that_lack_what_was_missed(wide: bool) -> None:
    """The person's sets are examples; what the new answer can't tell leaves the old label; undo brings it back."""

    def answer(request: dict[str, Any]) -> str:
        text = request["messages"][-1]["content"]
        taught = any(m["role"] == "assistant" and "price" in m["content"] for m in request["messages"])
        if taught and "broken" in text:
            return "no idea"
        return '["delivery", "price"]' if taught and "dear" in text else '["delivery"]'

    texts = ["late and dear", "late too", "lost and dear", "broken and dear", ""]
    with Server(answer=answer) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        label(texts, ["delivery", "price"], multi=True, wide=wide, model=model, progress=False)
        under = review()
        under.toggle(0, "price")
        assert under.may_change() == [1, 2, 3]
        assert under.estimate().rows == 3
        server.forget()
        assert under.relabel() == 1
        assert "late and dear" in server.requests[0].body.decode()
    assert [under.current(row) for row in range(5)] == [
        ("delivery", "price"),
        ("delivery",),
        ("delivery", "price"),
        ("delivery",),
        None,
    ]
    assert under.may_change() == [1, 3]
    assert under.to_code() == "review.correct(0, ['delivery', 'price'])\nreview.relabel()"
    under.undo()
    assert under.current(2) == ("delivery",)


def test_the_columns_beside_the_label_follow_a_relabelling() -> None:
    """Reason and confidence are those of the label that stands; undo takes them back with it."""

    def answer(request: dict[str, Any]) -> str:
        taught = sum(m["role"] == "assistant" for m in request["messages"])
        said = "sport" if taught else "money"
        return f'{{"explanation": "because of {said}", "label": "{said}"}}'

    with Server(answer=answer) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url), None)
        label(["a match", "the match"], ["sport", "money"], explain=True, model=model, progress=False)
        under = review()
        under.correct(0, "sport")
        assert under.relabel() == 1
    assert under.df["label_explanation"].tolist() == ["because of money", "because of sport"]
    under.undo()
    assert under.df["label_explanation"].tolist() == ["because of money"] * 2


def test_the_panel_puts_labels_on_and_off() -> None:
    """A label on or off stays on the row; no label is a set too; accepting says that the set is right."""
    made = review(several(), "topics", on="text", labels=NAMES)
    panel, _ = panel_of(made)
    for number in (0, 2, 0):
        do(panel, "toggle", row=4, number=number)
    assert made.gold == {4: ("quality",)} and panel.at == 0
    do(panel, "accept", row=4)
    do(panel, "clear", row=2)
    assert made.gold == {4: ("quality",), 2: ()} and panel.at == 1
    do(panel, "toggle", row=0, number=1)
    assert made.gold[0] == ("delivery", "price") and panel.at == 2
    assert panel.panel.parts["progress"]()["none"] == 1
    fresh = summary(Review(Frame(several()), "text", "topics", NAMES, many=True))
    assert "</span>price</span> <span" in fresh and "none of them" in fresh
    do(panel, "relabel")
    assert "no run of this session" in panel.panel.status


def test_relabelling_from_the_panel_says_the_cost_and_goes_on_in_the_background() -> None:
    """A priced model is asked at the second press; the rows change when the job ends."""
    import time

    def answer(request: dict[str, Any]) -> str:
        return "sport" if any(m["role"] == "assistant" for m in request["messages"]) else "money"

    with Server(answer=answer) as server:
        price = Price(1.0, 1.0)
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url, price=price), None)
        label(["a match", "the match"], ["sport", "money"], model=model, progress=False)
        made = review()
        panel, _ = panel_of(made)
        made.correct(0, "sport")
        do(panel, "relabel")
        said = panel.panel.status
        assert "1 row" in said and "Press Relabel again" in said and server.count == 2
        do(panel, "relabel")
        end = time.monotonic() + 60
        while " changed" not in panel.panel.status and time.monotonic() < end:
            time.sleep(0.05)
        assert "1 label changed" in panel.panel.status, panel.panel.status
        assert made.current(1) == "sport"
