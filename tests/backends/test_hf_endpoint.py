"""Hugging Face's models that load, sleep and are paused."""

import asyncio
import json

import pytest

from llm_magics.backends.openai.hf_endpoint import HFEndpointBackend
from llm_magics.backends.registry import create
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Message, Request
from llm_magics.settings.keys import Keys
from llm_magics.testing import Server
from llm_magics.testing.faults import Fault
from llm_magics.testing.http_server import Reply

TOKEN = "hf_loopbackLoopback0123456789"


@pytest.fixture
def server():
    with Server() as server:
        yield server


def at(server, **options):
    spec = BackendSpec("hf_endpoint", "test-model", base_url=server.url, key="env:HF", options=options)
    made = create(spec, Keys({"HF": TOKEN}))
    assert isinstance(made, HFEndpointBackend)
    return made


def ask():
    return Request("hf_endpoint", "test-model", (Message("user", "hi"),))


def sleeps(message, status=503, **more):
    return Fault("unavailable", status=status, body=json.dumps({"error": message, **more}).encode())


@pytest.mark.parametrize(
    ("message", "more", "wait"),
    [
        ("Model test-model is currently loading", {"estimated_time": 20.5}, 20.5),
        ("503 Service Unavailable: the endpoint is initializing", {}, 10.0),
        ("Endpoint is scaled to zero and will wake up", {}, 10.0),
    ],
)
async def test_a_loading_model_is_waited_for(server, message, more, wait):
    """All rows wait as long as the host says, and none loses a try."""
    made = at(server)
    server.script(sleeps(message, **more))
    with pytest.raises(errors.RateLimited) as caught:
        await made.complete(ask())
    assert caught.value.retry_after == wait
    assert "loading" in made.announcement
    assert (await made.complete(ask())).text == "echo: hi"
    await made.close()


async def test_a_server_that_is_merely_ill_is_not_loading(server):
    """Any other 503 counts as a fault."""
    made = at(server)
    server.script("unavailable")
    with pytest.raises(errors.Overloaded):
        await made.complete(ask())
    await made.close()


async def test_a_paused_endpoint_without_its_name_says_what_to_do(server):
    """Nothing is resumed behind the user's back."""
    made = at(server)
    server.script(sleeps("Bad Request: Endpoint is paused, ask a maintainer to restart it", 400))
    with pytest.raises(errors.ModelLoadError, match=r"endpoints\.huggingface\.co") as caught:
        await made.complete(ask())
    assert caught.value.fatal
    await made.close()


async def test_a_paused_endpoint_with_its_name_is_resumed_and_waited_for(server, monkeypatch):
    """huggingface_hub's own call, with the same token; the rows wait."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")
    calls = []

    class Host(type(server.host)):
        def reply(self, received, fault, latency):
            if received.route.endswith("/resume"):
                calls.append((received.route, received.headers["authorization"]))
                raw = {
                    "name": "mine",
                    "type": "protected",
                    "healthRoute": "/health",
                    "status": {"state": "initializing", "url": None},
                    "model": {"repository": "r", "framework": "pytorch", "revision": "m", "task": "t"},
                }
                raw["status"] |= {
                    "createdAt": "2026-01-01T00:00:00.000Z",
                    "updatedAt": "2026-01-01T00:00:00.000Z",
                }
                return Reply(200, json.dumps(raw).encode())
            return super().reply(received, fault, latency)

    server.host.__class__ = Host
    monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{server.root}/v2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the suite sets it; this host is loopback
    made = at(server, endpoint="me/mine")
    server.script(sleeps("Endpoint is paused", 400), None)
    with pytest.raises(errors.RateLimited, match="resumed"):
        await made.complete(ask())
    await made._resuming
    assert calls == [("/v2/endpoint/me/mine/resume", f"Bearer {TOKEN}")]
    assert (await made.complete(ask())).text == "echo: hi"
    await made.close()


async def test_a_resume_that_is_refused_is_told(server, monkeypatch):
    """The token may not do it: the run stops with the reason."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")
    monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{server.root}/v2")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the suite sets it; this host is loopback
    made = at(server, endpoint="me/mine")
    paused = sleeps("Endpoint is paused", 400)
    server.misbehave(paused)
    with pytest.raises(errors.RateLimited):
        await made.complete(ask())
    await asyncio.wait([made._resuming])
    with pytest.raises(errors.ModelLoadError, match="could not be resumed"):
        await made.complete(ask())
    await made.close()
