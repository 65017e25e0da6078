"""The texts that stand for a choice in the space of a sentence encoder: content words, together and apart.

A description such as "The customer asks when a card will arrive" says little more about the texts than its
content words do; its other words pull every choice towards the same place. Together, in their order, behind
the name, they keep what they mean to each other; apart, each of them counts, which long texts need.
"""

from __future__ import annotations

import re

from llm_magics.backends.similarity.prototypes import Views, sentence_views, words
from llm_magics.core.types import Choice

MOST_WORDS = 40
"""Words of a description that are embedded apart, at most: each is a text for the model to read."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

_JOINING = """
a about above across after again all along also although always am among an and any anyone anything are
around as at be became because become been before being below between both but by can could did do does
done down during each either etc even ever every few for from further get gets got had has have having he
hence her here hers herself him himself his how however i if in into is it its itself just many may me
might mine more most much must my myself of off often on once one only onto or other others otherwise our
ours out over own per perhaps quite rather she should since so some someone something such than that the
their theirs them themselves then there these they thing things this those through thus to together too
toward towards under until up upon us very was we were what whatever when where whether which while who
whoever whole whom whose why will with within would yet you your yours yourself
"""

FUNCTION_WORDS = frozenset(_JOINING.split())
"""English words that say how others belong together. Negations are not among them."""


def word_views(choice: Choice) -> Views:
    """The name with the description's content words as one text, and beside it each of those words.

    Both count equally. Without a description, or where it has no content words, ``sentence_views``.
    """
    content = [word for word in _WORD.findall(choice.description) if word.lower() not in FUNCTION_WORDS]
    if not content:
        return sentence_views(choice)
    apart = tuple(dict.fromkeys(word.lower() for word in content))
    return ((" ".join((words(choice.name), *content)),), apart[:MOST_WORDS])
