"""Errors as cards: what is told, what is code, and what never gets out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from llm_magics.core.errors import AuthError, BadRequest, Interrupted, LLMError, MissingPackage, NotFound
from llm_magics.notebook.views.errors import html_of
from tests.kernels import Kernel, kernel


def said(error: LLMError | Interrupted) -> str:
    """The card's text without its style."""
    return unescape(re.sub("<[^>]+>", " ", html_of(error).split("</style>")[1]))


def test_a_card_says_what_happened_and_what_to_type() -> None:
    """A short message is the title; names are code, and a command is one that a click selects."""
    error = NotFound.among("column", "txt", ["text", "title"], hint="%llm_config get lists nothing of it")
    page = html_of(error)
    assert "No column <code>txt</code>" in page and "<code>text</code>" in page
    assert MissingPackage.of("llama_cpp", "gguf", "a GGUF model").hint in unescape(
        re.findall(r'<code class="llmx-do">(.*?)</code>', html_of(MissingPackage.of("l", "gguf", "it")))[0]
    )
    assert "NotFound" in said(error)


def test_a_long_message_has_the_title_of_its_kind() -> None:
    """The provider's own words are below it, cut where they never end; status and request are told."""
    error = BadRequest("the host says: " + "no " * 3_000, status=400, request_id="req_1")
    assert said(error).split()[:6] == ["✕", "The", "host", "refuses", "this", "request"]
    assert len(said(error)) < 4_500 and "BadRequest · HTTP 400 · request req_1" in said(error)
    assert said(Interrupted("Stopped. 3 rows are kept.")).split()[:2] == ["■", "Stopped"]


@pytest.mark.checklist("C4", "W5")
def test_no_key_and_no_markup_gets_out() -> None:
    """What a host echoes is redacted and escaped, in title, message and hint."""
    evil = "<script>alert(1)</script> sk-abcdefgh12345678ijkl"
    page = html_of(AuthError(evil, hint=f"%llm_config key set '{evil}'"))
    assert "<script" not in page and "sk-abcdefgh" not in page and "***" in page


@pytest.fixture(scope="module")
def k() -> Iterator[Kernel]:
    """A kernel with the extension."""
    with kernel() as made:
        made.run("%load_ext llm_magics")
        yield made


def test_a_cell_has_the_card_and_the_text_once_each(k: Kernel) -> None:
    """The card first, without plain text; then the error as before, also after debug was on."""
    out = k.run("%llm label nothing --labels a,b", check=False)
    assert out.error is not None and out.error["ename"] == "NotFound"
    assert len(out.displays) == 1 and out.displays[0]["text/plain"] == ""
    assert "llmx-error" in out.displays[0]["text/html"]
    k.run("%llm_config set debug=true")
    out = k.run("%llm label nothing --labels a,b", check=False)
    assert not out.displays and "Traceback" in out.text
    k.run("%llm_config set debug=false")
    assert len(k.run("%llm label nothing --labels a,b", check=False).displays) == 1


@pytest.mark.parametrize("name", ["VSCODE_PID", "VSCODE_CWD"])
def test_a_front_end_that_would_show_both_shows_the_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """VS Code has no rule that hides the second."""
    from llm_magics.notebook.views.errors import is_jupyter

    assert is_jupyter()
    monkeypatch.setenv(name, "1")
    assert not is_jupyter()
