"""The explorer's widget: controls and figure made, their events tied to the explorer's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llm_magics.tasks.concepts.explorer import controls
from llm_magics.widgets import theme
from llm_magics.widgets.chart import chart

if TYPE_CHECKING:
    from llm_magics.tasks.concepts.explorer.explorer import Explorer


def wire(explorer: Explorer) -> None:
    """Make the widget of an explorer and fill it."""
    explorer.figure = chart()
    ui = controls.build(explorer.figure, theme.probe(), explorer.concepts.sliceable)
    explorer.controls = ui
    _buttons(explorer, ui)
    _inputs(explorer, ui)
    _points(explorer)
    explorer.concepts.watch(explorer.refresh)
    explorer.refresh()
    explorer.say(explorer.status or "Choose a concept, or draw a lasso around documents.")


def _buttons(explorer: Explorer, ui: controls.Controls) -> None:
    for key, button in ui.buttons.items():
        action: Callable[[], Any] = getattr(explorer.actions, key)
        button.on_click(lambda _, action=action: explorer.attempt(action))
    ui.back.on_click(lambda _: explorer.attempt(lambda: explorer.turn(-1)))
    ui.forth.on_click(lambda _: explorer.attempt(lambda: explorer.turn(1)))


def _inputs(explorer: Explorer, ui: controls.Controls) -> None:
    def on(widget: Any, act: Callable[[Any], object]) -> None:
        def changed(change: Any) -> None:
            # What the explorer writes itself comes back as a change too, and is none.
            if not explorer._filling:  # noqa: SLF001
                explorer.attempt(lambda: act(change["new"]))

        widget.observe(changed, "value")

    on(ui.listing, explorer.pick)
    on(ui.search, lambda _: explorer.refresh(picture=False))
    on(ui.view, lambda view: explorer.show(view, explorer.by))
    on(ui.drag, explorer.drag_to)
    on(ui.by, lambda by: explorer.show(explorer.view, by or None))
    on(ui.column, lambda column: explorer.slice_by(column or None))
    on(ui.group, lambda group: explorer.narrow(group or None))
    on(ui.mode, explorer.list_mode)

    ui.probe.observe(lambda change: explorer.attempt(lambda: explorer.paint(change["new"])), "theme")


def _points(explorer: Explorer) -> None:
    """Clicks and lassos, by the picture that is on."""
    trace = explorer.figure.data[0]

    def key(index: int) -> Any:
        return explorer._picture.keys[index]  # type: ignore[union-attr] # noqa: SLF001

    def clicked(_trace: Any, points: Any, _state: Any) -> None:
        if not points.point_inds:
            return
        spot = key(points.point_inds[0])
        if explorer.view == "Map":
            explorer.attempt(lambda: explorer.look_at(int(spot)))
        else:
            name, group = spot
            explorer.attempt(lambda: explorer.open(name, None if group == "all" else group))

    def lassoed(_trace: Any, points: Any, _selector: Any) -> None:
        if explorer.view == "Map":
            explorer.attempt(lambda: explorer.select([int(key(i)) for i in points.point_inds]))

    trace.on_click(clicked)
    trace.on_selection(lassoed)
    trace.on_deselect(lambda *_: explorer.attempt(lambda: explorer.select([])))
