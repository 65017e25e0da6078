"""Texts as a person would read them aloud, and what must stay as it is."""

from __future__ import annotations

import re

import pytest

from llm_magics.text.cleaning import clean, clean_texts, unescaped

WORDS = ("one", "two", "three", "four", "five", "six")


@pytest.mark.checklist("N12")
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a quot;real quot; talk, it #39;s on", 'a "real" talk, it\'s on'),
        ("the result; a halt; AT&T &amp; co, Merck amp; Co.", "the result; a halt; AT&T & co, Merck & Co."),
        ("1 &amp;lt; 2", "1 < 2"),
        ('Co. &lt;A HREF="http://x.com/q?t=MON.N"&gt;MON.N&lt;/A&gt; rose', "Co. rose"),
        ("<p>One <b>two</b></p><script>let a = 1</script>", "One two"),
        ("see https://a.example/b?c=d or www.x.org/y now", "see or now"),
        ("write to jane.doe@mail.example.com, please", "write to, please"),
        ("LONDON (Reuters) - Oil rose.", "Oil rose."),
        ("NEW YORK, Aug. 4 (AP) -- Oil rose.", "Oil rose."),
        ("Reuters - Oil rose.", "Oil rose."),
        ("BAGHDAD, Iraq - Two bombs", "Two bombs"),
        ("## Head\n* one **bold** [link](https://x.y/z) ![img](a.png)", "Head\none bold link img"),
        ("Profit rose. (NYSE: ABC) All rights reserved.", "Profit rose."),
        ("Nice.\nUnsubscribe", "Nice."),
        ("a #hashtag for @somebody", "a hashtag for"),
    ],
)
def test_what_nobody_reads_aloud_is_gone(text: str, read: str) -> None:
    """Markup, entities whole and broken, addresses, datelines, tickers, boilerplate."""
    assert clean(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "I want to unsubscribe from the privacy policy.",
        "a < b and c > d",
        "Well - that was it.",
        "snake_case and 2 * 3 * 4 stay",
        "Übergröße 寿司が好き。",
        "It costs $5; that's fine.",
        "",
    ],
)
def test_plain_text_stays(text: str) -> None:
    """Cleaning takes nothing from a text that has nothing to clean; and cleaning twice is cleaning once."""
    assert clean(text) == text


@pytest.mark.checklist("N12")
def test_what_many_texts_share_word_for_word_is_no_topic() -> None:
    """A source before a dash, and a sentence that stands in many texts, whatever its numbers."""
    texts = [
        f"PC World - Story {word} is told. Call 555-{n} for the whole edition today."
        for n, word in enumerate(WORDS)
    ]
    assert clean_texts(texts) == [f"Story {word} is told." for word in WORDS]
    same = ["The very same text in every row."] * 5
    assert clean_texts(same) == same


@pytest.mark.checklist("N12")
def test_the_news_set_has_no_markup_left(shared_data: object) -> None:
    """No entity, tag, address or agency at the start in a thousand news texts."""
    import pandas as pd

    texts = pd.read_csv(f"{shared_data}/news_topics.csv").text.tolist()
    left = re.compile(
        r"quot;|#\d+;|\b[lg]t;|https?:|www\.|href|fullquote|^(?:Reuters|AP|AFP) -", re.IGNORECASE
    )
    assert sum(bool(left.search(text)) for text in texts) > 150
    assert [text for text in clean_texts(texts) if left.search(text)] == []


def test_entities() -> None:
    """Named, numbered, escaped twice."""
    assert unescaped("&eacute; &#233; &amp;eacute; caf&#xe9;") == "é é é café"
