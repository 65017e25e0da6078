"""Backend specs as plain data (profiles, TOML cells), checked to contain no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from llm_magics.core import parameters
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import BackendSpec, Limits, Price
from llm_magics.settings.clear_text_keys import check_reference, refuse_clear_text, refuse_in_url

_FLAT = {"name", "namespace", "model", "base_url", "key"}
_TABLES = {"headers", "parameters", "limits", "price", "options"}


def check(spec: BackendSpec) -> BackendSpec:
    """``spec``, checked to hold no key in clear text and no impossible parameter.

    Raises:
        TypedKeyError: A key, a secret header or a URL with credentials; the value is not repeated.
    """
    if spec.key:
        check_reference(spec.key)
    refuse_clear_text(spec.headers, "--header NAME=env:VARIABLE")
    refuse_clear_text(spec.parameters)
    refuse_clear_text(spec.options)
    refuse_in_url("the URL", spec.base_url)
    parameters.check_parameters(spec.parameters)
    return spec


def to_dict(spec: BackendSpec) -> dict[str, Any]:
    """The spec as plain data, without empty and default fields.

    Raises:
        UsageError: It holds Python objects of the notebook (functions, clients), which plain data can't.
    """
    for name, value in {**spec.options, **spec.parameters}.items():
        if not isinstance(value, str | int | float | list | tuple | Mapping | None):
            raise UsageError(f"{spec.name} uses a Python object ({name}) that lives in this notebook only.")
    flat = {name: getattr(spec, name) for name in ("namespace", "model", "base_url", "key")}
    tables = {name: dict(getattr(spec, name)) for name in ("headers", "parameters", "options")}
    limits = {k: v for k, v in asdict(spec.limits).items() if v != getattr(Limits(), k)}
    price = {k: v for k, v in asdict(spec.price).items() if v not in (None, "")} if spec.price else {}
    whole = {**flat, **tables, "limits": limits, "price": price}
    return {name: _listed(value) for name, value in whole.items() if value}


def from_dict(name: str, data: Mapping[str, Any]) -> BackendSpec:
    """The spec of plain data; ``price`` may also be a table or ``"in/out"``.

    Raises:
        UsageError: A field is missing, unknown, or a key in clear text.
    """
    known = _FLAT | _TABLES
    if strange := [key for key in data if key not in known]:
        raise NotFound.among(f"field of a backend ({name})", strange[0], known)
    if not data.get("namespace"):
        raise UsageError(f"the backend {name!r} has no namespace.", hint='Such as: namespace = "openai"')
    for key, value in data.items():
        if not isinstance(value, str if key in _FLAT else (str, Mapping) if key == "price" else Mapping):
            wanted = "text" if key in _FLAT else "a table"
            raise UsageError(f"{key!r} of the backend {name!r} must be {wanted}.")
    plain: dict[str, Any] = {key: value for key, value in data.items() if key in _FLAT}
    plain |= {key: dict(data[key]) for key in ("headers", "parameters", "options") if key in data}
    plain |= {"limits": _limits(name, data.get("limits", {})), "price": _price(name, data.get("price"))}
    return check(BackendSpec(**{"model": "", **plain, "name": name}))


def _limits(name: str, data: Mapping[str, Any]) -> Limits:
    known = [field.name for field in fields(Limits)]
    if strange := [key for key in data if key not in known]:
        raise NotFound.among(f"limit ({name})", strange[0], known)
    values = dict(data)
    if "window" in values:
        try:
            count, span = values["window"]
            values["window"] = (int(count), float(span))
        except (TypeError, ValueError):
            raise UsageError(f"window of {name!r} must be [requests, seconds].") from None
    for key in values.keys() - {"window"}:
        if isinstance(values[key], bool) or not isinstance(values[key], int | float) or values[key] < 0:
            raise UsageError(f"{key} of {name!r} must be a number.")
    return Limits(**values)


def _price(name: str, data: Mapping[str, Any] | str | None) -> Price | None:
    from llm_magics.settings.quantities import parse_price

    if not data:
        return None
    if isinstance(data, str):
        return parse_price(data)
    try:
        return Price(**data)
    except TypeError:
        raise UsageError(
            f"the price of {name!r} needs input and output.", hint='price = "0.15/0.60"'
        ) from None


def _listed(value: Any) -> Any:
    """Tuples as lists and without None, for TOML."""
    if isinstance(value, Mapping):
        return {str(key): _listed(item) for key, item in value.items() if item is not None}
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value
