"""The view of a result: shares, failures, rows; HTML that needs no script, the plain frame beneath it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import polars as pl
import pytest

from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec
from llm_magics.notebook.views.results import ResultView
from llm_magics.runs import session as sessions
from llm_magics.runs.run import Run
from llm_magics.tasks.extract.plan import extract
from llm_magics.tasks.generate.plan import generate
from llm_magics.tasks.judge.plan import judge
from llm_magics.tasks.label.plan import label
from llm_magics.testing import Server
from llm_magics.widgets.results.rows import column, numbers_html
from tests.contrast import contrast, rgb


class Tables(HTMLParser):
    """The texts of a page's tables, a list of rows each; and the text outside of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.outside = ""
        self._in_cell = self._in_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self._in_cell = tag in ("td", "th") or (self._in_cell and tag in ("span", "wbr"))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data
        elif not self._in_style:
            self.outside += f"{data}\n"


def last() -> Run:
    run = sessions.current().last
    assert run is not None
    return run


def view(result: Any) -> Tables:
    return Tables(ResultView(result, last())._repr_html_())


def host(server: Server) -> Any:
    return create(BackendSpec("custom_url", "test-model", base_url=server.url), None)


@pytest.mark.checklist("W12")
def test_labels_are_counted_before_they_are_read() -> None:
    """Most frequent first, rows without a label last; the rows have no status where all is well."""
    texts = ["the invoice", "the server is down", "another invoice", None] * 5
    frame = pd.DataFrame({"id": range(20), "body": texts}, index=[f"r{i}" for i in range(20)])
    result = label(frame, ["outage", "invoice", "poem"], on="body", output="topic", progress=False)
    page = view(result)
    shares, rows = page.tables
    assert [line[:1] + line[2:4] for line in shares[1:]] == [
        ["invoice", "10", "50%"],
        ["outage", "5", "25%"],
        ["poem", "0", "0%"],
        ["skipped", "5", "25%"],
    ]
    assert "20 rows · 3 labels · median confidence" in page.outside and "10 more rows" in page.outside
    assert rows[0] == ["", "id", "body", "topic", "confidence", "status"]
    assert rows[1][:4] == ["r0", "0", "the invoice", "invoice"] and rows[1][5] == ""
    assert rows[4] == ["r3", "3", "–", "–", "–", "skipped"] and len(rows) == 11
    clean = label(frame.dropna().head(8), ["outage", "invoice"], on="body", progress=False)
    assert "status" not in view(clean).tables[1][0]


@pytest.mark.checklist("W12", "W5")
def test_failed_rows_stand_behind_a_line_that_opens_them() -> None:
    """Which, what they said, why; whatever a text or an answer holds is text."""

    def answer(request: dict[str, Any]) -> str:
        return "<script>no</script>" if "odd <img" in str(request["messages"]) else "sport"

    texts = [f"the match {i}" for i in range(30)] + [
        f"odd <img src=x onerror=alert(1)> {i}" for i in range(25)
    ]
    with Server(answer=answer) as server:
        result = label(texts, ["sport", "money"], model=host(server), progress=False)
        page = view(result)
        html = ResultView(result, last())._repr_html_()
        assert last().report().count("\n") > last().footer().count("\n")
    assert "25 failed of 55 rows" in page.outside and "5 more: llm.last.failures" in page.outside
    failed = page.tables[1]
    assert failed[0] == ["", "text", "status", "error"] and len(failed) == 21
    assert failed[1][:3] == ["30", "odd <img src=x onerror=alert(1)> 0", "failed"] and failed[1][3]
    assert html.index("<details") < html.index("failed of 55") < html.index("</details>")
    assert "<img" not in html and "<script" not in html


@pytest.mark.checklist("W12")
def test_several_labels_and_columns_of_true_and_false_are_one_column_of_names() -> None:
    """An empty set is an answer of its own; shares of several labels add up to more than all."""

    def answer(request: dict[str, Any]) -> str:
        said = request["messages"][-1]["content"]
        return '["price", "delivery"]' if "both" in said else "[]" if "neither" in said else '["price"]'

    texts = ["both", "neither", "cheap", "dear"]
    with Server(answer=answer) as server:
        for wide in (False, True):
            options = {"multi": True, "wide": wide, "model": host(server), "progress": False}
            shares, rows = view(label(texts, ["delivery", "price"], **options)).tables
            assert [line[:1] + line[2:4] for line in shares[1:]] == [
                ["price", "3", "75%"],
                ["delivery", "1", "25%"],
                ["none of them", "1", "25%"],
            ]
            assert [line[2] for line in rows[1:]] == ["delivery price", "–", "price", "price"]
            assert rows[0][2] == ("is_…" if wide else "label")


@pytest.mark.checklist("W12")
def test_a_polars_frame_and_a_part_of_the_rows() -> None:
    """Rows without an index are headed by their place in the whole frame."""
    frame = pl.DataFrame(
        {"text": [f"a match {i}" for i in range(9)], "day": [f"2026-01-0{i + 1}" for i in range(9)]}
    )
    result = label(frame, ["sport", "money"], on="text", where="day >= '2026-01-08'", progress=False)
    run = last()
    shown = ResultView(result[list(run.plan.rows)], run, note="shown: 2 of 9", places=run.plan.rows)
    page = Tables(shown._repr_html_())
    assert [row[0] for row in page.tables[1]] == ["", "7", "8"]
    assert "shown: 2 of 9" in page.outside and repr(shown).startswith("shape: (2,")


@pytest.mark.checklist("W12")
def test_extracted_fields_generated_texts_and_ratings_at_a_glance() -> None:
    """How many rows have a value, and which; a single column of texts by its length; ratings in order."""
    facts = '{"product": "kettle", "price": 12.5, "defects": ["lid", "base"]}'
    nothing = '{"product": null, "price": null, "defects": []}'

    def answer(request: dict[str, Any]) -> str:
        system, said = (str(request["messages"][i]["content"]) for i in (0, -1))
        if "Rate" in system:
            return '{"reason": "clear", "rating": 4}' if "good" in said else '{"reason": "dull", "rating": 2}'
        if "fields" in system:
            return facts if "good" in said else nothing
        return "A short reply of exactly eight words, dear reader."

    frame = pd.DataFrame({"text": ["good one", "bad one", "good two", "good three"]})
    with Server(answer=answer) as server:
        options = {"model": host(server), "progress": False}
        result = extract(
            frame, {"product": "str", "price": "float", "defects": "list[str]"}, on="text", **options
        )
        fields, rows = view(result).tables
        assert [line[:2] + line[3:] for line in fields[1:]] == [
            ["product", "3", "75%", "kettle (3)"],
            ["price", "3", "75%", "12.5 (3)"],
            ["defects", "3", "75%", "lid (3), base (3)"],
        ]
        assert rows[1] == ["0", "good one", "kettle", "12.5", "lid, base"] and rows[2][2:] == ["–", "–", "–"]
        written = view(generate(frame, "Answer {text}", **options))
        assert "generation\n \n4 rows · 9 words" in written.outside and len(written.tables) == 1
        ratings = view(judge(frame, "clear?", on="text", **options)).tables[0]
        assert [line[:1] + line[2:4] for line in ratings[1:]] == [["2", "1", "25%"], ["4", "3", "75%"]]


@pytest.mark.checklist("W12")
def test_models_that_were_compared_stand_side_by_side() -> None:
    """A line a label, each model's rows and share; a null is no answer; names are escaped."""
    frame = pd.DataFrame({"text": ["a match", "a bank", "a goal"], "label_<b>": ["sport", None, "money"]})
    result = label(frame, ["sport", "money"], on="text", output="label_x", progress=False)
    last().details["compared"] = {"<b>": "label_<b>", "x": "label_x"}
    page = view(result)
    assert page.tables[0][0][0] == "label" and "2 labels · 2 models" in page.outside
    lines = {line[0]: [cell for cell in line[1:] if cell.strip("█")] for line in page.tables[0][1:]}
    assert lines["sport"][0] == "1 (33%)" and lines["no answer"] == ["1 (33%)", "0 (0%)"]
    assert page.tables[0][0][2] == "<b>"
    assert page.tables[1][0][:4] == ["", "text", "label_<b>", "label_x"]


@pytest.mark.checklist("W12")
def test_ratings_and_fields_of_models_compared_are_all_counted() -> None:
    """A judge's ratings by model in their order; the fields of each model, not of the last alone."""

    def answer(request: dict[str, Any]) -> str:
        return '{"reason": "Clear.", "rating": 4}' if "Rate" in str(request["messages"]) else '{"stars": 2}'

    with Server(answer=answer) as server:
        rated = judge(["a", "b"], "Is it clear?", model=host(server), output="rating_x", progress=False)
        rated.insert(0, "rating_y", pd.array([3, None], dtype="Int64"))
        last().details["compared"] = {"y": "rating_y", "x": "rating_x"}
        table = view(rated).tables[0]
        assert [[cell for cell in line if cell.strip("█")] for line in table] == [
            ["rating", "y", "x"],
            ["3", "1 (50%)", "0 (0%)"],
            ["4", "0 (0%)", "2 (100%)"],
            ["no answer", "1 (50%)", "0 (0%)"],
        ]
        found = extract(["a", "b"], {"stars": int}, model=host(server), output="x_", progress=False)
        found.insert(0, "y_stars", [5, 5])
        last().details["compared"] = {"y": "y_", "x": "x_"}
        page = view(found)
        assert [line[0] for line in page.tables[0][1:]] == ["y_stars", "x_stars"]
        assert "y, x" in page.outside


@pytest.mark.checklist("W12")
def test_numbers_of_a_column_end_alike_and_so_do_its_times() -> None:
    """Points stand below each other, midnights among times keep theirs; a year has no comma."""
    days = pd.to_datetime(["2026-01-01 00:00", "2026-01-02 13:00"])
    assert numbers_html([28490.031, 37986.7, None])[:2] == ["28,490.03", "37,986.70"]
    assert numbers_html([0.5, 0.25, 1.0]) == ["0.50", "0.25", "1.00"]
    assert numbers_html([2024, 12345]) == ["2024", "12345"]
    assert numbers_html([1076], grouped=True) == ["1,076"]
    assert numbers_html([8.25e-06, 0.5]) == ["8.25e-06", "0.5"]
    told = [re.sub("<[^>]*>", "", cell) for cell in column("when", list(days)).cells]
    assert told == ["2026-01-01 00:00", "2026-01-02 13:00"]
    told = [re.sub("<[^>]*>", "", cell) for cell in column("when", list(days[:1])).cells]
    assert told == ["2026-01-01"]


def test_wide_frames_are_cut_and_say_what_they_leave_out() -> None:
    """The text and the label are there, whatever else is."""
    frame = pd.DataFrame({f"c{i}": [i] * 2 for i in range(9)} | {"text": ["a match", "a bank"]})
    page = view(label(frame, ["sport", "money"], on="text", progress=False))
    assert page.tables[1][0] == ["", "c0", "c1", "c2", "c3", "text", "label", "confidence"]
    assert "5 more columns: c4, c5, c6, c7, c8" in page.outside


def test_many_labels_share_one_colour_and_the_rare_ones_are_behind_a_line() -> None:
    """Eight colours are told apart, twenty are not."""
    names = [f"label {i}" for i in range(20)]
    html = ResultView(label(names, names, progress=False), last())._repr_html_()
    assert "<summary>5 more, " in html and "#cf8400" not in html.split("</style>")[1]


def test_the_style_has_contrast_and_touches_nothing_else() -> None:
    """Every rule is about outputs of ours alone; words stand out by 4.5:1 in light and in dark."""
    from llm_magics.widgets.output.style import style

    assert "/*" not in style() and len(style()) < 11_500
    rules = re.sub(r"@(?:media|container)[^{]*\{", "", style())
    selectors = [one.strip(" }") for one in re.findall(r"([^{}]+)\{", rules)]
    assert selectors and all("llmx-out" in one for one in selectors)
    tokens = dict(re.findall(r"(--llmx-[\w-]+):light-dark\(([^)]*)\)", style()))
    for theme in (0, 1):
        value = {name.removeprefix("--llmx-"): rgb(both.split(",")[theme]) for name, both in tokens.items()}
        for ink in ("ink", "dim", "good", "warn", "bad", "accent"):
            assert min(contrast(value[ink], value[ground]) for ground in ("ground", "raised")) >= 4.5, ink


@pytest.mark.checklist("W6", "W12")
def test_without_styles_a_result_is_still_a_table_that_is_read() -> None:
    """A code host drops style sheets and classes: bars are characters, numbers stand right, long words break."""
    address = "https://example.org/" + "a" * 200
    with Server(answer='{"label": "sport"}') as server:
        result = label([address, "مرحبا", "match"], ["sport", "money"], model=host(server), progress=False)
        page = ResultView(result, last())._repr_html_().split("</style>")[1]
    plain = re.sub(r' (?:class|style)="[^"]*"', "", page)
    assert "█" * 16 in plain and re.search(r'<td align="right">(?:</?span[^>]*>)*[\d.]', plain)
    assert '<td dir="auto">مرحبا</td>' in plain and "<td>match</td>" in plain
    assert max(map(len, re.split(r"<[^>]*>|\s", plain))) <= 60
