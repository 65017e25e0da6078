"""The backend of a registered committee: ``%llm_config add NAME --committee A,B,C``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llm_magics.backends.base import Backend, Secrets
from llm_magics.backends.committee.combination import best, combined, is_sure
from llm_magics.backends.committee.weights import slowness, weight
from llm_magics.backends.namespaces import nested_backend
from llm_magics.backends.pool.member import Member, MembersBackend
from llm_magics.backends.pricing import total_usage
from llm_magics.core.errors import LLMError, Unsupported, UsageError
from llm_magics.core.types import FREE, BackendSpec, Capabilities, OneOf, Price, Request, Response

WAIT = 24 * 3600.0
"""Seconds that a row may wait for a member; each member's own limits bound its calls."""


class CommitteeBackend(MembersBackend):
    """Labels by the weighted log-scores of several backends; the slow ones see the rows left unsure.

    ``spec.options``: ``members`` (names, specs or backends, at least two). Members are asked in the order
    of their speed (``weights.slowness``), and among equally quick ones in the order given. Each is asked
    under the one limiter that all cells ask it under. A member that fails, or gives no probabilities, is
    left out of that row; the row fails where none is left.

    A cell's ``label`` asks the members one by one, so that each one's answers are stored as its own and its
    bias is removed (``tasks/label/committee.py``). This class decides in the same way without a run: in a
    cascade, for votes, over partitions.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        given = spec.options.get("members", ())
        if isinstance(given, str) or len(given) < 2:
            raise UsageError(
                f"{self.name} needs at least two members.", hint="%llm_config add NAME --committee ONE,OTHER"
            )
        backends = [nested_backend(value, secrets) for value in given]
        for each in backends:
            can = each.capabilities
            if not (can.one_of or can.text) or isinstance(each, CommitteeBackend):
                raise UsageError(f"{each.name} can't be a member of a committee: it gives no label scores.")
        ordered = sorted(backends, key=slowness)
        self.members = [Member(each) for each in ordered]
        self.base_url = "committee:" + ",".join(f"{b.namespace}::{b.model}@{b.base_url}" for b in ordered)
        self.capabilities = Capabilities(
            text=False,
            one_of=True,
            logprobs=True,
            batch_size=max(64, *(each.capabilities.batch_size for each in ordered)),
            max_concurrency=2,
            stored=any(each.capabilities.stored for each in ordered),
            parameters=frozenset(),
        )
        self.limits = replace(spec.limits, timeout=WAIT)
        self.price = spec.price or _of_all([each.price for each in ordered])

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """The committee's label for each request; an error where no member gave probabilities."""
        rows = [_Row(request) for request in requests]
        for member in self.members:
            asked = [row for row in rows if not row.decided]
            if asked:
                answers = await member.complete([_scored(row.request, member.backend) for row in asked])
                for row, answer in zip(asked, answers, strict=True):
                    row.take(member.backend, answer)
        return [row.outcome() for row in rows]


def _of_all(prices: Sequence[Price | None]) -> Price | None:
    """What a row costs that every member is asked about, for an estimate; None where one price is unknown."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    if all(price == FREE for price in known):
        return FREE
    return Price(sum(p.input for p in known), sum(p.output for p in known), source="all members together")


class _Row:
    """One request on its way through the members."""

    def __init__(self, request: Request) -> None:
        form = request.response_format
        self.request = request
        self.error: LLMError | None = None
        self.scores: Mapping[str, float] | None = None
        self._given: list[tuple[float, Mapping[str, float]]] = []
        self._answers: list[Response] = []
        self._by: list[str] = []
        if not isinstance(form, OneOf) or form.many:
            self.error = Unsupported("a committee chooses one label a row.", hint="Leave out --multi.")

    @property
    def decided(self) -> bool:
        """Whether no further member is asked."""
        refused = self.error is not None and not self.error.retryable and not self._answers
        return (refused and isinstance(self.error, Unsupported)) or (
            self.scores is not None and is_sure(self.scores)
        )

    def take(self, backend: Backend, answer: Response | LLMError) -> None:
        """Add a member's answer."""
        if isinstance(answer, LLMError):
            self.error = self.error or answer
            return
        self._answers.append(answer)
        form = self.request.response_format
        if answer.scores and isinstance(form, OneOf):
            self._given.append((weight(backend), answer.scores))
            self._by.append(backend.name)
            self.scores = combined(self._given, form.names)

    def outcome(self) -> Response | LLMError:
        """The response, or why there is none."""
        if self.scores is None:
            return self.error or Unsupported("no member of the committee gave label probabilities.")
        label = best(self.scores)
        notes = tuple(dict.fromkeys(note for answer in self._answers for note in answer.notes))
        usage = total_usage(answer.usage for answer in self._answers)
        return Response(
            label, label, self.scores, "committee", usage=usage, model=" + ".join(self._by), notes=notes
        )


def _scored(request: Request, backend: Backend) -> Request:
    """The request with label probabilities asked for, and the parameters that this member takes."""
    form = request.response_format
    assert isinstance(form, OneOf)
    takes = backend.capabilities.parameters
    parameters = {"temperature": 0} if takes is None or "temperature" in takes else {}
    return replace(request, response_format=replace(form, scores=True), parameters=parameters)
