"""Versions of label definitions: as JSON in the store, as Markdown and TOML in files; what differs."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.core.types import Choice
from llm_magics.store.codebooks import StoredScore, StoredVersion


@dataclass(frozen=True)
class Version:
    """A version of a codebook: its number, when and by whom and why, its labels, how well it did."""

    number: int
    at: float
    author: str
    reason: str
    labels: tuple[Choice, ...]
    scores: tuple[StoredScore, ...] = ()

    @property
    def date(self) -> str:
        """When it was written, in UTC."""
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(self.at))

    @property
    def body(self) -> str:
        """The labels as the body of a ``%%llm label`` cell."""
        return body(self.labels)


def read_version(stored: StoredVersion, scores: Sequence[StoredScore]) -> Version:
    """A stored version with its own scores."""
    own = tuple(score for score in scores if score.number == stored.number)
    return Version(stored.number, stored.at, stored.author, stored.reason, unpacked(stored.labels), own)


def packed(labels: Sequence[Choice]) -> str:
    """Labels as JSON; equal definitions are equal texts."""
    return json.dumps(
        [
            {
                "name": choice.name,
                "description": choice.description,
                "examples": list(choice.examples),
                "counterexamples": list(choice.counterexamples),
            }
            for choice in labels
        ],
        ensure_ascii=False,
    )


def unpacked(text: str) -> tuple[Choice, ...]:
    """The labels of a JSON text."""
    return tuple(
        Choice(one["name"], one["description"], tuple(one["examples"]), tuple(one["counterexamples"]))
        for one in json.loads(text)
    )


def body(labels: Sequence[Choice]) -> str:
    """Labels as the body of a ``%%llm label`` cell."""
    return "\n".join(line for choice in labels for line in _lines(choice))


def _lines(choice: Choice) -> Iterator[str]:
    yield f"{choice.name}: {choice.description}" if choice.description else choice.name
    yield from (f"  + {_flat(text)}" for text in choice.examples)
    yield from (f"  - {_flat(text)}" for text in choice.counterexamples)


def _flat(text: str) -> str:
    return " ".join(text.split())


def difference(old: Version, new: Version) -> str:
    """What changed from one version to another, a line a definition or example."""
    found = changed(old.labels, new.labels, f"version {old.number}", f"version {new.number}")
    return found or f"versions {old.number} and {new.number} are the same"


def changed(
    old: Sequence[Choice], new: Sequence[Choice], before: str = "in use", after: str = "proposed"
) -> str:
    """The lines that differ, ``-`` before and ``+`` after; empty where there are none."""
    lines = difflib.unified_diff(
        body(old).splitlines(), body(new).splitlines(), before, after, lineterm="", n=0
    )
    return "\n".join(line for line in lines if not line.startswith("@@"))


def markdown(book: str, versions: Sequence[Version], chosen: int) -> str:
    """A codebook for people: each version's definitions, history and scores, the newest first."""
    parts = [f"# Codebook: {_md(book)}", f"In use: version {chosen}."]
    for version in reversed(versions):
        parts.append(f"## Version {version.number}")
        parts.append(f"{version.date} UTC, {_md(version.author)}: {_md(version.reason)}")
        for choice in version.labels:
            parts.append(
                f"- **{_md(choice.name)}**" + (f": {_md(choice.description)}" if choice.description else "")
            )
            parts += [f"    - for example: {_md(text)}" for text in choice.examples]
            parts += [f"    - but not: {_md(text)}" for text in choice.counterexamples]
        if version.scores:
            parts.append(
                "| model | gold rows | which | accuracy | 95% | Cohen's kappa |\n|---|---|---|---|---|---|"
            )
            parts[-1] += "".join(f"\n| {' | '.join(map(_md, _score(score)))} |" for score in version.scores)
    return "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("\n\n    - ", "\n    - ") + "\n"


def _score(score: StoredScore) -> tuple[str, ...]:
    kappa = "" if score.kappa is None else f"{score.kappa:.2f}"
    ends = f"{score.low:.3f} to {score.high:.3f}"
    return (score.model, f"{score.gold:,}", score.how, f"{score.accuracy:.3f}", ends, kappa)


def _md(text: str) -> str:
    """Text on one line in which Markdown and HTML mean nothing."""
    flat = _flat(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|#" else sign for sign in flat)


def toml(book: str, versions: Sequence[Version], chosen: int) -> str:
    """A codebook for programs: every version with its labels and scores."""
    import tomlkit

    return tomlkit.dumps(
        {"name": book, "in_use": chosen, "versions": [_as_table(version) for version in versions]}
    )


def _as_table(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "date": f"{version.date} UTC",
        "author": version.author,
        "reason": version.reason,
        "labels": json.loads(packed(version.labels)),
        "scores": [
            {
                "model": score.model,
                "gold_rows": score.gold,
                "which": score.how,
                "accuracy": score.accuracy,
                "low": score.low,
                "high": score.high,
                **({} if score.kappa is None else {"kappa": score.kappa}),
            }
            for score in version.scores
        ],
    }
