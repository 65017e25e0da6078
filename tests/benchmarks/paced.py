"""A scripted server that takes its time, and texts for it: 0.2 s and 10 ms an output token for an answer."""

from __future__ import annotations

import random
from dataclasses import replace

from llm_magics.testing import Server
from llm_magics.testing.http_server import Received, Reply

LABELS = {
    "billing": "charges, refunds, invoices, prices",
    "outage": "the service is down or can't be reached",
    "how-to": "asks how to do something that works",
    "feedback": "praise, complaints and wishes",
}
BASE, PER_TOKEN, AT_ONCE = 0.2, 0.01, 16
"""Seconds an answer and a token of it; requests in flight."""


def texts(n: int) -> list[str]:
    """About forty words each, one of them its label's own."""
    chance = random.Random(0)
    words = ["the", "our", "when", "since", "after", "before", "again", "order", "account", "page", "mail"]
    made = []
    for i in range(n):
        said = chance.choices(words, k=38)
        said.insert(chance.randrange(38), chance.choice(list(LABELS)))
        made.append(f"{' '.join(said)} {i}")
    return made


def label_of(text: str) -> str:
    """The label that a text names."""
    return next(name for name in LABELS if name in text.split())


class Paced(Server):
    """Answers take as long as their tokens."""

    def handle(self, received: Received) -> Reply:
        """The usual answer, later."""
        reply = super().handle(received)
        tokens = len(reply.body) / 4 if reply.status == 200 else 0
        return replace(reply, delay=reply.delay + BASE + PER_TOKEN * max(0.0, tokens - 90))
