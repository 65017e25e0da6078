"""Answers in words: a label that is denied, weighed, asked about or only mentioned is no answer."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import AnswerError
from llm_magics.text.label_answers import parse_label, parse_labels
from llm_magics.text.label_names import Labels

SETS = (
    ("positive", "negative", "neutral"),
    ("bug", "bug report", "feature request"),
    ("spam", "ham"),
    ("toxic", "safe"),
    ("billing", "outage", "other"),
    ("how-to", "refund request", "other"),
    ("Sci/Tech", "World", "Business"),
    ("joy", "anger", "fear"),
    ("high", "low"),
    ("A", "B", "C"),
    ("IT", "HR", "US"),
)

DENIED = (
    "This is not {}.",
    "It isn't {}.",
    "It isn\u2019t really what I would call {}.",
    "I don't think this is {}",
    "This does not seem to be {}.",
    "I can't say it is {}.",
    "I cannot label this as {}.",
    "I'm sorry, I can't label this text. It mentions {}.",
    "As an AI language model I am unable to call it {}",
    "I need more context about the {} part to choose a label.",
    "I refuse to call this {}.",
    "Please provide the {} text.",
    "Without more context, {} is a guess.",
    "It is hardly {}.",
    "anything but {}",
    "far from {}",
    "the opposite of {}",
    "It lacks anything {}",
    "Nobody would call it {}.",
    "It is neither {} nor anything else.",
    "Not {}!",
    "Rather not {}",
    "~~{}~~",
    "\u274c {}",
    "!{}",
    "non-{}",
    "anti-{}",
    "{}-free",
    "{} is unlikely",
    "{}? No.",
    "Das ist nicht {}.",
    "kein {}",
    "Ce n'est pas {}.",
    "no es {}",
    '{"label": "not {}"}',
    '["not {}"]',
    "The label isn't\n```\n{}\n```",
)
DOUBTED = (
    "This could be {}.",
    "Maybe {}",
    "It might be {}, I am not sure.",
    "Is it {}?",
    "{}?",
    "If the author is serious, it is {}.",
    "unless it is {}",
    "either {} or something else",
    "I would need to know whether it is {}",
    'The word "{}" occurs in the text.',
    "Here is a {} example:",
    "Options: {}",
    "Possible labels: {}",
    "A text about {} things and others",
)
UNFINISHED = ("<think>{}", "<think>It is {}. So", "<|channel|>analysis<|message|>It is {}", "[THINK] {}")
SAID = (
    "{}.",
    "**{}**",
    "`{}`",
    "Label: {}",
    "The label is {}.",
    "The answer is: {}",
    "I would choose {}.",
    "I'd go with {}.",
    "The text is best labelled as {}.",
    "The category that fits best is **{}**.",
    "Category: {}\n\nReason: the text says so, and it is not the other one.",
    "{}\n\nThe text says so, and does not say anything else.",
    "### Label\n{}",
    "<answer>{}</answer>",
    "\\boxed{{}}",
    "Thinking about it, it may be something else...</think>\n{}",
    "[THINK]hm[/THINK]{}",
    "\u25c1think\u25b7hm\u25c1/think\u25b7{}",
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{}",
    "\u300c{}\u300d",
    "{}\u3002",
    "- {}",
    "1. {}",
)


def every(templates: tuple[str, ...]) -> list[tuple[tuple[str, ...], str, str]]:
    return [(names, name, t.replace("{}", name)) for names in SETS for name in names for t in templates]


@pytest.mark.checklist("T6")
def test_a_label_that_is_denied_or_doubted_is_not_the_answer() -> None:
    """ "Not spam" is no spam, "non-toxic" no toxic, "I can't say" nothing; asked about once more, then null."""
    taken = []
    for names, _, answer in every(DENIED + DOUBTED + UNFINISHED):
        for read in (parse_label, parse_labels):
            with contextlib.suppress(AnswerError):
                taken.append((read.__name__, names, answer, read(answer, Labels(names))))
    assert not taken


@pytest.mark.checklist("T6")
def test_a_label_that_is_said_is_found() -> None:
    """Care costs no plain answer: the usual ways to say a label give it."""
    lost = []
    for names, name, answer in every(SAID):
        try:
            found = parse_label(answer, Labels(names))[0]
        except AnswerError as error:
            lost.append((names, answer, error.message))
            continue
        assert found == name, answer
    assert not lost


@pytest.mark.checklist("T6")
@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("This is a text about something.", ("A", "B")),
        ("A customer asks about delivery.", ("A", "B")),
        ("I think it is fine", ("IT", "HR")),
        ("The text mentions 3 dogs.", ("1", "2", "3")),
        ("4 out of 5", ("4", "5")),
        ("On the other hand, the text is vague.", ("billing", "other")),
        ("There is no way to tell", ("yes", "no")),
        ("No, I can't do that.", ("yes", "no")),
        ("None of the labels apply.", ("none", "some")),
        ("The text says 'positive vibes only'.", ("positive", "negative")),
        ("Options:\npositive\nnegative", ("positive", "negative")),
        ("positive\nnegative", ("positive", "negative")),
        ("positive\n\nWait, it is rather the other.", ("positive", "negative")),
        ("Label: positive\nLabel: negative", ("positive", "negative")),
        ("```\npositive\n```\nor\n```\nnegative\n```", ("positive", "negative")),
        ('{"label": "positive", "label": "negative"}', ("positive", "negative")),
        ('{"label": "positive"} or {"label": "negative"}', ("positive", "negative")),
        ('{"positive": false}', ("positive", "negative")),
        ('{"is_positive": true}', ("positive", "negative")),
        ('{"explanation": "clear"}', ("none", "some")),
        ("[" * 5000 + "]" * 5000, ("positive", "negative")),
    ],
)
def test_words_that_happen_to_be_labels_are_no_answer(answer: str, names: tuple[str, ...]) -> None:
    """Articles, numbers, "on the other hand", two labels compared, one key twice."""
    with pytest.raises(AnswerError):
        parse_label(answer, Labels(names))


FEELINGS = Labels(["joy", "anger", "fear", "surprise"])


@pytest.mark.checklist("T2", "T6")
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("joy and surprise", ["joy", "surprise"]),
        ("1. joy\n2. anger", ["joy", "anger"]),
        ("**joy**, **anger**", ["joy", "anger"]),
        ("joy; anger; boredom", ["joy", "anger"]),
        ("joy, surprise\n\nThe text has no sign of anger.", ["joy", "surprise"]),
        ("Labels: joy, anger\nReason: it is said twice.", ["joy", "anger"]),
        ("The text expresses joy and surprise.", ["joy", "surprise"]),
        ("Text [1] shows joy", ["joy"]),
        ("- [ ] joy\n- [x] anger", ["anger"]),
        ("joy: yes\nanger: no\nfear: no", ["joy"]),
        ('{"labels": ["joy", "anger and fear"]}', ["joy", "anger", "fear"]),
        ("No labels apply.", []),
        ("none of the labels", []),
        ('{"labels": ["none"]}', []),
        ("[]", []),
    ],
)
def test_several_labels_as_models_give_them(answer: str, found: list[str]) -> None:
    """Lists in words, numbered, ticked, with reasons behind them."""
    assert parse_labels(answer, FEELINGS)[0] == found


@pytest.mark.checklist("T2", "T6")
@pytest.mark.parametrize(
    "answer",
    [
        "",
        "<think>joy",
        "no joy, anger",
        "not joy, anger",
        "joy (not anger)",
        "joy or anger",
        "all except joy",
        "nothing but anger",
        "The text shows joy, anger, and not fear",
        "Possible labels: joy, anger, fear. I choose: joy",
        "I can't label this text as joy, anger or fear.",
        "joy: 0.9\nanger: 0.1",
        '{"joy": "yes", "anger": "no"}',
        '["joy"] or ["anger"]',
        '{"explanation": "clear"}',
    ],
)
def test_of_several_labels_no_part_is_taken_for_the_whole(answer: str) -> None:
    """Half a list is a wrong list; an answer that is empty or breaks off is no "none applies"."""
    with pytest.raises(AnswerError):
        parse_labels(answer, FEELINGS)


words = st.sampled_from(
    [
        "the",
        "text",
        "says",
        "that",
        "it",
        "and",
        "with",
        "of",
        "about",
        "very",
        "good",
        "bad",
        "user",
        "item",
        "like",
        "on",
        "in",
    ]
)


@given(st.sampled_from(every(DENIED)), st.lists(words, max_size=5), st.lists(words, max_size=5))
def test_words_around_a_denial_do_not_undo_it(
    drawn: tuple[tuple[str, ...], str, str], before: list[str], after: list[str]
) -> None:
    """Whatever is said around "not spam", spam is not the answer."""
    names, name, answer = drawn
    said = f"{' '.join(before)} {answer} {' '.join(after)}"
    try:
        found = parse_label(said, Labels(names))[0]
    except AnswerError:
        return
    assert found != name, said
