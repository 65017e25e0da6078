"""A real kernel for tests: cells in, outputs out, interrupts and kills."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from jupyter_client.blocking import BlockingKernelClient


@dataclass
class Output:
    """What one cell said: streams, displays (mime bundles; updates replace), its value, its error."""

    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    value: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    seconds: float = 0.0
    updates: int = 0
    _by_id: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Everything as plain text, in order of kind."""
        shown = [bundle.get("text/plain", "") for bundle in self.displays]
        value = [self.value.get("text/plain", "")] if self.value else []
        error = ["\n".join(self.error["traceback"])] if self.error else []
        return "\n".join([self.stdout, self.stderr, *shown, *value, *error]).strip()

    def take(self, kind: str, content: Mapping[str, Any]) -> None:
        """One message from the kernel."""
        if kind == "stream":
            setattr(self, content["name"], getattr(self, content["name"]) + content["text"])
        elif kind == "execute_result":
            self.value = dict(content["data"])
        elif kind == "error":
            self.error = dict(content)
        elif kind in ("display_data", "update_display_data"):
            self._display(kind, content)

    def _display(self, kind: str, content: Mapping[str, Any]) -> None:
        name = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            self.updates += 1
            if name in self._by_id:
                self.displays[self._by_id[name]] = dict(content["data"])
            return
        if name:
            self._by_id[name] = len(self.displays)
        self.displays.append(dict(content["data"]))


class Kernel:
    """One ipykernel in a process of its own."""

    def __init__(self, env: Mapping[str, str] | None = None, cwd: str | None = None) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env={**os.environ, **(env or {})}, cwd=cwd)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, timeout: float = 60, *, check: bool = True) -> Output:
        """Execute a cell and wait for it; ``check`` fails the test on an error output."""
        output = self.finish(self.start(code), timeout)
        if check and output.error is not None:
            raise AssertionError("\n".join(output.error["traceback"]))
        return output

    def start(self, code: str) -> str:
        """Execute a cell without waiting; returns the message id."""
        return str(self.client.execute(code))

    def finish(self, message_id: str, timeout: float = 60) -> Output:
        """Collect the cell's outputs until it is idle."""
        output, began = Output(), time.monotonic()
        while True:
            left = timeout - (time.monotonic() - began)
            if left <= 0:
                raise AssertionError(f"the cell took over {timeout} s; so far: {output.text[:2000]}")
            try:
                message = self.client.get_iopub_msg(timeout=left)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                output.seconds = time.monotonic() - began
                return output
            output.take(kind, content)

    def interrupt(self) -> None:
        """What the stop button does."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """kill -9."""
        self.manager.shutdown_kernel(now=True)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)


@contextmanager
def kernel(env: Mapping[str, str] | None = None) -> Iterator[Kernel]:
    """A kernel for one ``with`` block."""
    made = Kernel(env)
    try:
        yield made
    finally:
        made.close()


def value(k: Kernel, expression: str) -> Any:
    """A value of the kernel's, through JSON."""
    return json.loads(k.run(f"import json; print(json.dumps({expression}, default=str))").stdout)
