"""Settings have one value, one origin and one order of precedence."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import ROLES
from llm_magics.settings.config import Config, embedded_default, home_folder, user_file
from llm_magics.settings.table import SETTINGS, Declaration


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A notebook's folder two levels under its project's."""
    folder = tmp_path / "project" / "notebooks" / "deep"
    folder.mkdir(parents=True)
    return folder


def _pyproject(project: Path, body: str) -> Path:
    path = project.parents[1] / "pyproject.toml"
    path.write_text(body)
    return path


@pytest.mark.checklist("C3")
def test_session_over_environment_over_project_over_user_over_default(project: Path) -> None:
    """Each layer is taken away in turn; value and origin follow."""
    _pyproject(project, "[tool.llm_magics]\nmax_cost = 3")
    user_file().write_text("max_cost = 4")
    environ = dict(os.environ, LLM_MAGICS_MAX_COST="2")
    config = Config(environ, project)
    config.set("max_cost", "1")
    seen = [config.get("max_cost")]
    config.unset("max_cost")
    seen.append(config.get("max_cost"))
    del environ["LLM_MAGICS_MAX_COST"]
    seen.append(config.get("max_cost"))
    _pyproject(project, "[project]\nname = 'x'")
    seen.append(config.get("max_cost"))
    user_file().unlink()
    seen.append(config.get("max_cost"))
    origins = ["session", "environment", "pyproject.toml", "user file", "default"]
    assert [(s.value, s.origin) for s in seen] == list(zip([1, 2, 3, 4, None], origins, strict=True))
    assert seen[1].source == "LLM_MAGICS_MAX_COST"


@pytest.mark.checklist("C6")
@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("SKLLM_CONFIG_GGUF_MAX_GPU_LAYERS", "-1", "gguf.gpu_layers", -1),
        ("SKLLM_CONFIG_GGUF_VERBOSE", "True", "gguf.verbose", True),
        ("SKLLM_CONFIG_GGUF_DOWNLOAD_PATH", "/models", "gguf.download_path", "/models"),
        ("SKLLM_CONFIG_GPT_URL", "http://localhost:1/v1", "custom_url.base_url", "http://localhost:1/v1"),
        ("SKLLM_CONFIG_OPENAI_ORG", "org-1", "openai.organization", "org-1"),
        (
            "SKLLM_CONFIG_AZURE_API_BASE",
            "https://r.openai.azure.com",
            "azure.endpoint",
            "https://r.openai.azure.com",
        ),
        ("SKLLM_CONFIG_AZURE_API_VERSION", "2024-10-21", "azure.api_version", "2024-10-21"),
        (
            "AZURE_OPENAI_ENDPOINT",
            "https://r.openai.azure.com",
            "azure.endpoint",
            "https://r.openai.azure.com",
        ),
        ("OPENAI_BASE_URL", "http://localhost:2/v1", "openai.base_url", "http://localhost:2/v1"),
        ("OLLAMA_HOST", "localhost:11435", "ollama.base_url", "localhost:11435"),
        ("GOOGLE_CLOUD_PROJECT", "p", "vertex.project", "p"),
        ("LLM_MAGICS_ROLES_CONCEPTS_DISTILL", "fast", "roles.concepts.distill", "fast"),
    ],
)
def test_variables_of_other_programs_are_understood(
    variable: str, value: str, name: str, expected: object
) -> None:
    setting = Config({variable: value}).get(name)
    assert (setting.value, setting.origin, setting.source) == (expected, "environment", variable)


def test_our_own_variable_comes_before_another_programs() -> None:
    environ = {"OLLAMA_HOST": "a", "LLM_MAGICS_OLLAMA_BASE_URL": "b"}
    assert Config(environ).value("ollama.base_url") == "b"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rpm", "often", "a number"),
        ("retries", "1.5", "a whole number"),
        ("retries", -1, "at least 0"),
        ("on_error", "boo", "null, raise"),
        ("debug", "maybe", "true or false"),
        ("gguf.memory_limit", "much", "a size"),
        ("model", 7, "text"),
        ("max_cost", "nan", "a number"),
        ("max_cost", True, "a number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_and_changes_nothing(
    name: str, value: object, said: str
) -> None:
    config = Config({})
    with pytest.raises(UsageError, match=said):
        config.set(name, value)
    assert config.get(name).origin == "default"


def test_an_unknown_setting_names_the_near_ones() -> None:
    with pytest.raises(NotFound, match="max_cost"):
        Config({}).set("max_costs", 1)


def test_a_wrong_value_in_a_file_names_the_file(project: Path) -> None:
    path = _pyproject(project, "[tool.llm_magics]\nrpm = 'fast'")
    with pytest.raises(UsageError, match=str(path)):
        Config({}, project).get("rpm")


@pytest.mark.parametrize("body", ["[tool.llm_magics\nrpm = 1", "# llm_magics\nx = = 1"])
def test_a_malformed_project_file_is_one_error_with_file_and_line(project: Path, body: str) -> None:
    """Making the Config reads nothing; asking it does."""
    path = _pyproject(project, body)
    config = Config({}, project)
    with pytest.raises(UsageError) as raised:
        config.get("rpm")
    assert str(path) in str(raised.value)
    assert "line" in str(raised.value)


def test_a_malformed_file_that_is_not_ours_is_nobodys_business(project: Path) -> None:
    _pyproject(project, "this is = = no toml")
    assert Config({}, project).value("retries") == 5


def test_the_nearest_project_that_speaks_of_us_counts(project: Path) -> None:
    _pyproject(project, "[tool.llm_magics]\nrpm = 7")
    (project / "pyproject.toml").write_text("[project]\nname = 'inner'")
    assert Config({}, project).value("rpm") == 7


def test_a_changed_file_is_read_again(project: Path) -> None:
    path = _pyproject(project, "[tool.llm_magics]\nrpm = 7")
    config = Config({}, project)
    assert config.value("rpm") == 7
    path.write_text("[tool.llm_magics]\nrpm = 70")
    assert config.value("rpm") == 70


def test_persisting_to_the_project_keeps_the_rest_of_the_file_as_it_stands(project: Path) -> None:
    before = "# mine\n[project]\nname = 'x'  # keep\n\n[tool.ruff]\nline-length = 99\n"
    path = _pyproject(project, before)
    config = Config({}, project)
    config.set("gguf.gpu_layers", "-1", persist="project")
    text = path.read_text()
    assert text.startswith(before)
    assert tomllib.loads(text)["tool"]["llm_magics"] == {"gguf": {"gpu_layers": -1}}
    assert Config({}, project).get("gguf.gpu_layers").origin == "pyproject.toml"
    config.unset("gguf.gpu_layers", persist="project")
    assert Config({}, project).get("gguf.gpu_layers").origin == "default"


def test_persisting_for_oneself_is_for_oneself_alone() -> None:
    config = Config()
    config.set("max_cost", 2, persist="user")
    config.set("roles.embed", "embedded::tfidf", persist="user")
    assert stat.S_IMODE(user_file().stat().st_mode) == 0o600
    assert Config().get("max_cost").origin == "user file"
    assert Config().role("embed") == ("embedded::tfidf", "user file")


def test_no_project_no_persisting_to_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        Config({}, tmp_path).set("rpm", 1, persist="project")


@pytest.mark.checklist("C1")
def test_one_setting_or_all_are_reset() -> None:
    config = Config({})
    config.update({"rpm": 1, "tpm": 2})
    config.reset("rpm")
    assert (config.get("rpm").origin, config.get("tpm").origin) == ("default", "session")
    config.reset()
    assert config.session() == {}


def test_several_are_set_all_or_none() -> None:
    config = Config({})
    with pytest.raises(UsageError):
        config.update({"rpm": 1, "on_error": "boo"})
    assert config.session() == {}


@pytest.mark.checklist("B2")
def test_a_role_falls_back_to_the_default_model_and_that_to_the_embedded_one() -> None:
    config = Config({})
    assert config.role("label") == (embedded_default(), "default")
    config.set("model", "gpt-4.1")
    config.set("roles.embed", "embedded::tfidf")
    assert config.role("concepts.score") == ("gpt-4.1", "session")
    assert config.role("embed") == ("embedded::tfidf", "session")
    with pytest.raises(NotFound, match="embed"):
        config.role("embedd")
    assert all(f"roles.{role}" in SETTINGS for role in ROLES if role != "default")


def test_what_means_nothing_is_warned_about(project: Path) -> None:
    _pyproject(project, "[tool.llm_magics]\nmodle = 'x'")
    said = Config({"LLM_MAGICS_MAX_COTS": "1"}, project).warnings()
    assert ["LLM_MAGICS_MAX_COST" in said[0], "'modle'" in said[1]] == [True, True]


def test_home_is_the_variable_or_the_users_folder(tmp_path: Path) -> None:
    assert home_folder({"LLM_MAGICS_HOME": str(tmp_path)}) == tmp_path
    assert home_folder({}).name == "llm_magics"


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_each_setting_takes_its_own_default_and_has_a_meaning(setting: Declaration) -> None:
    """The table is consistent with itself: the default passes its own check."""
    assert setting.meaning.endswith(".")
    if setting.default is not None:
        assert setting.check(setting.default) == setting.default
        assert setting.check(str(setting.default)) == setting.default


@pytest.mark.checklist("C4")
def test_a_url_with_a_password_is_no_setting(project: Path) -> None:
    """Refused before it could be shown or written, and not repeated by the refusal."""
    config = Config({}, project)
    with pytest.raises(UsageError, match="a user name or a password") as refused:
        config.set("openai.base_url", "https://me:hunter22@host/v1")
    assert "hunter22" not in str(refused.value)
    assert config.get("openai.base_url").value is None
