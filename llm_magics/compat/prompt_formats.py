"""The path of ``llm_magics.core.prompt_formats`` in version 0.1.0."""

from llm_magics.core.prompt_formats import *  # noqa: F403 - the same module by its former path
