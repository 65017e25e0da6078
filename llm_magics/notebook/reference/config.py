"""The reference page of ``%llm_config``, made by ``python -m llm_magics.notebook.reference.config``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_magics.notebook.config.doctor import NEEDS
from llm_magics.notebook.config.magic import COMMANDS
from llm_magics.settings.keys import KEY_REQUIRED, KEY_VARIABLES
from llm_magics.settings.quantities import format_size
from llm_magics.settings.table import SETTINGS, Declaration

PAGE = "docs/reference/config.md"

SCIKIT_LLM: Sequence[tuple[str, str]] = (
    ("`SKLLMConfig.set_openai_key(key)`, `set_gpt_key(key)`", "%llm_config key set openai"),
    ("`SKLLMConfig.set_openai_org(org)`, `set_gpt_org(org)`", "%llm_config set openai.organization=org-123"),
    ("`SKLLMConfig.set_azure_api_base(url)`", "%llm_config set azure.endpoint=https://NAME.openai.azure.com"),
    ("`SKLLMConfig.set_azure_api_version(v)`", "%llm_config set azure.api_version=2024-10-21"),
    ("`SKLLMConfig.set_gpt_url(url)`", "%llm_config set custom_url.base_url=http://localhost:8000/v1"),
    ("`SKLLMConfig.reset_gpt_url()`", "%llm_config unset custom_url.base_url"),
    ("`SKLLMConfig.set_google_project(p)`", "%llm_config set vertex.project=my-project"),
    ("`SKLLMConfig.set_anthropic_key(key)`", "%llm_config key set anthropic"),
    ("`SKLLMConfig.set_gguf_max_gpu_layers(n)`", "%llm_config set gguf.gpu_layers=-1"),
    ("`SKLLMConfig.set_gguf_verbose(True)`", "%llm_config set gguf.verbose=true"),
    ("`SKLLMConfig.get_gguf_download_path()`", "%llm_config get gguf.download_path"),
    ("`SKLLMConfig.get_...()`", "%llm_config get"),
    (
        "`key=`, `org=` of an estimator",
        "%llm_config add mine --openai https://host/v1 --id model --key env:MY_KEY",
    ),
    ("`ModelCache.clear()`", "%llm_config cache clear"),
)
"""scikit-llm's configuration calls, and the line that does the same here."""


def render() -> str:
    """The whole page."""
    parts = (_INTRODUCTION, _nouns(), _settings(), _keys(), _namespaces(), _scikit_llm())
    return "\n\n".join(part.strip() for part in parts) + "\n"


_INTRODUCTION = """
# `%llm_config`

<!-- Made by `python -m llm_magics.notebook.reference.config`; a test fails when it is not up to date. -->

A value comes from the first of these that has one: a flag of the cell, the backend, this session
(`%llm_config set`), the environment (`LLM_MAGICS_*`, then the variables of other programs below), the nearest
`pyproject.toml` with `[tool.llm_magics]`, your own file (`%llm_config path` names it), the default.
`%llm_config get` shows every value and where it came from. Nothing is written to a file but by `--persist`.

Several at once, for this session, as one cell; a fault anywhere and nothing is changed:

```
%%llm_config
[settings]
max_cost = 2
[roles]
default = "fast"
embed = "embedded::wordllama"
[backends.fast]
model = "custom_url::small-model"
base_url = "https://api.example.com/v1"
key = "env:EXAMPLE_API_KEY"
rpm = 600
price = "0.15/0.60"
parameters = { temperature = 0 }
[aliases]
quick = "fast"
```
"""


def _nouns() -> str:
    parts = ["## Commands"]
    for command in COMMANDS.values():
        usage = " ".join(command.parser.format_usage().removeprefix("usage: ").split())
        parts.append(
            f"### `{command.name}`\n\n{command.help[0].upper()}{command.help[1:]}.\n\n```\n{usage}\n```"
        )
        rows = [(f"`{', '.join(a.option_strings)}`", a.help or "") for a in command.parser.own_flags()]
        if rows:
            parts.append(_table(("flag", "meaning"), rows))
    return "\n\n".join(parts)


def _settings() -> str:
    rows = [
        (
            f"`{s.name}`",
            s.kind,
            _default(s),
            f"{s.meaning}{_choices(s)}",
            ", ".join(f"`{v}`" for v in s.variables),
        )
        for s in SETTINGS.values()
    ]
    heads = ("setting", "kind", "default", "meaning", "also read from")
    said = "Each is also read from `LLM_MAGICS_NAME`, its name in capitals with `_` for the dots."
    return f"## Settings\n\n{said}\n\n{_table(heads, rows)}"


def _default(setting: Declaration) -> str:
    if setting.default is None:
        return ""
    shown = format_size(setting.default) if setting.kind == "size" else str(setting.default).lower()
    return f"`{shown}`"


def _choices(setting: Declaration) -> str:
    return f" One of {', '.join(f'`{choice}`' for choice in setting.choices)}." if setting.choices else ""


def _keys() -> str:
    rows = [
        (
            f"`{name}`",
            ", ".join(f"`{v}`" for v in variables),
            "yes" if name in KEY_REQUIRED else "where the host asks",
        )
        for name, variables in KEY_VARIABLES.items()
    ]
    said = (
        "A key is named by where it is and looked up when a request is made: `env:VARIABLE`, `session:NAME`\n"
        "(typed with `%llm_config key set NAME`), `keyring:NAME`, `dotenv:PATH#NAME`, `colab:NAME`.\n"
        "Without `--key`, a namespace's key is looked for as `session:NAMESPACE`, then in these variables,\n"
        "then in the keyring; and it is sent to the namespace's own hosts only."
    )
    return f"## Keys\n\n{said}\n\n{_table(('namespace', 'variables', 'needed'), rows)}"


def _namespaces() -> str:
    rows = [
        (f"`{name}`", f'`pip install "llm_magics[{n.extra}]"`' if n.extra else "")
        for name, n in NEEDS.items()
    ]
    return f"## Namespaces\n\n{_table(('namespace', 'extra'), rows)}"


def _scikit_llm() -> str:
    rows = [(theirs, f"`{ours}`") for theirs, ours in SCIKIT_LLM]
    said = "The `SKLLM_CONFIG_*` variables are understood as they are."
    return f"## Coming from scikit-llm\n\n{_table(('scikit-llm', 'here'), rows)}\n\n{said}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    print(render(), end="")
