"""Parsing labels as users write them: a cell body, a list, a mapping, a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Choice
from llm_magics.data.templates import is_null
from llm_magics.text.label_names import fold_name


def parse_choices(body: str) -> tuple[Choice, ...]:
    """A body of ``name: description`` lines; ``+ text`` and ``- text`` under one are examples.

    Blank lines and lines that start with ``#`` are ignored, as are the bullets of a list. Raises
    UsageError for an example without a label, and as ``choices`` does.
    """
    found: list[Choice] = []
    for number, line in enumerate(_without_bullets(body.splitlines()), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text[:2] in ("+ ", "- ") or text in ("+", "-"):
            if not found:
                raise UsageError(f"line {number}: an example stands before any label.", hint=_HOW)
            found[-1] = _with_example(found[-1], text[0], text[1:].strip(), number)
        else:
            found.append(_labelled(text, number))
    return _checked(found)


_BULLETS = ("- ", "* ", "\u2022 ")


def _without_bullets(lines: list[str]) -> list[str]:
    """The lines without the bullet of a Markdown list: one that all lines at the margin begin with."""
    margin = [line for line in lines if line.strip() and not line[0].isspace() and line[0] != "#"]
    bullet = next((each for each in _BULLETS if all(line.startswith(each) for line in margin)), "")
    return [line.removeprefix(bullet) for line in lines] if margin else lines


MOST = 1000
"""The most labels: OpenAI's JSON schemas take no more, and no prompt with more is read with care."""

_HOW = 'One "name: description" a line; under it "+ text" is an example, "- text" a near miss.'


def _with_example(choice: Choice, sign: str, text: str, number: int) -> Choice:
    if not text:
        raise UsageError(f"line {number}: the example is blank.", hint=_HOW)
    if sign == "+":
        return replace(choice, examples=(*choice.examples, text))
    return replace(choice, counterexamples=(*choice.counterexamples, text))


def _labelled(text: str, number: int) -> Choice:
    name, _, description = text.partition(":")
    if not name.strip():
        raise UsageError(f"line {number}: a label without a name.", hint=_HOW)
    return Choice(name.strip(), description.strip())


def choices(labels: Any) -> tuple[Choice, ...]:
    """Choices from ``name: description`` text, a list of names, a mapping name -> description, or Choices.

    Raises UsageError where there are fewer than two, or one is missing, blank or given twice.
    """
    if isinstance(labels, str):
        return parse_choices(labels)
    if isinstance(labels, Mapping):
        _refuse_null(labels)
        return _checked([Choice(str(name).strip(), str(text or "").strip()) for name, text in labels.items()])
    if not isinstance(labels, Iterable):
        raise UsageError(
            f"labels were given as a {type(labels).__name__}.", hint="A list, a mapping or a text."
        )
    labels = list(labels)
    _refuse_null(labels)
    return _checked([item if isinstance(item, Choice) else Choice(str(item).strip()) for item in labels])


def _refuse_null(labels: Iterable[Any]) -> None:
    """Raises UsageError where a null is among the labels."""
    null = next((label for label in labels if is_null(label)), labels)
    if null is not labels:
        raise UsageError(
            f"{null!r} is among the labels; it is no label.",
            hint="Leave it out. A label for texts that fit none of the others: --none NAME.",
        )


def distinct(values: Iterable[Any]) -> list[Any]:
    """The labels that occur in a column, in order of appearance, without nulls.

    Numbers and truth values stay such, anything else is text.
    """
    found = (_as_given(value) for value in values if not is_null(value))
    return list({(type(value), value): value for value in found}.values())


def typed_values(labels: Any) -> dict[str, int | float | bool]:
    """The labels that were given as numbers or truth values, by name.

    Raises UsageError where two are equal but spelt differently, such as 1 and True.
    """
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        return {}
    plain = (_as_given(label) for label in labels if not isinstance(label, Choice))
    found = {str(value): value for value in plain if not isinstance(value, str)}
    if len(set(found.values())) < len(found):
        names = ", ".join(found)
        raise UsageError(
            f"some of the labels {names} are equal numbers.", hint="Give each label one value of its own."
        )
    return found


def _as_given(value: Any) -> Any:
    """A label as a Python number or truth value, if it is one, else as text."""
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, bool | int | float) else str(value)


def _checked(found: list[Choice]) -> tuple[Choice, ...]:
    if any(not choice.name for choice in found):
        raise UsageError("a label is blank.", hint=_HOW)
    if len(found) < 2:
        given = f"only {found[0].name!r}" if found else "none"
        several = [part.strip(" \"'[]") for part in found[0].name.split(",")] if found else []
        hint = f"{_HOW}\nAll on one line: --labels {','.join(several)}" if len(several) > 1 else _HOW
        raise UsageError(f"labels are missing: {given} given, two or more are needed.", hint=hint)
    if len(found) > MOST:
        raise UsageError(
            f"{len(found):,} labels; at most {MOST:,} can be told apart.",
            hint="Is it the column of the labels?",
        )
    seen: dict[str, str] = {}
    often = Counter(choice.name for choice in found)
    for choice in found:
        twin = seen.setdefault(fold_name(choice.name), choice.name)
        if twin != choice.name or often[twin] > 1:
            same = "stands twice" if twin == choice.name else f"and {twin!r} can't be told apart in an answer"
            raise UsageError(
                f"the label {choice.name!r} {same}.", hint="Give each label one name of its own."
            )
    return tuple(found)
