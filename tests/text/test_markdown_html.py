"""Markdown from a model as HTML: whatever it says, nothing in it is loaded by itself."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.text.markdown_html import markdown_html

HOST = "http://host.example/?q=secret"


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


INERT = {
    *("a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li"),
    *("ol", "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}


@pytest.mark.checklist("R14", "W5")
@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        (f"![a cat]({HOST})", f"a cat ({HOST})"),
        (f"![]({HOST})", f"image ({HOST})"),
        (f"![a **fat** cat][c]\n\n[c]: {HOST}", f"a fat cat ({HOST})"),
        (f"![c]\n\n[c]: <{HOST}>", f"c ({HOST})"),
        (f"| t |\n|---|\n| ![x]({HOST}) |", f"x ({HOST})"),
        (f"<img src='{HOST}'>", f"<img src='{HOST}'>"),
        (f"a <svg><image href='{HOST}'/></svg>", f"a <svg><image href='{HOST}'/></svg>"),
        (f"<style>@import url({HOST})</style>", f"<style>@import url({HOST})</style>"),
        (f'```mermaid\nA@{{ img: "{HOST}" }}\n```', f'A@{{ img: "{HOST}" }}'),
        (f"$\\style{{background:url({HOST})}}{{x}}$", f"\\(\\style{{background:url({HOST})}}{{x}}\\)"),
        (f"$$\n\\href{{{HOST}}}{{x}}\n$$", f"\\href{{{HOST}}}{{x}}"),
        ("[go](javascript:alert(1))", "[go](javascript:alert(1))"),
    ],
)
def test_images_and_html_become_text(markdown: str, said: str) -> None:
    """An image says what it shows and where it is; a formula that could load something is code."""
    page = Tags(markdown_html(markdown))
    assert said in page.text
    assert {tag for tag, _ in page.tags} <= INERT
    assert not any("process" in (given.get("class") or "") for _, given in page.tags)


@pytest.mark.checklist("R14")
def test_links_stay_links_that_somebody_must_click() -> None:
    """Also around an image; the page that opens doesn't learn where it was opened."""
    page = Tags(markdown_html(f"[here]({HOST} 't') <{HOST}> [![cat](http://b/c.png)]({HOST})"))
    links = [given for tag, given in page.tags if tag == "a"]
    assert [link["href"] for link in links] == [HOST] * 3
    assert all(link["rel"] == "noopener noreferrer nofollow" for link in links)
    assert "cat (http://b/c.png)" in page.text


def test_formulas_are_left_to_mathjax_and_nothing_else_is() -> None:
    """Prices are no formulas; underscores and stars in formulas are no emphasis."""
    page = markdown_html("It costs $5 and $6. $a_1 * b_1$, \\(c\\), $$d$$\n\n\\[ e \\]")
    for formula in ("\\(a_1 * b_1\\)", "\\(c\\)", "\\[d\\]", "\\[ e \\]"):
        assert f'<span class="tex2jax_process mathjax_process">{formula}</span>' in page
    assert page.startswith('<div class="llmx-markdown tex2jax_ignore mathjax_ignore">')
    assert "costs $5 and $6." in page


PIECES = st.sampled_from(
    [
        *("![", "](", "[", "]", "(", ")", "<", ">", "http://h/a", "img src=", "\n", "\n\n", "`", "```", "$"),
        *("$$", "|", "\\", "&lt;", "&#60;", "!", "*", "_", "x", " ", "[x]: http://h/r", '"', "'", "\x00"),
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text())
def test_no_text_at_all_makes_a_tag_that_loads_something(text: str) -> None:
    """Only known tags, with no other attributes than links need."""
    for tag, given_ in Tags(markdown_html(text)).tags:
        assert tag in INERT
        known = {"href", "title", "target", "rel"} if tag == "a" else {"class", "start", "style"}
        assert set(given_) <= known
        assert (given_.get("style") or "text-align:left") in [
            f"text-align:{s}" for s in ("left", "right", "center")
        ]
