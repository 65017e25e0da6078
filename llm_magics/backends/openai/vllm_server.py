"""vLLM's server: the OpenAI format, with labels enforced by ``structured_outputs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_magics.backends.base import Secrets
from llm_magics.backends.format_probe import FormatProbe
from llm_magics.backends.http import Reply
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.openai.dialects import JSON_SCHEMA, MANY_CHOICES
from llm_magics.backends.openai.wire import Bodies
from llm_magics.core.types import BackendSpec, OneOf, Request, Response, ResponseFormat

CHOICE_FIELDS = ("structured_outputs", "guided_choice")
"""vLLM's field for a closed choice, from 0.11 on and before; each version ignores the other."""

CHOICE = "vLLM's choice"


class VLLMBackend(OpenAIBackend):
    """One model of a vLLM server.

    One label is enforced by vLLM's own choice constraint: the answer is the bare label, three to five
    times fewer tokens than a JSON object around it. Several labels and schemas use ``response_format``.
    vLLM's further fields (``chat_template_kwargs``, ``min_p``, ``guided_regex``, ...) are parameters like
    any other: ``-p min_p=0.05``. ``spec.options``: ``choice`` False asks for labels by
    ``response_format`` too.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        if spec.options.get("choice", True):
            self.bodies = ChoiceBodies(spec.model, self.endpoint.preset.words, self.habits)
            self.probe = FormatProbe(self.name, self.bodies)

    def _read(self, request: Request, reply: Reply, latency: float, notes: tuple[str, ...]) -> Response:
        made = super()._read(request, reply, latency, notes)
        form = request.response_format
        if made.parsed is None and isinstance(form, OneOf) and not form.many and made.text in form.names:
            return replace(made, parsed=made.text)
        return made


class ChoiceBodies(Bodies):
    """Request bodies with the choice constraint, as far as the host takes it."""

    def format(self, form: ResponseFormat) -> dict[str, Any]:
        """One label as a choice constraint, anything else as in the OpenAI format."""
        fields = self.choice_fields(form)
        if not isinstance(form, OneOf) or not fields:
            return super().format(form)
        names = list(form.names)
        asked: Mapping[str, Any] = {"structured_outputs": {"choice": names}, "guided_choice": names}
        whole = {name: asked[name] for name in fields}
        return whole | self.log_probabilities(form)

    def choice_fields(self, form: ResponseFormat) -> list[str]:
        """The fields of the choice constraint that the host takes, where the format is one label."""
        single = isinstance(form, OneOf) and not form.many and len(form.choices) <= MANY_CHOICES
        if not single or self.habits.form_for(form.canonical) != JSON_SCHEMA:
            return []
        return [name for name in CHOICE_FIELDS if name not in self.habits.refused]

    def dialect(self, form: ResponseFormat) -> str:
        """The choice constraint, else those of the OpenAI format."""
        return CHOICE if self.choice_fields(form) else super().dialect(form)

    def move_on(self, form: ResponseFormat) -> bool:
        """After a choice that is ignored, the dialects of the OpenAI format."""
        fields = self.choice_fields(form)
        if not fields:
            return super().move_on(form)
        self.habits.refused.update(fields)
        self.habits.version += 1
        return True

    def settle(self, dialect: str) -> None:
        """The choice constraint again, or a dialect of the OpenAI format."""
        if dialect == CHOICE:
            self.habits.refused.difference_update(CHOICE_FIELDS)
        super().settle(JSON_SCHEMA if dialect == CHOICE else dialect)
