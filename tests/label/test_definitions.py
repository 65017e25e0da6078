"""Labels as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Choice
from llm_magics.tasks.label.definitions import choices, distinct, parse_choices


@pytest.mark.checklist("T3", "T11")
def test_a_body_has_descriptions_examples_and_near_misses() -> None:
    """name: description, + example, - near miss; colons in an example are its own."""
    body = (
        "# topics\nbilling: charges, refunds\n  + charged twice: again\n\noutage: down\n  - how do I?\nhow-to"
    )
    assert parse_choices(body) == (
        Choice("billing", "charges, refunds", ("charged twice: again",)),
        Choice("outage", "down", (), ("how do I?",)),
        Choice("how-to"),
    )


@pytest.mark.checklist("T3")
@pytest.mark.parametrize("bullet", ["- ", "* ", "\u2022 "])
def test_a_lists_bullets_are_no_part_of_the_names(bullet: str) -> None:
    """Pasted Markdown; further in, + and - keep their meaning. A bullet on some lines only is a name's own."""
    body = f"# topics\n{bullet}billing: charges\n  + charged twice\n\n{bullet}outage\n  - how do I?"
    assert parse_choices(body) == (
        Choice("billing", "charges", ("charged twice",)),
        Choice("outage", "", (), ("how do I?",)),
    )
    assert parse_choices("a\n- not a\nb") == (Choice("a", "", (), ("not a",)), Choice("b"))
    assert [c.name for c in parse_choices("* starred\nplain")] == ["* starred", "plain"]


@pytest.mark.checklist("T11")
def test_lists_mappings_and_columns_keep_their_order() -> None:
    """Label order is the user's."""
    assert [c.name for c in choices(["b", "a"])] == ["b", "a"]
    assert choices({"b": "bee", "a": None}) == (Choice("b", "bee"), Choice("a"))
    assert distinct(["b", None, "a", "b", float("nan")]) == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("", "labels are missing"),
        ("only", "labels are missing"),
        ("a\na", "stands twice"),
        ("a\nA", "can't be told apart"),
        (": nameless\nb", "without a name"),
        ("+ early\na\nb", "before any label"),
        ("a\n+\nb", "example is blank"),
        (["a", " "], "blank"),
        (5, "given as a int"),
    ],
)
def test_missing_duplicate_or_blank_labels_are_one_clear_error(labels: object, said: str) -> None:
    """Nothing is sent."""
    with pytest.raises(UsageError, match=said):
        choices(labels)


@given(st.text())
def test_any_body_is_choices_or_a_usage_error(body: str) -> None:
    """The parser never fails otherwise."""
    try:
        found = parse_choices(body)
    except UsageError:
        return
    assert len(found) >= 2
    assert all(c.name.strip() for c in found)


def test_signs_tell_labels_apart() -> None:
    """Scores and grades can be labels."""
    for names in (["-1", "0", "1"], ["A", "A-", "A+"], ["C", "C++", "C#"], ["<5", ">5"], ["50", "50%"]):
        assert [choice.name for choice in choices(names)] == names
