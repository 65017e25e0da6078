"""Tab completion in our magics: where the cursor is, and IPython's matcher interface.

IPython calls that interface provisional; all of it is used in this module only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

if TYPE_CHECKING:
    from llm_magics.notebook.config.overview import Row
    from llm_magics.notebook.suggestions import Around, Suggested

IDENTIFIER = "llm_magics"
_LINE = re.compile(r"\s*(?:[A-Za-z_][\w.\s,]*=\s*)?%(llm|llm_config)\s(.*)", re.DOTALL)
_CELL = re.compile(r"%%(llm|llm_config)(?:\s+(.*))?$")


class _NothingElse(list[SimpleCompletion]):
    """Empty suggestions that count as one, so that IPython asks none of its own matchers."""

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True


def install(shell: Any, session: Callable[[], Row | None]) -> None:
    """Install the matcher; ``session`` is called at each Tab, and may return None."""

    @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        # A fault here would show the user a traceback in the middle of typing.
        try:
            found = suggest(
                context.full_text, context.cursor_line, context.cursor_position, _around(shell, session)
            )
            return _result(found)
        except Exception:  # noqa: BLE001
            return SimpleMatcherResult(completions=[], suppress=False)

    uninstall(shell)
    shell.Completer.custom_matchers.append(matcher)


def uninstall(shell: Any) -> None:
    """Take the matcher out again."""
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != IDENTIFIER]


def suggest(text: str, row: int, column: int, around: Around) -> Suggested | None:
    """The suggestions at a position in a cell; None where the position is not in our magics."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    before, after = lines[row][:column], lines[row][column:]
    cell = _CELL.match(lines[first])
    if cell is not None and row > first:
        return _in_body(cell[1], cell[2] or "", lines[first + 1 : row], before, after, around)
    line = _CELL.match(before) if cell is not None else _LINE.match(before)
    if line is None or line[2] is None:
        return None
    return _in_line(line[1], line[2], around)


def _around(shell: Any, session: Callable[[], Row | None]) -> Around:
    from llm_magics.notebook.namespace import user_variables
    from llm_magics.notebook.suggestions import Around

    return Around(user_variables(shell.user_ns, shell.user_ns_hidden), session())


def _in_line(magic: str, typed: str, around: Around) -> Suggested:
    from llm_magics.notebook import suggestions

    if magic == "llm":
        return suggestions.in_llm_line(typed, around)
    from llm_magics.notebook.config.magic import COMMANDS

    return suggestions.in_config_line(typed, around, COMMANDS)


def _in_body(magic: str, line: str, above: list[str], before: str, after: str, around: Around) -> Suggested:
    from llm_magics.notebook import suggestions

    if magic == "llm":
        return suggestions.in_llm_body(line, before, after, around)
    return suggestions.in_config_body(above, before)


def _result(found: Suggested | None) -> SimpleMatcherResult:
    if found is None:
        return SimpleMatcherResult(completions=[], suppress=False)
    offered = [SimpleCompletion(text, type="llm_magics") for text in found.texts]
    return SimpleMatcherResult(
        completions=offered or _NothingElse(), suppress=True, matched_fragment=found.fragment, ordered=True
    )
