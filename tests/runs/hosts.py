"""Pointing the kernel of a test at a host."""

from __future__ import annotations

from typing import Any

from tests.kernels import Kernel


def use(k: Kernel, server: Any, how: str = "--openai {url} --id test-model") -> None:
    """Ask this server from now on."""
    k.run(f"%llm_config add odd {how.format(url=server.url, root=server.root)}\n%llm_config use odd")
