"""Whatever a model returns, the result is a listed label or an error, never something else."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import AnswerError
from llm_magics.text.json_parsing import parse_json
from llm_magics.text.label_answers import parse_label, parse_labels
from llm_magics.text.label_names import Labels

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
    assert parse_label(answer, LABELS)[0] == "positive"


@pytest.mark.checklist("T6")
@pytest.mark.parametrize(
    "answer", ["", "banana", "not positive", "positive or negative", "neither", "[]", "{}", "42"]
)
def test_an_answer_that_names_no_single_label_is_an_error(answer: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(AnswerError):
        parse_label(answer, LABELS)


@given(st.text())
def test_any_text_gives_a_listed_label_or_an_error(answer: str) -> None:
    """The property that everything downstream relies on."""
    try:
        name, _ = parse_label(answer, LABELS)
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
        names, _ = parse_labels(json.dumps({"labels": value}), LABELS)
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
    assert parse_labels('["neutral", "Positive"]', LABELS) == (["positive", "neutral"], False)
    assert parse_labels("positive, neutral", LABELS) == (["positive", "neutral"], False)
    assert parse_labels("[\"'positive'\"]", LABELS) == (["positive"], False)
    assert parse_labels("[]", LABELS) == ([], False)
    assert parse_labels("none", LABELS) == ([], False)
    assert parse_labels('["positive", "banana"]', LABELS) == (["positive"], True)
    assert parse_labels('["positive", "neutral"]', LABELS, 1) == (["positive"], True)


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4),
    st.text(max_size=20),
)
def test_json_is_found_inside_prose(value: dict, prose: str) -> None:
    """The last balanced object of an answer is its JSON."""
    lead = prose.replace("{", "").replace("[", "").replace('"', "").replace("}", "").replace("]", "")
    assert parse_json(f"{lead} {json.dumps(value)}") == (True, value)


SETS = (
    ("positive", "negative", "neutral"),
    ("bug", "bug report", "feature request"),
    ("ok", "not ok"),
    ("C++", "C#", "C"),
    ("-1", "0", "1"),
    ("A+", "A", "A-"),
    ("<5", ">5", "5"),
    ("true", "false"),
    ("none", "some"),
    ("\u65e5\u672c", "\u4e2d\u56fd"),
    ("don't know", "know"),
    ("\u00fcber", "uber"),
    ("food, drink", "other"),
)
QUOTES = (
    '""',
    "''",
    "``",
    "\u201c\u201d",
    "\u201e\u201c",
    "\u00ab\u00bb",
    "\u00bb\u00ab",
    "\u2039\u203a",
    "\u300c\u300d",
)


def dressed(name: str, other: str) -> list[str]:
    """One label as models give it; ``other`` only stands where it is not the answer."""
    whole = json.dumps({"label": name})
    return [
        *(f"{quotes[0]}{name}{quotes[1]}" for quotes in QUOTES),
        *(f" {name} ", f"{name}.", f"**{name}**", f"Label: {name}", f"Final answer: {name}"),
        *(whole, json.dumps({"label": name}, ensure_ascii=False), json.dumps([name]), str([name])),
        *(f"```json\n{whole}\n```", f"Sure!\n```json\n{whole}\n```\nHope it helps."),
        f"<think>{other}?</think>{name}",
        f"<think>\n{other} or {name}\n</think>\n\n{whole}",
        f"I considered {{a,b}}. {whole}",
        f'{{"label": {json.dumps(name)} // not {other}\n}}',
        f'{{"label": {json.dumps(name)} /* not {other} */}}',
        f'{{"label": {json.dumps(name)},}}',
        f'{{"reason": "because of {other}", "label": {json.dumps(name)}}}',
        f'{{"label": {{"name": {json.dumps(name)}}}}}',
        f"Reasoning about it.\n\n{name}",
    ]


@pytest.mark.checklist("T6")
@pytest.mark.parametrize("names", SETS, ids=" ".join)
def test_each_label_is_found_in_every_dress(names: tuple[str, ...]) -> None:
    """S2, S11: fences, thinking, prose, quotes of many languages, comments; signs tell names apart."""
    for name in names:
        other = next(each for each in names if each != name)
        for answer in dressed(name, other):
            assert parse_label(answer, Labels(names))[0] == name, answer


@pytest.mark.checklist("T6")
@given(st.sampled_from(SETS), st.data())
def test_around_a_label_there_may_be_anything_and_it_stays_a_listed_one(
    names: tuple[str, ...], data: st.DataObject
) -> None:
    """Whatever stands around: a listed label or an error, of one label and of several."""
    inner = data.draw(st.sampled_from([answer for name in names for answer in dressed(name, names[0])]))
    answer = data.draw(st.text(max_size=12)) + inner + data.draw(st.text(max_size=12))
    with contextlib.suppress(AnswerError):
        assert parse_label(answer, Labels(names))[0] in names
    try:
        found, _ = parse_labels(answer, Labels(names))
    except AnswerError:
        return
    assert set(found) <= set(names) and len(set(found)) == len(found)


@pytest.mark.checklist("T6")
@pytest.mark.parametrize(
    "answer",
    [
        '{"label": "banana", "reason": "not positive, rather negative"}',
        '{"label": ["positive", "negative"]}',
        '{"label": null}',
        '{"positive": 0.6, "negative": 0.4}',
        "<think>surely positive",
        "positive, or else negative",
    ],
)
def test_a_label_that_is_not_the_answer_is_not_taken_for_it(answer: str) -> None:
    """D11: a reason, a choice of two, a thought that breaks off."""
    with pytest.raises(AnswerError):
        parse_label(answer, LABELS)


@pytest.mark.checklist("T2")
def test_several_labels_in_other_shapes() -> None:
    """Flags, a listed "none", a comma inside a name, objects; an object of something else is an error."""
    assert parse_labels('{"positive": true, "negative": false, "neutral": true}', LABELS)[0] == [
        "positive",
        "neutral",
    ]
    assert parse_labels("none", Labels(["none", "some"])) == (["none"], False)
    assert parse_labels("food, drink", Labels(["food, drink", "other"])) == (["food, drink"], False)
    assert parse_labels('[{"label": "neutral"}]', LABELS)[0] == ["neutral"]
    assert parse_labels('{"labels": null}', LABELS) == ([], False)
    for strange in ('{"positive": 0.6, "negative": 0.4}', '{"labels": ["banana"], "reason": "negative"}'):
        with pytest.raises(AnswerError):
            parse_labels(strange, LABELS)
