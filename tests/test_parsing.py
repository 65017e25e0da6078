"""Whatever a model returns, the result is a listed label or an error, never something else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.errors import AnswerError
from llm_magics.parsing import Labels, loose_json, many_labels, one_label

NAMES = ["positive", "negative", "neutral"]
LABELS = Labels(NAMES)
label_names = st.text(min_size=1, max_size=12).filter(str.strip)


@pytest.mark.checklist("T6")
@pytest.mark.parametrize(
    "answer",
    [
        "Positive",
        " positive",
        "positive.",
        "['positive']",
        '"positive"',
        "'Positive'",
        "«positive»",
        "„positive“",
        "**positive**",
        "Label: positive",
        "The answer is: positive",
        '{"label": "positive"}',
        '```json\n{"label": "positive"}\n```',
        "```\npositive\n```",
        "<think>It could be negative.</think>\npositive",
        'I considered {a,b}. {"label":"positive"}',
        '{"label": "positive", // clearly\n}',
        "{'label': 'positive',}",
        '{"sentiment": "POSITIVE"}',
        "I think the text is clearly positive.",
        "Reasoning first, then.\npositive",
    ],
)
def test_messy_answers_give_their_label(answer: str) -> None:
    """Fences, thinking, quotes of any language, case, prose, JSON with comments: one label meant."""
    assert one_label(answer, LABELS)[0] == "positive"


@pytest.mark.checklist("T6")
@pytest.mark.parametrize(
    "answer", ["", "banana", "not positive", "positive or negative", "neither", "[]", "{}", "42"]
)
def test_an_answer_that_names_no_single_label_is_an_error(answer: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(AnswerError):
        one_label(answer, LABELS)


@given(st.text())
def test_any_text_gives_a_listed_label_or_an_error(answer: str) -> None:
    """The property that everything downstream relies on."""
    try:
        name, _ = one_label(answer, LABELS)
    except AnswerError:
        return
    assert name in NAMES


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(NAMES), st.lists, max_leaves=6
    )
)
def test_any_json_gives_listed_labels_or_an_error(value: object) -> None:
    """Also where the model answers JSON of another shape."""
    try:
        names, _ = many_labels(json.dumps({"labels": value}), LABELS)
    except AnswerError:
        return
    assert set(names) <= set(NAMES)
    assert len(set(names)) == len(names)


@given(st.lists(label_names, min_size=2, max_size=6, unique=True), st.data())
def test_every_label_survives_its_own_exact_answer(names: list[str], data: st.DataObject) -> None:
    """A label is recognised exactly, even where two fold to the same."""
    name = data.draw(st.sampled_from(names))
    assert Labels(names).match(name) == name


def test_labels_that_fold_alike_match_exactly_only() -> None:
    """'A' and 'a' are two labels; 'a.' is the second, '(a)' is neither for sure."""
    labels = Labels(["A", "a"])
    assert labels.match("a") == "a"
    assert labels.match("a.") == "a"
    assert labels.match("(a)") is None


@pytest.mark.checklist("T2")
def test_several_labels_come_in_the_lists_order_without_padding() -> None:
    """S3: no empty strings, no True."""
    assert many_labels('["neutral", "Positive"]', LABELS) == (["positive", "neutral"], False)
    assert many_labels("positive, neutral", LABELS) == (["positive", "neutral"], False)
    assert many_labels("[\"'positive'\"]", LABELS) == (["positive"], False)
    assert many_labels("[]", LABELS) == ([], False)
    assert many_labels("none", LABELS) == ([], False)
    assert many_labels('["positive", "banana"]', LABELS) == (["positive"], True)
    assert many_labels('["positive", "neutral"]', LABELS, 1) == (["positive"], True)


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4),
    st.text(max_size=20),
)
def test_json_is_found_inside_prose(value: dict, prose: str) -> None:
    """The last balanced object of an answer is its JSON."""
    lead = prose.replace("{", "").replace("[", "").replace('"', "").replace("}", "").replace("]", "")
    assert loose_json(f"{lead} {json.dumps(value)}") == (True, value)
