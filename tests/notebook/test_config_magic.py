"""``%llm_config``: every noun does what it says, or refuses with one clear error and changes nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Limits, Message, Request, Response
from llm_magics.notebook.config.magic import COMMANDS, config_command
from llm_magics.notebook.reference import config
from llm_magics.notebook.tables import Table
from llm_magics.runs.session import Session
from llm_magics.settings.clear_text_keys import TypedKeyError
from llm_magics.settings.config import home_folder
from llm_magics.settings.table import SETTINGS
from tests.kernels import Kernel

TYPED = "sk-typed-0123456789abcdefTYPD"


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


@pytest.fixture
def do(session: Session) -> Any:
    """Type a line (and a body) at the session, with a notebook's variables beside it."""
    space = {"ask": lambda prompt: "ready", "embed_all": lambda texts: [[0.0]] * len(texts), "number": 3}
    shell = SimpleNamespace(user_ns=space, user_ns_hidden={})

    def typed(line: str, cell: str | None = None) -> Any:
        return config_command(session, line, cell, shell)

    typed.session = session  # type: ignore[attr-defined]
    return typed


@pytest.mark.checklist("B2", "C1", "C3")
def test_the_set_up_of_the_examples(do: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples 1 and 2 of the command surface, as typed."""
    monkeypatch.setenv("EXAMPLE_API_KEY", "example-key-with-the-end-9f2c")
    weights = tmp_path / "qwen.gguf"
    weights.write_bytes(b"x" * 1_100_000)
    do("add fast --openai https://api.example.com/v1 --id small-model --key env:EXAMPLE_API_KEY")
    do(f"add local --gguf {weights} --ctx 8192 -p temperature=0")
    do("use fast")
    do("use local --for embed")
    shown = str(do(""))
    assert re.search(r"default +fast +\(session\) +.*EXAMPLE_API_KEY \.\.\.9f2c \(environment\)", shown)
    assert re.search(r"embed +local +\(session\) +GGUF 1\.1 MB, not loaded", shown)
    assert "example-key" not in shown
    local = do.session.registry.resolve("local")
    assert (local.options["context"], local.parameters) == (8192, {"temperature": 0})


@pytest.mark.checklist("B2", "C3")
def test_all_the_flags_of_add_reach_the_backend(do: Any) -> None:
    do(
        "add x --openai http://localhost:1/v1 --id m --key env:K -p temperature=0.5 -p 'stop=[\"a\"]' "
        "--price 0.15/0.6 --rpm 60 --tpm 1000 --window 40/10 --concurrency 3 --retries 2 --timeout 9 "
        "--header X-Team=a --context-window 4096"
    )
    spec = do.session.registry.resolve("x")
    assert spec.parameters == {"temperature": 0.5, "stop": ["a"]}
    assert (spec.price.input, spec.price.output) == (0.15, 0.6)
    assert spec.limits == Limits(60, 1000, (40, 10.0), 3, 2, 9)
    assert spec.headers == {"X-Team": "a"}
    assert spec.options == {"context_window": 4096}
    assert spec.namespace == "custom_url"
    rows = {row["name"]: row["origin"] for row in do("show x")}
    assert (rows["rpm"], rows["key"]) == ("backend", "backend")
    do("add o --openai https://api.openai.com/v1 --id m")
    assert do.session.registry.resolve("o").namespace == "openai"


def test_azure_pool_process_and_any_other_backend(do: Any) -> None:
    do("add az --azure https://r.openai.azure.com --id dep --api-version 2024-10-21")
    do("add q --model ollama::qwen2.5:7b --url http://localhost:11434")
    do("add p --pool az,q")
    do("add far --process q")
    kept = do.session.registry.specs()
    assert (kept["az"].namespace, kept["az"].options) == ("azure", {"api_version": "2024-10-21"})
    assert (kept["q"].namespace, kept["q"].model) == ("ollama", "qwen2.5:7b")
    assert kept["p"].options["members"] == ["az", "q"]
    assert kept["far"].options["members"] == ["q"]


@pytest.mark.checklist("B7")
def test_functions_of_the_notebook_become_a_backend(do: Any) -> None:
    do("add mine --call ask --embed embed_all --window 40/10 --price 1/2 --context-window 8000")
    backend = do.session.registry.backend("mine")
    request = Request(backend.namespace, backend.model, (Message("user", "hi"),), base_url=backend.base_url)
    answer = do.session.loop.run(backend.complete(request))
    assert isinstance(answer, Response)
    assert answer.text == "ready"
    assert do("test mine").rows[0]["answer"] == "ready"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("frobnicate", "no %llm_config command"),
        ("us fast", "'use'"),
        ("use nosuchmodel", "openai::nosuchmodel"),
        ("use opnai::x", "'openai'"),
        ("use embedded::tfidf --for embedd", "'embed'"),
        ("show nosuchmodel", "no model"),
        ("remove nosuch", "no registered backend"),
        ("unalias nosuch", "no alias"),
        ("alias label=embedded::tfidf", "a subcommand"),
        ("alias x", "NAME=VALUE"),
        ("set modle=x", "'model'"),
        ("set rpm=often", "a number"),
        ("set max_cost=1 rpm=often", "a number"),
        ("set model=nosuchmodel", "no model"),
        ("set rpm=1 --persist nowhere", "--persist"),
        ("get modle", "'model'"),
        ("key set", "which key"),
        ("key forget nosuch", "no key"),
        ("key frob x", "no choice for set|list|forget 'frob'"),
        ("cache frob", "no choice for clear|pin"),
        ("cache limit much", "a size"),
        ("responses --model x", "go with clear"),
        ("responses clear --older-than soon", "a span of time"),
        ("profile load nosuch", "no profile"),
        ("profile save ../x", "can't name a profile"),
        ("profile save", "which profile"),
        ("add x", "names no backend"),
        ("add x --openai http://h/v1 --gguf y", "names several"),
        ("add x --openai http://h/v1", "--id"),
        ("add x --openai h --id m", "http://"),
        ("add x --openai http://h/v1 --id m --ctx 5", "--gguf only"),
        ("add x --gguf /no/such/file.gguf", "no file"),
        ("add x --gguf qwen25-1.5b-q8", "qwen2.5-1.5b-q8"),
        ("add x --gguf gemma2-2b-q6 --ctx -3", "context"),
        ("add x --gguf gemma2-2b-q6 --gpu-layers -7", "-1 for all"),
        ("add x --call nosuch", "no function"),
        ("add x --call number", "is no function"),
        ("add x --pool one", "two members"),
        ("add x --pool embedded::tfidf,nosuch::m", "no backend namespace"),
        ("add openai --model ollama::x", "a backend namespace"),
        ("add x --model ollama::m --rpm 0", "above zero"),
        ("add x --openai https://u:p@h/v1 --id m", "in clear"),
        ("add x --openai http://h/v1 --id m --header Authorization=abc", "in clear"),
        ("use 'open", "closing quotation"),
        ("use embedded::tfidf --fro embed", "--for"),
    ],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(do: Any, line: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        do(line)
    assert said in str(raised.value)
    assert do.session.config.session() == {}
    assert do.session.registry.names() == []


@pytest.mark.checklist("C1")
@pytest.mark.parametrize("line", [ours for _, ours in config.SCIKIT_LLM])
def test_each_line_of_the_scikit_llm_table_works(do: Any, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as it stands in the docs; keys are typed where asked."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: TYPED)
    found = do(line.removeprefix("%llm_config "))
    assert isinstance(found, Table)
    assert TYPED not in str(found)
    noun, *rest = line.removeprefix("%llm_config ").split()
    if noun == "set":
        name, _, value = rest[0].partition("=")
        assert do.session.config.value(name) == SETTINGS[name].check(value)


@pytest.mark.checklist("C1")
def test_every_setter_of_scikit_llm_has_a_line() -> None:
    """Setters of SKLLMConfig as of scikit-llm 1.4.2."""
    said = """
        set_openai_key set_gpt_key set_openai_org set_gpt_org set_azure_api_base set_azure_api_version
        set_gpt_url reset_gpt_url set_google_project set_anthropic_key set_gguf_max_gpu_layers set_gguf_verbose
    """
    setters = said.split()
    table = " ".join(theirs for theirs, _ in config.SCIKIT_LLM)
    assert [name for name in setters if name not in table] == []
    for setting in SETTINGS.values():
        for name in setting.setters:
            lines = [ours for theirs, ours in config.SCIKIT_LLM if name in theirs]
            assert setting.name in " ".join(lines)


@pytest.mark.checklist("C1")
def test_the_reference_page_is_up_to_date() -> None:
    """``python -m llm_magics.notebook.reference.config > docs/reference/config.md`` makes it so."""
    page = Path(__file__).resolve().parents[2] / config.PAGE
    assert page.read_text("utf-8") == config.render()
    assert all(f"`{name}`" in config.render() for name in (*SETTINGS, *COMMANDS))


def test_the_cell_of_the_reference_page_works(do: Any) -> None:
    body = re.search(r"```\n%%llm_config\n(.*?)```", config.render(), re.DOTALL)
    assert body
    do("", body[1])
    assert do.session.config.role("label") == ("fast", "session")
    spec = do.session.registry.resolve("quick")
    assert (spec.limits.rpm, spec.parameters, spec.price.output) == (600, {"temperature": 0}, 0.6)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[settings]\nmax_cost = 9\n[backends.b\nmodel = 'ollama::x'", "line 3"),
        ("[settings]\nmax_cost = 9\n[backends.b]\nmodel = 'nosuch::x'", "no backend namespace"),
        ("[settings]\nmax_cost = 9\n[aliases]\nz = 'nosuch::x'", "no backend namespace"),
        ("[settings]\nmax_cost = 9\nmodel = 'nosuchmodel'", "no model"),
        ("[settings]\nmax_cost = 9\nmodle = 'x'", "'model'"),
        ("[settings]\nmax_cost = 9\nrpm = 'x'", "a number"),
        ("[setings]\nmax_cost = 9", "'settings'"),
        ("settings = 3", "must be a table"),
        ("max_cost = 9", "max_cost in the cell stands outside of [settings]"),
        ("[gguf]\ncontext = 9", "[settings]\ngguf.context = ..."),
        (
            "[settings]\nmax_cost = 9\n[backends.p]\nnamespace='pool'\noptions={members=['a', 'b']}",
            "no model",
        ),
    ],
)
def test_a_cell_is_applied_whole_or_not_at_all(do: Any, body: str, said: str) -> None:
    do("", "[settings]\nmax_cost = 1\n[backends.before]\nmodel = 'ollama::x'")
    with pytest.raises(UsageError) as raised:
        do("", body)
    assert said in str(raised.value)
    assert do.session.config.session() == {"max_cost": 1}
    assert do.session.registry.names() == ["before"]


def test_a_key_in_a_cell_is_refused_and_the_error_of_a_broken_cell_shows_none(do: Any) -> None:
    with pytest.raises(TypedKeyError) as raised:
        do("", f"[backends.b]\nmodel = 'ollama::x'\nkey = '{TYPED}'")
    assert TYPED not in str(raised.value)
    with pytest.raises(UsageError) as raised:
        do("", "[backends.b]\nmodel = 'ollama::x'\nkey = 'hunter2hunter2'")
    assert "hunter2hunter2" not in str(raised.value)


@pytest.mark.checklist("C6", "R13")
def test_a_profile_brings_back_the_set_up_without_any_secret(
    do: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: TYPED)
    do("key set mine")
    do("add fast --openai http://localhost:1/v1 --id m --key session:mine --price 0.15/0.6 --window 40/10")
    do("add slow --model ollama::x")
    do("alias s=slow")
    do("add both --pool fast,s")
    do("add py --call ask")
    do("use fast")
    do("use s --for embed")
    do("set max_cost=2 gguf.memory_limit=12GB")
    before = do.session.registry.specs()
    said = str(do("profile save work"))
    assert "left out: py" in said
    path = home_folder() / "profiles" / "work.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert TYPED not in path.read_text()
    assert "session:mine" in path.read_text()
    fresh = Session()
    config_command(fresh, "profile load work")
    after = fresh.registry.specs()
    assert after == {name: spec for name, spec in before.items() if name != "py"}
    assert fresh.registry.aliases() == {"s": "slow"}
    assert fresh.config.session() == do.session.config.session()
    assert [row["profile"] for row in do("profile list")] == ["work"]


@pytest.mark.checklist("C6")
def test_a_profile_leaves_out_what_a_new_kernel_could_not_load(do: Any) -> None:
    """A removed backend's roles, and all that goes by the name of a function of this notebook."""
    do("add gone --model ollama::x")
    do("use gone --for embed")
    do("remove gone")
    do("add py --call ask")
    do("add slow --model ollama::x")
    do("add both --pool py,slow")
    do("alias mine=py other=slow")
    do("use mine")
    said = str(do("profile save half"))
    for name in ("roles.embed = gone (no model 'gone'", "py (", "both (", "mine (", "model = mine ("):
        assert f"left out: {name}" in said
    fresh = Session()
    config_command(fresh, "profile load half")
    assert list(fresh.registry.specs()) == ["slow"]
    assert fresh.registry.aliases() == {"other": "slow"}
    assert fresh.config.session() == {}


def test_settings_are_set_shown_unset_and_reset(do: Any) -> None:
    do("set max_cost=2 on_error=raise")
    assert do("get max_cost").rows[0] | {"meaning": ""} == {
        "name": "max_cost",
        "value": 2.0,
        "origin": "session",
        "meaning": "",
    }
    assert len(do("get").rows) == len(SETTINGS)
    assert do("unset max_cost").rows[0]["origin"] == "default"
    do("reset")
    assert do("get on_error").rows[0]["value"] == "null"
    kept = do("set retries=2 --persist user")
    assert kept.rows[0]["origin"] == "user file"
    assert "written to" in str(kept)
    assert "config.toml" in str(kept)
    do("reset")
    assert do("get retries").rows[0]["origin"] == "user file"
    assert {"user", "project", "home", "responses", "profiles"} == {row["what"] for row in do("path")}


def test_models_are_data_and_a_table(do: Any) -> None:
    do("add fast --openai http://localhost:1/v1 --id small --price 0.15/0.6 --context-window 4096")
    do("alias f=fast")
    do("use f")
    rows = do("models --json")
    assert json.loads(json.dumps(rows)) == rows
    by_name = {row["name"]: row for row in rows}
    assert by_name["fast"]["price"] == "0.15/0.6"
    assert by_name["fast"]["context"] == 4096
    assert by_name["f"]["kind"] == "alias of fast"
    assert by_name["f"]["roles"] == ["default"]
    assert "gguf::" in str(do("models gguf"))
    assert str(do("models zzzz")) == "nothing matches"


def test_a_listing_is_text_and_escaped_html(do: Any) -> None:
    do("add evil --openai http://localhost:1/v1 --id '<script>alert(1)</script>'")
    bundle = do("models")._repr_mimebundle_()
    assert "<script>alert(1)</script>" in bundle["text/plain"]
    assert "<script>" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]


def test_responses_are_counted_and_cleared(do: Any) -> None:
    request = Request("openai", "gpt-4.1", (Message("user", "hi"),))
    do.session.store.put(request, Response(text="yes", model="gpt-4.1"))
    assert "1 answers" in str(do("responses"))
    assert re.search(r"responses +1 rows", str(do("")))
    assert str(do("responses clear --older-than 7d")) == "0 answers deleted"
    assert str(do("responses clear")) == "1 answers deleted"


def test_the_store_stands_where_the_settings_say(tmp_path: Path) -> None:
    made = Session({"LLM_MAGICS_STORE": str(tmp_path / "mine.sqlite3"), "LLM_MAGICS_STORE_LIMIT": "5MB"})
    assert (made.store.path, made.store.limit) == (tmp_path / "mine.sqlite3", 5_000_000)
    made.close()


def test_help_is_there_for_every_noun(do: Any) -> None:
    shown = str(do("-h"))
    for name in COMMANDS:
        assert name in shown
        assert f"%llm_config {name}" in str(do(f"{name} -h"))


def test_the_model_cache_is_listed_and_limited(do: Any) -> None:
    assert "no model is loaded" in str(do("cache"))
    do("cache limit 3GB")
    assert "limit 3.0 GB" in str(do("cache"))
    do("cache limit 12GB")


@pytest.mark.checklist("C4")
def test_what_will_not_work_is_warned_about(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAGICS_MAX_COTS", "1")
    do("use openai::gpt-4.1")
    shown = str(do(""))
    assert "warning: openai::gpt-4.1 has no key" in shown
    assert "did you mean LLM_MAGICS_MAX_COST" in shown


# --- in a real kernel --------------------------------------------------------------------------------

FROM_ENV = "env-key-0123456789-abcdefgh-KENV"
FROM_SESSION = "ses-key-0123456789-abcdefgh-KSES"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("live")
    env = {
        "OPENAI_API_KEY": FROM_ENV,
        "LLM_MAGICS_HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    made = Kernel(env)
    made.run("%load_ext llm_magics")
    yield made
    made.close()


def _answer(kernel: Kernel, code: str, typed: str) -> Any:
    """Run a cell that asks for one input, and type it."""
    message = kernel.client.execute(code, allow_stdin=True)
    asked = kernel.client.get_stdin_msg(timeout=20)
    assert asked["content"]["password"] is True
    kernel.client.input(typed)
    return kernel.finish(message)


@pytest.mark.checklist("C4")
def test_keys_appear_nowhere(live: Kernel) -> None:
    """From the environment or typed where asked: not in outputs, exceptions, history or files."""
    said = [_answer(live, "%llm_config key set custom", FROM_SESSION).text]
    cells = [
        "%llm_config add mine --openai http://127.0.0.1:9/v1 --id m --key session:custom",
        "%llm_config",
        "%llm_config show openai::gpt-4.1",
        "%llm_config show mine",
        "%llm_config models",
        "%llm_config key list",
        "%llm_config test mine",
        "%llm_config use nosuchmodel",
        "%llm_config doctor",
        "%llm_config profile save kept",
        "%history -g",
        "import llm_magics.runs.session as s; s.current().keys, s.current().registry, s.current().registry.live()",
        "[vars(b) for b in s.current().registry.live().values()]",
    ]
    said += [live.run(cell, check=False).text for cell in cells]
    assert "...KENV" in said[2]
    assert "...KSES" in said[4]
    everything = "\n".join(said)
    for key in (FROM_ENV, FROM_SESSION):
        assert key not in everything
        assert _files_with(key, live) == []


@pytest.mark.checklist("C4")
def test_a_key_typed_on_a_line_leaves_the_history(live: Kernel) -> None:
    """The error doesn't repeat it; In, _i, %history and the history's file don't have it."""
    for cell in (
        f"%llm_config key set openai {TYPED}",
        f"%%llm_config\n[backends.b]\nkey = '{TYPED}'",
        "%llm_config key set openai hunter2-TYPD-hunter2",
        f"%llm label reviews --labels {TYPED},b",
        f"%%llm chat -m {TYPED}\nhello",
    ):
        output = live.run(cell, check=False)
        assert output.error is not None
        assert output.error["ename"] == "TypedKeyError"
        assert "TYPD" not in output.text
        assert "TYPD" not in live.run("print(In, _i, _ii)\n%history -g").text
    assert _files_with("TYPD", live) == []


@pytest.mark.checklist("C4")
def test_a_saved_notebook_holds_no_key(live: Kernel, tmp_path: Path) -> None:
    """Run through nbclient and saved, errors and all."""
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "%load_ext llm_magics",
        "%llm_config",
        "%llm_config show openai::gpt-4.1",
        "%llm_config set debug=true",
    ]
    cells += ["%llm_config use nosuch", "1/0"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    os.environ["OPENAI_API_KEY"] = FROM_ENV
    try:
        NotebookClient(notebook, allow_errors=True, timeout=60).execute()
    finally:
        del os.environ["OPENAI_API_KEY"]
    path = tmp_path / "saved.ipynb"
    nbformat.write(notebook, path)
    assert "...KENV" in path.read_text()
    assert FROM_ENV not in path.read_text()


@pytest.mark.checklist("C4")
@pytest.mark.parametrize(
    "cell",
    [
        "%llm_config add x --openai http://h/v1?sig=plain-4711-word --id m",
        "%llm_config add x --openai http://plain-4711-word@h/v1 --id m",
        "%llm_config add x --openai http://h/v1 --id m -p api_key=plain-4711-word",
        "%llm_config add x --openai http://h/v1 --id m --header x-api-key=plain-4711-word",
        "%llm_config set openai.base_url=http://me:plain-4711-word@h/v1",
        '%%llm_config\n[backends.x]\nnamespace = "openai"\nmodel = "m"\napi_key = "plain-4711-word"',
        '%%llm_config\n[backends.x.headers]\nauthorization = "plain-4711-word"',
        '%%llm_config\n[backends.x]\nnamespace = "openai"\noptions = {token = "plain-4711-word"}',
        "%%llm_config\n[backends.x\nmodel = \"m\"\nkey = 'plain-4711-word'",
        "%%llm -p api_key=plain-4711-word\nhello",
    ],
)
def test_a_key_without_the_looks_of_one_is_told_by_its_name(live: Kernel, cell: str) -> None:
    """It is refused, not repeated, and the cell is not in the history: not even where the rest is malformed."""
    output = live.run(cell, check=False)
    assert output.error is not None
    assert output.error["ename"] == "TypedKeyError"
    assert "env:" in output.text
    assert "4711" not in output.text
    assert "4711" not in live.run("print(In, _i, _ii)\n%history -g").text
    assert _files_with("plain-4711-word", live) == []


@pytest.mark.checklist("C4")
def test_a_key_in_a_prompt_is_not_sent(live: Kernel) -> None:
    """One's own key, pasted into a body, would stand in the response store and with the provider."""
    output = live.run(f"%%llm\nWhy is {FROM_ENV} refused?", check=False)
    assert output.error is not None
    assert output.error["ename"] == "TypedKeyError"
    assert FROM_ENV not in output.text


def test_a_front_end_without_input_gets_one_clear_error(live: Kernel) -> None:
    output = live.finish(live.client.execute("%llm_config key set openai", allow_stdin=False))
    assert output.error is not None
    assert output.error["ename"] == "UsageError"
    assert "env:VARIABLE" in output.text


def test_values_are_data_in_code(live: Kernel) -> None:
    assert live.run("x = %llm_config models --json\nprint(type(x), x[0]['name'])").stdout.startswith(
        "<class 'list'>"
    )


def _files_with(text: str, live: Kernel) -> list[str]:
    """The files below the kernel's own folders that hold a text; the history is written by a thread."""
    live.run("get_ipython().history_manager.writeout_cache()")
    folder = Path(live.run("import os; print(os.environ['LLM_MAGICS_HOME'])").stdout.strip()).parent
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


# --- against loopback servers ------------------------------------------------------------------------


@pytest.mark.checklist("B3", "C2", "C4")
def test_the_key_of_one_backend_never_reaches_another_host(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers at once, a key for one of them, openai's own in the environment; parameters arrive."""
    from llm_magics.testing import Server

    monkeypatch.setenv("OPENAI_API_KEY", FROM_ENV)
    monkeypatch.setenv("KEY_A", "key-of-the-first-server")
    with Server() as first, Server() as second:
        do(f"add a --openai {first.url} --id m --key env:KEY_A -p temperature=0.5 -p seed=7")
        do(f"add b --openai {second.url} --id m")
        assert do("test a").rows[0]["model"]
        assert do("test b").rows[0]["model"]
        assert [r.headers.get("authorization") for r in first.requests] == ["Bearer key-of-the-first-server"]
        assert [r.headers.get("authorization") for r in second.requests] == [None]
        assert (first.bodies[0]["temperature"], first.bodies[0]["seed"]) == (0.5, 7)
        assert not {"temperature", "seed"} & second.bodies[0].keys()


@pytest.mark.checklist("C1", "C6")
def test_a_scikit_llm_environment_works_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """``custom_url::model`` with SKLLM_CONFIG_GPT_URL; openai's key stays at home."""
    from llm_magics.testing import Server

    with Server() as server:
        environ = {"SKLLM_CONFIG_GPT_URL": server.url, "SKLLM_CONFIG_OPENAI_KEY": FROM_ENV}
        made = Session(environ)
        config_command(made, "test custom_url::some-model")
        made.close()
        assert server.bodies[0]["model"] == "some-model"
        assert FROM_ENV not in str([dict(r.headers) for r in server.requests])
