"""A real chat model labels by continuing an answer that the prompt has begun."""

from pathlib import Path

import pandas as pd
import pytest

from llm_magics import label
from llm_magics.runs import session as sessions

REVIEWS = {
    "An utterly wonderful film, I loved every minute.": "positive",
    "A dull and lifeless mess from start to finish.": "negative",
    "Brilliant acting and a moving story.": "positive",
    "The worst thing I have seen this year.": "negative",
    "Charming, funny and beautifully shot.": "positive",
    "Boring, badly written and far too long.": "negative",
}


@pytest.mark.checklist("Q1")
def test_a_chat_model_continues_a_begun_answer(smollm_gguf: Path) -> None:
    """Its labels are right where they are easy, whichever way round the list is, and the manifest tells the form."""
    frame = pd.DataFrame({"text": list(REVIEWS)})
    found = [
        label(frame, names, on="text", model=f"gguf::{smollm_gguf}", prior="none", progress=False)
        for names in (["positive", "negative"], ["negative", "positive"])
    ]
    assert found[0]["label"].tolist() == found[1]["label"].tolist() == list(REVIEWS.values())
    manifest = found[0].attrs["llm_magics"]
    assert manifest["prompt_form"] == "begun_answer"
    assert manifest["bias"]["sentences"] == 24
    prompt = next(sessions.current().last.prompts())
    assert [turn["role"] for turn in prompt] == ["system", "user", "assistant"]
    assert prompt[-1]["content"] == "Category:"
