"""A panel: a widget drawn by our own ES modules, its state in Python.

Python sends parts of the state with a version, the panel drops what is older than what it draws; a person's
intents come back by name, and become calls.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm_magics.core.errors import LLMError
from llm_magics.widgets.frontend.bundle import bundle, style
from llm_magics.widgets.frontend.plotly_script import plotly_script

Part = Callable[[], Any]
Act = Callable[..., object]


class Panel:
    """A widget of the module ``entry``, whose ``parts`` are made by functions without arguments.

    A part's value is plain data as JSON knows it; numpy arrays in it, of any depth, are sent as binary.
    ``intents`` maps what the page may ask for to functions that take its values by keyword; after each the
    parts that changed are sent. An error of an intent is shown in the status line, since a button has no
    cell to raise in. ``answers`` maps questions to functions whose result goes to the view that asks, and
    changes nothing. ``widget`` is what a notebook displays.
    """

    def __init__(
        self,
        entry: Path,
        parts: Mapping[str, Part],
        intents: Mapping[str, Act],
        *,
        label: str,
        sheet: Path | None = None,
        answers: Mapping[str, Act] | None = None,
    ) -> None:
        self.parts = dict(parts)
        self.intents = dict(intents)
        self.answers = dict(answers or {})
        self.status = ""
        self.lock = threading.RLock()
        self._versions: dict[str, tuple[int, bytes]] = {}
        self._version = 0
        self._acting = False
        self.widget = _widget(bundle(entry), style(*filter(None, [sheet])), label)
        self.widget.on_msg(self._received)

    # --- to the page --------------------------------------------------------------------------------

    def update(self, *names: str) -> None:
        """Send the parts of these ``names``, by default all, as far as they changed since they were sent.

        Within an intent there is nothing to do: what changed is sent when it is done.
        """
        with self.lock:
            if not self._acting:
                self._send(names or tuple(self.parts))

    def say(self, text: str) -> None:
        """Show a sentence in the status line; screen readers read it out."""
        with self.lock:
            self.status = text
            if not self._acting:
                self._send(())

    def _send(self, names: tuple[str, ...], *, all_of_them: bool = False, **more: Any) -> None:
        buffers: list[Any] = []
        parts = {}
        for name, value in [*((name, self.parts[name]()) for name in names), ("status", self.status)]:
            version = self._versioned(name, value)
            if version is not None or all_of_them:
                parts[name] = [self._versions[name][0], _packed(value, buffers)]
        if parts or more:
            self.widget.send({"parts": parts, **more}, buffers)

    def _versioned(self, name: str, value: Any) -> int | None:
        """A new version for a part, or None where it is as it was sent."""
        digest = _digest(value)
        if name in self._versions and self._versions[name][1] == digest:
            return None
        self._version += 1
        self._versions[name] = (self._version, digest)
        return self._version

    # --- from the page ------------------------------------------------------------------------------

    def _received(self, _widget: Any, content: Any, _buffers: Any) -> None:
        name, values = str(content.get("intent", "")), content.get("values") or {}
        done = {"done": content.get("number"), "view": content.get("view")}
        if name == "ready":
            with self.lock:
                self._send(tuple(self.parts), all_of_them=True, **done)
        elif name == "plotly":
            self.widget.send({"plotly": True, **done}, [plotly_script()])
        elif name in self.answers:
            buffers: list[Any] = []
            with self.lock:
                answer = _packed(self.answers[name](**values), buffers)
            self.widget.send({"answer": answer, **done}, buffers)
        else:
            self.intend(name, values, done)

    def intend(self, name: str, values: Mapping[str, Any], done: Mapping[str, Any] | None = None) -> None:
        """Do what the page asks for, as if it had; an unknown intent does nothing."""
        act = self.intents.get(name)
        with self.lock:
            if act is not None:
                self._attempt(act, values)
            self._send(tuple(self.parts), **(done or {}))

    def _attempt(self, act: Act, values: Mapping[str, Any]) -> None:
        self._acting = True
        try:
            act(**values)
        except LLMError as error:
            self.status = error.message
        except Exception as error:  # noqa: BLE001 - a full disk too
            self.status = f"{type(error).__name__}: {error}"
        finally:
            self._acting = False

    def close(self) -> None:
        """Take the widget from the page and the kernel."""
        self.widget.close()


def _packed(value: Any, buffers: list[Any]) -> Any:
    """Plain data in which arrays are numbers of binary buffers."""
    if isinstance(value, Mapping):
        return {key: _packed(one, buffers) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(one, buffers) for one in value]
    if hasattr(value, "dtype") and hasattr(value, "tobytes") and getattr(value, "ndim", None):
        buffers.append(value.tobytes())
        return {"$buffer": len(buffers) - 1, "type": value.dtype.str[1:]}
    return value


def _digest(value: Any) -> bytes:
    buffers: list[Any] = []
    plain = json.dumps(_packed(value, buffers), sort_keys=True, default=str)
    made = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16)
    for buffer in buffers:
        made.update(buffer)
    return made.digest()


def _widget(script: str, sheet: str, label: str) -> Any:
    """The anywidget of a script. The style goes with it: anywidget's own place for it is the page's head."""
    import anywidget
    import traitlets

    class PanelWidget(anywidget.AnyWidget):
        _esm = script
        # Not called style: ipywidgets looks for a model there.
        css = traitlets.Unicode(sheet).tag(sync=True)
        label = traitlets.Unicode().tag(sync=True)
        twin = traitlets.Unicode().tag(sync=True)

    made = PanelWidget(label=label)
    made.twin = made.model_id
    return made
