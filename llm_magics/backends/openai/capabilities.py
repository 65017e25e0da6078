"""Capabilities of a host that are learned from its refusals, and kept for the backend's life."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llm_magics.backends.error_mapping import HostMessage
from llm_magics.backends.openai.dialects import (
    JSON_OBJECT,
    JSON_SCHEMA,
    MANY_CHOICES,
    PLAIN,
    PROBED,
    RANK,
    SIMPLER,
    format_fields,
)
from llm_magics.core.types import OneOf, ResponseFormat, Schema

LEARNABLE = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses with which hosts refuse a field."""

FIXED = frozenset({"model", "messages", "input", "prompt"})
"""Fields that every request needs."""

_REFUSED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra[ _]"
    r"|input should be|not available|unavailable|not implemented|does(n't| not) (accept|take|allow)"
    r"|invalid (parameter|argument|field)|only the default|is disabled|not enabled|can(no|')t be used",
    re.IGNORECASE,
)
_VALIDATION = re.compile(r"\bvalidation errors?\b", re.IGNORECASE)
"""The message of llama-cpp-python's server when it answers 500 to an unknown field."""
_FORMAT = re.compile(
    r"response[_ ]format|json[_ ]schema|json[_ ]object|structured[_ ]output|guided|grammar|json mode",
    re.IGNORECASE,
)
_DIALECT = re.compile(rf"{_FORMAT.pattern}|\btools?\b|tool_choice|function", re.IGNORECASE)
_WORD_JSON = re.compile(r"must contain the word", re.IGNORECASE)
_THIS_SCHEMA = re.compile(
    r"invalid schema|invalid_json_schema|schema (contains|.{0,40}(invalid|not valid))|features? not support",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"system (role|message)s? .{0,20}not supported|does not support 'system'|roles must alternate",
    re.IGNORECASE,
)
_MOST = re.compile(r"(?:less than or equal to|at most|max\w*|between 0 and|<=)\D{0,24}(\d+)", re.IGNORECASE)
_OWN = {
    "stream": "the host gives no answer in pieces; it is shown when it is whole.",
    "stream_options": "the host doesn't count the tokens of an answer in pieces; they are counted here.",
}
"""What it means that a host lacks a field which only we set."""
_TOKENS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class LearnedCapabilities:
    """What one host takes. ``version`` counts the changes, so that a sender of an older form can tell."""

    def __init__(self, max_tokens: str) -> None:
        self.max_tokens = max_tokens
        self.form = JSON_SCHEMA
        self.is_confirmed = False
        self.tried: set[str] = set()
        """Dialects that the host ignored or refused; with ``plain`` among them no other one is tried."""
        self.forms: dict[str, str] = {}
        self.top_logprobs = 20
        self.system = True
        self.refused: set[str] = set()
        self.version = 0

    def form_for(self, canonical: str) -> str:
        """The way to ask for a format: the host's best, or a simpler one that this schema needs."""
        return max(self.forms.get(canonical, JSON_SCHEMA), self.form, key=RANK.__getitem__)

    def dialect(self, form: ResponseFormat) -> str:
        """The dialect in use for a format, as long as another one could be tried; else empty."""
        if not isinstance(form, OneOf | Schema) or form.canonical in self.forms or PLAIN in self.tried:
            return ""
        if isinstance(form, OneOf) and len(form.choices) > MANY_CHOICES:
            return ""
        return self.form

    def move_on(self, form: ResponseFormat) -> bool:
        """Ask for formats in the next dialect, since the answers in this one don't fit; False without one."""
        self.tried.add(self.form)
        following = next((name for name in PROBED if self._can_try(name, form)), "")
        self.form = following or PLAIN
        self.version += 1
        return bool(following)

    def settle(self, dialect: str) -> None:
        """Ask for formats in this dialect from now on."""
        self.form, self.is_confirmed = dialect, True
        self.version += 1

    def _can_try(self, dialect: str, form: ResponseFormat) -> bool:
        """Whether a dialect is new to the host, can express the format, and has no field that was refused."""
        fields = format_fields(form, dialect) if isinstance(form, OneOf | Schema) else {}
        return dialect not in self.tried and bool(fields) and not self.refused & fields.keys()

    def learn(
        self, status: int, told: HostMessage, body: Mapping[str, Any], form: ResponseFormat
    ) -> tuple[str, ...]:
        """Learn from a refusal; returns notes for the user, none where it teaches nothing.

        A note is empty where another one will say what was found out.
        """
        fault = status == 500 and (_VALIDATION.search(told.message) or self._is_trying(form))
        if status not in LEARNABLE and not fault:
            return ()
        words = f"{told.param} {told.code} {told.message}"
        sentences = (
            self._dialect(words, form)
            or self._token_field(words, body)
            or self._answer_form(words, told, body, form.canonical)
            or self._logprobs(words, body, form)
            or self._roles(words, body)
            or self._parameters(words, told, body)
        )
        self.version += bool(sentences)
        return sentences

    def _is_trying(self, form: ResponseFormat) -> bool:
        """Whether the format is asked for in a dialect that the host was not yet seen to apply."""
        asked = isinstance(form, OneOf | Schema) and self.form_for(form.canonical) in PROBED
        return asked and not self.is_confirmed

    def _dialect(self, words: str, form: ResponseFormat) -> tuple[str, ...]:
        """Move on from a dialect that was only tried, or that the host names in its refusal."""
        if not isinstance(form, OneOf | Schema) or self.form_for(form.canonical) not in PROBED:
            return ()
        if not self._is_trying(form) and not (_DIALECT.search(words) and _REFUSED.search(words)):
            return ()
        refused = self.form
        if not self.move_on(form):
            self.tried.add(PLAIN)
        return (f"the host takes no {refused}; answers are checked here.",) if self.is_confirmed else ("",)

    def _token_field(self, words: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Replace ``max_tokens`` by ``max_completion_tokens`` or the reverse."""
        sent = next((name for name in _TOKENS if name in body), "")
        other = _TOKENS.get(sent, "")
        if not sent or other in self.refused or not re.search(rf"\b{sent}\b", words):
            return ()
        if not _REFUSED.search(words):
            return ()
        self.refused.add(sent)
        self.max_tokens = other
        return (f"{sent} is sent as {other}.",)

    def _answer_form(
        self, words: str, told: HostMessage, body: Mapping[str, Any], canonical: str
    ) -> tuple[str, ...]:
        """Replace a schema by "any JSON", that by a plain request; answers are checked here anyway."""
        form = (body.get("response_format") or {}).get("type")
        if form not in SIMPLER or not _FORMAT.search(words):
            return ()
        lesser = PLAIN if _WORD_JSON.search(words) else SIMPLER[form]
        if _WORD_JSON.search(words) or _THIS_SCHEMA.search(words):
            self.forms[canonical] = lesser
            return (f"the host refused this answer format as {form}; it is asked for as {lesser}.",)
        if not _REFUSED.search(words) and not told.param.startswith("response_format"):
            return ()
        self.form = lesser
        if form != JSON_SCHEMA or JSON_OBJECT not in words:  # else a schema beside json_object may be taken
            self.tried.add(PLAIN)
        return (f"the host takes no {form}; answers are asked for as {lesser} and checked here.",)

    def _logprobs(self, words: str, body: Mapping[str, Any], form: ResponseFormat) -> tuple[str, ...]:
        """Ask for fewer alternatives a token, or for none; said only where the user asked for scores."""
        if "logprobs" not in body or "logprobs" not in words:
            return ()
        most = _MOST.search(words)
        if most and 0 < int(most.group(1)) < self.top_logprobs:
            self.top_logprobs = int(most.group(1))
            note = f"the host gives at most {self.top_logprobs} log-probabilities a token."
        else:
            self.top_logprobs = 0
            note = "the host gives no log-probabilities, so labels come without scores."
        return (note if isinstance(form, OneOf) and form.scores else "",)

    def _roles(self, words: str, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Send no system message to models whose template has none."""
        has = any(message["role"] == "system" for message in body.get("messages", ()))
        if not self.system or not has or not _NO_SYSTEM.search(words):
            return ()
        self.system = False
        return ("the model takes no system message; it stands before the first user message.",)

    def _parameters(self, words: str, told: HostMessage, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Leave out any other field that the host names as unknown."""
        if not _REFUSED.search(words):
            return ()
        free = [name for name in body if name not in FIXED and name not in self.refused]
        named = [name for name in free if name == told.param] or [
            name for name in free if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", told.message)
        ]
        self.refused.update(named)
        return tuple(_OWN.get(name) or not_sent(name) for name in named)


def not_sent(name: str) -> str:
    """The note about a parameter that is not sent to the model."""
    return f"{name} is not supported by the host and was not sent."
