"""``%llm_config`` cache, responses, profile, doctor: what is in memory and on disk."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from llm_magics.core.errors import MissingPackage, UsageError
from llm_magics.notebook.config import profiles
from llm_magics.notebook.config.command import MAGIC, ConfigCommand, ConfigContext
from llm_magics.notebook.tables import Reading, Table
from llm_magics.options.line_parser import LineParser
from llm_magics.settings.quantities import format_duration, format_size, parse_duration, parse_size


def _cache_line(p: LineParser) -> None:
    p.add_argument(
        "verb", nargs="?", choices=("clear", "pin", "unpin", "limit"), metavar="clear|pin|unpin|limit"
    )
    p.add_argument("name", nargs="?", metavar="NAME", help="a model; a size for limit (12GB)")
    p.add_argument("--force", action="store_true", help="clear: cancel the jobs that use it first")


def _cache(place: ConfigContext, values: Namespace) -> Table:
    try:
        from llm_magics.backends.in_kernel.model_cache import cache
    except ImportError:
        raise MissingPackage.of("llama-cpp-python", "gguf", "the GGUF model cache") from None
    if values.verb == "clear":
        return Reading(str(cache().clear(values.name, force=values.force)))
    if values.verb in ("pin", "unpin"):
        if not values.name:
            raise UsageError(f"which model? {MAGIC} cache {values.verb} NAME")
        cache().pin(values.name, values.verb == "pin")
    if values.verb == "limit" and values.name:
        cache().limit(parse_size(values.name))
        place.session.config.set("gguf.memory_limit", values.name)
    return _cached(cache())


def _cached(models: Any) -> Table:
    rows = [
        {
            "model": info.name,
            "size": format_size(info.size),
            "context": info.context,
            "gpu layers": info.gpu_layers,
            "idle": "in use" if info.in_use else format_duration(info.idle),
            "pinned": info.pinned,
        }
        for info in models.entries()
    ]
    limit = f"limit {format_size(models.budget)}" if not callable(models.budget) else ""
    notes = [limit] if limit else []
    return Table(rows, caption="Models in memory" if rows else "", empty="no model is loaded", notes=notes)


def _responses_line(p: LineParser) -> None:
    p.add_argument("verb", nargs="?", choices=("clear",), metavar="clear")
    p.add_argument("--model", metavar="M", help="clear: only the answers of this model")
    p.add_argument("--older-than", type=parse_duration, metavar="7d", help="clear: only older answers")


def _responses(place: ConfigContext, values: Namespace) -> Table:
    store = place.session.store
    if values.verb == "clear":
        gone = store.clear(model=values.model, older_than=values.older_than)
        return Reading(f"{gone:,} answers deleted")
    if values.model or values.older_than is not None:
        raise UsageError(
            "--model and --older-than go with clear.", hint=f"{MAGIC} responses clear --older-than 7d"
        )
    stats = store.stats()
    rows = [{"model": model, "answers": count} for model, count in stats.models.items()]
    total = f"{stats.rows:,} answers, {format_size(stats.size)} in {stats.path}"
    return Table(rows, caption="Stored answers", notes=[total])


def _profile_line(p: LineParser) -> None:
    p.add_argument("verb", choices=("save", "load", "list"), metavar="save|load|list")
    p.add_argument("name", nargs="?", metavar="NAME")


def _profile(place: ConfigContext, values: Namespace) -> Table:
    if values.verb == "list":
        return Table(
            [{"profile": name} for name in profiles.names()],
            caption="Saved profiles",
            empty="no profile is saved",
            heads=False,
        )
    if not values.name:
        raise UsageError(f"which profile? {MAGIC} profile {values.verb} NAME")
    if values.verb == "load":
        return applied(profiles.load(values.name, place.session))
    path, left_out = profiles.save(values.name, place.session)
    return Table(notes=[f"saved in {path}", *(f"left out: {said}" for said in left_out)])


def _doctor_line(p: LineParser) -> None:
    p.add_argument("name", nargs="?", metavar="NAME", help="one backend only: its name, or its namespace")
    p.add_argument("--online", action="store_true", help="also ask each server in use whether it answers")


def _doctor(place: ConfigContext, values: Namespace) -> Table:
    from llm_magics.notebook.config.doctor import examine

    return examine(place.session, values.name, online=values.online)


def applied(profile: profiles.Profile) -> Reading:
    """What a profile has set."""
    parts = [*profile.settings, *(f"backend {name}" for name in profile.backends), *profile.aliases]
    return Reading(f"set: {', '.join(parts)}" if parts else "nothing to set")


COMMANDS = (
    ConfigCommand("cache", "the local models in memory: list, clear, pin, limit", _cache_line, _cache),
    ConfigCommand("responses", "the answers on disk: count, clear", _responses_line, _responses),
    ConfigCommand("profile", "save and load this set-up, without keys", _profile_line, _profile),
    ConfigCommand("doctor", "what is there and what is missing, backend by backend", _doctor_line, _doctor),
)
