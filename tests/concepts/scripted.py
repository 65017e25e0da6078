"""What a scripted model says about texts of the form ``number N: topic words``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

TOPICS = {
    "delivery": "parcel courier late delivery shipping arrived",
    "price": "price expensive money cost refund charged",
    "taste": "taste flavour sweet bitter delicious recipe",
}


def texts(n: int) -> list[str]:
    """``n`` short reviews, topics in turn, each with words of its own."""
    topics = list(TOPICS.items())
    made = []
    for i in range(n):
        name, words = topics[i % 3]
        some = words.split()
        made.append(f"Review number {i}: the {some[i % 5]} {some[(i + 1) % 6]} about {name}.")
    return made


def topic_of(text: str) -> str:
    """The topic a text names."""
    return next((name for name in TOPICS if f"about {name}" in text), "")


def material(request: Mapping[str, Any]) -> str:
    """What stands between the text marks of the first user message."""
    message = next(m["content"] for m in request["messages"] if m["role"] == "user")
    found = re.search(r"<text>\n(.*?)\n</text>", message, re.DOTALL)
    return found.group(1) if found else message


def kind(request: Mapping[str, Any]) -> str:
    """The name of the schema: which step asks."""
    return str(request["response_format"]["json_schema"]["name"])


def answer(request: Mapping[str, Any]) -> str:
    """A sensible answer for each step."""
    return json.dumps(_ANSWERS[kind(request)](request))


def _filter(request: Mapping[str, Any]) -> Any:
    return {"quotes": [material(request).split(". ")[0]]}


def _summarize(request: Mapping[str, Any]) -> Any:
    text = material(request)
    return {"bullets": [f"says something about {topic_of(text)}", text[:40]]}


def _synthesize(request: Mapping[str, Any]) -> Any:
    lines = material(request).splitlines()
    counts = {name: sum(name in line for line in lines) for name in TOPICS}
    best = max(counts, key=lambda name: counts[name])
    number = next((line.partition(":")[0] for line in lines if best in line), "1")
    return {"concepts": [{"name": best.title(), "criterion": f"Is it about {best}?", "examples": [number]}]}


def _score(request: Mapping[str, Any]) -> Any:
    message = next(m["content"] for m in request["messages"] if m["role"] == "user")
    criteria = re.findall(r"(?m)^(\d+)\. (.+)$", message)
    text = material(request)
    return {
        "results": [
            {
                "id": number,
                "rationale": f"because of {said}",
                "answer": "A" if topic_of(text) and topic_of(text) in said else "E",
                "quote": text,
            }
            for number, said in criteria
        ]
    }


_ANSWERS = {
    "name_concept": lambda request: {"name": f"about {topic_of(material(request))}."},
    "distill_filter": _filter,
    "distill_summarize": _summarize,
    "synthesize": _synthesize,
    "review_remove": lambda _: {"remove": []},
    "review_merge": lambda _: {"merge": []},
    "review_select": lambda _: {"keep": ["1"]},
    "score": _score,
    "summarize_concept": lambda request: {"summary": f"They say: {material(request)[:30]}"},
    "match_concepts": lambda _: {"same": [{"reference": "1", "concept": "1"}]},
}
