"""``%llm_config add``: its flags, and the backend spec they describe."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from llm_magics.backends.registry import parse_spec
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec, Limits
from llm_magics.options.line_parser import LineParser, assignment, parameter
from llm_magics.settings.clear_text_keys import check_reference
from llm_magics.settings.quantities import parse_price, parse_window

_KINDS = ("openai", "azure", "gguf", "call", "pool", "committee", "process", "client", "model")
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "id": ("openai", "azure", "client"),
    "url": ("model",),
    "api_version": ("azure",),
    "ctx": ("gguf",),
    "gpu_layers": ("gguf",),
    "setup": ("call",),
    "batch_size": ("call", "model"),
}
"""Flag -> the kinds of backend that take it."""

_OPTIONS = {
    "api_version": "api_version",
    "ctx": "context",
    "gpu_layers": "gpu_layers",
    "batch_size": "batch_size",
    "context_window": "context_window",
}


def flags(p: LineParser) -> None:
    """Add the flags of ``add`` to its parser."""
    p.add_argument("name", metavar="NAME", help="what -m and use will call it")
    p.add_argument("--openai", metavar="URL", help="a server that speaks the OpenAI format")
    p.add_argument("--azure", metavar="ENDPOINT", help="an Azure OpenAI resource")
    p.add_argument("--gguf", metavar="SOURCE", help="a GGUF file, an alias, or owner/repo:file")
    p.add_argument("--call", metavar="FN", help="a Python function of the notebook that answers a prompt")
    p.add_argument("--embed", metavar="FN", help="a Python function that turns texts into vectors")
    p.add_argument("--setup", metavar="FN", help="a function(api_key) that returns their client")
    p.add_argument("--pool", metavar="A,B", help="backends that share the rows")
    p.add_argument("--committee", metavar="A,B", help="labellers whose label scores are added")
    p.add_argument("--process", metavar="NAME2", help="run that backend in a process of its own")
    p.add_argument("--client", metavar="VAR", help="an OpenAI or AzureOpenAI client of the notebook")
    p.add_argument("--model", metavar="NAMESPACE::MODEL", help="any other backend")
    p.add_argument("--id", metavar="MODEL", help="the model (or deployment) there")
    p.add_argument("--url", metavar="URL", help="the server, for --model")
    p.add_argument("--key", metavar="REF", help="where its key is: env:VARIABLE, session:NAME, keyring:NAME")
    p.add_argument("--header", action="append", type=assignment, metavar="K=V", help="repeatable")
    _call_flags(p)
    _limit_flags(p)


def _call_flags(p: LineParser) -> None:
    p.add_argument(
        "-p",
        dest="parameters",
        action="append",
        type=parameter,
        metavar="K=V",
        help="such as temperature=0",
    )
    p.add_argument("--api-version", metavar="V", help="Azure's API version")
    p.add_argument("--ctx", type=int, metavar="N", help="tokens a GGUF model reads")
    p.add_argument("--gpu-layers", type=int, metavar="N", help="layers on the GPU, -1 = all")
    p.add_argument("--context-window", type=int, metavar="N", help="tokens the model reads")
    p.add_argument("--batch-size", type=int, metavar="N", help="texts handed to the function at once")
    p.add_argument(
        "--option",
        action="append",
        type=parameter,
        metavar="K=V",
        help="what this kind alone knows",
    )


def _limit_flags(p: LineParser) -> None:
    p.add_argument("--price", type=parse_price, metavar="IN/OUT", help="US dollars per million tokens")
    p.add_argument("--rpm", type=float, metavar="N", help="requests a minute")
    p.add_argument("--tpm", type=float, metavar="N", help="tokens a minute")
    p.add_argument("--window", type=parse_window, metavar="N/SECONDS", help="at most N requests in that span")
    p.add_argument("--concurrency", type=int, metavar="N", help="requests in flight")
    p.add_argument("--retries", type=int, metavar="N", help="attempts after the first")
    p.add_argument("--timeout", type=float, metavar="SECONDS", help="of one attempt")


def spec(values: Namespace, variables: Mapping[str, Any]) -> BackendSpec:
    """The backend spec of the flags; functions are looked up in ``variables``.

    Raises:
        UsageError: No kind of backend, two of them, a flag of another kind, or a key in clear text.
        NotFound: No function of that name.
    """
    kind = _kind(values)
    namespace, model, base_url, options = _BUILDERS[kind](values, variables)
    given = {_OPTIONS[flag]: v for flag in _OPTIONS if (v := getattr(values, flag)) is not None}
    if values.key:
        check_reference(values.key)
    return BackendSpec(
        namespace=namespace,
        model=model,
        name=values.name,
        base_url=base_url,
        key=values.key or "",
        headers=dict(values.header or []),
        parameters=_parameters(values, variables),
        limits=limits(values),
        price=values.price,
        options={**options, **given, **dict(values.option or [])},
    )


def _parameters(values: Namespace, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The ``-p`` values; a formatting function is looked up among the notebook's."""
    given = dict(values.parameters or [])
    if isinstance(name := given.get("prompt_formatting_fn"), str):
        given["prompt_formatting_fn"] = _function(name, variables)
    return given


def limits(values: Namespace) -> Limits:
    """The limits among the flags; a limit that was not typed keeps its default."""
    names = ("rpm", "tpm", "window", "concurrency", "retries", "timeout")
    typed = {name: value for name in names if (value := getattr(values, name)) is not None}
    for name in typed.keys() - {"window", "retries"}:
        if typed[name] <= 0:
            raise UsageError(f"--{name} must be above zero.")
    return Limits(**typed)


def _kind(values: Namespace) -> str:
    chosen = [kind for kind in _KINDS if getattr(values, kind) is not None]
    if not chosen and values.embed is not None:
        chosen = ["call"]
    if len(chosen) != 1:
        what = "names no backend" if not chosen else "names several: --" + ", --".join(chosen)
        raise UsageError(
            f"%llm_config add {what}.", hint="One of " + " ".join(f"--{kind}" for kind in _KINDS)
        )
    for flag, kinds in _ONLY_FOR.items():
        if getattr(values, flag) is not None and chosen[0] not in kinds:
            words = " or ".join(f"--{kind}" for kind in kinds)
            raise UsageError(f"--{flag.replace('_', '-')} goes with {words} only.")
    return chosen[0]


_Parts = tuple[str, str, str, dict[str, Any]]


def _openai(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    """Any host but openai's own is a ``custom_url``: its capabilities are learned, no openai key is sent."""
    host = _host(values.openai)
    namespace = "openai" if host == "api.openai.com" else "custom_url"
    return namespace, _id(values), values.openai, {}


def _azure(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    _host(values.azure)
    return "azure", _id(values), values.azure, {}


def _gguf(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    from llm_magics.backends.gguf.download import check
    from llm_magics.backends.gguf.load_options import LoadOptions

    check(values.gguf)
    LoadOptions(context=values.ctx or 0, gpu_layers=values.gpu_layers or 0).check()
    path = Path(values.gguf).expanduser()
    return "gguf", str(path.absolute()) if path.is_file() else values.gguf, "", {}


def _call(values: Namespace, variables: Mapping[str, Any]) -> _Parts:
    names = {"fn": values.call, "embed_fn": values.embed, "setup_fn": values.setup}
    found = {option: _function(name, variables) for option, name in names.items() if name is not None}
    return "custom", values.call or values.embed, "", found


def _pool(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    return _of_members("pool", values.pool)


def _committee(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    return _of_members("committee", values.committee)


def _of_members(namespace: str, given: str) -> _Parts:
    """A backend that is made of others."""
    members = [name.strip() for name in given.split(",") if name.strip()]
    if len(members) < 2:
        raise UsageError(f"a {namespace} needs two members or more.", hint=f"--{namespace} A,B")
    return namespace, "+".join(members), "", {"members": members}


def _process(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    return "process", values.process, "", {"members": [values.process]}


def _client(values: Namespace, variables: Mapping[str, Any]) -> _Parts:
    """The URL, key and headers of a client that the user configured."""
    client = variables.get(values.client)
    if client is None or not hasattr(client, "base_url"):
        known = [name for name, value in variables.items() if hasattr(value, "base_url")]
        raise NotFound.among("client of this notebook", values.client, known)
    azure = "azure" in type(client).__name__.casefold()
    return "azure" if azure else "openai", _id(values), "", {"client": client}


def _model(values: Namespace, _: Mapping[str, Any]) -> _Parts:
    namespace, model = parse_spec(values.model)
    if values.url:
        _host(values.url)
    return namespace, model, values.url or "", {}


_BUILDERS: Mapping[str, Callable[[Namespace, Mapping[str, Any]], _Parts]] = {
    "openai": _openai,
    "azure": _azure,
    "gguf": _gguf,
    "call": _call,
    "pool": _pool,
    "committee": _committee,
    "process": _process,
    "client": _client,
    "model": _model,
}


def _id(values: Namespace) -> str:
    if not values.id:
        raise UsageError("which model is it?", hint="Add --id MODEL")
    return str(values.id)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the URL must start with http:// or https:// and name a host.")
    return parts.hostname


def _function(name: str, variables: Mapping[str, Any]) -> Callable[..., Any]:
    found = variables.get(name)
    if found is not None and not callable(found):
        raise UsageError(f"{name!r} is no function: its type is {type(found).__name__}.")
    if found is None:
        known = [k for k, v in variables.items() if callable(v) and not k.startswith("_")]
        raise NotFound.among("function of this notebook", name, known)
    return cast("Callable[..., Any]", found)
