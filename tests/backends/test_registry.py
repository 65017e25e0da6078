"""What a user types after ``-m`` becomes one backend with its own URL, key and limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends import namespaces as module
from llm_magics.backends.base import Backend
from llm_magics.backends.registry import BUILT_IN, Registry, create, namespaces, parse_spec, register
from llm_magics.backends.specs import check, from_dict, to_dict
from llm_magics.core.errors import LLMError, MissingKey, NotFound, UsageError
from llm_magics.core.types import BackendSpec, Limits, Message, Price, Request
from llm_magics.settings.clear_text_keys import TypedKeyError
from llm_magics.settings.config import Config
from llm_magics.settings.keys import Keys


class Echo(Backend):
    """Answers nothing; notes that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace ``echo`` for one test."""
    monkeypatch.setattr(module, "_registered", {})
    register("echo", Echo)


def _registry(**environ: str) -> Registry:
    return Registry(Config(environ), Keys(environ))


@pytest.mark.checklist("B1")
@pytest.mark.parametrize("namespace", BUILT_IN)
def test_each_prefix_resolves(namespace: str) -> None:
    assert parse_spec(f"{namespace}::a/b:c") == (namespace, "a/b:c")


@pytest.mark.checklist("B1")
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gpt-4.1", ("openai", "gpt-4.1")),
        ("ft:gpt-4.1:acme::8h2k", ("openai", "ft:gpt-4.1:acme::8h2k")),
        ("openai::ft:gpt-4.1:acme::8h2k", ("openai", "ft:gpt-4.1:acme::8h2k")),
        ("ollama::qwen2.5:7b", ("ollama", "qwen2.5:7b")),
        ("hf_endpoint::org/name", ("hf_endpoint", "org/name")),
    ],
)
def test_plain_names_and_ids_with_colons(text: str, parts: tuple[str, str]) -> None:
    assert parse_spec(text) == parts


@pytest.mark.checklist("B1")
def test_an_unknown_prefix_lists_the_known_ones() -> None:
    with pytest.raises(NotFound, match="'ollama'"):
        parse_spec("olama::qwen")
    with pytest.raises(NotFound, match="anthropic, azure"):
        parse_spec("zzz::qwen")


@pytest.mark.parametrize("text", ["", "openai::", "  "])
def test_no_model_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        parse_spec(text)


@given(st.text(max_size=40))
def test_any_text_is_two_parts_or_a_usage_error(text: str) -> None:
    try:
        namespace, model = parse_spec(text)
    except UsageError:
        return
    assert namespace in namespaces()
    assert model


@pytest.mark.checklist("B2", "B3")
def test_two_servers_live_at_once_each_with_its_own_key() -> None:
    """The key of one backend is never the other's, nor openai's."""
    registry = _registry(OPENAI_API_KEY="o" * 20, KEY_A="a" * 20)
    registry.add(BackendSpec("custom_url", "m", name="a", base_url="http://a/v1", key="env:KEY_A"))
    registry.add(BackendSpec("custom_url", "m", name="b", base_url="http://b/v1"))
    a, b = registry.resolve("a"), registry.resolve("b")
    assert (a.base_url, a.key) == ("http://a/v1", "env:KEY_A")
    assert (b.base_url, b.key) == ("http://b/v1", "")
    assert registry.backend("a") is not registry.backend("b")


@pytest.mark.checklist("B3")
@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (BackendSpec("openai", "m", name="x", base_url="https://evil.example/v1"), ""),
        (BackendSpec("openai", "m", name="x", base_url="https://api.openai.com.evil.example/v1"), ""),
        (BackendSpec("openai", "m", name="x", base_url="https://api.openai.com/v1"), "env:OPENAI_API_KEY"),
        (BackendSpec("openai", "m", name="x"), "env:OPENAI_API_KEY"),
        (
            BackendSpec("azure", "m", name="x", base_url="https://r.openai.azure.com"),
            "env:AZURE_OPENAI_API_KEY",
        ),
        (BackendSpec("azure", "m", name="x", base_url="https://r.example.com"), ""),
        (BackendSpec("gemini", "m", name="x", base_url="https://r.example.com"), "session:r.example.com"),
        (
            BackendSpec("anthropic", "m", name="x", base_url="https://api.anthropic.com"),
            "env:ANTHROPIC_API_KEY",
        ),
    ],
)
def test_a_namespaces_key_goes_to_its_own_hosts_alone(spec: BackendSpec, key: str) -> None:
    names = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY")
    registry = _registry(**{name: name * 2 for name in names})
    registry.add(spec)
    assert registry.resolve("x").key == key


@pytest.mark.checklist("B3")
def test_a_projects_file_can_not_send_the_users_key_elsewhere(tmp_path: object) -> None:
    """A URL from pyproject.toml is the repository's word, not the user's."""
    path = tmp_path / "pyproject.toml"  # type: ignore[operator]
    path.write_text('[tool.llm_magics]\n"openai.base_url" = "https://evil.example/v1"\n')
    environ = {"OPENAI_API_KEY": "o" * 20}
    registry = Registry(Config(environ, tmp_path), Keys(environ))  # type: ignore[arg-type]
    assert registry.resolve("openai::gpt-4.1").key == ""
    environ["OPENAI_BASE_URL"] = "http://proxy.example/v1"
    assert registry.resolve("openai::gpt-4.1").key == "env:OPENAI_API_KEY"


@pytest.mark.checklist("C3")
def test_a_backends_limits_come_before_the_settings() -> None:
    registry = _registry(LLM_MAGICS_RPM="10", LLM_MAGICS_RETRIES="1")
    registry.add(BackendSpec("embedded", "tfidf", name="x", limits=Limits(rpm=60)))
    assert registry.resolve("x").limits == Limits(rpm=60, retries=1)
    registry.config.set("retries", 3)
    assert registry.resolve("x").limits.retries == 3


def test_settings_fill_what_a_spec_leaves_open() -> None:
    environ = {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com", "OPENAI_API_VERSION": "v9"}
    spec = _registry(**environ).resolve("azure::dep")
    assert (spec.base_url, spec.options) == ("https://r.openai.azure.com", {"api_version": "v9"})
    registry = _registry(SKLLM_CONFIG_GGUF_MAX_GPU_LAYERS="-1")
    assert registry.resolve("gguf::x").options["gpu_layers"] == -1


@pytest.mark.checklist("B12")
def test_one_instance_a_backend_until_its_spec_changes(echo: None) -> None:
    gone: list[Backend] = []
    registry = Registry(Config({}), Keys({}), retire=gone.append)
    registry.add(BackendSpec("echo", "m", name="e"))
    first = registry.backend("e")
    assert registry.backend("e") is first
    registry.config.set("rpm", 7)
    assert registry.backend("e") is first
    assert first.limits.rpm == 7
    registry.add(BackendSpec("echo", "other", name="e"))
    second = registry.backend("e")
    assert second is not first
    assert gone == [first]
    registry.config.set("timeout", 3)
    assert registry.backend("e") is not second
    registry.remove("e")
    assert len(gone) == 3


async def test_closing_closes_every_instance(echo: None) -> None:
    registry = _registry()
    made = registry.backend("echo::m")
    assert isinstance(made, Echo)
    await registry.close()
    assert made.closed
    assert registry.live() == {}


def test_aliases_resolve_once_and_shadow_nothing(echo: None) -> None:
    registry = _registry()
    registry.add(BackendSpec("echo", "m", name="e"))
    registry.alias("quick", "e")
    registry.alias("direct", "echo::n")
    assert registry.resolve("quick").name == "e"
    assert registry.resolve("direct").model == "n"
    for name, target in [("b", "quick"), ("e", "echo::n"), ("label", "e"), ("openai", "e"), ("a b", "e")]:
        with pytest.raises(UsageError):
            registry.alias(name, target)
    with pytest.raises(UsageError, match="an alias"):
        registry.add(BackendSpec("echo", "m", name="quick"))
    registry.remove("e")
    assert registry.names() == ["direct"]
    registry.unalias("direct")
    with pytest.raises(NotFound):
        registry.unalias("direct")


@pytest.mark.parametrize("name", ["fats", "fast", "nosuchmodel"])
def test_a_slip_or_a_removed_backend_is_never_sent_to_openai(name: str, echo: None) -> None:
    registry = _registry(OPENAI_API_KEY="o" * 20)
    registry.add(BackendSpec("echo", "m", name="fast"))
    registry.remove("fast")
    with pytest.raises(NotFound, match=f"openai::{name}"):
        registry.resolve(name)
    assert registry.resolve(f"openai::{name}").model == name
    assert registry.resolve("gpt-4.1").namespace == "openai"


def test_members_of_a_pool_are_whole_backends(echo: None) -> None:
    registry = _registry()
    registry.add(BackendSpec("echo", "one", name="a"))
    registry.alias("other", "a")
    registry.add(BackendSpec("pool", "a+b", name="p", options={"members": ["other", "echo::two"]}))
    assert registry.specs()["p"].options["members"] == ["a", "echo::two"]
    assert [m.backend.model for m in registry.backend("p").members] == ["one", "two"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="itself"):
        registry.add(BackendSpec("pool", "x", name="q", options={"members": ["a", "q"]}))
    with pytest.raises(NotFound):
        registry.add(BackendSpec("pool", "x", name="q", options={"members": ["a", "nosuch::m"]}))
    registry.add(BackendSpec("pool", "x", name="q", options={"members": ["a", "p"]}))
    assert len(registry.backend("q").members) == 2  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="itself"):
        registry.add(BackendSpec("pool", "x", name="p", options={"members": ["a", "q"]}))


def test_a_namespace_of_ones_own(echo: None) -> None:
    """What ``register`` adds is known, made and listed like a built-in one."""
    assert "echo" in namespaces()
    assert isinstance(create(BackendSpec("echo", "m")), Echo)
    with pytest.raises(UsageError):
        register("with space", Echo)
    with pytest.raises(NotFound):
        create(BackendSpec("nosuch", "m"))


async def test_no_key_is_an_error_before_any_request() -> None:
    registry = _registry()
    backend = registry.backend("openai::gpt-4.1")
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        await backend.complete(Request("openai", "gpt-4.1", (Message("user", "hi"),)))
    await backend.close()


@pytest.mark.checklist("C6", "R13")
def test_a_spec_survives_being_plain_data() -> None:
    spec = BackendSpec(
        "custom_url",
        "m",
        name="x",
        base_url="http://h/v1",
        key="env:K",
        headers={"X-A": "b", "Authorization": "env:K2"},
        parameters={"temperature": 0, "stop": ["a"]},
        limits=Limits(rpm=5, window=(40, 10.0)),
        price=Price(1, 2),
        options={"members": ["a"]},
    )
    assert from_dict("x", to_dict(spec)) == spec


@pytest.mark.checklist("C4", "R13")
@pytest.mark.parametrize(
    "spec",
    [
        BackendSpec("openai", "m", key="sk-abcdefgh12345678"),
        BackendSpec("openai", "m", key="plainpassword"),
        BackendSpec("openai", "m", headers={"Authorization": "abc"}),
        BackendSpec("openai", "m", headers={"X-Other": "sk-abcdefgh12345678"}),
        BackendSpec("openai", "m", base_url="https://u:p@h/v1"),
        BackendSpec("openai", "m", base_url="https://h/v1?api-key=abc"),
        BackendSpec("openai", "m", parameters={"user": "sk-abcdefgh12345678"}),
        BackendSpec("openai", "m", headers={"Ocp-Apim-Subscription-Key": "plainpassword"}),
        BackendSpec("openai", "m", base_url="https://plainpassword@h/v1"),
        BackendSpec("openai", "m", base_url="https://h/v1?sv=1&sig=plainpassword"),
        BackendSpec("openai", "m", parameters={"api_key": "plainpassword"}),
        BackendSpec("openai", "m", parameters={"extra_body": {"api_key": "plainpassword"}}),
        BackendSpec("openai", "m", parameters={"tools": [{"type": "mcp", "authorization": "plainpassword"}]}),
        BackendSpec("azure", "m", options={"token": "plainpassword"}),
    ],
)
def test_a_key_in_clear_is_refused_and_not_repeated(spec: BackendSpec) -> None:
    with pytest.raises(TypedKeyError) as raised:
        check(spec)
    assert "12345678" not in str(raised.value)
    assert "plainpassword" not in str(raised.value)


@pytest.mark.parametrize(
    "spec",
    [
        BackendSpec("openai", "m", base_url="https://h/v1?api-version=2024-10-21", key="env:X"),
        BackendSpec(
            "openai", "m", headers={"X-Api-Key": "env:X", "X-Team": "a", "X-Title": "a secret garden"}
        ),
        BackendSpec("openai", "m", parameters={"max_tokens": 5, "prompt_cache_key": "run-1"}),
        BackendSpec("vllm", "m", parameters={"stop_token_ids": [2], "suppress_eos_token": "</s>"}),
        BackendSpec("azure", "m", options={"token": "env:X"}),
    ],
)
def test_a_reference_and_a_name_that_only_sounds_secret_pass(spec: BackendSpec) -> None:
    assert check(spec) is spec


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"namespace": "openai", "modle": "m"}, "'model'"),
        ({"model": "m"}, "namespace"),
        ({"namespace": "openai", "model": 3}, "must be text"),
        ({"namespace": "openai", "model": "m", "headers": "x"}, "must be a table"),
        ({"namespace": "openai", "model": "m", "limits": {"rpms": 1}}, "'rpm'"),
        ({"namespace": "openai", "model": "m", "limits": {"window": 3}}, "requests, seconds"),
        ({"namespace": "openai", "model": "m", "limits": {"rpm": "x"}}, "a number"),
        ({"namespace": "openai", "model": "m", "price": {"in": 1}}, "input and output"),
    ],
)
def test_plain_data_that_does_not_fit_is_one_clear_error(data: dict[str, object], said: str) -> None:
    with pytest.raises(LLMError, match=said):
        from_dict("x", data)


def test_limits_that_a_backend_chose_for_itself_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the user sets anew is put over them."""

    class Patient(Backend):
        def __init__(self, spec: BackendSpec, secrets: object = None) -> None:
            super().__init__(spec)
            self.limits = Limits(concurrency=128, timeout=86400)

    monkeypatch.setattr(module, "_registered", {"patient": Patient})
    registry = _registry()
    assert registry.backend("patient::m").limits == Limits(concurrency=128, timeout=86400)
    assert registry.backend("patient::m").limits == Limits(concurrency=128, timeout=86400)
    registry.config.set("rpm", 5)
    assert registry.backend("patient::m").limits == Limits(rpm=5, concurrency=128, timeout=86400)
    registry.config.reset("rpm")
    assert registry.backend("patient::m").limits == Limits(concurrency=128, timeout=86400)


async def test_offline_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error in place of a call to the hub."""
    registry = _registry(LLM_MAGICS_OFFLINE="true")
    backend = registry.backend("gguf::qwen2.5-0.5b-q8")
    with pytest.raises(LLMError, match="the setting offline"):
        await backend.complete(Request("gguf", "qwen2.5-0.5b-q8", (Message("user", "hi"),)))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("openai:gpt-4o-mini", "Two colons: openai::gpt-4o-mini"),
        ("ollama/qwen:7b", "Two colons: ollama::qwen:7b"),
        ("mine::qwen", "That is a registered name: -m mine"),
        ("ollama", "Type ollama::MODEL"),
        ("qwen:7b", "For an OpenAI model of that name: openai::qwen:7b"),
    ],
)
def test_other_tools_spellings_of_a_model_are_answered_with_ours(typed: str, said: str) -> None:
    """Nothing is sent to a host that wasn't named."""
    registry = Registry()
    registry.add(BackendSpec("custom_url", "m", name="mine", base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(NotFound) as raised:
        registry.resolve(typed)
    assert said in str(raised.value)
