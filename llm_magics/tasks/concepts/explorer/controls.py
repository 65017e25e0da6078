"""The explorer's controls: native inputs, each with a label, laid out once. No behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.tasks.concepts.explorer.detail import MODES

BUTTONS: Sequence[tuple[str, str, str]] = (
    ("undo", "Undo", "Take back the last edit"),
    ("redo", "Redo", "Make it again"),
    ("tick", "Tick", "Tick the chosen concepts, or take their ticks away"),
    ("all", "All", "Tick all"),
    ("none", "None", "Untick all"),
    ("merge", "Merge", "Merge the chosen concepts into one, under the name below if there is one"),
    ("split", "Split", "Split the chosen concept in two"),
    ("rename", "Rename", "Rename the chosen concept to the name below"),
    ("edit", "Set criterion", "Give the chosen concept the criterion below"),
    ("add", "Add", "Add a concept of the name and criterion below"),
    ("lock", "Lock", "Lock the chosen concepts, or unlock them"),
    ("delete", "Delete", "Delete the chosen concepts"),
    ("rescore", "Score", "Score what is not scored yet; shows the cost first"),
    ("export", "Export", "Write the set as JSON and the page as HTML"),
)


@dataclass(frozen=True)
class Controls:
    """All widgets by name; ``box`` holds them."""

    buttons: dict[str, Any]
    search: Any
    listing: Any
    name: Any
    criterion: Any
    view: Any
    drag: Any
    column: Any
    by: Any
    group: Any
    mode: Any
    back: Any
    forth: Any
    detail: Any
    legend: Any
    status: Any
    probe: Any
    box: Any

    def close(self) -> None:
        """Take all of it from the page and the kernel."""
        for widget in _inside(self.box):
            widget.close()


def _inside(widget: Any) -> list[Any]:
    found = [one for child in getattr(widget, "children", ()) for one in _inside(child)]
    return [*found, widget]


def build(figure: Any, probe: Any, columns: Sequence[str]) -> Controls:
    """The controls around a figure. ``columns`` are those that slices can be made of."""
    import ipywidgets as w

    full = w.Layout(width="auto")
    buttons = {key: _button(w, said, tip) for key, said, tip in BUTTONS}
    search = w.Text(placeholder="search", description="Search", layout=full, continuous_update=True)
    listing = w.SelectMultiple(description="Concepts", rows=16, layout=w.Layout(width="auto", height="350px"))
    listing.tooltip = "Concepts: tick, symbol, documents that match, slice bars, name"
    listing.add_class("llmx-list")
    name = w.Text(description="Name", layout=full)
    criterion = w.Textarea(
        description="Criterion", rows=2, layout=full, placeholder="a yes/no question about one text"
    )
    view = w.ToggleButtons(
        options=["Map", "Matrix", "Prevalence"],
        description="View",
        tooltips=["Documents", "Concepts by slice", "Counts"],
    )
    drag = w.ToggleButtons(
        options=["Click", "Lasso"],
        description="Select by",
        tooltips=["Open what is clicked", "Select by drawing"],
    )
    for toggles in (view, drag):
        toggles.style.button_width, toggles.style.description_width = "auto", "auto"
        toggles.layout = w.Layout(width="auto", margin="0 12px 2px 0")
    column = w.Dropdown(options=[("no slices", ""), *((c, c) for c in columns)], description="Slice")
    by = w.Dropdown(
        options=[("counts", ""), ("share of concept", "concept"), ("share of slice", "slice")],
        description="Show",
    )
    group = w.Dropdown(options=[("all", "")], description="Group")
    mode = w.Dropdown(options=list(MODES), description="List")
    for dropdown in (column, by, group, mode):
        dropdown.layout = w.Layout(width="auto", max_width="100%", margin="0 12px 2px 0")
        dropdown.style.description_width = "auto"
    back, forth = _button(w, "‹ Previous", "The page before"), _button(w, "Next ›", "The next page")
    detail = w.HTML(layout=w.Layout(height="470px", overflow="auto", width="auto"))
    legend = w.HTML(layout=w.Layout(max_height="9em", overflow="auto"))
    status = w.HTML(layout=w.Layout(flex="1 1 12em"))
    style = w.HTML(_LIST_STYLE)
    edit = w.VBox([name, criterion, _row(w, buttons, ("add", "rename", "edit", "merge", "split"))])
    left = w.VBox(
        [search, listing, _row(w, buttons, ("tick", "all", "none", "lock", "delete")), edit],
        layout=w.Layout(flex="1 1 0", min_width="300px"),
    )
    middle = w.VBox(
        [
            w.HBox([view, drag], layout=w.Layout(flex_flow="row wrap")),
            w.HBox([column, by], layout=w.Layout(flex_flow="row wrap")),
            figure,
            legend,
        ],
        layout=w.Layout(flex="1.3 1 0", min_width="340px", overflow="hidden"),
    )
    right = w.VBox(
        [w.HBox([mode, group], layout=w.Layout(flex_flow="row wrap")), detail, w.HBox([back, forth])],
        layout=w.Layout(flex="1 1 0", min_width="300px"),
    )
    top = w.HBox(
        [_row(w, buttons, ("undo", "redo", "rescore", "export")), status, probe, style],
        layout=w.Layout(flex_flow="row wrap", align_items="center"),
    )
    body = w.HBox([left, middle, right], layout=w.Layout(flex_flow="row wrap", width="100%"))
    box = w.VBox([top, body])
    return Controls(
        buttons, search, listing, name, criterion, view, drag, column, by, group, mode, back, forth, detail,
        legend, status, probe, box,
    )  # fmt: skip


_LIST_STYLE = (
    "<style>.llmx-list.llmx-list{flex-direction:column;align-items:stretch}"
    ".llmx-list.llmx-list>label{width:auto;text-align:left}"
    ".llmx-list select{font-family:var(--jp-code-font-family,monospace);font-size:12px}</style>"
)
"""The list's label stands above it: beside it, it would take the names' room."""


def _button(w: Any, said: str, tip: str) -> Any:
    return w.Button(description=said, tooltip=tip, layout=w.Layout(width="auto"))


def _row(w: Any, buttons: dict[str, Any], keys: Sequence[str]) -> Any:
    return w.HBox([buttons[key] for key in keys], layout=w.Layout(flex_flow="row wrap"))
