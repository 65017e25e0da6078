"""Rows as a table: heads over their columns, numbers to the right, spaces as they were meant."""

from __future__ import annotations

import re
from html import unescape

import pytest

from llm_magics.notebook.tables import Reading, Table
from llm_magics.widgets.output.sentences import sentence_html


def sides(tag: str, page: str) -> list[str]:
    """Which cells of the first line of this kind stand to the right."""
    line = re.search(rf"<t{'head' if tag == 'head' else 'body'}><tr>(.*?)</tr>", page)
    cells = re.findall(r'<t[hd] ?(?:scope="\w+" )?class="llmx-(\w+)[^"]*"', line[1]) if line else []
    return ["right" if cell == "n" else "left" for cell in cells]


def test_heads_stand_over_their_columns() -> None:
    """A head follows its cells: to the right for numbers, to the left for words and for yes or no."""
    page = Table([{"name": "a", "rows": 3, "on disk": True}, {"name": "b", "rows": None}]).html()
    assert sides("head", page) == sides("body", page) == ["left", "right", "left"]


def test_without_heads_there_is_no_line_for_them() -> None:
    """An empty head is a stray rule over the table."""
    page = Table([{"job": "1", "status": "running"}], heads=False).html()
    assert "<thead" not in page and "running" in page


def test_what_can_be_typed_is_code() -> None:
    """A command ends where the sentence goes on; three spaces of a note part two of them; lines stay."""
    page = Table([], notes=["3 registered: %llm_config models   help: %llm_config -h"]).html()
    assert page.count("<span>") == 2 and '<code class="llmx-do">%llm_config models</code></span>' in page
    assert "two\nlines" in Reading("two\nlines").html()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("%llm jobs lists them.", ["%llm jobs"]),
        (
            "%llm label DATA ..., or %llm review FRAME.LABELS",
            ["%llm label DATA ...", "%llm review FRAME.LABELS"],
        ),
        ("%llm review f.COLUMN. Columns: a, b", ["%llm review f.COLUMN"]),
        ('%pip install "llm_magics[gguf]"', ['%pip install "llm_magics[gguf]"']),
        ("Leave out --votes, --calibrate and --agree 0.9.", ["--votes", "--calibrate", "--agree 0.9"]),
        ("no column 'txt': it's gone", ["txt"]),
        ("10-20 rows, self-made, $5", []),
    ],
)
def test_commands_flags_and_names_in_sentences(said: str, code: list[str]) -> None:
    """Nothing else is code, and nothing is lost."""
    page = sentence_html(said)
    assert [unescape(one) for one in re.findall(r"<code[^>]*>(.*?)</code>", page)] == code
    assert unescape(re.sub("<[^>]+>", "", page)).replace("'", "") == said.replace("'", "")


def test_states_have_signs_and_repeated_heads_are_read_out_only() -> None:
    """Not by colour alone; a screen reader still hears what each row is."""
    rows = [{"what": "key", "state": "ok"}, {"what": "key", "state": "broken"}]
    page = Table(rows, states={"state": {"ok": "good", "broken": "bad"}}).html()
    assert "✓</i>ok" in page and "✕</i>broken" in page
    assert page.count(">key<") == 2 and page.count("llmx-unseen") == 2  # one of them in the style
