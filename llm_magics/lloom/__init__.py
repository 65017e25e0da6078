"""LLooM's words, so that its custom-model examples run with another import line.

    import llm_magics.lloom as wb
    from llm_magics.lloom import Model, EmbedModel, OpenAIModel, OpenAIEmbedModel

A model object goes wherever a backend goes (``label(df, ..., model=Model(...))``), and ``wb.lloom(...)``
makes an instance with the steps under their names there. Unlike there, ``cost``, ``context_window``,
``rate_limit`` and ``batch_size`` are honoured, the key is never printed, nothing is set up before the
first call, nothing asks for input, and no step is lost to one bad answer.
"""

from llm_magics.lloom.models import EmbedModel, Model, OpenAIEmbedModel, OpenAIModel
from llm_magics.lloom.workbench import Instance, lloom

__all__ = ["EmbedModel", "Instance", "Model", "OpenAIEmbedModel", "OpenAIModel", "lloom"]
