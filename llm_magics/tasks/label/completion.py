"""The label prompt of a local model that computes label probabilities: it ends where the label would stand.

A model without a chat template is given a text, a chat model a conversation whose answer is begun.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_magics.core.types import Choice, Message


def completion(
    choices: Sequence[Choice], guidance: str, examples: Sequence[tuple[str, str | Sequence[str]]], text: str
) -> tuple[Message, ...]:
    """The prompt as messages that are joined by line ends; the last one is ``Category:``.

    What all rows share comes first, so that it is evaluated once. Measured on labelled sets with a base
    model of 270M parameters in docs/benchmarks/quality.md.
    """
    head = Message("system", _categories(choices, guidance))
    shown = [turn for example, label in examples for turn in _pair(example, str(label))]
    return (head, *shown, Message("user", f"Text: {text}"), Message("assistant", "Category:"))


def begun_answer(
    choices: Sequence[Choice], guidance: str, examples: Sequence[tuple[str, str | Sequence[str]]], text: str
) -> tuple[Message, ...]:
    """The conversation whose last message, ``Category:``, is the beginning of the model's answer.

    Measured with two chat models in docs/benchmarks/quality.md.
    """
    aim = "Choose the category that fits the text best."
    refused = [
        f"Not {choice.name}: {' '.join(example.split())}"
        for choice in choices
        for example in choice.counterexamples
    ]
    return completion(choices, "\n".join([aim, *filter(None, [guidance]), *refused]), examples, text)


def _pair(text: str, label: str) -> tuple[Message, Message]:
    return Message("user", f"Text: {text}"), Message("assistant", f"Category: {label}")


def _categories(choices: Sequence[Choice], guidance: str) -> str:
    names = f"Categories: {', '.join(choice.name for choice in choices)}."
    meanings = [f"{choice.name}: {choice.description}" for choice in choices if choice.description]
    pairs = [
        turn.content
        for choice in choices
        for example in choice.examples
        for turn in _pair(" ".join(example.split()), choice.name)
    ]
    return "\n".join([*([guidance] if guidance else []), *meanings, names, *pairs])
