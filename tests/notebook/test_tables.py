"""Rows as a table: heads over their columns, numbers to the right, spaces as they were meant."""

from __future__ import annotations

import re

from llm_magics.notebook.tables import Reading, Table


def sides(tag: str, page: str) -> list[str]:
    """How the cells of the first line of this tag are aligned."""
    line = re.search(f"<tr>(<{tag}.*?)</tr>", page)
    return re.findall(r"text-align:(\w+)", line[1]) if line else []


def test_heads_stand_over_their_columns() -> None:
    """A head follows its cells: to the right for numbers, to the left for words and for yes or no."""
    page = Table([{"name": "a", "rows": 3, "on disk": True}, {"name": "b", "rows": None}]).html()
    assert sides("th", page) == sides("td", page) == ["left", "right", "left"]


def test_without_heads_there_is_no_line_for_them() -> None:
    """An empty head is a stray rule over the table."""
    page = Table([{"job": "1", "status": "running"}], heads=False).html()
    assert "<thead" not in page and "running" in page


def test_notes_keep_their_spaces() -> None:
    """They part what can be typed; a command and the next sentence would run into one."""
    page = Table([], notes=["%llm_config models   every setting: %llm_config get"]).html()
    assert "pre-wrap" in page and "models   every" in page
    assert "pre-wrap" in Reading("two\nlines").html()
