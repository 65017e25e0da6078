"""A row's label, or labels, as a control: a list to choose from, switches, or a list with several choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

MOST_SWITCHES = 12
"""With more labels than this a row has a list instead of a switch a label."""

Chosen: TypeAlias = str | tuple[str, ...]


class Editor(Protocol):
    """What a line of the grid needs of its control; ``box`` is the widget."""

    box: Any

    def show(self, names: Sequence[str]) -> None:
        """Show these labels as the row's."""

    def name(self, said: str) -> None:
        """What a screen reader calls the control."""


def editor(labels: Sequence[str], many: bool, chosen: Callable[[Chosen], None]) -> Editor:
    """A control for one row's label, or for its labels; ``chosen`` is told what a person chooses."""
    if not many:
        return _One(labels, chosen)
    return _Switches(labels, chosen) if len(labels) <= MOST_SWITCHES else _Several(labels, chosen)


def numbered(labels: Sequence[str]) -> list[tuple[str, str]]:
    """(what is shown, label): the first nine with the key that gives them."""
    return [(f"{i} {name}" if i < 10 else name, name) for i, name in enumerate(labels, 1)]


class _One:
    """One label out of a drop-down list."""

    def __init__(self, labels: Sequence[str], chosen: Callable[[Chosen], None]) -> None:
        import ipywidgets as w

        self._labels = labels
        layout = w.Layout(width="14em", flex="0 0 auto")
        self.box = w.Dropdown(options=[("no label", ""), *numbered(labels)], layout=layout)
        self.box.add_class("llmx-quiet")
        self._chosen = chosen
        self.box.observe(self._changed, "value")

    def _changed(self, change: Any) -> None:
        if change["new"]:
            self._chosen(change["new"])

    def name(self, said: str) -> None:
        """Said, and not shown."""
        self.box.description = said

    def show(self, names: Sequence[str]) -> None:
        """The first of the names."""
        self.box.value = names[0] if names and names[0] in self._labels else ""


class _Switches:
    """A switch a label."""

    def __init__(self, labels: Sequence[str], chosen: Callable[[Chosen], None]) -> None:
        import ipywidgets as w

        layout = w.Layout(width="auto", margin="1px", height="auto")
        self.switches = {
            name: w.ToggleButton(description=said, layout=layout) for said, name in numbered(labels)
        }
        for switch in self.switches.values():
            switch.observe(lambda _: chosen(self._chosen()), "value")
        wrapped = w.Layout(flex_flow="row wrap", width="24em", flex="0 0 auto")
        self.box = w.HBox([*self.switches.values()], layout=wrapped)

    def _chosen(self) -> tuple[str, ...]:
        return tuple(name for name, switch in self.switches.items() if switch.value)

    def name(self, said: str) -> None:
        """A switch shows its own label; which row it is of stands in its tooltip."""
        for switch in self.switches.values():
            switch.tooltip = said

    def show(self, names: Sequence[str]) -> None:
        """Those of the names are on, with a tick: colour alone tells too little."""
        for (said, name), switch in zip(numbered([*self.switches]), self.switches.values(), strict=True):
            switch.value = name in names
            switch.description = f"{said} ✓" if switch.value else said


class _Several:
    """A list in which several labels are chosen."""

    def __init__(self, labels: Sequence[str], chosen: Callable[[Chosen], None]) -> None:
        import ipywidgets as w

        self._labels = labels
        layout = w.Layout(width="16em", flex="0 0 auto")
        self.box = w.SelectMultiple(options=numbered(labels), rows=5, layout=layout)
        self.box.add_class("llmx-quiet")
        self.box.observe(lambda change: chosen(tuple(change["new"])), "value")

    def name(self, said: str) -> None:
        """Said, and not shown."""
        self.box.description = said

    def show(self, names: Sequence[str]) -> None:
        """These are chosen."""
        self.box.value = tuple(name for name in self._labels if name in names)


_LISTEN = """
export default { render({ model, el }) {
  const box = document.createElement("div");
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  box.setAttribute("aria-label", model.get("help"));
  box.textContent = model.get("help");
  box.style.cssText = "border:1px dashed rgba(128,128,128,.7);padding:3px 8px;font-size:12px";
  box.style.outlineOffset = "-2px";  // at the edges of an output it would be cut off
  box.addEventListener("focus", () => { box.style.outline = "2px solid #5d88ff"; });
  box.addEventListener("blur", () => { box.style.outline = "none"; });
  let count = 0;
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
    if (!model.get("listened").includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    count += 1;
    model.send({ key: event.key, count });
  });
  el.appendChild(box);
} };
"""


def keyboard(keys: list[str], help_text: str) -> Any:
    """A box that takes the focus and sends each of ``keys`` pressed in it as the message ``{"key": ...}``.

    Notebook shortcuts don't fire while it has the focus; Tab leaves it. Messages, not a synced value: two
    presses in a row are two.
    """
    import anywidget
    import traitlets

    class Keyboard(anywidget.AnyWidget):
        _esm = _LISTEN
        listened = traitlets.List(traitlets.Unicode()).tag(sync=True)
        help = traitlets.Unicode().tag(sync=True)

    return Keyboard(listened=keys, help=help_text)
