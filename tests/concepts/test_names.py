"""Names that a person could have written: short phrases from the texts, no two with a word in common."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from llm_magics.backends.embedded.word_vectors import StaticVectors
from llm_magics.core.types import BackendSpec
from llm_magics.runs import session as sessions
from llm_magics.tasks.concepts.embedded.clustering import cluster
from llm_magics.tasks.concepts.embedded.headings import in_english, listed
from llm_magics.tasks.concepts.embedded.naming import described
from llm_magics.tasks.concepts.embedded.phrases import pieces, read_phrases
from llm_magics.tasks.concepts.embedded.words import is_function_word, stem
from llm_magics.tasks.concepts.pipeline import concepts
from llm_magics.testing import Server
from tests.concepts.scripted import answer, kind, texts

MARKUP = re.compile(
    r"quot|#\d|[<>/&;]|\b(?:lt|gt|amp|nbsp|www|http|href|com|reuters|fullquote)\b", re.IGNORECASE
)
SETS = {"news_topics": 12, "bill_summaries": None, "banking_intents": None}


@pytest.mark.checklist("N12")
@pytest.mark.parametrize("name", SETS)
def test_names_of_the_dev_sets(shared_data: Path, name: str) -> None:
    """No token of markup, no duplicates, at most eight words, a capital first, phrases of the texts
    or general subjects."""
    texts = pd.read_csv(shared_data / f"{name}.csv").text.tolist()
    vectors = StaticVectors.load()
    groups = cluster(vectors.embed(texts), SETS[name]).groups
    found = [one.name for one in described(texts, groups, embed=vectors.embed)]
    assert len(set(found)) == len(groups)
    everything = " ".join(texts).casefold()
    for one in found:
        assert not MARKUP.search(one), one
        assert one[0].isupper() or not one[0].islower()
        assert 1 <= len(one.split()) <= 9
        general = {part for heading, _ in listed() for part in heading.casefold().split()}
        assert all(word.casefold()[:4] in everything or word.casefold() in general for word in one.split()), (
            one
        )
    shared = Counter(
        word for one in found for word in {stem(w) for w in one.split() if not is_function_word(w)}
    )
    # Nouns recur where the other word tells: "Activate card" and "New card", "Health care" and "Health insurance".
    assert {word for word, n in shared.items() if n > 1} <= {"card", "pay", "top-up", "health"}
    alone = {stem(one.casefold()) for one in found if len(one.split()) == 1}
    assert not alone & {word for word, n in shared.items() if n > 1}


REPORTS = [
    "The coach praised his players after the match.",
    "A late goal gave the visitors their third win in a row.",
    "She won the final in straight sets and lifts the trophy.",
    "The quarterback threw for two touchdowns before half time.",
    "The pitcher struck out nine batters in seven innings.",
    "Fans cheered as the club reached the championship.",
    "He scored twice in the second period of the game.",
    "Their season ended with a defeat in the playoffs.",
]
KITCHEN = [
    "Bake the bread until the crust is golden.",
    "Stir the soup and add a pinch of salt.",
    "The sauce needs garlic, butter and a little wine.",
    "We ordered dessert and a bottle of red wine at the restaurant.",
    "A good breakfast starts with fresh eggs.",
    "The chef fried the onions for the meal.",
    "Lunch was rice with vegetables and chicken.",
    "Drink your coffee while the cake cools.",
]


@pytest.mark.checklist("N12")
def test_a_general_subject_names_what_no_phrase_covers() -> None:
    """No report says "sports"; the name does, where meaning is known, and the criterion too."""
    vectors, groups = StaticVectors.load(), [range(8), range(8, 16)]
    sports, food = described([*REPORTS, *KITCHEN], groups, embed=vectors.embed)
    assert not any("sport" in text.casefold() for text in REPORTS)
    assert sports.name == "Sports" and food.name in ("Food and drink", "Cooking")
    assert "sports" in sports.criterion and "sports" in sports.keywords


def test_general_subjects_are_english_and_stay_out_of_other_languages() -> None:
    """A German group keeps German names."""
    german = [
        "Der Trainer lobte die Spieler nach dem Sieg gegen Bayern.",
        "Der Trainer wechselte zwei Spieler in der Pause.",
        "Die Spieler feierten mit dem Trainer die Meisterschaft.",
        "Nach dem Spiel sprach der Trainer von einem guten Tag.",
    ] * 2
    (found,) = described(german, [range(8)], embed=StaticVectors.load().embed)
    assert not in_english(german) and in_english(REPORTS)
    assert not {word.casefold() for word in found.name.split()} & {"sports", "soccer", "football"}


def name_beside_others(texts: list[str]) -> str:
    """The name of a group of these texts, beside one of reports and one of the kitchen."""
    n, reports = len(texts), len(texts) + len(REPORTS)
    groups = [range(n), range(n, reports), range(reports, reports + len(KITCHEN))]
    return described([*texts, *REPORTS, *KITCHEN], groups, embed=StaticVectors.load().embed)[0].name


def test_one_word_of_a_heading_makes_no_heading() -> None:
    """Texts of "stars" are not about celebrities, nor those that love a thing about relationships."""
    ratings = [
        f"{n} stars from me for the {thing}." for n in range(3, 6) for thing in ("lamp", "desk", "chair")
    ]
    assert "elebrit" not in name_beside_others(ratings)


def test_words_in_another_sense_make_no_heading() -> None:
    """Files that are open and closed have no opening hours."""
    files = [
        "Return True if the file is open, and False if it was closed.",
        "Open the file in text mode and return a stream.",
        "An open file is needed; a closed one raises an error.",
        "Close the file that open returned.",
        "The file has to be open for reading.",
        "Opens a temporary file in the folder.",
    ]
    assert "hours" not in name_beside_others(files)


def test_what_there_are_several_of_stands_in_the_plural() -> None:
    """A JSON document makes "JSON documents"; letters without a vowel are an abbreviation."""
    parsers = [
        "Parse a JSON document and return an object.",
        "Read a JSON document from a stream.",
        "It decodes a JSON document that has an error.",
        "Write the object as a JSON document.",
    ]
    sockets = ["The ssl of the socket is on.", "Turn on ssl for it.", "It speaks ssl.", "The ssl is old."]
    found = [one.name for one in described([*parsers, *sockets], [range(4), range(4, 8)])]
    assert found == ["JSON documents", "SSL"]


def test_what_nobody_would_write_is_no_phrase() -> None:
    """No participle after a plural, no word made for one place, no adjective before a comma."""
    texts = [
        "Wake up the threads waiting on the my_lock_value of a queue.",
        "All threads waiting in the been-stepped-in-and-tracked-everywhere pile.",
        "It is a turtle instance named turtle, in a remote, cold place.",
        "The turtle instance named turtle is in a remote, quiet village.",
    ]
    keys = set(read_phrases(texts).phrases)
    words = {part for key in keys for part in key}
    assert "wait" not in words and not any("_" in word or word.count("-") > 3 for word in words)
    assert ("remot",) not in keys and ("instanc", "nam", "turtl") not in keys


def test_numbers_of_one_kind_count_as_the_kind() -> None:
    """No text shares its CVE number with another, yet all are about CVEs."""
    assert pieces("Fixes CVE-2021-40528 in UTF-8") == [["Fixes", "CVE", "in", "UTF-8"]]


def test_a_vague_noun_may_tell_something_of_another() -> None:
    """ "Type" names nothing, "type annotations" does."""
    stubs = [f"Type annotations for {thing}, made anew." for thing in ("S3", "EC2", "SNS", "SQS")]
    others = ["The annotations of the coach.", "Annotations in the margin.", *REPORTS]
    found = described([*stubs, *others, *KITCHEN], [range(4), range(4, 14), range(14, 22)])
    assert found[0].name == "Type annotations"


def test_a_group_without_a_subject_is_called_mixed() -> None:
    """Where hardly a text has a word of the best phrase, no phrase is the name."""
    stems = [one + other for one in "bdgklmnprst" for other in "aeiou"]
    alone = [
        f"{one}{other}n it was, and {one}{other}r they {other}{one}t." for one in stems for other in stems
    ]
    chat = [*alone[:60], "The shame of it.", "What is the shame in that?"]
    found = described([*chat, *REPORTS], [range(62), range(62, 70)])
    assert found[0].name == "Mixed texts"


def test_phrases_that_differ_in_one_word_are_said_at_once() -> None:
    """What is lost and what is stolen, with the thing said once."""
    texts = [
        *["My phone was stolen", "Someone has stolen my phone", "my phone got stolen today"] * 3,
        *["I have lost my phone", "Where do I report that I lost my phone?"] * 3,
        *["How do I change my PIN?", "I want to change my PIN please", "Can I change the PIN?"] * 3,
    ]
    found = [one.name for one in described(texts, [range(15), range(15, 24)])]
    assert found == ["Stolen or lost phone", "Change PIN"]


def test_a_subject_stands_in_its_place() -> None:
    """Texts that say "in Iraq" are about a war there, not about a war and Iraq."""
    war = [
        "Troops killed three militants in Iraq on Monday.",
        "A bomb killed two soldiers in Iraq, the army said.",
        "The war in Iraq goes on, and fighting killed civilians.",
        "Soldiers came under attack near the border in Iraq.",
        "Insurgents attacked a convoy of troops.",
        "The militants fired on soldiers in Iraq.",
    ]
    texts = [*war, *REPORTS, *KITCHEN]
    found = described(texts, [range(6), range(6, 14), range(14, 22)], embed=StaticVectors.load().embed)
    assert found[0].name == "War in Iraq"


@pytest.mark.parametrize("name", ["banking_intents", "news_topics"])
def test_the_order_of_the_rows_changes_no_name(shared_data: Path, name: str) -> None:
    """The same groups of shuffled rows have the same names, criteria and keywords."""
    texts = pd.read_csv(shared_data / f"{name}.csv").text.tolist()[:500]
    vectors = StaticVectors.load()
    groups = cluster(vectors.embed(texts)).groups
    order = random.Random(7).sample(range(len(texts)), len(texts))
    place = {row: new for new, row in enumerate(order)}
    shuffled = [[place[row] for row in group][::-1] for group in groups]
    again = described([texts[row] for row in order], shuffled, embed=vectors.embed)
    assert again == described(texts, groups, embed=vectors.embed)


def test_headings_are_short_distinct_and_in_sentence_case() -> None:
    """Each with words that describe it; one capital but for proper names and acronyms."""
    names = [heading for heading, _ in listed()]
    assert len(set(names)) == len(names) > 150
    for heading, words in listed():
        assert heading[0].isupper() and len(heading.split()) <= 4 and words.strip()


NOISE = [
    *("<b>", "</b>", "&amp;", "quot;", "#39;", "https://a.example/b?c=d", "www.x.org/y", "jane@mail.example"),
    *("<a href='http://a.example'>", "&lt;p&gt;", "[here](https://a.example)", "@someone", "amp;"),
]
WORDS = "oil price court trial storm coast team match loan bank film actor rose hit won".split()  # noqa: SIM905


@pytest.mark.checklist("N12")
@pytest.mark.parametrize("seed", range(30))
def test_no_name_has_markup_and_no_two_are_equal(seed: int) -> None:
    """Whatever words and markup come together: no markup, no address, no duplicate, never empty."""
    draw = random.Random(seed)
    drawn = [draw.choices(WORDS + NOISE, k=draw.randint(1, 12)) for _ in range(draw.randint(4, 24))]
    texts = ["The " + " ".join(words) for words in drawn]
    groups = [range(0, len(texts), 2), range(1, len(texts), 2)]
    found = described(texts, groups, embed=StaticVectors.load().embed)
    names = [one.name for one in found]
    assert len(set(names)) == len(names) and all(names)
    for one in found:
        said = " ".join([one.name, *one.keywords])
        assert not re.search(r"[<>;#@/]|&\w|quot|amp|http|www|example|href", said), said


def test_names_share_no_word_and_respect_those_that_are_taken() -> None:
    """A word that another concept goes by is not used again while a group has others."""
    texts = (
        ["The oil price rose. Oil prices hurt the economy."] * 4
        + ["The court heard the trial. The trial of the bank began in court."] * 4
        + ["A storm hit the coast. The storm left the coast in ruins."] * 4
    )
    groups = [range(4), range(4, 8), range(8, 12)]
    found = [one.name for one in described(texts, groups)]
    assert found[0].startswith("Oil price") and "torm" in found[2]
    for one, other in combinations(found, 2):
        assert not {stem(w) for w in one.split()} & {stem(w) for w in other.split()} - {"and", "the"}
    again = [one.name for one in described(texts, groups, taken=["Storm"])]
    assert "torm" not in again[2] and again[2] != found[2]


def test_requests_are_named_by_what_they_ask() -> None:
    """Verb and object where people ask; what happened to a thing, as it stands before the noun."""
    texts = [
        *["How do I change my PIN?", "I want to change my PIN please", "Can I change the PIN?"] * 2,
        *["My phone was stolen", "Someone has stolen my phone", "my phone got stolen today"] * 2,
    ]
    found = [one.name for one in described(texts, [range(6), range(6, 12)])]
    assert found == ["Change PIN", "Stolen phone"]


def test_proper_names_keep_their_capitals() -> None:
    """Spelled as inside a sentence: NASA, New York, oil; and whole: no "York", no "Exchange Commission"."""
    texts = [
        "Today the shuttle of NASA flew over New York again.",
        "They saw NASA in New York, said the Securities and Exchange Commission.",
        "Now NASA and the Securities and Exchange Commission move to New York.",
    ]
    read = read_phrases(texts)
    keys = set(read.phrases)
    assert ("new", "york") in keys and ("york",) not in keys
    assert ("securit", "exchang", "commission") in keys and ("exchang", "commission") not in keys
    assert read.words.spelling("nasa") == "NASA" and read.words.spelling("Oil") == "oil"


def test_words_of_a_text_in_runs() -> None:
    """Possessives, brackets and full stops end a run; ampersands and commas do not."""
    assert pieces("Microsoft's MSN (beta) sells AT&T phones. Johnson & Johnson, too") == [
        ["Microsoft"],
        ["MSN"],
        ["beta"],
        ["sells", "AT&T", "phones"],
        ["Johnson", "&", "Johnson", ",", "too"],
    ]


@pytest.mark.parametrize("texts", [["the of and"] * 3, ["..."] * 2, ["寿司が好き"] * 3, ["a"]])
def test_texts_without_phrases_still_have_a_name(texts: list[str]) -> None:
    """Never empty, never an error."""
    (found,) = described(texts, [range(len(texts))])
    assert found.name and found.criterion.endswith("?")


@pytest.mark.checklist("N12")
def test_points_quotes_and_names_come_from_clean_texts() -> None:
    """The whole pipeline without a model: markup in the texts reaches no name, keyword, point or quote."""
    texts = [
        f"LONDON (Reuters) - &lt;b&gt;The {a} of {b} quot;rose quot;&lt;/b&gt; {n} times, it #39;s said."
        for n in range(12)
        for a, b in (("price", "crude oil"), ("court", "human rights"), ("score", "the football team"))
    ]
    points = concepts(texts, stage="distill", progress=False)
    assert not points.point.str.contains("quot|#39|lt;|Reuters").any()
    made = concepts(texts, progress=False)
    for concept in made:
        assert not MARKUP.search(" ".join([concept.name, *concept.keywords, concept.criterion]))
        assert all(not MARKUP.search(quote) for quote in made.quotes(concept.name))
        marks = [s.highlight for s in made.column(concept.id).scores if s is not None and s.highlight]
        assert all(any(mark in text for text in texts) for mark in marks)


@pytest.mark.checklist("N12")
def test_a_model_names_a_concept_in_one_call() -> None:
    """Quotes and the other names go out, a heading comes back; locked concepts keep theirs; undo works."""
    with Server(answer=answer) as server:
        spec = BackendSpec("custom_url", "m", "scripted", server.url)
        sessions.current().registry.add(spec)
        sessions.current().config.set("model", "scripted")
        given = {"a": "Is it about delivery?", "b": "Is it about price?", "c": "Is it about taste?"}
        made = concepts(texts(30), concepts=given, progress=False)
        made.lock("c")
        server.forget()
        made.name().result()
        asked = [request.json for request in server.requests]
    assert [kind(body) for body in asked] == ["name_concept"] * 2
    assert all("c" in body["messages"][1]["content"] for body in asked)
    assert made.names == ["About delivery", "About price", "c"]
    made.undo()
    assert made.names == ["About delivery", "b", "c"]


def test_without_a_model_names_come_from_the_documents() -> None:
    """The same job gives phrases of the matching documents, and asks nobody."""
    made = concepts(texts(60), concepts={"x": "parcel courier late delivery"}, progress=False)
    made.name().result()
    assert made.names != ["x"] and made.names[0][0].isupper()
