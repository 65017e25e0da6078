"""A review in a notebook: its panel, and the summary that a saved notebook keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llm_magics.tasks.label.columns import LabelValue
from llm_magics.tasks.label.review.panel import VIEWS, Reviewed, ReviewPanel
from llm_magics.tasks.label.review.static import summary
from llm_magics.widgets.frontend.twin import Twin, display_with_widget


class Displayed(Reviewed, Protocol):
    """What is needed of a review that is displayed."""

    interactive: bool
    view: str


class DisplayedReview:
    """One panel, however often the review is displayed, and the summary beside it, which follows."""

    def __init__(self, review: Displayed) -> None:
        self.review = review
        self.panel: ReviewPanel | None = None
        self._twin: Twin | None = None
        review.listeners.append(self._changed)

    def show(self) -> None:
        """Display the summary, which every saved notebook keeps, and the panel that takes its place."""
        without = "accept, correct, relabel and df work without."
        widget = self._widget if self.review.interactive else None
        self._twin = display_with_widget(self._static, widget, without)

    def _widget(self) -> Any:
        view = self.review.view if self.review.view in VIEWS else VIEWS[0]
        if self.panel is None:
            self.panel = ReviewPanel(self.review, view)
        else:
            self.panel.show(view)
        return self.panel.widget

    def _static(self) -> tuple[str, str]:
        return summary(self.review), repr(self.review)

    def _changed(self, _words: Mapping[int, LabelValue | None]) -> None:
        if self._twin is not None:
            self._twin.refresh()
