"""No text of a row or a model makes a browser send a request: JupyterLab, an exported page, an explorer's page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest

from llm_magics.testing import Server
from tests.widgets.lab import Lab, lab


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """A host that notes every request it gets; its address, and the paths asked for."""
    paths: list[str] = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Note)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", paths
    finally:
        server.shutdown()
        server.server_close()


def hostile(host: str) -> str:
    """Everything that makes a browser load something, as Markdown, HTML and formulas."""
    return "\n\n".join(
        [
            f"![a cat]({host}/inline?q=secret) and ![a dog][d] and ![d] and [click me]({host}/link)",
            f"<img src='{host}/img'><svg><image href='{host}/svg'/></svg><link rel=stylesheet href='{host}/css'>",
            f"<style>body{{background:url({host}/style)}}</style><iframe src='{host}/frame'></iframe>",
            f"<video poster='{host}/video'></video><object data='{host}/object'></object>",
            f"<b style='background:url({host}/attribute)'>x</b><script>fetch('{host}/script')</script>",
            f"$\\style{{background:url({host}/math)}}{{x}}$ $$\\require{{html}}\\style{{background:url({host}/m2)}}{{x}}$$",
            f'```mermaid\nflowchart LR\nA@{{ img: "{host}/mermaid", h: 60, w: 60 }}\n```',
            f"[d]: {host}/reference",
        ]
    )


CELLS = (
    """
%load_ext llm_magics
%llm_config add mine --openai URL --id small
%llm_config use mine
import pandas as pd
evil = EVIL
flat = " ".join(evil.split())
df = pd.DataFrame({"text": [flat + f" about {word} {i}" for word in ("money", "sport") for i in range(8)],
                   "topic": ["money", "sport"] * 8})
""",
    "%%llm chat\nSpeak",
    "%%llm generate df --head 2 -f md\nsay {text}",
    "%%llm generate df --head 2\nsay again {text}",
    "%llm label df.text --labels money,sport -m embedded::wordllama",
    "%%llm extract df.text --head 2 --spans\nperson",
    "%%llm generate df --head 3\nfail {text}",
    "%llm review df.topic --on text -o r",
    "%llm concepts df.text --concepts mine -m embedded::wordllama -o themes",
    "open('explorer.html', 'w').write(themes.explorer.to_html())",
)


def model(evil: str) -> Any:
    """A host that says what is hostile, as an answer or as its error."""

    def answer(request: Any) -> str:
        text = request["messages"][-1]["content"]
        if text.startswith("fail"):
            raise RuntimeError(evil)
        if "every mention" in request["messages"][0]["content"]:
            return '{"entities": [{"label": "person", "text": "a cat"}]}'
        return evil

    return answer


def exported(folder: Path) -> Path:
    """The saved notebook as nbconvert's page."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(nbformat.read(folder / "n.ipynb", as_version=4))
    (folder / "exported.html").write_text(page, encoding="utf-8")
    return folder / "exported.html"


def read_through(page: Lab) -> str:
    """The text of each cell, every one brought into sight for as long as a page takes to ask for what it shows."""
    page.js("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    texts = []
    for cell in page.find(".jp-Notebook .jp-Cell") or page.find("body"):
        page.js("arguments[0].scrollIntoView({block: 'center'})", cell)
        time.sleep(0.5)
        texts.append(page.js("return arguments[0].innerText", cell))
    return "\n".join(texts)


@pytest.mark.timeout(400)
@pytest.mark.checklist("R14", "W5")
def test_no_text_makes_a_browser_fetch_anything(tmp_path: Path) -> None:
    """Not while it is shown, nor when the notebook is opened again or exported; a link is there to be clicked."""
    with listener() as (host, paths), Server(model(hostile(host))) as server:
        evil = hostile(host)
        cells = [cell.strip().replace("URL", server.url).replace("EVIL", repr(evil)) for cell in CELLS]
        mine = "mine = {'money': 'Is the text about money?', 'sport': 'Is the text about sport?'}\n"
        with lab(tmp_path, [cells[0] + "\n" + mine, *cells[1:]]) as page:
            page.run()
            page.until(lambda: (tmp_path / "explorer.html").exists() and page.find('[role="application"]'))
            text = read_through(page)
            assert f"a cat ({host}/inline?q=secret)" in text and "3 failed" in text
            assert page.find(f".llmx-markdown a[href='{host}/link']")
            assert paths == []

            page.command("docmanager:save")
            page.until(lambda: "llmx-markdown" in (tmp_path / "n.ipynb").read_text())
            page.open()
            page.until(lambda: page.find(".llmx-markdown"))
            read_through(page)
            for file in (exported(tmp_path), tmp_path / "explorer.html"):
                page.driver.get(file.as_uri())
                assert f"{host}/reference" in read_through(page)
            assert paths == []

            (tmp_path / "seen.html").write_text(f"<img src='{host}/seen'>")
            page.driver.get((tmp_path / "seen.html").as_uri())
            page.until(lambda: "/seen" in paths)
