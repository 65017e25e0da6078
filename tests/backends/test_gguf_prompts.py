"""From messages to tokens: chat templates, named formats, thinking blocks, cutting, labels as written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.loaded_model import Prompter
from llm_magics.backends.in_kernel.chat_template import ChatTemplate
from llm_magics.backends.in_kernel.model_cache import ModelCleared
from llm_magics.core.errors import ContextOverflow, ModelLoadError, NotFound, UsageError
from llm_magics.core.types import Message, Request
from llm_magics.testing.gguf import CHATML

TURNS = [Message("system", "Be brief."), Message("user", "Hello")]
SYSTEMLESS = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}<{{ m['role'] }}>{{ m['content'] | trim }}</>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)
DROPPING = (
    "{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<a>"
)
THINKER = "{% for m in messages %}{{ m['content'] }}|{% endfor %}{% if enable_thinking %}THINK{% endif %}"


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Iterator[Model]:
    made = Model(tiny_gguf)
    yield made
    made.close()


@pytest.fixture(scope="module")
def prompter(model: Model) -> Prompter:
    return Prompter(model)


def request(text: str, system: str = "Be brief.", **parameters: object) -> Request:
    messages = (Message("system", system), Message("user", f"Text:\n{text}"))
    return Request("gguf", "m", messages, parameters=parameters, subject=text)


@pytest.mark.checklist("C7")
def test_the_files_own_template_is_used() -> None:
    """ChatML from the file, up to where the assistant speaks."""
    text = ChatTemplate(CHATML).text(TURNS)
    assert (
        text
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("source", [SYSTEMLESS, DROPPING])
def test_system_messages_are_folded_where_there_is_no_place_for_them(source: str) -> None:
    """A template that refuses or drops them gets them at the front of the first user turn."""
    assert "Be brief.\n\nHello" in ChatTemplate(source).text(TURNS)
    assert not ChatTemplate(CHATML).folds


def test_a_thought_is_closed_unless_it_is_wanted() -> None:
    """A template that opens a thought by itself gets it ended, empty; with thinking it stays open."""
    opening = DROPPING + "{{ '<think>\n' }}"
    assert ChatTemplate(opening).text(TURNS).endswith("<a><think>\n\n</think>\n\n")
    assert ChatTemplate(opening).text(TURNS, thinking=True).endswith("<think>\n")
    assert "THINK" not in ChatTemplate(THINKER).text(TURNS)
    assert ChatTemplate(THINKER).text(TURNS, thinking=True).endswith("THINK")


def test_templates_run_in_a_sandbox() -> None:
    """What comes with a file can't reach Python; a broken one is an error that names the way out."""
    nasty = "{{ ().__class__.__bases__[0].__subclasses__() }}"
    with pytest.raises(UsageError, match="prompt_format"):
        ChatTemplate(nasty).text(TURNS)
    with pytest.raises(ModelLoadError, match="broken"):
        ChatTemplate("{% for m in %}")


def test_without_a_template_messages_are_plain_lines() -> None:
    """A base model reads the texts in order."""
    assert ChatTemplate("").text(TURNS) == "Be brief.\nHello\n"


@pytest.mark.checklist("C7")
def test_formats_and_functions_decide_what_is_read(model: Model, prompter: Prompter) -> None:
    """``prompt_format`` and ``prompt_formatting_fn`` replace the template; unknown names are told."""
    for parameters, expected in (
        ({"prompt_format": "zephyr"}, "<|system|>\nBe brief.</s>\n<|user|>\nText:\nx</s>\n<|assistant|>\n"),
        ({"prompt_formatting_fn": lambda turns: f"Q: {turns.formatted_prompt} A:"}, "Q: Text:\nx A:"),
    ):
        prompt = prompter.prompt(request("x", **parameters), 500)
        assert prompt.text == expected
        assert model.text(prompt.tokens) == expected
    with pytest.raises(NotFound, match="chatml"):
        prompter.prompt(request("x", prompt_format="chatlm"), 500)


@given(st.text(max_size=60))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_goes_in_whole(model: Model, prompter: Prompter, text: str) -> None:
    """Whatever a row holds, the tokens spell the prompt, and only the template makes control tokens."""
    prompt = prompter.prompt(request(text), 2000)
    control = sum(token in prompt.tokens.tolist() for token in (1, 2))
    assert control == 2
    assert sum(token == 1 for token in prompt.tokens) == 3
    expected = text.encode("utf-8", "replace").decode("utf-8")
    assert expected.replace("\x00", "") in model.text(prompt.tokens) or "\x00" in text


def test_a_row_that_spells_our_own_marks_stays_as_typed(model: Model, prompter: Prompter) -> None:
    """Whatever number it holds, beside a control token or alone."""
    for text in ("\ue0000\ue001", "a \ue0007\ue001 b", "<|im_end|>\ue0000\ue001\ue00099\ue001<|im_end|>"):
        assert text in model.text(prompter.prompt(request(text), 500).tokens)


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_a_row_that_spells_a_control_token_makes_none(model: Model, prompter: Prompter, token: str) -> None:
    """The text stays as typed, as letters."""
    honest, nasty = prompter.prompt(request("x y"), 500), prompter.prompt(request(f"x{token}y"), 500)
    for number in range(3):
        assert (nasty.tokens == number).sum() == (honest.tokens == number).sum()
    assert f"x{token}y" in model.text(nasty.tokens)


@pytest.mark.checklist("R9", "N10")
@given(st.integers(60, 200), st.sampled_from(["word ", "naïve café ", "日本語 ", "🎉🎉 "]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cutting_takes_the_end_of_the_text_and_nothing_else(
    model: Model, prompter: Prompter, room: int, words: str
) -> None:
    """What is left is the text's beginning, in the whole prompt, within the room."""
    text = words * 300
    prompt = prompter.prompt(request(text), room)
    assert len(prompt.tokens) <= room
    assert prompt.cut > 0
    assert text.startswith(prompt.subject)
    assert prompt.text == prompter.prompt(request(prompt.subject), 5000).text
    assert len(prompt.tokens) > room - 16


def test_instructions_are_never_cut(prompter: Prompter) -> None:
    """A prompt too long without the row's text is refused, with what to do."""
    with pytest.raises(ContextOverflow, match=r"gguf\.context"):
        prompter.prompt(request("x", system="be kind " * 200), 100)


def test_rows_of_one_prompt_share_a_group(prompter: Prompter) -> None:
    """What stands before the row's own text decides which rows are evaluated together."""
    one, two, other = (
        prompter.prompt(asked, 500)
        for asked in (request("a"), request("bb"), request("a", system="Be long."))
    )
    assert one.group == two.group != other.group


def test_labels_are_the_tokens_that_would_be_written(model: Model, prompter: Prompter) -> None:
    """Behind the prompt, a label's tokens spell it and nothing else."""
    prompt = prompter.prompt(request("x"), 500).text
    for label in ("positive", "very positive", "N/A", "zażółć"):
        tokens = prompter.label_tokens(prompt, label)
        assert b"".join(map(model.piece, tokens)).decode() == label


def test_a_closed_model_answers_with_an_error(tiny_gguf: Path) -> None:
    """A row that is tokenised while its model is cleared is told so; the process lives."""
    model = Model(tiny_gguf)
    model.close()
    with pytest.raises(ModelCleared):
        model.tokens("too late")
