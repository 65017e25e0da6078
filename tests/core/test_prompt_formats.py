"""Named prompt formats and the user's formatting function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.prompt_formats import (
    FORMATS,
    FormattingFn,
    Prompt,
    as_messages,
    fingerprint,
    prompt_of,
    render_format,
)
from llm_magics.core.types import Message, Request

TURN = (Message("system", "Be kind."), Message("user", "Hi {x}"))


def ask(messages=TURN, **parameters):
    return Request("custom", "m", tuple(messages), parameters=parameters)


@pytest.mark.checklist("C7")
@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("default", "Be kind.\nHi {x}"),
        ("openai", TURN),
        ("llama2", "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi {x} [/INST]"),
        (
            "chatml",
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi {x}<|im_end|>\n<|im_start|>assistant\n",
        ),
        ("zephyr", "<|system|>\nBe kind.</s>\n<|user|>\nHi {x}</s>\n<|assistant|>\n"),
        ("notus", "<|system|>\nBe kind.</s>\n<|user|>\nHi {x}</s>\n<|assistant|>\n"),
    ],
)
def test_each_name_is_the_text_its_models_were_trained_on(name, sent):
    """Every format of distilabel's list renders one turn with its markers."""
    assert prompt_of(ask(prompt_format=name)) == sent


def test_without_a_format_messages_stay_messages():
    """No parameter: the model's own chat template decides."""
    assert prompt_of(ask()) == TURN


def test_several_turns_keep_their_order():
    """An earlier answer stands between its question and the next one."""
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    assert render_format("llama2", turns) == "<s>[INST] a [/INST] b </s><s>[INST] c [/INST]"
    assert render_format("chatml", turns).count("<|im_start|>") == 4


def test_an_unknown_format_names_the_near_one():
    """A typing slip is answered with the format meant."""
    with pytest.raises(NotFound, match="zephyr"):
        prompt_of(ask(prompt_format="zefyr"))


@pytest.mark.checklist("C7", "D1")
def test_the_function_decides_over_the_name():
    """What prompt_formatting_fn returns is what is sent, messages or text."""
    assert (
        prompt_of(ask(prompt_format="llama2", prompt_formatting_fn=lambda p: "Q: " + p[-1]["content"]))
        == "Q: Hi {x}"
    )
    reversed_ = prompt_of(ask(prompt_formatting_fn=lambda p: [*p][::-1]))
    assert reversed_ == TURN[::-1]
    assert as_messages("raw") == (Message("user", "raw"),)


def test_the_function_sees_distilabel_s_two_names():
    """system_prompt and formatted_prompt hold one turn's texts, format_as the named formats."""
    seen = {}

    def look(prompt: Prompt):
        seen.update(system=prompt.system_prompt, text=prompt.formatted_prompt)
        return prompt.format_as("zephyr")

    assert prompt_of(ask(prompt_formatting_fn=look)) == render_format("zephyr", TURN)
    assert seen == {"system": "Be kind.", "text": "Hi {x}"}


@pytest.mark.parametrize("answer", [None, 3, [], [{"role": "user"}], {"role": "user"}])
def test_a_function_that_returns_no_prompt_is_told_so(answer):
    """Nothing is sent for a function that forgot its return."""
    with pytest.raises(UsageError, match="no prompt"):
        prompt_of(ask(prompt_formatting_fn=lambda p: answer))


def test_what_is_no_function_is_refused():
    """A text in the function's place is said to be one."""
    with pytest.raises(UsageError, match="not a function"):
        prompt_of(ask(prompt_formatting_fn="llama2"))


def _compiled(source, line=0):
    space = {}
    exec(compile("\n" * line + source, "cell", "exec"), space)
    return space["f"]


def test_a_key_changes_with_the_function_and_only_with_it():
    """The same code typed in another cell is the same request, other code another one."""
    one, moved = _compiled("def f(p):\n  return p"), _compiled("def f(p):\n  return p", line=40)
    other, constant = _compiled("def f(p):\n  return p[0]"), _compiled("def f(p):\n  return 'x'")
    keys = [ask(prompt_formatting_fn=FormattingFn(f)).key for f in (one, moved, other, constant)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert fingerprint(len) == fingerprint(len) != fingerprint(max)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1))
def test_no_format_loses_a_user_s_text(turns):
    """Whatever the texts hold, every user turn is in what is sent, in order."""
    messages = [Message(*turn) for turn in turns]
    for name in FORMATS:
        rendered = render_format(name, messages)
        text = rendered if isinstance(rendered, str) else "".join(m.content for m in rendered)
        at = 0
        for role, content in turns:
            if role == "user":
                at = text.index(content, at)
