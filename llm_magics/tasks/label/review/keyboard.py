"""Key presses inside a widget, for work that the mouse would slow down."""

from __future__ import annotations

from typing import Any

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
