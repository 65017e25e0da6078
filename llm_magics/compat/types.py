"""The path of ``llm_magics.core.types`` in version 0.1.0."""

from llm_magics.core.types import *  # noqa: F403 - the same module by its former path
