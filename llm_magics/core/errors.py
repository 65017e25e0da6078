"""The tree of errors; each message says what happened, what was available, and what to type next.

LLMError
├── UsageError                 the input is not possible (nothing was sent)
│   ├── NotFound               no such frame, column, backend, model, setting; names the near ones
│   ├── MissingKey             a backend without its key
│   ├── MissingPackage         an optional package that is not installed
│   └── Unsupported            the backend can't do this task
├── BackendError               the host or the model failed
│   ├── AuthError              401, 403: stops the run
│   ├── ModelNotFound          404 on the model: stops the run
│   ├── BadRequest             400, 422: this row can never succeed
│   │   ├── ContextOverflow    the prompt is longer than the model's context
│   │   └── ContentFiltered    refused by the provider's filter
│   ├── QuotaExhausted         429 for money or plan: stops the run
│   ├── RateLimited            429: wait, costs no attempt           (retryable)
│   ├── Overloaded             5xx, 529                              (retryable)
│   ├── Timeout                no answer in time                     (retryable)
│   ├── ConnectionLost         reset, refused, DNS                   (retryable)
│   └── MalformedAnswer        a body of the wrong format            (retryable)
├── ModelLoadError             a local model can't be loaded: stops the run
├── AnswerError                an unusable answer (asked for once more, then null)
├── BudgetExceeded             --max-cost would be exceeded
└── StoreError                 the response store can't be used
Interrupted (KeyboardInterrupt)  the cell was stopped; finished rows are kept
"""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

# A digit and the start of a word are required: a column called task_description_text is no key.
_KEY_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|hf|xai|ghp|nvapi|pplx|key|tok)[-_](?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{12,}"
    r"|AIza[0-9A-Za-z_\-]{30,}"
    r"|(?<=Bearer )[^\s\"']{8,}"
    r"|(?<=://)[^\s/?#@]+(?=@)"
    r"|(?<=api[-_]key[=:])(?!env:|session:|keyring:|dotenv:|colab:)\s*[^\s\"'&]{8,}",
    re.IGNORECASE,
)


_known_secrets: set[str] = set()
"""Every key that was used in this process; ``redact`` removes them from messages."""


def register_secret(*secrets: str) -> None:
    """Replace these keys in all error messages from now on.

    Keys of fewer than eight characters are ignored: they are placeholders such as ``EMPTY`` or ``ollama``,
    which local servers accept as a key.
    """
    _known_secrets.update(secret for secret in secrets if len(secret) >= 8)


def redact(text: str) -> str:
    """Return ``text`` with every known key, and everything that looks like a key, replaced by ``***``."""
    for secret in sorted(_known_secrets, key=len, reverse=True):  # a key may begin with another
        text = text.replace(secret, "***")
    return _KEY_SHAPES.sub("***", text)


def closest_matches(word: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return at most ``n`` of the known words that are most similar to ``word``, best first."""
    names = list(known)
    folded = {name.casefold(): name for name in reversed(names)}
    hits = difflib.get_close_matches(word.casefold(), folded, n=n, cutoff=0.6)
    return [folded[hit] for hit in hits]


_shown_by: list[Callable[[LLMError | Interrupted], object]] = []
"""How the front end shows an error beside its text: nothing, or one function."""


def show_errors_with(show: Callable[[LLMError | Interrupted], object] | None) -> None:
    """Call ``show`` with every error of ours that ends a cell, just before its text; None ends that."""
    _shown_by[:] = [] if show is None else [show]


def _show(error: LLMError | Interrupted) -> None:
    with suppress(Exception):  # the text follows, whatever becomes of this
        for show in _shown_by:
            show(error)


class LLMError(Exception):
    """The base class of every expected error.

    ``title`` says in a few words what kind of error it is, ``hint`` what to type next. A ``retryable``
    error may disappear when the request is sent again.
    """

    title = "This did not work"
    retryable = False
    fatal = False
    """True where every other row of the run would fail in the same way, so that the run stops."""
    debug = False
    """Set on this class by the ``debug`` setting: show the whole traceback."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = redact(message)
        self.hint = redact(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in place of a traceback."""
        if LLMError.debug:
            return [redact(line) for line in traceback.format_exception(self)]
        _show(self)
        lines = f"{type(self).__name__}: {self.message}".splitlines()
        return lines + [f"  {line}" for line in self.hint.splitlines()]


class UsageError(LLMError):
    """The user's input is not possible; nothing was sent."""

    title = "This can't be done"
    fatal = True


class NotFound(UsageError):
    """A name that doesn't exist."""

    title = "No such name"

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str], *, hint: str = "") -> NotFound:
        """Return the error ``no {what} 'name'`` with the similar names, or else the known ones."""
        names = sorted(set(map(str, known)))
        close = closest_matches(name, names)
        if close:
            suggestion = "Did you mean " + " or ".join(repr(c) for c in close) + "?"
        elif names:
            more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
            suggestion = "Known: " + ", ".join(names[:12]) + more
        else:
            suggestion = ""
        return cls(f"no {what} {name!r}.", hint="\n".join(filter(None, (suggestion, hint))))


class MissingKey(UsageError):
    """A backend without its key."""

    title = "A key is missing"


class MissingPackage(UsageError):
    """An optional package that is not installed."""

    title = "A package is missing"

    @classmethod
    def of(cls, package: str, extra: str, what: str) -> MissingPackage:
        """Return the error for a missing extra, with the command that installs it."""
        return cls(f"{what} needs the package {package!r}.", hint=f'%pip install "llm_magics[{extra}]"')


class Unsupported(UsageError):
    """The backend can't do this task."""

    title = "The backend does not do this"


class BackendError(LLMError):
    """The host or the model failed.

    ``status`` is the HTTP status, ``request_id`` the provider's id of the request, ``retry_after`` the
    seconds that the host asked to wait.
    """

    title = "The backend failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class AuthError(BackendError):
    """The key was refused."""

    title = "The key was refused"
    fatal = True


class ModelNotFound(BackendError):
    """The host has no such model."""

    title = "The host has no such model"
    fatal = True


class BadRequest(BackendError):
    """The host refuses this row's request; sending it again won't help."""

    title = "The host refuses this request"


class ContextOverflow(BadRequest):
    """The prompt is longer than the model's context."""

    title = "The text is too long for the model"


class ContentFiltered(BadRequest):
    """The provider's content filter refused the request or the answer."""

    title = "The content filter refused"


class QuotaExhausted(BackendError):
    """The account has no money or quota left; waiting won't help."""

    title = "No money or quota left"
    fatal = True


class RateLimited(BackendError):
    """Too many requests; ``retry_after`` is the wait in seconds where the host gave one."""

    title = "Too many requests"
    retryable = True


class Overloaded(BackendError):
    """The host failed or has no capacity."""

    title = "The host has no capacity"
    retryable = True


class Timeout(BackendError):
    """No answer in time."""

    title = "No answer in time"
    retryable = True


class ConnectionLost(BackendError):
    """The connection broke or could not be established."""

    title = "The host can't be reached"
    retryable = True


class MalformedAnswer(BackendError):
    """The host's response body does not have the format of its API."""

    title = "The host's answer can't be read"
    retryable = True


class ModelLoadError(LLMError):
    """A local model that can't be loaded."""

    title = "The model can't be loaded"
    fatal = True


class AnswerError(LLMError):
    """The model's answer can't be used; ``answer`` is its text.

    ``final`` is True where the same would happen again, so that nothing more is sent. ``valid_part`` has
    the values by column of an answer of which only a part can't be used; they are kept where asking again
    doesn't help.
    """

    title = "The answer can't be used"

    def __init__(
        self,
        message: str,
        *,
        answer: str = "",
        hint: str = "",
        final: bool = False,
        valid_part: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.answer = answer
        self.final = final
        self.valid_part = valid_part


class BudgetExceeded(LLMError):
    """The run would cost more than ``--max-cost``."""

    title = "The budget is spent"
    fatal = True


class StoreError(LLMError):
    """The response store can't be used."""

    title = "The response store can't be used"


class Interrupted(KeyboardInterrupt):
    """The cell was stopped; finished rows are kept."""

    title = "Stopped"

    def __init__(self, message: str = "Interrupted.") -> None:
        super().__init__(message)
        self.message = message

    def _render_traceback_(self) -> list[str]:
        """Return one line, no traceback."""
        _show(self)
        return [self.message]
