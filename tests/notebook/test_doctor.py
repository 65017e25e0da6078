"""The doctor tells what is there, what is missing, and what to type, without going anywhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_magics.backends.registry import namespaces
from llm_magics.core.errors import NotFound
from llm_magics.core.types import Message, Request, Response
from llm_magics.notebook.config.magic import config_command
from llm_magics.runs.session import Session
from llm_magics.testing import Server


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


def _rows(session: Session, line: str = "doctor") -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["what"], row["name"]): row for row in config_command(session, line).rows}


@pytest.mark.checklist("B11")
def test_every_namespace_is_examined(session: Session) -> None:
    rows = _rows(session)
    assert [name for name in namespaces() if ("backend", name) not in rows] == []
    assert rows["backend", "openai"]["state"] == "missing"
    assert "%llm_config key set openai" in rows["backend", "openai"]["detail"]
    assert rows["backend", "embedded"]["state"] == "ok"
    assert rows["package", "pandas"]["state"] == "ok"


@pytest.mark.checklist("C4")
def test_the_steps_of_looking_for_a_key_are_shown_masked(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLLM_CONFIG_OPENAI_KEY", "a-key-that-ends-in-9f2c")
    row = _rows(session)["backend", "openai"]
    assert row["state"] == "ok"
    assert "env:OPENAI_API_KEY -, env:SKLLM_CONFIG_OPENAI_KEY ...9f2c" in row["detail"]
    assert "a-key-that" not in str(row)


def test_a_missing_package_is_named_with_its_install(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_magics.notebook.config import doctor

    monkeypatch.setitem(doctor.NEEDS, "gguf", doctor.Needs("no_such_module_anywhere", "gguf"))  # type: ignore[arg-type]
    assert '%pip install "llm_magics[gguf]"' in _rows(session)["backend", "gguf"]["detail"]


def test_a_server_is_missing_until_one_is_added(session: Session) -> None:
    assert _rows(session)["backend", "custom_url"]["state"] == "missing"
    config_command(session, "add x --openai http://127.0.0.1:9/v1 --id m")
    assert _rows(session)["backend", "custom_url"]["state"] == "ok"


def test_the_stores_health(session: Session) -> None:
    assert _rows(session)["store", "responses"]["state"] == "unused"
    session.store.put(Request("openai", "m", (Message("user", "x"),)), Response(text="y", model="m"))
    row = _rows(session)["store", "responses"]
    assert (row["state"], "1 rows" in row["detail"]) == ("ok", True)
    Path(session.store.path).chmod(0o644)
    assert "chmod 600" in _rows(session)["store", "responses"]["detail"]


def test_a_broken_store_is_said_and_not_raised(session: Session) -> None:
    path = Path(session.store.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is no database" * 100)
    assert _rows(session)["store", "responses"]["state"] == "broken"


def test_a_broken_settings_file_is_said_and_not_raised(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.llm_magics\n")
    monkeypatch.chdir(tmp_path)
    row = _rows(session)["file", "settings"]
    assert row["state"] == "broken"
    assert "line 1" in row["detail"]


def test_nothing_is_asked_of_the_network(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    config_command(session, "add x --openai http://127.0.0.1:9/v1 --id m")
    config_command(session, "use x")

    def refuse(*_: object) -> None:
        raise AssertionError("the doctor went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert ("answer", "x") not in _rows(session)


def test_online_asks_each_model_in_use_once(session: Session) -> None:
    config_command(session, "add x --openai http://127.0.0.1:9/v1 --id m --retries 0")
    config_command(session, "use x --for generate")
    rows = _rows(session, "doctor --online")
    assert rows["answer", "x"]["state"] == "broken"
    assert rows["answer", session.config.role("default")[0]]["state"] == "ok"


@pytest.mark.checklist("R14")
def test_one_backend_is_examined_by_name(session: Session) -> None:
    """By its own name or its namespace's: what it needs, where it is, whether it answers."""
    with Server(lambda _: "ready") as server:
        config_command(session, f"add mine --openai {server.url} --id small")
        config_command(session, "add other --openai http://127.0.0.1:9/v1 --id m")
        rows = _rows(session, "doctor mine")
        assert set(rows) == {("backend", "custom_url"), ("backend", "mine")}
        assert rows["backend", "mine"]["detail"] == f"custom_url::small {server.url}"
        assert server.count == 0
        rows = _rows(session, "doctor mine --online")
        assert rows["answer", "mine"]["state"] == "ok" and ("answer", "other") not in rows
    assert set(_rows(session, "doctor gemini")) == {("backend", "gemini")}
    with pytest.raises(NotFound, match="mien"):
        config_command(session, "doctor mien")


def test_vertex_says_its_two_missing_parts(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The project and the sign-in, each with what to type, until both are there."""
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    row = _rows(session)["backend", "vertex"]
    assert row["state"] == "missing"
    assert "vertex.project" in row["detail"]
    assert "gcloud auth application-default login" in row["detail"]
    config_command(session, "set vertex.project=mine")
    (tmp_path / "application_default_credentials.json").write_text("{}")
    assert "project" not in _rows(session)["backend", "vertex"]["detail"]
