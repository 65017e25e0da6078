"""Why an answer can't be used, where the task can't tell: only thinking, or cut by the token limit."""

from __future__ import annotations

from llm_magics.core.errors import AnswerError
from llm_magics.core.types import CUT, Request, Response, Text, Vector
from llm_magics.text.json_parsing import strip_thinking

LIMITS = ("max_new_tokens", "max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
"""Parameters that limit the tokens of an answer, ours first."""

_RAISED = 4
"""The suggested limit is this many times the one that was too small: thinking takes thousands of tokens."""


def explain_unusable(request: Request, response: Response, error: AnswerError) -> AnswerError:
    """The task's error, or a more precise one.

    It is ``final`` where the next answer would end in the same way: a limit that was spent on thinking, and
    a model that gives thoughts where a free text was asked for.
    """
    if isinstance(request.response_format, Vector):
        return error
    cut = response.finish_reason in CUT
    if strip_thinking(response.text) or response.parsed is not None:
        return AnswerError(f"{error.message} ({_limit_told(request)})", answer=error.answer) if cut else error
    thought = bool(response.text.strip())
    if cut:
        when = "while the model was thinking" if thought else "before its first word (thinking counts, too)"
        return AnswerError(
            f"the answer was empty: it was cut {when}; {_limit_told(request)}",
            answer=response.text,
            final=True,
        )
    if thought:
        free = isinstance(request.response_format, Text)
        why = "the answer was empty: the model only thought"
        return AnswerError(why, answer=response.text, final=free)
    return AnswerError("the answer was empty", answer=response.text)


def _limit_told(request: Request) -> str:
    """The limit that cut the answer, and what raises it."""
    name = next((name for name in LIMITS if request.parameters.get(name)), LIMITS[0])
    limit = request.parameters.get(name)
    if not isinstance(limit, int):
        return f"the token limit ended it, -p {name}=N raises it"
    return f"the limit of {limit} tokens ended it, -p {name}={_RAISED * limit} raises it"
