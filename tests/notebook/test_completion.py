"""Tab in our magics: what is offered, what it replaces, and what is kept away."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.types import BackendSpec
from llm_magics.notebook.commands import COMMANDS
from llm_magics.notebook.completion import suggest
from llm_magics.notebook.config.magic import COMMANDS as CONFIG_COMMANDS
from llm_magics.notebook.suggestions import Around, columns_of, words
from llm_magics.runs.session import Session
from llm_magics.settings.table import SETTINGS
from tests.kernels import Kernel

FRAME = pd.DataFrame({"review body": ["a"], "stars": [1], "store": ["x"]})


@pytest.fixture(scope="module")
def around() -> Iterator[Around]:
    session = Session({})
    session.registry.add(BackendSpec("ollama", "qwen", name="fast"))
    session.registry.alias("quick", "fast")
    space = {"reviews": FRAME, "texts": ["a", "b"], "number": 3, "brand": "x", "ask": lambda p: p}
    yield Around(space, session)
    session.close()


def _offered(text: str, around: Around) -> tuple[str, list[str]]:
    """What is replaced and what is offered at ``|`` (or at the end)."""
    before, _, after = text.partition("|")
    row, column = before.count("\n"), len(before.rpartition("\n")[2])
    found = suggest(before + after, row, column, around)
    assert found is not None
    assert before.endswith(found.fragment)
    return found.fragment, list(found.texts)


@pytest.mark.checklist("X5")
@pytest.mark.parametrize(
    ("text", "fragment", "offered"),
    [
        ("%llm la", "la", ["label", "last"]),
        ("%%llm label re|", "re", ["reviews"]),
        ("%%llm label |\nbody", "", ["reviews", "texts"]),
        ("x = %llm embed rev", "rev", ["reviews"]),
        ("    %llm embed rev", "rev", ["reviews"]),
        ("import os\n%llm embed rev", "rev", ["reviews"]),
        ("%%llm label reviews.st", "reviews.st", ["reviews.stars", "reviews.store"]),
        ("%llm embed reviews --on ", "", ['"review body"', "stars", "store"]),
        ('%llm embed reviews --on "re', '"re', ['"review body"']),
        ("%llm embed reviews --on 'Rev", "'Rev", ["'review body'"]),
        ("%%llm label reviews --truth sta", "sta", ["stars"]),
        ("%%llm label reviews.stars --on-error ", "", ["null", "raise"]),
        ("%%llm label reviews -m qu", "qu", ["quick"]),
        ("%%llm label reviews --model fa", "fa", ["fast"]),
        ("%%llm label reviews -p temp", "temp", ["temperature="]),
        ("%llm estimate generate rev", "rev", ["reviews"]),
        ("%llm help gen", "gen", ["generate"]),
        ("%%llm generate reviews\nDear {re", "re", ["review body}"]),
        ("%%llm generate reviews\nDear {re|}", "re", ["review body"]),
        ("%%llm generate reviews\nDear {stars}, {@br", "@br", ["@brand}"]),
        ("%%llm generate reviews\nJSON {{re", "", []),
        ("%%llm generate reviews\nDear {stars} o", "", []),
        ("%%llm label reviews.stars\nimpor", "", []),
        ("%llm_config us", "us", ["use"]),
        ("%llm_config use qu", "qu", ["quick"]),
        ("%llm_config use fast --for concepts.s", "concepts.s", ["concepts.synthesize", "concepts.score"]),
        ("%llm_config key f", "f", ["forget"]),
        ("%llm_config set max", "max", ["max_cost="]),
        ("%llm_config set widgets=", "widgets=", ["widgets=auto", "widgets=off"]),
        ("%llm_config set model=fa", "model=fa", ["model=fast"]),
        ("%llm_config get gguf.c", "gguf.c", ["gguf.context"]),
        ("%llm_config add x --call a", "a", ["ask"]),
        ("%llm_config remove f", "f", ["fast"]),
        ("%llm_config unalias q", "q", ["quick"]),
        ("%%llm_config\n[set", "set", ["settings]"]),
        ("%%llm_config\n[settings]\nmax_c", "max_c", ["max_cost = "]),
    ],
)
def test_what_is_offered(text: str, fragment: str, offered: list[str], around: Around) -> None:
    assert _offered(text, around) == (fragment, offered)


@pytest.mark.checklist("X5")
def test_every_flag_of_every_command_is_offered(around: Around) -> None:
    """The table of subcommands is the only list there is."""
    for name, command in COMMANDS.items():
        long = [flag for flag in command.parser.flags() if flag.startswith("--")]
        assert _offered(f"%llm {name} --", around)[1] == long
    assert _offered("%llm_config ", around)[1] == list(CONFIG_COMMANDS)
    assert len(_offered("%llm_config set ", around)[1]) == len(SETTINGS)


@pytest.mark.parametrize(
    "text", ["print(re", "%timeit re", "# %%llm la", "%%llm", "%%time\nx", "x = 3 %llm", ""]
)
def test_what_is_not_ours_is_left_alone(text: str, around: Around) -> None:
    assert suggest(text, text.count("\n"), len(text.rpartition("\n")[2]), around) is None


@pytest.mark.checklist("X9")
def test_columns_of_any_frame() -> None:
    assert columns_of(pl.DataFrame({"a b": [1]})) == ["a b"]
    assert columns_of(pa.table({"a": [1], "c": [2]})) == ["a", "c"]
    assert columns_of(pd.DataFrame([[1, 2]], columns=["d", "d"])) == ["d"]
    assert columns_of(SimpleNamespace(columns=lambda: 1)) == []
    assert columns_of("text") == []


@given(st.text(alphabet="ab '\"-=.{\n%", max_size=30))
def test_no_line_breaks_it_and_what_is_replaced_ends_at_the_cursor(rest: str) -> None:
    around = Around({"a": FRAME})
    for start in ("%llm ", "%%llm label ", "%llm_config ", "%%llm_config\n", "%%llm generate a\n"):
        text = start + rest
        found = suggest(text, text.count("\n"), len(text.rpartition("\n")[2]), around)
        assert found is None or text.endswith(found.fragment)


def test_words_end_at_unquoted_spaces() -> None:
    assert words("""a "b c" --d='e f' "g h""").done == ("a", "b c", "--d=e f")
    assert words("""a "b c" "g h""").raw == '"g h'


# --- in a real kernel --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live() -> Iterator[Kernel]:
    made = Kernel()
    made.run(
        "%load_ext llm_magics\nimport pandas as pd\nimport operator, opcode\n"
        "reviews = pd.DataFrame({'review body': ['a'], 'stars': [1]})"
    )
    yield made
    made.close()


def _complete(kernel: Kernel, code: str) -> dict[str, Any]:
    message = kernel.client.complete(code, len(code))
    while True:
        reply = kernel.client.get_shell_msg(timeout=20)
        if reply["parent_header"].get("msg_id") == message:
            return dict(reply["content"])


@pytest.mark.checklist("X5")
@pytest.mark.parametrize(
    ("code", "matches"),
    [
        ("%llm la", ["label", "last"]),
        ("%%llm label rev", ["reviews"]),
        ("%%llm label reviews.st", ["reviews.stars"]),
        ("x = %llm embed reviews --on re", ['"review body"']),
        ('%llm embed reviews --on "review b', ['"review body"']),
        ("%%llm label reviews --max-l", ["--max-labels"]),
        ("%%llm generate reviews\nHello {sta", ["stars}"]),
        ("%%llm generate reviews\nHello {review b", ["review body}"]),
        ("%llm_config use embedded::w", ["embedded::wordllama+use"]),
        ("%llm_config key fo", ["forget"]),
        ("%%llm generate reviews\nHello o", []),
        ("%%llm chat\nimport ope", []),
    ],
)
def test_a_kernel_answers_the_front_end(live: Kernel, code: str, matches: list[str]) -> None:
    """Python's own suggestions (opcode, operator) stay out of prose."""
    reply = _complete(live, code)
    assert reply["status"] == "ok"
    assert reply["matches"] == matches
    if matches:
        typed = code[reply["cursor_start"] :]
        assert matches[0].strip('"').startswith(typed.strip('"'))


def test_python_cells_complete_as_ever(live: Kernel) -> None:
    assert "reviews" in _complete(live, "print(revi")["matches"]
    assert "%llm_config" in _complete(live, "%llm_co")["matches"]


def test_a_fault_shows_the_user_nothing(live: Kernel) -> None:
    """A variable whose every attribute fails must not put a traceback into typing."""
    live.run("class Bad:\n    def __getattr__(self, name): raise ValueError(name)\nbad = Bad()")
    assert _complete(live, "%%llm label bad.")["status"] == "ok"
    assert live.run("1").text == "1"


def test_unloading_takes_it_away(live: Kernel) -> None:
    live.run("%unload_ext llm_magics")
    assert "label" not in _complete(live, "%llm la")["matches"]
    live.run("%load_ext llm_magics")
    assert _complete(live, "%llm la")["matches"] == ["label", "last"]
    count = "len(get_ipython().Completer.custom_matchers)"
    assert live.run(f"%reload_ext llm_magics\n{count}").text == "1"
