"""The names of the subcommands, and other tools' words for them, which are answered with a hint."""

from __future__ import annotations

from collections.abc import Mapping

SUBCOMMANDS = (
    "label",
    "generate",
    "chat",
    "concepts",
    "extract",
    "summarize",
    "translate",
    "judge",
    "review",
    "measure",
    "sample",
    "codebook",
    "agreement",
    "embed",
    "estimate",
    "last",
    "jobs",
    "stop",
    "retry",
    "usage",
    "reset",
    "help",
    "version",
)
"""The words after ``%llm``; a backend can't have such a name."""

_SYNONYMS: Mapping[str, str] = {
    "label": "classify categorize categorise tag annotate predict fit fit_predict zero_shot few_shot",
    "generate": "prompt complete completion apply map write gen",
    "summarize": "summarise summary tldr",
    "translate": "translation",
    "extract": "ner entities parse fields",
    "concepts": "cluster clusters topics themes lloom induce",
    "embed": "vectorize vectorise embedding embeddings vectors",
    "judge": "rate rank score",
    "estimate": "cost price tokens",
    "stop": "cancel kill interrupt abort",
    "jobs": "status progress ps",
    "retry": "resume rerun continue",
    "last": "result results failures failed errors outputs manifest",
}

_CONFIG = (
    "add use models model show test remove alias set get unset key keys cache responses profile doctor path"
)

_CONFIG_SYNONYMS: Mapping[str, str] = {
    "models": "list ls backends registry registered available",
    "use": "default switch select model",
    "add": "register new create connect backend",
    "remove": "delete rm del unregister drop",
    "test": "ping check try",
    "get": "settings options config print",
    "reset": "clear",
    "key": "keys api_key apikey token login",
    "responses": "store answers history",
    "cache": "memory gguf unload",
    "profile": "profiles save load export import",
    "doctor": "diagnose health debug version versions",
}

_SETTINGS = ("config", "configure", "settings", "setup", "options")

_FLAGS: Mapping[str, str] = {
    "--on COL": "--column --col --text --text-column --input --field",
    "--head N": "--limit --n --rows --nrows --max-rows --first --top",
    "--labels a,b": "--label --classes --class --candidates --candidate-labels --categories --choices",
    "-o NAME (the result's name) or --as COL (the column's)": "--output --out --result --name --save",
    "--default NAME": "--default-label --fallback",
    "--refresh": "--force --overwrite --no-cache --fresh",
    "--no-store": "--nostore --no-save --private",
    "--concurrency N": "--workers --num-workers --max-workers --n-jobs --jobs --threads --num-threads",
    "--max-cost USD": "--budget --limit-cost --max-usd --max-price",
    "-b": "--async --bg --job",
    "-m NAME": "--llm --backend --engine --using",
    "--num-generations N": "--num --generations --samples --num-samples --repeat",
    "--where EXPR": "--filter --query --if --only",
    "--random-state S": "--random-seed --rng",
    "--on-error null|raise": "--errors --on-failure --raise --ignore-errors",
    "%llm_config set timeout=SECONDS": "--timeout --request-timeout",
    "--dry-run": "--preview --show-prompt --show-prompts --estimate --check",
}


def subcommand(word: str) -> str:
    """What to type in place of ``word`` after ``%llm``; empty where nothing is known."""
    ours = _OURS.get(word.casefold())
    if ours:
        return f"%llm {ours}"
    return f"%llm_config {word}" if word in _CONFIG.split() else "%llm_config" if word in _SETTINGS else ""


def config_command(word: str) -> str:
    """What to type in place of ``word`` after ``%llm_config``; empty where nothing is known."""
    ours = _OUR_CONFIG.get(word.casefold())
    if ours:
        return f"%llm_config {ours}"
    return f"%llm {word}" if word in SUBCOMMANDS else subcommand(word)


def flags() -> dict[str, str]:
    """For each flag of other tools, the sentence that says what to type here."""
    return {word: f"Type {ours}" for ours, words in _FLAGS.items() for word in words.split()}


_OURS = {word: ours for ours, words in _SYNONYMS.items() for word in words.split()}
_OUR_CONFIG = {word: ours for ours, words in _CONFIG_SYNONYMS.items() for word in words.split()}
