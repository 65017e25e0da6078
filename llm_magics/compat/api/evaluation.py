"""The path of ``llm_magics.tasks.label.evaluation.evaluation`` in version 0.1.0."""

from llm_magics.tasks.label.evaluation.evaluation import evaluate

__all__ = ["evaluate"]
