"""What the process tests load: functions of a module, as a user's file would have them."""

import os
import time
from pathlib import Path

from llm_magics.core.types import BackendSpec


def upper(prompt):
    print("noise on stdout")  # a library that prints must not break the pipe
    return prompt.upper(), (1, 2)


def vectors(texts):
    return [[float(len(text)), 1.0] for text in texts]


def fine():
    return BackendSpec("custom", "fine", options={"fn": upper, "embed_fn": vectors})


def base_model():
    return BackendSpec("gguf", os.environ["TEST_BASE_GGUF"])


def keyed(model, prompt):
    return f"{model.client} {os.environ.get('MY_KEY')}"


def client(key):
    return key


def broken():
    raise FileNotFoundError("no model at /models/x.gguf")


def dying():
    os._exit(3)


def fatal(prompt):
    """Ends the process on the row that says so."""
    if "die" in prompt:
        os._exit(7)
    return "alive"


def waiting(prompt):
    """Says its process id into a file, then waits."""
    Path(prompt).write_text(str(os.getpid()))
    time.sleep(60)
    return "late"


def raising(prompt):
    raise ValueError(f"odd row {prompt}")


def told(path):
    """A client that reads what the test wants said from a file."""
    return Path(path)


SAID = {
    "auth": (401, "bad key"),
    "no_model": (404, "no such model"),
    "rate_limited": (429, "slow down"),
    "quota": (429, "insufficient_quota"),
    "error": (500, "oops"),
    "unavailable": (503, "come back later"),
    "overloaded": (529, "overloaded"),
    "context": (400, "maximum context length exceeded"),
    "filtered": (400, "content_filter"),
    "bad_request": (400, "odd"),
}


class LibraryError(Exception):
    """What an SDK raises: a status beside the words."""

    def __init__(self, status_code, message):
        super().__init__(message)
        self.status_code = status_code


def fail(what):
    """Raise as a library would."""
    if what == "reset":
        raise ConnectionResetError("reset by peer")
    if what in SAID:
        raise LibraryError(*SAID[what])


def says(model, prompt):
    fault = Path(f"{model.client}.fault")
    what = fault.read_text() if fault.exists() else "ok"
    if what in ("null", "empty"):
        return None if what == "null" else ""
    fail(what)
    return model.client.read_bytes().decode() if model.client.exists() else f"echo: {prompt}"


def embeds(model, texts):
    return [[float(len(text)), float(sum(map(ord, text)) % 1009), 1.0] for text in texts]
