"""Concepts in texts: found, edited, scored, sliced.

The package is the function too: ``from llm_magics import concepts`` then ``concepts(reviews, on="text")``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from llm_magics.concepts.concept_set import ConceptSet
from llm_magics.concepts.pipeline import concepts
from llm_magics.types import Concept

__all__ = ["Concept", "ConceptSet", "concepts"]


class _Callable(ModuleType):
    """A package under the name of its one verb, like ``label`` and ``generate``."""

    __call__ = staticmethod(concepts)


def __dir__() -> list[str]:
    return sorted(__all__)


_here: Any = sys.modules[__name__]
_here.__class__ = _Callable
