"""Codebooks: versions that stay, their scores, and wording that is kept only where it helps."""

from __future__ import annotations

import json
import random
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llm_magics import codebook, label, review
from llm_magics.backends.registry import create
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec, Choice
from llm_magics.runs import session as sessions
from llm_magics.tasks.codebook.improvement import GoldRows, by_chance, improvement
from llm_magics.tasks.codebook.rewording import disagreements, shown
from llm_magics.testing import Server
from tests.kernels import kernel

OLD = {"sport": "about sport", "money": "about money"}
BETTER = {"sport": "BETTER: also clubs", "money": "about money"}


class Scripted:
    """A labeller that is right on 75% of the rows, and heeds definitions that hold the word BETTER.

    Where these help, half of the wrong rows become right, and 3% of the right ones wrong; where they don't,
    the errors are others, and as many.
    """

    def __init__(self, seed: int, rows: GoldRows, *, helps: bool) -> None:
        self.gold = dict(zip(rows.texts, rows.labels, strict=True))
        self.seed, self.helps = seed, helps
        self.prompts: list[str] = []

    def label(self, texts: Sequence[str], labels: Sequence[Choice]) -> list[Any]:
        better = "BETTER" in labels[0].description
        return [self._answer(text, better=better) for text in texts]

    def _answer(self, text: str, *, better: bool) -> str:
        chance = random.Random(f"{self.seed} {text}")
        right, other, luck = chance.random() < 0.75, chance.random() < 0.75, chance.random()
        if better and self.helps:
            right = luck > 0.03 if right else luck < 0.5
        elif better:
            right = other
        return self.gold[text] if right else {"sport": "money", "money": "sport"}[self.gold[text]]

    def reword(self, labels: Sequence[Choice], prompts: Sequence[str]) -> list[tuple[Choice, ...]]:
        self.prompts += prompts
        new = tuple(Choice(name, about) for name, about in BETTER.items())
        return [new for _ in prompts]


def gold_rows(count: int = 200) -> GoldRows:
    return GoldRows(
        [f"text {i}" for i in range(count)], ["sport" if i % 2 else "money" for i in range(count)]
    )


@pytest.mark.checklist("X13")
@pytest.mark.parametrize("helps", [True, False], ids=["helps", "does not"])
def test_wording_is_kept_where_it_helps_and_only_there(helps: bool) -> None:
    """200 seeded runs with a scripted model on 200 gold rows: at least 95% decide rightly."""
    rows, old = gold_rows(), [Choice(name, about) for name, about in OLD.items()]
    kept = [improvement(old, rows, Scripted(seed, rows, helps=helps), seed=seed).kept for seed in range(200)]
    right = sum(kept) if helps else 200 - sum(kept)
    assert right >= 190, right


@pytest.mark.checklist("X13")
def test_no_row_is_labelled_by_a_wording_that_has_seen_it() -> None:
    """The prompt of a part lacks the part's own disagreements; the last one has them all."""
    rows, old = gold_rows(100), [Choice(name, about) for name, about in OLD.items()]
    model = Scripted(1, rows, helps=True)
    tried: list[tuple[str, ...]] = []
    plain = model.label

    def label_and_note(texts: Sequence[str], labels: Sequence[Choice]) -> list[Any]:
        tried.append(tuple(texts))
        return plain(texts, labels)

    model.label = label_and_note  # type: ignore[method-assign]
    found = improvement(old, rows, model, folds=4)
    assert len(model.prompts) == 5 and sorted(sum(tried[1:], ())) == sorted(rows.texts)
    for part, prompt in zip(tried[1:], model.prompts[1:], strict=True):
        assert not {line[2:] for line in prompt.splitlines() if line.startswith("- ")} & set(part)
    assert found.before == sum(
        a == b for a, b in zip(plain(rows.texts, old), rows.labels, strict=True)
    ) / len(rows.texts)
    assert "sport labelled money by the model" in repr(found) and "+sport: BETTER" in repr(found)


def test_what_cannot_be_improved_says_so() -> None:
    """Too few gold rows, too few folds, no disagreement; chance as the binomial says."""
    old = [Choice(name) for name in OLD]
    few, rows = gold_rows(10), gold_rows(40)
    with pytest.raises(UsageError, match="too few"):
        improvement(old, few, Scripted(0, few, helps=True))
    with pytest.raises(UsageError, match="folds"):
        improvement(old, rows, Scripted(0, rows, helps=True), folds=1)
    perfect = Scripted(0, rows, helps=True)
    perfect.label = lambda texts, labels: [perfect.gold[text] for text in texts]  # type: ignore[method-assign]
    same = improvement(old, rows, perfect)
    assert not same.kept and "nothing to improve" in repr(same) and perfect.prompts == []
    assert by_chance(0, 0) == 1 and by_chance(5, 0) == pytest.approx(1 / 32)
    assert by_chance(8, 2) == pytest.approx(56 / 1024)


def test_disagreements_are_grouped() -> None:
    """By the pair of labels, the largest group first; sets and missing answers too."""
    found = disagreements(["x", "y", "z", "w"], ["a", "a", "b", ("a", "b")], ["b", "b", None, ("a",)])
    assert str(found[0]) == "a labelled b by the model: 2"
    assert str(found[2]).startswith("a, b labelled a by") and "Given: nothing" in shown(found)


def served(wording: Mapping[str, str]) -> Server:
    """A host that is wrong about clubs until the definitions say better, and proposes ``wording``."""

    def answer(body: Mapping[str, Any]) -> str:
        system, text = body["messages"][0]["content"], body["messages"][-1]["content"]
        if "a person disagrees" in system:
            return json.dumps({"labels": [{"name": k, "description": v} for k, v in wording.items()]})
        if "club" in text:
            return "sport" if "BETTER" in system else "money"
        return "sport" if "goal" in text else "money"

    return Server(answer)


def posts(count: int = 60) -> pd.DataFrame:
    words = ["a goal", "the club's new coach", "shares fell"]
    frame = pd.DataFrame({"text": [f"{words[i % 3]} {i}" for i in range(count)]})
    frame["truth"] = ["money" if i % 3 == 2 else "sport" for i in range(count)]
    return frame


@pytest.mark.checklist("X13")
def test_from_a_run_to_a_better_version(own_home: Path) -> None:
    """Label, review, improve: the second version is in use, scored, different, and on disk for its owner."""
    frame = posts()
    with served(BETTER) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url))
        asked = {"model": model, "progress": False, "rpm": 1e9, "on": "text", "output": "topic"}
        label(frame, OLD, **asked)
        seen = review()
        for row, true in enumerate(frame["truth"]):
            seen.correct(row, true)
        book = codebook()
        assert [one.number for one in book.versions] == [1]
        score = book.current.scores[0]
        assert (score.gold, round(score.accuracy, 3)) == (60, 0.667)
        before = server.asked if hasattr(server, "asked") else None
        found = book.improve()
        assert found.kept and found.version == 2 and found.fixed == 20 and found.broken == 0
        assert sessions.current().last.plan.frame is not None and len(sessions.current().runs) == 1
        assert before is None or server.asked > before
        assert book.current.number == 2 and book.current.labels[0].description == BETTER["sport"]
        assert "improved on version 1" in book.current.reason
        assert book.diff(1, 2).splitlines()[-1] == "+sport: BETTER: also clubs"
        again = label(frame, book.labels, **asked)
        assert (again["topic"].astype(str) == frame["truth"]).all()
        assert codebook("topic").current.scores[-1].accuracy == 1.0
        assert sessions.current().last.manifest()["codebook"] == {"name": "topic", "version": 2}
        assert "version 2 of the codebook topic" in sessions.current().last.methods().markdown
    file = own_home / "codebooks.sqlite3"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sessions.end()
    assert len(codebook().versions) == 2, "the only codebook there is, after a restart"


@pytest.mark.checklist("X13")
def test_wording_that_does_not_help_is_not_stored() -> None:
    """The same with a proposal that changes nothing for the model; a frame gives the gold labels."""
    frame = posts()
    with served({"sport": "sports of all kinds", "money": "money matters"}) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url))
        label(frame, OLD, model=model, progress=False, on="text", output="topic", rpm=1e9)
        book = codebook()
        found = book.improve(frame, "truth")
        assert not found.kept and found.version is None and len(book.versions) == 1
        assert "Not kept: accuracy 0.667 -> 0.667" in repr(found)
        with pytest.raises(UsageError, match="too few"):
            book.improve()


def test_only_rows_that_were_asked_about_are_scored() -> None:
    """Gold rows outside --head say nothing of a version."""
    frame = posts(30)
    with served(OLD) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url))
        asked = {"model": model, "progress": False, "rpm": 1e9, "on": "text", "output": "topic"}
        label(frame, OLD, **asked)
        seen = review()
        for row, true in enumerate(frame["truth"]):
            seen.correct(row, true)
        label(frame, OLD, head=3, **asked)
        assert codebook().current.scores[-1].gold == 3


@pytest.mark.checklist("X13")
def test_versions_are_added_used_compared_and_saved(tmp_path: Path) -> None:
    """Equal definitions are one version; Markdown and TOML have all of them; other files are refused."""
    with served(OLD) as server:
        model = create(BackendSpec("custom_url", "test-model", base_url=server.url))
        label(posts(3), OLD, model=model, progress=False, on="text", output="topic", rpm=1e9)
    book = codebook("topic")
    body = "sport: games | <b>matches</b>\n  + a goal\n  - a sold club\nmoney: banks"
    assert book.add(body, "after the pilot", "anna").number == 2
    assert book.add(OLD).number == 1 and book.current.number == 1
    assert book.use(2).current.labels[0].examples == ("a goal",)
    assert book.diff(2, 2) == "versions 2 and 2 are the same"
    text = book.save(tmp_path / "book.md").read_text()
    assert "In use: version 2." in text and "anna: after the pilot" in text
    assert "games \\| &lt;b>matches" in text and "    - but not: a sold club" in text
    kept = tomllib.loads(book.save(tmp_path / "book.toml").read_text())
    assert kept["in_use"] == 2 and kept["versions"][1]["labels"][0]["counterexamples"] == ["a sold club"]
    with pytest.raises(UsageError, match=r"\.md or \.toml"):
        book.save(tmp_path / "book.docx")
    with pytest.raises(NotFound, match="version"):
        book.use(7)
    with pytest.raises(NotFound, match="codebook"):
        codebook("topics")
    assert "&lt;b&gt;matches" in book._repr_html_() and "version 2 (in use)" in repr(book)


@pytest.mark.checklist("X13")
@pytest.mark.timeout(180)
def test_the_cells(tmp_path: Path) -> None:
    """The verbs, as typed; without a codebook and with a wrong verb the error says what to type."""
    with kernel() as shell:
        shell.run("%load_ext llm_magics\nimport pandas as pd")
        assert "there is no codebook yet" in shell.run("%llm codebook", check=False).text
        shell.run("posts = pd.DataFrame({'text': ['a goal', 'a bank', 'a match', 'a coin']})")
        shell.run("%%llm label posts.text --as topic -q\nsport: games\nmoney: banks and coins")
        assert "first definitions" in shell.run("%llm codebook").text
        shell.run("%%llm label posts.text --as topic -q\nsport: games and matches\nmoney: banks and coins")
        assert "+sport: games and matches" in shell.run("%llm codebook diff 1 2").text
        assert "version 1 (in use)" in shell.run("%llm codebook use 1 -o book").text
        assert "2 versions written" in shell.run(f"%llm codebook save {tmp_path}/book.md").text
        assert "too few" in shell.run("%llm codebook improve", check=False).text
        assert "Did you mean 'diff'" in shell.run("%llm codebook dif 1 2", check=False).text
        assert "version 2 of the codebook topic" in shell.run("%llm last methods").text
        shell.run("wording = book.labels")
        shell.run("%llm label posts.text --labels-from wording --as topic -q")
        assert "version 1 of the codebook topic" in shell.run("%llm last methods").text
