"""The contract over every backend that has a world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.backends.base import Backend
from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec
from llm_magics.settings.keys import Keys
from llm_magics.testing import Server
from tests.backends.contract import Contract, World, backend  # noqa: F401 - a fixture
from tests.backends.worlds import PROVIDERS

KEY = "key-of-the-test"


class OpenAIWorld(World):
    """A preset of the OpenAI format and the loopback server."""

    can = frozenset(
        "text echo one_of many schema embed usage finish faults timeout cancel gone reopen key stream".split()  # noqa: SIM905
    )

    def open(self) -> None:
        self.server = Server(key=KEY).start()
        self.server.host.answer = None

    def close(self) -> None:
        self.server.stop()

    def backend(self, **changes: Any) -> Backend:
        url = self.server.root if self.name == "azure" else self.server.url
        spec = {"base_url": url, "key": "env:TEST_KEY"} | changes
        return create(BackendSpec(self.name, "test-model", **spec), Keys({"TEST_KEY": KEY}))

    def says(self, text: str) -> None:
        self.server.host.answer = lambda _request: text

    def misbehave(self, what: str, message: str = "") -> None:
        self.server.misbehave(what, message=message)

    def gone(self) -> None:
        self.server.stop()

    def in_flight(self) -> int:
        return self.server.in_flight


def preset(name: str) -> type[World]:
    return type(f"{name}World", (OpenAIWorld,), {"name": name})


WORLDS: list[type[World]] = [
    *map(preset, ("openai", "azure", "custom_url", "vllm", "ollama", "hf_endpoint")),
    *PROVIDERS,
]


@pytest.fixture(params=WORLDS, ids=lambda each: each.__name__.removesuffix("World"))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One world, opened and closed."""
    made = request.param()
    made.open()
    yield made
    made.close()


class TestContract(Contract):
    """Every rule over every world."""
