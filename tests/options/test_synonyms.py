"""What people type who come from other tools is answered with the word for it here."""

from __future__ import annotations

import pytest

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.notebook.commands import COMMANDS, parse
from llm_magics.notebook.config.magic import COMMANDS as CONFIG_COMMANDS
from llm_magics.notebook.config.magic import config_command
from llm_magics.options import synonyms
from llm_magics.runs.session import Session


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("classify reviews --labels a,b", "Here it is %llm label"),
        ("Summarise reviews", "Here it is %llm summarize"),
        ("models", "Here it is %llm_config models"),
        ("config", "Here it is %llm_config\n"),
        ("label reviews --candidate-labels a,b", "Type --labels a,b"),
        ("label reviews --labels a,b --limit 5", "Type --head N"),
        ("label reviews --labels a,b --n-jobs 8", "Type --concurrency N"),
        ("label reviews --labels a,b --timeout 5", "Type %llm_config set timeout=SECONDS"),
        ("embed reviews --candidate-labels a,b", "See %llm embed -h"),
        ("label reviews --labels price, delivery", "A list takes no space after a comma"),
    ],
)
def test_other_tools_words_are_answered_with_ours(line: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(line)
    assert said in str(raised.value)


def test_a_flag_that_the_subcommand_lacks_is_not_offered() -> None:
    """--labels is label's alone."""
    with pytest.raises(NotFound) as raised:
        parse("embed reviews --candidate-labels a,b")
    assert "--labels" not in str(raised.value).partition("\n")[2]


def test_every_word_leads_to_something_there_is() -> None:
    """No synonym names a subcommand or a flag that is gone, and none hides one that is there."""
    flags = {flag for entry in COMMANDS.values() for flag in entry.parser.flags()}
    for word, ours in synonyms.flags().items():
        assert ours.startswith("Type %llm_config ") or ours.split()[1] in flags, word
    for word in ("classify", "ner", "cancel", "cost"):
        assert synonyms.subcommand(word).removeprefix("%llm ") in COMMANDS
    for word in ("models", "use", "doctor", "cache"):
        assert synonyms.subcommand(word) == f"%llm_config {word}"
        assert word in CONFIG_COMMANDS
    assert not any(synonyms.subcommand(name) for name in COMMANDS)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("list", "%llm_config models"), ("delete", "%llm_config remove"), ("label", "%llm label")],
)
def test_settings_know_other_tools_words_too(word: str, ours: str) -> None:
    with pytest.raises(NotFound) as raised:
        config_command(Session(), word)
    assert f"Here it is {ours}\n" in str(raised.value)


def test_every_word_for_a_setting_leads_to_a_command() -> None:
    """No synonym names a command that is gone."""
    for word in ("list", "rm", "api_key", "ping"):
        assert synonyms.config_command(word).removeprefix("%llm_config ") in CONFIG_COMMANDS
    offered = {
        synonyms.config_command(word).split()[-1] for word in ("backends", "switch", "register", "login")
    }
    assert offered <= set(CONFIG_COMMANDS)


@pytest.mark.parametrize("typed", ["a,b", "[a,b]", '["a","b"]', "('a','b')", '\'["a", "b"]\''])
def test_a_python_list_of_labels_is_its_labels(typed: str) -> None:
    """The brackets are no part of a label's name."""
    assert parse(f"label reviews --labels {typed}").values.labels == ["a", "b"]
