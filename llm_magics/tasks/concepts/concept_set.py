"""The set of concepts as a person has it: it shows itself as the explorer."""

from __future__ import annotations

from typing import Any

from llm_magics.tasks.concepts.explorer.explorer import Explorer
from llm_magics.tasks.concepts.model.concept_model import ConceptModel


class ConceptSet(ConceptModel):
    """Concepts over documents: edits with undo, scores, slices, frames, files, and the explorer.

    ``interactive`` False shows the static summary without the widget.
    """

    interactive = True
    _explorer: Any = None

    def explore(self, slice: str | None = None, **options: Any) -> Any:  # noqa: A002 - the flag's word
        """The explorer over this set; a new one takes the place of the one before."""
        if self._explorer is not None:
            self._explorer.close()
        self.slice_shown = slice or self.slice_shown
        self._explorer = Explorer(self, self.slice_shown, **{"interactive": self.interactive, **options})
        return self._explorer

    @property
    def explorer(self) -> Any:
        """The explorer that was shown last, or a new one."""
        return self._explorer or self.explore()

    def plot(self, kind: str = "map", slice: str | None = None, **look: Any) -> Any:  # noqa: A002 - the flag's word
        """A plotly figure to publish: ``map``, ``matrix`` (by the column ``slice``) or ``prevalence``.

        ``look``: ``size`` (notebook, column, page, slide), ``theme`` (light, dark), ``title``, ``source``.
        Raises UsageError where there is nothing to draw.
        """
        from llm_magics.tasks.concepts.explorer.plots import plot

        return plot(self, kind, slice, **look)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if len(self.documents):
            display(self.explore())
        else:
            print(repr(self))
