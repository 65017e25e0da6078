"""Summaries and translations."""

from __future__ import annotations

import pytest

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import Response
from llm_magics.engine.task import Target
from llm_magics.tasks.generate.task import summary, translation, word_count

TARGET = Target("openai", "m")


@pytest.mark.checklist("G4")
def test_a_summary_says_its_length_and_focus() -> None:
    """And the row's text stands alone in the user's message."""
    task = summary("text", "summary", 20, "money")
    request = task.request({"text": "A long {text}."}, TARGET)
    assert "at most 20 words" in request.messages[0].content and "money" in request.messages[0].content
    assert request.messages[1].content == "A long {text}."
    assert task.request({"text": None}, TARGET) is None


@pytest.mark.checklist("G4")
def test_a_summary_that_is_too_long_is_asked_to_be_shorter_once() -> None:
    """Then it is kept whole, and the status says so."""
    task = summary("text", "summary", 3)
    request = task.request({"text": "x"}, TARGET)
    long = Response(text="one two three four")
    with pytest.raises(AnswerError, match="4 words, at most 3") as raised:
        task.parse(request, long)
    again = task.reask(request, long, raised.value)
    assert task.parse(again, long).status == "repaired"
    assert task.parse(again, Response(text="one two three")).values == {"summary": "one two three"}


def test_words_are_counted_in_scripts_without_spaces() -> None:
    """Two characters a word, a known rule of thumb for Chinese and Japanese."""
    assert word_count("one two-three") == 2
    assert word_count("日本語です") == 3


@pytest.mark.checklist("G4")
def test_a_translation_names_its_language() -> None:
    """The text is material, not an instruction."""
    request = translation("text", "german", "German").request({"text": "Say hi"}, TARGET)
    assert "into German" in request.messages[0].content
    assert request.messages[-1].content == "Say hi"
