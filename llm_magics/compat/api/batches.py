"""The path of ``llm_magics.bulk.batch`` in version 0.1.0."""

from llm_magics.bulk.batch import Batch

__all__ = ["Batch"]
