"""Colours under other front ends, simulated: pages with the classes and attributes that they give their outputs.

Neither VS Code nor Colab runs here (what was looked at beside these tests: docs/howto/what_a_cell_shows.md). What is
proven is that the style sheet follows the marks that these front ends document: VS Code's ``body.vscode-dark`` with ``data-vscode-theme-kind``, Colab's ``html[theme=dark]``, and for a frame
without any mark the system's own ``prefers-color-scheme``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_magics.core.errors import NotFound
from llm_magics.notebook.tables import Table
from llm_magics.notebook.views.errors import html_of
from llm_magics.widgets.frontend.bundle import style, tokens
from llm_magics.widgets.frontend.twin import LIVE, twin
from tests.widgets.test_exported_page import browser  # noqa: F401 - a fixture

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 24, 28)"
INK = {LIGHT: "rgb(28, 33, 40)", DARK: "rgb(230, 233, 237)"}

FRONT_ENDS = {
    "JupyterLab, dark": ("", 'data-jp-theme-light="false"', "light", DARK),
    "JupyterLab, light, on a dark system": ("", 'data-jp-theme-light="true"', "dark", LIGHT),
    "VS Code, dark": ("", 'class="vscode-dark" data-vscode-theme-kind="vscode-dark"', "light", DARK),
    "VS Code, light, on a dark system": (
        "",
        'class="vscode-light" data-vscode-theme-kind="vscode-light"',
        "dark",
        LIGHT,
    ),
    "VS Code, high contrast": (
        "",
        'class="vscode-high-contrast" data-vscode-theme-kind="vscode-high-contrast"',
        "light",
        DARK,
    ),
    "VS Code, high contrast, light": (
        "",
        'class="vscode-high-contrast vscode-high-contrast-light" data-vscode-theme-kind="vscode-high-contrast-light"',
        "dark",
        LIGHT,
    ),
    "Colab, dark": ('theme="dark"', "", "light", DARK),
    "Colab, light, on a dark system": ('theme="light"', "", "dark", LIGHT),
    "a frame without a mark, on a dark system": ("", "", "dark", DARK),
    "a frame without a mark, on a light system": ("", "", "light", LIGHT),
}


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Callable[[str, str, str], dict[str, list[str]]]:  # noqa: F811
    """A function that opens a page with these marks and this theme of the system, and reads colours from it."""

    def opened(html: str, body: str, system: str) -> dict[str, list[str]]:
        parts = (
            html_of(NotFound.among("column", "txt", ["text", "title"], hint="%llm_config get")),
            Table([{"name": "a", "rows": 3}], caption="Table").html(),
            f"<style>{tokens()}{style()}</style><div class='llmx llmx-root'>panel</div>",
        )
        file = tmp_path / "page.html"
        file.write_text(f"<!doctype html><html {html}><meta charset=utf-8><body {body}>{''.join(parts)}")
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": system}]}
        )
        browser.get(file.as_uri())
        return browser.execute_script(
            "return Object.fromEntries(['.llmx-error', '.llmx-table', '.llmx-root'].map(name => {"
            " const style = getComputedStyle(document.querySelector(name));"
            " return [name, [style.backgroundColor, style.color]]; }))"
        )

    return opened


@pytest.mark.checklist("W6")
def test_outputs_and_panels_follow_each_front_end(page: Any) -> None:
    """Errors, tables and live panels have the same ground and ink, light or dark as the page says."""
    for name, (html, body, system, ground) in FRONT_ENDS.items():
        for part, colours in page(html, body, system).items():
            assert colours == [ground, INK[ground]], (name, part)


@pytest.mark.checklist("W6")
def test_on_paper_everything_is_light(page: Any, browser: Any) -> None:  # noqa: F811
    """A dark notebook is printed dark on white."""
    page("", 'data-jp-theme-light="false"', "dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    look = "const s = getComputedStyle(document.querySelector('.llmx-error')); return [s.backgroundColor, s.color]"
    assert browser.execute_script(look) == [LIGHT, INK[LIGHT]]


@pytest.mark.checklist("W6")
def test_vs_code_puts_no_white_frame_around_our_panels(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    """Its Jupyter extension puts a white ground behind widgets; ours stand on the page's, others keep theirs."""
    extension = "<style>.cell-output-ipywidget-background { background: white !important }</style>"
    ours, other = (
        f'<div class="cell-output-ipywidget-background"><div class="{name}">x</div></div>'
        for name in (LIVE, "theirs")
    )
    page = f'<!doctype html><body class="vscode-dark">{twin("static", "m")}{ours}{other}{extension}'
    (tmp_path / "ground.html").write_text(page)
    browser.get((tmp_path / "ground.html").as_uri())
    look = "return [...document.querySelectorAll('.cell-output-ipywidget-background')].map(e => getComputedStyle(e).backgroundColor)"
    assert browser.execute_script(look) == ["rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"]


def test_without_light_dark_the_page_keeps_its_colours(browser: Any, tmp_path: Path) -> None:  # noqa: F811
    """A browser from before light-dark(): text takes the page's own colour, on the page's own ground."""
    old = Table([{"name": "a", "rows": 3}], caption="Table").html().replace("light-dark(", "unknown-to-it(")
    (tmp_path / "old.html").write_text(f"<!doctype html><body style='background:#123;color:#abc'>{old}")
    browser.get((tmp_path / "old.html").as_uri())
    look = "const s = getComputedStyle(document.querySelector('.llmx-table')); return [s.backgroundColor, s.color]"
    assert browser.execute_script(look) == ["rgba(0, 0, 0, 0)", "rgb(170, 187, 204)"]
