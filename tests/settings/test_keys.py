"""Keys are references: found late, masked always, refused where they would be saved."""

from __future__ import annotations

import os
from pathlib import Path

import keyring
import keyring.backend
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core.errors import NotFound, UsageError, redact, register_secret
from llm_magics.settings.clear_text_keys import TypedKeyError, check_reference, looks_like_key
from llm_magics.settings.keys import Keys, mask

OPENAI = "sk-proj-0123456789abcdefghijWXYZ"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A real keyring backend whose store is a dict."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> object:
    """The system's keyring, for one test, in memory."""
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield keyring.get_keyring()
    keyring.set_keyring(before)


@pytest.mark.checklist("C4")
def test_each_scheme_finds_its_key(tmp_path: Path, ring: MemoryKeyring) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nOTHER=1\nexport A_KEY = \"from # file\"  # why\nB='it''s'\nC=plain # note\n")
    keys = Keys({"A_KEY": "from env"})
    keys.set("mine", "from session")
    keys.set("mine", "from ring", "keyring")
    ring.set_password("theirs", "me", "from theirs")
    found = {
        reference: keys.resolve(reference)
        for reference in (
            "env:A_KEY",
            "session:mine",
            "keyring:mine",
            "keyring:theirs/me",
            f"dotenv:{path}#A_KEY",
            f"dotenv:{path}#C",
            f"dotenv:{path}#NONE",
            f"dotenv:{tmp_path}/none#A_KEY",
            "env:NONE",
            "session:none",
            "keyring:none",
            "colab:none",
        )
    }
    assert list(found.values()) == [
        "from env",
        "from session",
        "from ring",
        "from theirs",
        "from # file",
        "plain",
        *[None] * 6,
    ]
    assert "A_KEY" not in os.environ
    assert "OTHER" not in os.environ


def test_what_is_no_reference_is_refused_without_being_repeated() -> None:
    for text in ("hunter2hunter2", OPENAI, "env", "http://some.host"):
        with pytest.raises(TypedKeyError) as raised:
            check_reference(text)
        assert text == "env" or text not in str(raised.value)


def test_a_typed_key_comes_before_the_environment_and_that_before_the_keyring(ring: MemoryKeyring) -> None:
    environ = {}
    keys = Keys(environ)
    assert keys.default_reference("openai") == "env:OPENAI_API_KEY"
    keys.set("openai", "c" * 20, "keyring")
    assert keys.default_reference("openai") == "keyring:openai"
    environ["SKLLM_CONFIG_OPENAI_KEY"] = "b" * 20
    assert keys.default_reference("openai") == "env:SKLLM_CONFIG_OPENAI_KEY"
    environ["OPENAI_API_KEY"] = "d" * 20
    assert keys.default_reference("openai") == "env:OPENAI_API_KEY"
    keys.set("openai", "a" * 20)
    assert keys.default_reference("openai") == "session:openai"
    assert [step.found for step in keys.lookups("openai")] == [True] * 4
    assert keys.default_reference("embedded") == ""


def test_a_key_typed_under_a_variables_name_stands_in_for_it() -> None:
    keys = Keys({"GEMINI_API_KEY": "from env"})
    keys.set("GEMINI_API_KEY", "typed")
    assert keys.resolve("env:GEMINI_API_KEY") == "typed"


def test_forgetting_takes_a_key_out_of_session_and_keyring(ring: MemoryKeyring) -> None:
    keys = Keys({})
    keys.set("openai", "a" * 20)
    keys.set("openai", "b" * 20, "keyring")
    assert keys.forget("openai") == ("session:openai", "keyring:openai")
    assert ring.kept == {}
    with pytest.raises(NotFound):
        keys.forget("openai")


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Keys({}).set("openai", "  ")


@pytest.mark.checklist("C4")
@given(st.text(min_size=1))
def test_a_mask_never_shows_more_than_the_last_four_of_a_long_key(secret: str) -> None:
    shown = mask(secret)
    assert shown == ("..." + secret[-4:] if len(secret) >= 16 else "...")


def test_a_list_of_keys_shows_none_of_them() -> None:
    keys = Keys({"OPENAI_API_KEY": OPENAI})
    keys.set("mine", "topsecret-topsecret")
    shown = repr(keys.list())
    assert OPENAI not in shown
    assert "topsecret-topsecret" not in shown
    assert "...WXYZ" in shown


@pytest.mark.checklist("C4")
@pytest.mark.parametrize(
    "line",
    [
        f"key set openai {OPENAI}",
        "add x --openai https://h/v1 --id m --key sk-abc123def",
        "--header Authorization='Bearer abcdefghijklmnop1234'",
        "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "gsk_0123456789abcdefghij",
    ],
)
def test_what_looks_like_a_key_is_refused_on_a_line(line: str) -> None:
    with pytest.raises(TypedKeyError) as raised:
        Keys({}).refuse_key_in_line(line)
    assert not any(
        word in str(raised.value) for word in line.split() if len(word) > 9 and looks_like_key(word)
    )


def test_a_key_known_from_elsewhere_is_refused_too() -> None:
    keys = Keys({"OPENAI_API_KEY": "plainlookingpassword"})
    with pytest.raises(TypedKeyError):
        keys.refuse_key_in_line("chat what is plainlookingpassword?")


@pytest.mark.parametrize(
    "line",
    [
        "label tickets.body --labels task-1,risk-2 --key_performance_indicator",
        "generate reviews --on sk-learn -o desk-0123456789",
        "add fast --openai https://api.example.com/v1 --id small-model --key env:EXAMPLE_API_KEY",
        "label df.hf_downloads --as rk",
        "use openai::ft:gpt-4.1:acme::8h2kd01jdk2",
    ],
)
def test_ordinary_lines_pass(line: str) -> None:
    Keys({}).refuse_key_in_line(line)


@pytest.mark.checklist("C4")
def test_redaction_knows_every_key_seen() -> None:
    keys = Keys({"A": "first-secret-value", "ANTHROPIC_API_KEY": "second-secret-value"})
    keys.resolve("env:A")
    keys.lookups("anthropic")
    keys.set("x", "third-secret-value")
    said = "first-secret-value second-secret-value third-secret-value fourth"
    assert redact(said) == "*** *** *** fourth"
    assert UsageError(said, hint=said).args == ("*** *** *** fourth",)


@pytest.mark.checklist("C4")
@pytest.mark.parametrize(
    "secret", [OPENAI, "sk-ant-api03-abcdefghijk", "hf_abcdefgh1jklmnop", "AIza" + "a" * 35]
)
def test_redaction_finds_keys_it_never_saw(secret: str) -> None:
    assert redact(f"Incorrect API key provided: {secret}.") == "Incorrect API key provided: ***."
    assert secret not in str(UsageError(f"refused {secret}", hint=f"see {secret}"))


@pytest.mark.checklist("C4")
def test_redaction_leaves_a_url_without_its_user_and_a_reference_as_it_is() -> None:
    """What stands before the host is a name, a password or a token; ``env:NAME`` is what to type."""
    assert (
        redact("via http://me:pass@10.0.0.1:80/x and https://tok@h")
        == "via http://***@10.0.0.1:80/x and https://***@h"
    )
    assert redact("see https://h/a@b?c=d@e and me@h") == "see https://h/a@b?c=d@e and me@h"
    assert redact("--header api-key=env:VARIABLE") == "--header api-key=env:VARIABLE"
    assert redact("?api-key=abcdefghij") == "?api-key=***"


@pytest.mark.parametrize(
    "text",
    [
        "no column 'task_description_text'.",
        "risk-assessment-of-suppliers",
        "key_performance_indicators",
        "sk-learn-something-or-other",
        "ollama runs llama",
    ],
)
def test_ordinary_names_survive_redaction(text: str) -> None:
    """Columns and models that only look a little like keys; and a stand-in key is a plain word."""
    register_secret("ollama", "EMPTY")
    assert redact(text) == text
