"""Better wording of label definitions: tried by cross-validation, kept only where it helps beyond noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Choice
from llm_magics.tasks.codebook.rewording import Disagreement, disagreements, shown
from llm_magics.tasks.codebook.versions import changed
from llm_magics.tasks.label.columns import LabelValue

FEWEST = 20
"""Gold rows without which no wording can be told from chance."""
NOISE = 0.025
"""New wording is kept where so many more rows right would come by chance less often than this (McNemar 1947,
exact and one-sided): of wordings that change nothing, no more than 1 in 40 are kept."""


@dataclass(frozen=True)
class GoldRows:
    """Texts and the labels that a person gave them."""

    texts: Sequence[str]
    labels: Sequence[LabelValue]


class Labeller(Protocol):
    """Labels texts by definitions, and proposes new definitions."""

    def label(self, texts: Sequence[str], labels: Sequence[Choice]) -> list[LabelValue | None]:
        """A label for each text; None where there is no usable answer."""

    def reword(self, labels: Sequence[Choice], prompts: Sequence[str]) -> list[tuple[Choice, ...]]:
        """New definitions for each prompt of disagreements."""


@dataclass(frozen=True)
class Improvement:
    """What an attempt at better wording came to.

    ``before`` and ``after`` are accuracies over the same ``gold`` rows, ``after`` by cross-validation: each
    row was labelled by a wording that was proposed without it. ``fixed`` rows were wrong and are right,
    ``broken`` ones the reverse; ``chance`` is how often so many more would be fixed by luck. ``kept`` says
    whether ``proposed`` became a version, ``version`` which.
    """

    labels: tuple[Choice, ...]
    proposed: tuple[Choice, ...]
    groups: Sequence[Disagreement]
    gold: int
    before: float
    after: float
    fixed: int
    broken: int
    version: int | None = None

    @property
    def chance(self) -> float:
        """How often chance alone would fix so many more rows than it breaks."""
        return by_chance(self.fixed, self.broken)

    @property
    def kept(self) -> bool:
        """Whether the new wording is better beyond noise."""
        return self.proposed != self.labels and self.chance < NOISE

    def __repr__(self) -> str:
        if not self.groups:
            return f"person and model agree on all {self.gold:,} gold rows: nothing to improve."
        said = ["Where person and model disagree:", *(f"  {group}" for group in self.groups[:12])]
        said += ["", "Proposed wording:", changed(self.labels, self.proposed), ""]
        verdict = f"Kept as version {self.version}" if self.version else "Kept" if self.kept else "Not kept"
        why = "better beyond noise" if self.kept else "not better beyond noise"
        said.append(
            f"{verdict}: accuracy {self.before:.3f} -> {self.after:.3f} on {self.gold:,} gold rows by "
            f"cross-validation, {self.fixed:,} fixed and {self.broken:,} broken (p = {self.chance:.2g}), "
            f"{why}."
        )
        return "\n".join(said)


def improvement(
    labels: Sequence[Choice], rows: GoldRows, labeller: Labeller, *, folds: int = 5, seed: int = 0
) -> Improvement:
    """Try new wording on gold rows.

    The gold rows are split into ``folds`` parts by ``seed``. For each part the labeller proposes wording from
    the disagreements on the others, and labels the part by it; one more proposal, from all disagreements, is
    what is kept or not. Raises UsageError for too few gold rows or folds.
    """
    count = len(rows.texts)
    if count < FEWEST:
        raise UsageError(
            f"{count:,} gold rows are too few to tell better wording from chance; it takes {FEWEST} or more.",
            hint="%llm sample DATA.COLUMN -N 200, and review them.",
        )
    if not 2 <= folds <= count:
        raise UsageError("folds are 2 or more.", hint="--folds 5")
    before = tuple(labels)
    given = labeller.label(rows.texts, before)
    groups = disagreements(rows.texts, rows.labels, given)
    right = [true == said for true, said in zip(rows.labels, given, strict=True)]
    if not groups:
        return Improvement(before, before, (), count, 1.0, 1.0, 0, 0)
    parts = _parts(count, folds, seed)
    wordings = _wordings(before, rows, given, [[], *parts], labeller)
    after = [False] * count
    for part, wording in zip(parts, wordings[1:], strict=True):
        answers = (
            labeller.label([rows.texts[row] for row in part], wording)
            if wording != before
            else [given[row] for row in part]
        )
        for row, said in zip(part, answers, strict=True):
            after[row] = rows.labels[row] == said
    fixed = sum(new and not old for old, new in zip(right, after, strict=True))
    broken = sum(old and not new for old, new in zip(right, after, strict=True))
    return Improvement(
        before, wordings[0], groups, count, sum(right) / count, sum(after) / count, fixed, broken
    )


def _parts(count: int, folds: int, seed: int) -> list[list[int]]:
    """The rows in parts of about equal size, by chance."""
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 - a reproducible split
    return [sorted(order[start::folds]) for start in range(folds)]


def _wordings(
    labels: tuple[Choice, ...],
    rows: GoldRows,
    given: Sequence[LabelValue | None],
    without: Sequence[Sequence[int]],
    labeller: Labeller,
) -> list[tuple[Choice, ...]]:
    """A wording for each set of rows kept apart, proposed from the disagreements on all others."""
    prompts = []
    for apart in map(set, without):
        kept = [row for row in range(len(rows.texts)) if row not in apart]
        found = disagreements(
            [rows.texts[row] for row in kept],
            [rows.labels[row] for row in kept],
            [given[row] for row in kept],
        )
        prompts.append(shown(found))
    asked = list(dict.fromkeys(prompt for prompt in prompts if prompt))
    proposed = dict(zip(asked, labeller.reword(labels, asked), strict=True))
    return [proposed.get(prompt, labels) for prompt in prompts]


def by_chance(fixed: int, broken: int) -> float:
    """The chance that of the changed rows so many or more are fixed, were both as likely."""
    changes = fixed + broken
    ways = sum(math.comb(changes, hits) for hits in range(fixed, changes + 1))
    return float(Fraction(ways, 2**changes))
