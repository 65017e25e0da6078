"""Labels that are numbers, columns that are no strings, texts that can't be sent: a real kernel and host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.kernels import Kernel, kernel

SETUP = """
%load_ext llm_magics
import pandas as pd, polars as pl
from llm_magics import label, review, evaluate
df = pd.DataFrame({"text": ["one", "two", "three", "one more"], "stars": [1, 2, 3, 1],
                   "share": [1.0, 2.5, None, 1.0], "good": [True, False, False, True]})
"""


def answer(request: dict[str, Any]) -> str:
    """The label that the text spells, in the way the labels are spelt."""
    text = request["messages"][-1]["content"]
    if "odd" in text:
        return json.dumps({"label": "\ud83d"}) if "answer" in text else '{"label": "1"}'
    system = request["messages"][0]["content"]
    ways = {"one": ("- 1\n", "1"), "two": ("- 2\n", "2"), "three": ("- 3\n", "3")}
    floats = {"one": "1.0", "two": "2.5", "three": "1.0"}
    word = next(word for word in ways if word in text)
    if "- True" in system:
        name = str(word == "one")
    elif "- 2.5" in system:
        name = floats[word]
    else:
        name = ways[word][1]
    return json.dumps({"labels": [name]} if "every label" in system else {"label": name})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Server]]:
    """One kernel and one server for the file."""
    home = str(tmp_path_factory.mktemp("kernel_home"))
    with Server(answer=answer) as server, kernel({"LLM_MAGICS_HOME": home}) as made:
        made.run(SETUP.strip())
        made.run(f"%llm_config add fast --openai {server.url} --id small\n%llm_config use fast")
        yield made, server


@pytest.fixture
def k(world: tuple[Kernel, Server]) -> Kernel:
    return world[0]


def said(k: Kernel, expression: str) -> str:
    return k.run(f"print({expression})").stdout.strip()


@pytest.mark.checklist("R14", "T13")
@pytest.mark.parametrize(
    ("column", "categories", "labels"),
    [
        ("stars", "[1, 2, 3]", "[1, 2, 3, 1]"),
        ("share", "[1.0, 2.5]", "[1.0, 2.5, 1.0, 1.0]"),
        ("good", "[True, False]", "[True, False, False, True]"),
        ("stars.astype(str)", "['1', '2', '3']", "['1', '2', '3', '1']"),
    ],
)
def test_labels_come_back_as_they_were_given(k: Kernel, column: str, categories: str, labels: str) -> None:
    """From a column or a list; equal to the gold column, with its categories in order."""
    k.run(f"given = df.{column}\nkinds = list(given.dropna().unique())")
    if "(" not in column:
        k.run(f"%llm label df.text --labels-from {column} -o out")
        assert said(k, "out.label.cat.categories.tolist()") == categories
        assert said(k, "out.label.tolist()") == labels
    k.run("out = label(df, kinds, on='text', progress=False)")
    assert said(k, "out.label.cat.categories.tolist()") == categories
    assert said(k, "out.label.tolist()") == labels
    assert said(k, "bool((out.label == given)[given.notna()].all())") == "True"


@pytest.mark.checklist("T13", "T12")
@pytest.mark.parametrize("column", ["stars", "share", "good"])
def test_typed_labels_are_scored_against_their_own_column(k: Kernel, column: str) -> None:
    """Nulls make floats of a column of integers; 1.0 is the label 1 all the same."""
    k.run(f"%llm label df.text --labels-from {column} --truth {column} -o out")
    assert said(k, "__import__('llm_magics').last.evaluation.accuracy") == "1.0"
    k.run("gaps = df.assign(stars=[1, None, 3, 1])")
    k.run("out = label(gaps, [1, 2, 3], on='text', truth='stars', progress=False)")
    assert said(k, "out.label.tolist()") == "[1, 2, 3, 1]"
    assert said(k, "__import__('llm_magics').last.evaluation.accuracy") == "1.0"
    k.run("%llm label gaps.text --labels 1,2,3 --truth stars --as typed -o out")
    assert said(k, "out.typed.tolist()") == "['1', '2', '3', '1']"
    assert said(k, "__import__('llm_magics').last.evaluation.accuracy") == "1.0"


@pytest.mark.checklist("T13", "T2", "X9")
def test_several_labels_and_other_libraries_keep_the_type_too(k: Kernel) -> None:
    """Lists of numbers; polars has a column of whole numbers, pandas of categories of two types."""
    k.run("out = label(df, [1, 2, 3], on='text', multi=True, progress=False)")
    assert said(k, "out.label.tolist()") == "[[1], [2], [3], [1]]"
    k.run("out = label(pl.from_pandas(df), [1, 2, 3], on='text', progress=False)")
    assert said(k, "out['label'].dtype, out['label'].to_list()") == "Int64 [1, 2, 3, 1]"
    k.run("out = label(df, [1, 2, '3'], on='text', progress=False)")
    assert said(k, "out.label.tolist()") == "[1, 2, '3', 1]"
    k.run("out = label(pl.from_pandas(df), [1, 2, '3'], on='text', progress=False)")
    assert said(k, "out['label'].to_list()") == "['1', '2', '3', '1']"


@pytest.mark.checklist("T13", "X4", "R2")
def test_review_and_the_stored_answers_keep_the_type(world: tuple[Kernel, Server]) -> None:
    """A correction is a number in the gold column; nothing is asked again for the type's sake."""
    k, server = world
    k.run("out = label(df, [1, 2, 3], on='text', progress=False)")
    sent = server.count
    k.run("%llm label df.text --labels 1,2,3 -o as_text")
    assert server.count == sent and said(k, "as_text.label.tolist()") == "['1', '2', '3', '1']"
    k.run("r = review(out, 'label', on='text')\nr.correct(1, '3')")
    assert said(k, "r.df.label.tolist(), r.df.label_gold.tolist()") == "[1, 3, 3, 1] [nan, 3, nan, nan]"
    k.run("again = review(r.df, 'label', on='text')")
    assert said(k, "again.gold") == "{1: '3'}"
    assert said(k, "again.df.label.cat.categories.tolist()") == "[1, 2, 3]"


@pytest.mark.checklist("T13", "R14")
@pytest.mark.parametrize(
    "labels", ["['a', 'b', None]", "[1, 2, float('nan')]", "{'a': 'x', 'b': 'y', None: 'z'}"]
)
def test_a_null_among_the_labels_is_one_clear_error(world: tuple[Kernel, Server], labels: str) -> None:
    """Before anything is sent; it never becomes the label "None"."""
    k, server = world
    sent = server.count
    out = k.run(f"label(df, {labels}, on='text', progress=False)", check=False)
    assert "is among the labels; it is no label" in out.text and "--none NAME" in out.text
    assert server.count == sent
    out = k.run("label(df, [True, 1], on='text', progress=False)", check=False)
    assert "are equal numbers" in out.text


@pytest.mark.checklist("R14")
def test_columns_may_be_numbers_and_tuples(k: Kernel) -> None:
    """Results stand under the levels of the column that was read, in place too."""
    k.run(
        "plain = pd.DataFrame({0: df.text, 1: df.stars})\nout = label(plain, [1, 2, 3], on=0, progress=False)"
    )
    assert said(k, "out.columns.tolist()[:3], out.label.tolist()") == "[0, 1, 'label'] [1, 2, 3, 1]"
    k.run("levels = pd.DataFrame({('a', 't'): df.text, ('b', 'n'): df.stars})")
    k.run("out = label(levels, [1, 2, 3], on=('a', 't'), truth=('b', 'n'), progress=False)\nout")
    assert said(k, "out[('a', 'label')].tolist(), out.columns.nlevels") == "[1, 2, 3, 1] 2"
    assert said(k, "__import__('llm_magics').last.evaluation.accuracy") == "1.0"
    k.run("label(levels, [1, 2, 3], on=('a', 't'), inplace=True, progress=False)")
    assert said(k, "levels['a']['label'].tolist()") == "[1, 2, 3, 1]"
    out = k.run("label(levels, [1, 2, 3], on=('a', 'x'), progress=False)", check=False)
    assert "no column" in out.text and "label_status, t" in out.text


@pytest.mark.checklist("R14", "R1")
def test_texts_that_cant_be_sent_are_sent_with_a_replacement(world: tuple[Kernel, Server]) -> None:
    """One row's lone surrogate or NUL costs no other row anything; that is said."""
    k, server = world
    k.run("texts = ['odd \\ud800 one', 'odd \\x00', 'two', 'odd answer']")
    k.run("odd = pd.DataFrame({'text': pd.Series(texts, dtype=object)})")
    out = k.run("%llm label odd.text --labels 1,2,3 -o odd_out")
    assert "2 rows with characters that can't be sent" in out.text
    assert said(k, "odd_out.label.tolist()[:3]") == "['1', '1', '2']"
    assert said(k, "odd_out.label_status.tolist()") == "['ok', 'ok', 'ok', 'repaired']"
    sent = [request.json["messages"][-1]["content"] for request in server.requests[-6:]]
    assert any("odd \ufffd one" in text for text in sent)
    assert (
        said(k, "label(texts, '1,2,3'.split(','), progress=False).label_status.tolist()[:3]")
        == "['ok', 'ok', 'ok']"
    )
    k.run("%%llm generate odd -o odd_said\nodd {text}")
    assert said(k, "set(odd_said.generation_status)") == "{'ok'}"
