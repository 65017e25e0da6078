"""Serialization of specs, requests, responses and errors as JSON, for another process."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from llm_magics.backends.specs import from_dict, to_dict
from llm_magics.core import errors
from llm_magics.core.errors import LLMError, UsageError
from llm_magics.core.prompt_formats import FormattingFn, message_dicts, prompt_of
from llm_magics.core.types import (
    BackendSpec,
    Choice,
    Embedding,
    Message,
    OneOf,
    Request,
    Response,
    ResponseFormat,
    Schema,
    Text,
    Usage,
    Vector,
)

_FORMATS: Mapping[str, type[Any]] = {kind.kind: kind for kind in (Text, OneOf, Schema, Vector)}
_DETAILS = ("status", "request_id", "retry_after", "answer")


def pack_spec(spec: BackendSpec) -> dict[str, Any]:
    """A spec as JSON; functions of a module go by their name.

    Raises:
        UsageError: A function of the notebook, which another process can't import.
    """
    options = {name: reference(value) if callable(value) else value for name, value in spec.options.items()}
    parameters = {
        k: v for k, v in spec.parameters.items() if not k.startswith("prompt_format")
    }  # applied here
    plain = replace(spec, options=options, parameters=parameters, price=None)
    return {**to_dict(plain), "namespace": spec.namespace}


def unpack_spec(data: Mapping[str, Any]) -> BackendSpec:
    """The spec from its JSON, with its functions imported."""
    spec = from_dict("child", data)
    options = {
        name: imported(value) if isinstance(value, str) and name.endswith("fn") else value
        for name, value in spec.options.items()
    }
    return replace(spec, options=options, name="")


def reference(function: Any) -> str:
    """``module:name`` of a function; raises UsageError for one that has no module of its own."""
    module, name = getattr(function, "__module__", "__main__"), getattr(function, "__qualname__", "<lambda>")
    if module == "__main__" or "<" in name:
        raise UsageError(
            f"{name} lives in this notebook; another process can't see it.",
            hint="Put it in a file (%%writefile my_model.py) and import it from there.",
        )
    return f"{module}:{name}"


def imported(text: str) -> Any:
    """The function that ``module:name`` names."""
    import importlib

    module, _, name = text.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def pack_request(request: Request) -> dict[str, Any]:
    """A request as JSON. A prompt made by a function is sent as it is; a named format goes by its name.

    The name tells the other side whether labels continue a text, and so how they are spelt.
    """
    own = request.parameters.get("prompt_formatting_fn") is not None
    prompt = prompt_of(request) if own else request.messages
    functions = {"prompt_formatting_fn", *(["prompt_format"] if own else [])}
    free = {k: v for k, v in request.parameters.items() if k not in functions}
    return {
        "messages": prompt if isinstance(prompt, str) else message_dicts(prompt),
        "format": {"kind": request.response_format.kind, **asdict(request.response_format)},
        "parameters": free,
        "subject": request.subject,
        "sample": request.sample,
    }


def unpack_request(data: Mapping[str, Any], backend: Any) -> Request:
    """The request from its JSON, addressed to the ``backend`` in this process."""
    sent = data["messages"]
    parameters = dict(data["parameters"])
    if isinstance(sent, str):
        parameters["prompt_formatting_fn"] = FormattingFn(lambda _: sent)
        sent = [{"role": "user", "content": sent}]
    return Request(
        backend.namespace,
        backend.model,
        tuple(Message(turn["role"], turn["content"]) for turn in sent),
        _format(data["format"]),
        parameters={**backend.parameters, **parameters},
        base_url=backend.base_url,
        subject=data["subject"],
        sample=data["sample"],
    )


def _format(data: Mapping[str, Any]) -> ResponseFormat:
    given = {name: value for name, value in data.items() if name != "kind"}
    if data["kind"] == "one_of":
        given["choices"] = tuple(
            Choice(**{**c, "examples": tuple(c["examples"]), "counterexamples": tuple(c["counterexamples"])})
            for c in given["choices"]
        )
    made: ResponseFormat = _FORMATS[data["kind"]](**given)
    return made


def pack_outcome(outcome: Response | Embedding | BaseException) -> dict[str, Any]:
    """A response, vectors, or an error as JSON."""
    if isinstance(outcome, BaseException):
        return {"error": _pack_error(outcome)}
    if isinstance(outcome, Embedding):
        return {
            "vectors": _pack_array(outcome.vectors),
            "usage": asdict(outcome.usage),
            "model": outcome.model,
            "notes": list(outcome.notes),
        }
    flat = {field.name: getattr(outcome, field.name) for field in fields(Response)}
    flat |= {"usage": asdict(outcome.usage), "notes": list(outcome.notes)}
    flat["scores"] = dict(outcome.scores) if outcome.scores is not None else None
    flat["vector"] = None if outcome.vector is None else _pack_array(outcome.vector)
    return {"response": flat}


def unpack_outcome(data: Mapping[str, Any]) -> Response | Embedding | LLMError:
    """The response, vectors or error from its JSON."""
    if "error" in data:
        return _unpack_error(data["error"])
    if "vectors" in data:
        vectors = _unpack_array(data["vectors"])
        return Embedding(vectors, Usage(**data["usage"]), data["model"], tuple(data["notes"]))
    flat = dict(data["response"])
    flat |= {"usage": Usage(**flat["usage"]), "notes": tuple(flat["notes"])}
    flat["vector"] = None if flat["vector"] is None else _unpack_array(flat["vector"])
    return Response(**flat)


def _pack_array(array: Any) -> dict[str, Any]:
    import numpy as np

    made = np.ascontiguousarray(array, dtype=np.float32)
    return {"shape": list(made.shape), "data": base64.b64encode(made.tobytes()).decode()}


def _unpack_array(data: Mapping[str, Any]) -> Any:
    import numpy as np

    return np.frombuffer(base64.b64decode(data["data"]), dtype=np.float32).reshape(data["shape"])


def _pack_error(error: BaseException) -> dict[str, Any]:
    """Class, message and details; an exception that is not ours keeps its name in the message."""
    if not isinstance(error, LLMError):
        return {"kind": "BadRequest", "message": f"{type(error).__name__}: {error}", "hint": ""}
    details = {name: getattr(error, name) for name in _DETAILS if getattr(error, name, None)}
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint, **details}


def _unpack_error(data: Mapping[str, Any]) -> LLMError:
    kind = getattr(errors, data["kind"], errors.BadRequest)
    made: LLMError = kind(data["message"], hint=data["hint"])
    for name in _DETAILS:
        if name in data:
            setattr(made, name, data[name])
    return made
