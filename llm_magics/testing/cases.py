"""Batched requests on the loopback server: each row in one is answered as it would be alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from llm_magics.engine.batched_requests import RULE

Body: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Callable[[Body], "str | Mapping[str, Any]"]


def split_rows(body: Body) -> dict[str, dict[str, Any]] | None:
    """The request of each case by its id, as if it had come alone; None where there is but one."""
    messages = body.get("messages") or ()
    if not messages or RULE not in str(messages[0].get("content")):
        return None
    first = {**messages[0], "content": str(messages[0]["content"]).replace(RULE, "").strip()}
    head = [first, *messages[1:-1]] if first["content"] else list(messages[1:-1])
    texts: Mapping[str, str] = json.loads(messages[-1]["content"])
    alone = {**body, **_row_format(body)}
    return {
        mark: {**alone, "messages": [*head, {**messages[-1], "content": text}]}
        for mark, text in texts.items()
    }


def answer_rows(answer: Answer, body: Body, fault: str | None = None) -> str | Mapping[str, Any]:
    """What ``answer`` says to the request; to several cases in it, an object of what it says to each.

    ``fault`` (``left_out``, ``twice``, ``strange``) spoils the last id of such an object.
    """
    several = split_rows(body)
    if several is None:
        return answer(body)
    entries = [(mark, _value(answer(one))) for mark, one in several.items()]
    shown = (
        f"{json.dumps(mark)}: {json.dumps(v, ensure_ascii=False)}"
        for mark, v in _apply_row_fault(entries, fault)
    )
    return "{" + ", ".join(shown) + "}"


def _apply_row_fault(entries: list[tuple[str, Any]], fault: str | None) -> list[tuple[str, Any]]:
    *before, (mark, value) = entries
    if fault == "left_out":
        return before
    if fault == "twice":
        return [*entries, (mark, entries[0][1])]
    return [*before, (f"{mark}0", value)] if fault == "strange" else entries


def _row_format(body: Body) -> dict[str, Any]:
    """The response format of one case."""
    form = body.get("response_format") or {}
    schema = (form.get("json_schema") or {}).get("schema")
    if not schema:
        return {}
    definitions = dict(schema["$defs"])
    name = next(iter(schema["properties"].values()))["$ref"].rpartition("/")[2]
    one = {**definitions.pop(name), **({"$defs": definitions} if definitions else {})}
    return {"response_format": {**form, "json_schema": {**form["json_schema"], "schema": one}}}


def _value(said: str | Mapping[str, Any]) -> Any:
    """An answer as JSON; a label without the object that it comes in alone."""
    text = said if isinstance(said, str) else str(said.get("content") or "")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and list(value) in (["label"], ["labels"]):
        return next(iter(value.values()))
    return value
