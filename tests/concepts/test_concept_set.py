"""Concepts as plain data: edits, undo, replay, scores, frames."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics import Concept, ConceptSet
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.tasks.concepts.model.scores import Score


def made() -> ConceptSet:
    data = pd.DataFrame({"text": ["a b", "b c", "c", ""], "stars": [1, 5, 3, None]}, index=[7, 7, 8, 9])
    concepts = [Concept("", name, f"Is it {name}?", examples=(n,)) for n, name in enumerate("abc")]
    from llm_magics.tasks.concepts.model.documents import Documents

    themes = ConceptSet(concepts, Documents.read(data, "text"))
    themes.put_scores("a", {0: Score(1.0, "why", "a"), 1: Score(0.0), 2: Score(error="no answer")})
    themes.put_scores("b", {0: Score(0.75), 1: Score(1.0), 2: Score(0.5)})
    return themes


@pytest.mark.checklist("N7")
def test_edits_keep_scores_where_the_criterion_is_unchanged() -> None:
    """A rename keeps them; a new criterion has none; undo brings the old ones back; a merge has the best."""
    themes = made()
    themes.rename("a", "A!")
    assert themes.rows("A!") == [0]
    themes.edit("A!", criterion="Is it really a?")
    assert themes.rows("A!") == [] and [c.name for c in themes.stale] == ["A!", "c"]
    themes.undo()
    assert themes.rows("A!") == [0]
    both = themes.merge("A!", "b", name="both")
    assert themes.rows("both") == [1, 0] or themes.rows("both") == [0, 1]
    assert both.examples == (0, 1)
    # One part failed on row 2 and the other does not hold: nobody knows.
    assert math.isnan(themes.column("both").values[2])


@pytest.mark.checklist("N5")
def test_a_failed_score_is_missing_and_never_zero() -> None:
    """NaN in the wide frame, failed with its error in the long one, in no count."""
    themes = made()
    assert themes.scores["a"].isna().tolist() == [False, False, True, True]
    long = themes.scores_long
    assert long[long.status == "failed"].error.tolist() == ["no answer"]
    assert themes.matrix()["all"].tolist() == [1, 2, 0]
    assert list(themes.scores.index) == [7, 7, 8, 9]


@pytest.mark.checklist("N9")
def test_the_export_has_llooms_columns() -> None:
    """concept, criteria, summary, rep_examples, prevalence, n_matches, highlights; blank rows don't count."""
    table = made().export()
    expected = ["concept", "criteria", "summary", "rep_examples", "prevalence", "n_matches", "highlights"]
    assert list(table.columns) == expected
    assert table.iloc[1].prevalence == pytest.approx(2 / 3, abs=1e-4) and table.iloc[1].n_matches == 2
    assert table.iloc[0].highlights == ["a"] and table.iloc[0].rep_examples == ["a b"]
    wanted = {
        "doc_id",
        "text",
        "concept_id",
        "concept_name",
        "concept_prompt",
        "score",
        "rationale",
        "highlight",
    }
    assert wanted <= set(made().scores_long.columns)


def test_what_cannot_be_done_changes_nothing() -> None:
    """Near names in the error; a locked concept stays; names stay unique."""
    themes = made()
    themes.lock("a")
    before = themes.concepts
    for wrong in (
        lambda: themes.rename("a", "x"),
        lambda: themes.delete("a", "b"),
        lambda: themes.merge("a", "b"),
        lambda: themes.merge("b"),
        lambda: themes.rename("b", "c"),
        lambda: themes.rename("b", "  "),
        lambda: themes.add("b"),
        lambda: themes.edit("b", criterion=" "),
        lambda: themes.edit("b", name="x"),
        lambda: themes.split("b", [("only", "one?")]),
        themes.redo,
    ):
        with pytest.raises(UsageError):
            wrong()
        assert themes.concepts == before
    with pytest.raises(NotFound, match="no concept"):
        themes.rename("zz", "x")


VERBS = st.sampled_from(
    [
        "add",
        "rename",
        "edit",
        "merge",
        "split",
        "delete",
        "lock",
        "unlock",
        "select",
        "deselect",
        "undo",
        "redo",
    ]
)


def act(themes: ConceptSet, verb: str, i: int, j: int) -> None:
    """One edit, somehow; what can't be done is refused."""
    names = themes.names
    one, two = (names[i % len(names)], names[j % len(names)]) if names else ("?", "?")
    calls: dict[str, Any] = {
        "add": lambda: themes.add(f'new {i}\'s "{j}"', f"Is it {i}?\nOr <b>?", examples=[i]),
        "rename": lambda: themes.rename(one, f"named {j}"),
        "edit": lambda: themes.edit(one, criterion=f"Is it {j}?", summary="s\u2028\\"),
        "merge": lambda: themes.merge(one, two, name=f"both {i}" if i % 2 else None),
        "split": lambda: themes.split(one, [(f"left {i}", "l?"), (f"right {i}", "r?", [i])]),
        "undo": themes.undo,
        "redo": themes.redo,
    }
    with contextlib.suppress(UsageError):
        calls.get(verb, lambda: getattr(themes, verb)(one))()


@pytest.mark.checklist("X6", "N9")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VERBS, st.integers(0, 9), st.integers(0, 9)), max_size=14))
def test_code_and_json_replay_any_history_to_the_same_state(story: list[tuple[str, int, int]]) -> None:
    """Whatever was edited, undone and redone: to_code() and the JSON round trip give the same concepts."""
    themes = made()
    for verb, i, j in story:
        act(themes, verb, i, j)
    space: dict[str, Any] = {}
    exec(themes.to_code("copy"), space)
    assert space["copy"].concepts == themes.concepts
    back = ConceptSet.from_json(json.loads(json.dumps(themes.to_json())))
    assert back.concepts == themes.concepts and back.to_code() == themes.to_code()
    assert back.scores.equals(themes.scores.set_axis(back.scores.index))
    while themes.can_undo:
        themes.undo()
    assert themes.concepts == made().concepts


def test_splitting_groups_the_matches() -> None:
    """Without parts the matches fall into two by their words, each with examples of its own."""
    texts = [f"the train to {town} was late again" for town in "abcdefgh"] + [
        f"our hotel room {n} had a broken shower" for n in range(8)
    ]
    themes = ConceptSet([Concept("", "travel", "Is it about travel?")], texts)
    themes.put_scores("travel", {row: Score(1.0) for row in range(16)})
    parts = themes.split("travel")
    assert len(parts) == 2 and {frozenset(row < 8 for row in c.examples) for c in parts} == {
        frozenset([True]),
        frozenset([False]),
    }


def test_watchers_hear_of_every_change() -> None:
    """A widget that follows the set hears edits made in code, until it stops."""
    themes, heard = made(), []
    watcher = lambda: heard.append(themes.names)  # noqa: E731 - removed by identity
    themes.watch(watcher)
    themes.add("d")
    themes.undo()
    themes.unwatch(watcher)
    themes.redo()
    assert heard == [["a", "b", "c", "d"], ["a", "b", "c"]]
