"""The overview of the set-up: settings and origins, backends by role, keys (masked), models, store."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from llm_magics.backends import pricing
from llm_magics.backends.registry import BUILT_IN, Registry, namespaces, origins
from llm_magics.core.errors import LLMError, NotFound
from llm_magics.core.types import ROLES, BackendSpec, Limits, Price
from llm_magics.notebook.tables import Table, cell_text
from llm_magics.settings.config import Config, Setting
from llm_magics.settings.keys import KEY_REQUIRED, KEY_VARIABLES, Keys
from llm_magics.settings.quantities import format_duration, format_size
from llm_magics.settings.table import SETTINGS


class Row(Protocol):
    """What the overview needs of a session."""

    config: Config
    keys: Keys

    @property
    def registry(self) -> Registry:
        """The named backends."""

    @property
    def store(self) -> Any:
        """The response store."""


def overview(session: Row) -> Table:
    """The whole set-up, one fact a line; settings at their default are left out."""
    rows = [*_roles(session), *_settings(session), *_keys(session), *_loaded(), _store(session)]
    notes = [f"warning: {said}" for said in warnings(session)]
    named = len(session.registry.specs())
    notes.append(
        f"{named} registered: %llm_config models   every setting: %llm_config get   help: %llm_config -h"
    )
    columns = ["name", "value", "origin", "detail"]
    return Table(rows, caption="The set-up in force", columns=columns, heads=False, notes=notes)


def settings(session: Row, name: str | None = None) -> Table:
    """One setting, or all of them, with origin and meaning."""
    found = [session.config.get(name)] if name else session.config.all()
    rows = [
        {"name": s.name, "value": value_of(s), "origin": origin_of(s), "meaning": SETTINGS[s.name].meaning}
        for s in found
    ]
    return Table(rows, caption="" if name else "Settings")


def models(session: Row, query: str = "") -> Table:
    """The registered backends, aliases, models in use and other packages' families.

    With a query, also the known models and families that match it.
    """
    rows = [*_models(session), *_families()]
    if query:
        known = {row["name"] for row in rows}
        rows += [row for row in _catalogue(session) if row["name"] not in known]
        rows = _matching(rows, query) or _matching(_built_in(), query)
    note = "add one: %llm_config add -h" if not query else ""
    if any("file" in row for row in rows) and all(row["kind"] == "gguf" for row in rows):
        files = [_on_disk(session, row) for row in rows]
        return Table(files, caption="GGUF models", columns=_FILE_COLUMNS)
    empty = "nothing matches" if query else ""
    return Table(rows, caption="Models", columns=_MODEL_COLUMNS, empty=empty, notes=[note] if note else [])


def _matching(rows: Iterable[dict[str, Any]], query: str) -> list[dict[str, Any]]:
    """The rows that contain every word of the query."""
    words = query.casefold().split()
    return [row for row in rows if all(w in " ".join(map(cell_text, row.values())).casefold() for w in words)]


_FILE_COLUMNS = ["name", "size", "context", "licence", "use", "on disk", "file"]
_MODEL_COLUMNS = ["name", "kind", "model", "endpoint", "context", "price", "key", "loaded", "roles"]


def show(session: Row, name: str) -> Table:
    """Everything about one backend, each fact with its origin; keys masked.

    Raises:
        NotFound: No such backend.
    """
    registry = session.registry
    spec = registry.resolve(name)
    own = registry.specs().get(spec.name) or BackendSpec(spec.namespace, spec.model)
    rows = [_fact(field, value, own, session) for field, value in _facts(spec).items()]
    rows.append(
        {"name": "key", "value": key_of(session, spec), "origin": "backend" if own.key else "default"}
    )
    roles = [role for role in ROLES if _role_of(session, role) in (name, spec.name or None)]
    rows.append({"name": "roles", "value": ", ".join(roles), "origin": ""})
    return Table(
        [row for row in rows if row["value"] not in (None, "")],
        caption=f"Backend {name}",
        columns=["name", "value", "origin"],
        heads=False,
    )


def warnings(session: Row) -> list[str]:
    """What will not work with this set-up."""
    said = session.config.warnings()
    for role, (text, origin) in _said_roles(session).items():
        try:
            spec = session.registry.resolve(text)
        except LLMError as error:
            said.append(f"{role} is {text!r} ({origin}): {error.message}")
            continue
        if spec.namespace in KEY_REQUIRED and not _has_key(session, spec) and spec.namespace != "azure":
            said.append(f"{text} has no key: %llm_config key set {spec.namespace}")
    return list(dict.fromkeys(said))


def key_of(session: Row, spec: BackendSpec) -> str:
    """A backend's key for display: its name, its last four characters, its place."""
    if not spec.key:
        return "missing" if spec.namespace in KEY_REQUIRED else "none needed"
    scheme, _, name = spec.key.partition(":")
    step = session.keys.status(spec.key)
    place = {"env": "environment", "dotenv": "file"}.get(scheme, scheme)
    return f"{name} {step.masked} ({place})" if step.found else f"{name} missing ({place})"


def value_of(setting: Setting) -> Any:
    """A setting's value for display."""
    kind = SETTINGS[setting.name].kind
    return format_size(setting.value) if kind == "size" and setting.value is not None else setting.value


def origin_of(setting: Setting) -> str:
    """``environment LLM_MAGICS_RPM``: the origin, and the variable where it is one."""
    return f"{setting.origin} {setting.source}" if setting.origin == "environment" else setting.origin


def _said_roles(session: Row) -> dict[str, tuple[str, str]]:
    """The default, and each role that has a model of its own."""
    said = {"default": session.config.role("default")}
    for role in ROLES[1:]:
        setting = session.config.get(f"roles.{role}")
        if setting.value:
            said[role] = (setting.value, setting.origin)
    return said


def _role_of(session: Row, role: str) -> str:
    return session.config.role(role)[0]


def _roles(session: Row) -> Iterator[dict[str, Any]]:
    for role, (text, origin) in _said_roles(session).items():
        try:
            detail = _backend_in_short(session, session.registry.resolve(text))
        except LLMError as error:
            detail = error.message
        yield {"kind": "role", "name": role, "value": text, "origin": f"({origin})", "detail": detail}


def _backend_in_short(session: Row, spec: BackendSpec) -> str:
    if spec.namespace == "gguf":
        return f"GGUF {_file_size(spec.model)}{_loaded_state(spec)}"
    if spec.namespace not in KEY_VARIABLES:
        return "approximate, by similarity; no key needed" if spec.namespace == "embedded" else spec.namespace
    endpoint = f"{spec.base_url}  " if spec.base_url else ""
    return f"{endpoint}key {key_of(session, spec)}"


def _file_size(source: str) -> str:
    path = Path(source)
    return f"{format_size(path.stat().st_size)}, " if path.is_file() else ""


def _loaded_state(spec: BackendSpec) -> str:
    names = {info.name for info in loaded()} | {info.file for info in loaded()}
    return "loaded" if {spec.model, spec.name} & names else "not loaded"


def loaded() -> list[Any]:
    """The loaded models; nothing is imported to find out that there are none."""
    module = sys.modules.get("llm_magics.backends.in_kernel.model_cache")
    return list(module.cache().entries()) if module is not None else []


def _settings(session: Row) -> Iterator[dict[str, Any]]:
    for setting in session.config.all():
        if setting.origin != "default" and not SETTINGS[setting.name].names_a_model:
            value, origin = value_of(setting), f"({origin_of(setting)})"
            yield {"kind": "setting", "name": setting.name, "value": value, "origin": origin, "detail": ""}


def _keys(session: Row) -> Iterator[dict[str, Any]]:
    for step in session.keys.list():
        scheme, _, name = step.reference.partition(":")
        place = "(environment)" if scheme == "env" else f"({scheme})"
        yield {"kind": "key", "name": "key", "value": f"{name} {step.masked}", "origin": place, "detail": ""}


def _loaded() -> Iterator[dict[str, Any]]:
    for info in loaded():
        state = "in use" if info.in_use else f"idle {format_duration(info.idle)}"
        value = f"{info.name} {format_size(info.size)}"
        yield {
            "kind": "model",
            "name": "loaded",
            "value": value,
            "origin": "",
            "detail": f"ctx {info.context} {state}",
        }


def _store(session: Row) -> dict[str, Any]:
    row = {"kind": "store", "name": "responses", "origin": "", "detail": str(session.store.path)}
    if not Path(session.store.path).exists():
        return {**row, "value": "none yet", "detail": ""}
    try:
        stats = session.store.stats()
    except LLMError as error:
        return {**row, "value": error.message}
    return {**row, "value": f"{stats.rows:,} rows {format_size(stats.size)}"}


def _models(session: Row) -> Iterator[dict[str, Any]]:
    registry = session.registry
    for name, spec in registry.specs().items():
        yield _model_row(session, name, registry.resolve(spec.name))
    for alias, target in registry.aliases().items():
        yield _model_row(session, alias, registry.resolve(target)) | {"kind": f"alias of {target}"}
    known = registry.names()
    used = [*(text for text, _ in _said_roles(session).values()), *registry.live()]
    for text in dict.fromkeys(text for text in used if text not in known):
        try:
            yield _model_row(session, text, registry.resolve(text))
        except NotFound as error:
            yield {"name": text, "kind": error.message, "roles": _roles_of(session, text)}


def _model_row(session: Row, name: str, spec: BackendSpec) -> dict[str, Any]:
    live = session.registry.live().get(spec.name or f"{spec.namespace}::{spec.model}")
    said = spec.options.get("context") or spec.options.get("context_window")
    return {
        "name": name,
        "kind": spec.namespace,
        "model": spec.model,
        "endpoint": spec.base_url,
        "context": said or pricing.context_window(spec.namespace, spec.model),
        "price": price_of(spec.price or pricing.price(spec.namespace, spec.model)),
        "key": key_of(session, spec),
        "loaded": _loaded_state(spec) == "loaded" if spec.namespace == "gguf" else live is not None,
        "roles": _roles_of(session, name),
    }


def price_of(price: Price | None) -> str | None:
    """``0.15/0.6``: dollars per million tokens, input and output."""
    if price is None:
        return None
    return "free" if not (price.input or price.output) else f"{price.input:g}/{price.output:g}"


def _roles_of(session: Row, name: str) -> list[str]:
    return [role for role, (text, _) in _said_roles(session).items() if text == name]


def _families() -> Iterator[dict[str, Any]]:
    """The namespaces of other packages and of this kernel; a model's name follows the colons."""
    for namespace, origin in origins().items():
        yield {"name": f"{namespace}::", "kind": origin, "roles": []}


def _built_in() -> Iterator[dict[str, Any]]:
    """The families of this package."""
    for namespace in BUILT_IN:
        yield {"name": f"{namespace}::", "kind": "family", "roles": []}


def _catalogue(session: Row) -> Iterator[dict[str, Any]]:
    """Known models: embedded, GGUF aliases, priced ones."""
    for text in _known_models():
        namespace, _, model = text.partition("::")
        facts = _file_facts(model) if namespace == "gguf" else {}
        row = _model_row(session, text, BackendSpec(namespace, model))
        yield row | {"key": None, "loaded": False} | facts


def _file_facts(alias: str) -> dict[str, Any]:
    from llm_magics.backends.gguf.catalogue import CATALOGUE

    entry = CATALOGUE[alias]
    return {
        "size": f"{entry.size:g} GB",
        "context": entry.context,
        "licence": entry.licence,
        "use": entry.use,
        "file": f"{entry.repo}:{entry.file}",
    }


def _on_disk(session: Row, row: dict[str, Any]) -> dict[str, Any]:
    """The row with whether its file was downloaded before, without any request."""
    from llm_magics.backends.gguf.download import local_path, on_disk

    folder = session.config.value("gguf.download_path")
    try:
        found = local_path(row["model"]) or on_disk(row["model"], folder)
    except LLMError:  # a path to nothing; or no huggingface_hub, so that nothing was downloaded by it
        found = None
    size = format_size(found.stat().st_size) if found is not None else None
    return {"file": row["model"], "size": size, **row, "on disk": found is not None}


def _known_models() -> Iterator[str]:
    from llm_magics.backends.gguf.catalogue import CATALOGUE

    yield from ("embedded::wordllama+use", "embedded::wordllama", "embedded::use", "embedded::tfidf")
    yield from (f"gguf::{alias}" for alias in CATALOGUE)
    yield from pricing.priced_models()


def _facts(spec: BackendSpec) -> dict[str, Any]:
    """A spec's fields with dots in their names; a header's value is shown as a reference only."""
    flat = {"name": spec.name, "namespace": spec.namespace, "model": spec.model, "base_url": spec.base_url}
    flat |= {f"header {name}": value for name, value in spec.headers.items()}
    flat |= {f"-p {name}": cell_text(value) for name, value in spec.parameters.items()}
    flat |= {f"option {name}": _plain(value) for name, value in spec.options.items()}
    flat |= {name: cell_text(value) for name, value in asdict(spec.limits).items() if value is not None}
    return {**flat, "price": price_of(spec.price)}


def _fact(field: str, value: Any, own: BackendSpec, session: Row) -> dict[str, Any]:
    """A fact and its origin: the backend's own, or the setting that filled it in."""
    origin = "backend"
    limit = getattr(own.limits, field, None)
    if hasattr(Limits(), field) and limit == getattr(Limits(), field):
        origin = origin_of(session.config.get(field)) if field in SETTINGS else "default"
    setting = f"{own.namespace}.{field.removeprefix('option ')}"
    if setting in SETTINGS and field.removeprefix("option ") not in own.options and not own.base_url:
        origin = origin_of(session.config.get(setting))
    if field in ("name", "namespace", "model", "price"):
        origin = "" if field != "price" else "backend"
    return {"name": field, "value": value, "origin": origin}


def _plain(value: Any) -> str:
    if isinstance(value, str | int | float | list | tuple | Mapping):
        return cell_text(value)
    return f"{value.__name__}()" if hasattr(value, "__name__") else type(value).__name__


def _has_key(session: Row, spec: BackendSpec) -> bool:
    return bool(spec.key) and session.keys.status(spec.key).found


def known_names(session: Row) -> list[str]:
    """The names that ``-m`` takes: registered names, aliases, models in use, ``namespace::``."""
    used = [text for text, _ in _said_roles(session).values()]
    return list(dict.fromkeys([*session.registry.names(), *used, *(f"{n}::" for n in namespaces())]))
