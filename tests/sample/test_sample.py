"""Gold samples: chances that are kept, the review on the drawn rows, and what comes back into the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from llm_magics import measure, sample
from llm_magics.core.errors import UsageError
from llm_magics.runs import session as sessions
from llm_magics.tasks.sample.drawing import draw, rows_needed
from tests.kernels import kernel


def labelled(rows: int = 1000, least: float = 0.4) -> tuple[pd.DataFrame, np.ndarray]:
    """Texts labelled by a model that is wrong where it is unsure, and the truth."""
    chance = np.random.default_rng(0)
    truth = chance.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]).astype(object)
    confidence = chance.uniform(least, 1.0, rows)
    wrong = chance.random(rows) > confidence
    given = np.where(wrong, "a", truth)
    frame = pd.DataFrame(
        {
            "text": [f"text {i}" for i in range(rows)],
            "side": np.where(np.arange(rows) % 10 == 0, "small", "large"),
            "topic": given,
            "topic_confidence": confidence,
            "topic_status": "ok",
        }
    )
    return frame, truth


def reviewed(made: Any, truth: np.ndarray) -> None:
    for place, row in enumerate(made.rows):
        made.review.correct(place, truth[row])


@pytest.mark.checklist("X12")
@pytest.mark.parametrize(
    "design", [{}, {"by": "side"}, {"lean": True}, {"by": "side", "lean": True}], ids=str
)
def test_chances_are_kept_and_add_up(design: dict[str, Any]) -> None:
    """The inverse chances of the drawn rows add up to the rows; equal seeds draw equal rows."""
    frame, truth = labelled()
    made = sample(frame, "topic", 120, **design)
    chances = made.df["topic_design"]
    assert abs(len(made.rows) - 120) <= 3 and chances.notna().sum() == len(made.rows)
    assert (1 / chances.dropna()).sum() == pytest.approx(1000)
    assert sample(frame, "topic", 120, **design).rows == made.rows
    assert sample(frame, "topic", 120, random_state=1, **design).rows != made.rows
    if "by" in design:
        assert abs((frame.loc[made.rows, "side"] == "small").sum() - 60) <= 3
    if "lean" in design:
        assert frame.loc[made.rows, "topic_confidence"].mean() < frame["topic_confidence"].mean() - 0.02
    reviewed(made, truth)
    found = measure(made.df, "topic").set_index("topic")
    for name, share in {"a": 0.6, "b": 0.3, "c": 0.1}.items():
        assert found.loc[name, "low"] - 0.02 <= share <= found.loc[name, "high"] + 0.02
    assert (found["gold"] == len(made.rows)).all()


@pytest.mark.checklist("X12")
def test_gold_labels_land_in_the_frame_as_they_are_given() -> None:
    """Pandas in place, polars as a new frame that is told of; the review is of the drawn rows alone."""
    frame, truth = labelled(200)
    made = sample(frame, "topic", 20)
    same = made.df
    assert len(made.review.texts) == 20 and made.missing == 20
    made.review.correct(3, "b")
    assert same["topic_gold"].iloc[made.rows[3]] == "b" and same["topic_gold"].notna().sum() == 1
    made.review.undo()
    assert same["topic_gold"].notna().sum() == 0 and "topic_gold" not in frame.columns
    told = []
    other = sample(pl.from_pandas(frame), "topic", 20)
    other.changed = told.append
    other.review.accept(0)
    assert told[0]["topic_gold"].null_count() == 199 and told[0] is other.df
    with pytest.raises(UsageError, match="no gold label yet"):
        measure(same, "topic")
    reviewed(made, truth)
    assert made.missing == 0 and len(measure(same, "topic")) == 3
    assert "20 of 200 rows" in repr(made) and "all with a gold label" in repr(made)


@pytest.mark.checklist("X12")
def test_it_resumes() -> None:
    """The same draw after a restart has its gold labels back; a frame with a design goes on with it."""
    frame, _ = labelled(300)
    first = sample(frame, "topic", 30)
    first.review.correct(0, "b")
    sessions.end()
    again = sample(frame, "topic", 30)
    assert again.rows == first.rows and again.review.gold == {0: "b"}
    saved = again.df.copy()
    further = sample(saved, "topic")
    assert sorted(further.rows) == sorted(first.rows) and len(further.review.gold) == 1
    with pytest.raises(UsageError, match="has a sample already"):
        sample(saved, "topic", 50)


def test_labels_that_were_not_drawn_can_still_be_chosen() -> None:
    """A rare label that no drawn row has; blank texts are not drawn; a blind review shows no label."""
    frame, _ = labelled(300)
    frame.loc[0, "topic"] = "rare"
    frame.loc[1:200, "text"] = " "
    made = sample(frame, "topic", 10, on="text", blind=True)
    assert "rare" in made.review.labels
    assert all(frame["text"].iloc[row].strip() for row in made.rows)
    assert made.review.given == [None] * 10 and made.review.confidence == [None] * 10
    made.review.correct(0, "rare")
    assert str(made.review.progress) == "1 of 10 rows reviewed, 0 corrected"
    assert made.df["topic_gold"].iloc[made.rows[0]] == "rare"
    assert made.df["topic"].notna().all()
    with pytest.raises(UsageError, match="column topic_confidence"):
        sample(frame.drop(columns="topic_confidence"), "topic", on="text", lean=True)
    with pytest.raises(UsageError, match="two things"):
        sample(frame, "topic", 10, on="text", width=0.1)


@pytest.mark.checklist("X12")
def test_the_rows_that_a_width_takes() -> None:
    """As many as measure needs: intervals come out about as wide as was asked for."""
    frame, truth = labelled(20_000, 0.8)
    made = sample(frame, "topic", width=0.08)
    reviewed(made, truth)
    found = measure(made.df, "topic")
    assert 0.05 < (found["high"] - found["low"]).max() < 0.095
    assert made.needed(0.04) > 2.5 * made.needed(0.08) > made.needed(0.2)
    assert 0.3 * len(made.rows) < made.needed(0.08) < 1.5 * len(made.rows)
    bare = sample(frame.drop(columns="topic_confidence"), "topic", width=0.08)
    assert len(bare.rows) > len(made.rows)
    assert rows_needed(0.0001, {"a": 0.1}, {"a": 0.3}, 500) == 500


def test_small_groups_give_all_they_have() -> None:
    """And the others the rest; more groups than rows can't be drawn from."""
    groups = np.array([0] * 5 + [1] * 500 + [2] * 500 + [-1] * 50)
    drawn = draw(groups, 100, 0)
    assert np.bincount(groups[drawn.rows]).tolist() == [5, 48, 47]
    with pytest.raises(UsageError, match="can't be shared out"):
        draw(groups, 2, 0)


@pytest.mark.checklist("X12")
@pytest.mark.timeout(180)
def test_the_cells_as_typed() -> None:
    """Sample, a few decisions, measure: the gold labels are in the variable that -o named."""
    with kernel() as shell:
        shell.run("%load_ext llm_magics")
        shell.run(
            "import pandas as pd\n"
            "labelled = pd.DataFrame({'text': [f't {i}' for i in range(400)], 'topic': list('abca') * 100,\n"
            "                         'country': ['DE', 'FR'] * 200})"
        )
        found = shell.run("%llm sample labelled.topic -N 40 --on text --static -o gold\n")
        assert "40 of 400 rows drawn; gold labels go to topic_gold" in found.text
        shell.run("made = _\nfor row in range(40): made.review.accept(row)")
        shares = shell.run("%llm measure gold.topic --truth topic_gold --by country -o shares")
        assert "corrected by 40 gold rows of 400" in shares.text
        assert shell.run("len(shares)").text == "6"
