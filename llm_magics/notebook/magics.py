"""The magics ``%%llm``, ``%llm`` and ``%llm_config``: registration and entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from llm_magics.notebook import completion
from llm_magics.notebook.views import errors

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from llm_magics.runs.session import Session


@magics_class
class LLMMagics(Magics):
    """The magics of one shell; ``%llm help`` lists the subcommands.

    Everything else is imported by the first call, so that loading the extension is quick.
    """

    @needs_local_scope
    @no_var_expand
    @line_cell_magic
    def llm(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Label, generate, embed, ask: ``%llm help`` lists the subcommands, ``%llm label -h`` one of them."""
        from llm_magics.notebook import dispatch

        return dispatch.llm(self.shell, line, cell, local_ns or {})

    @no_var_expand
    @line_cell_magic
    def llm_config(self, line: str, cell: str | None = None) -> Any:
        """Settings, backends, keys, the model cache and the response store: ``%llm_config -h``."""
        from llm_magics.notebook import dispatch

        return dispatch.llm_config(self.shell, line, cell)


def _session() -> Session:
    from llm_magics.runs.session import current

    return current()


_OURS = ("llm", "llm_config")


def load(shell: InteractiveShell) -> None:
    """Register the magics and the completer, and bind ``llm`` where the name is free."""
    import llm_magics

    shell.register_magics(LLMMagics)
    if "llm" not in shell.user_ns:
        shell.user_ns["llm"] = shell.user_ns_hidden["llm"] = llm_magics
    completion.install(shell, _session)
    errors.install(shell)


def unload(shell: InteractiveShell) -> None:
    """Remove what ``load`` added, and end the session with its loop thread."""
    import llm_magics
    from llm_magics.runs.session import end

    completion.uninstall(shell)
    errors.uninstall()
    for kind in ("line", "cell"):
        for name in _OURS:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(LLMMagics.__name__, None)
    if shell.user_ns.get("llm") is llm_magics:
        del shell.user_ns["llm"]
        shell.user_ns_hidden.pop("llm", None)
    end()
