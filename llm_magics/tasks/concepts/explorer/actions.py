"""What the explorer's buttons do: the set's own methods, and jobs whose cost is shown first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llm_magics.core.errors import UsageError
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.job import follow


class Explorable(Protocol):
    """What the buttons need of the explorer."""

    concepts: ConceptModel
    chosen: tuple[str, ...]
    controls: Any

    @property
    def rows(self) -> Sequence[int]:
        """Numbers of the selected documents' rows."""

    def choose(self, *names: str) -> None:
        """Open the first of these concepts and stand the others beside it."""

    def say(self, text: str) -> None:
        """Show a sentence in the status line."""

    def refresh(self) -> None:
        """Draw everything anew."""

    def to_html(self, path: Any = None) -> str:
        """A page that needs nothing but a browser."""


class Actions:
    """One method a button, by its key."""

    def __init__(self, explorer: Explorable) -> None:
        self.explorer = explorer
        self.job: Any = None
        self._asked: str | None = None

    @property
    def _names(self) -> list[str]:
        """The chosen concepts; an error where there is none."""
        names = [self.explorer.concepts[key].name for key in self.explorer.chosen]
        if not names:
            raise UsageError("choose a concept in the list first.")
        return names

    def _typed(self, what: str) -> str:
        ui = self.explorer.controls
        return str(getattr(ui, what).value).strip() if ui is not None else ""

    def _clear(self) -> None:
        ui = self.explorer.controls
        if ui is not None:
            ui.name.value = ui.criterion.value = ""

    def undo(self) -> None:
        """Take the last edit back."""
        self.explorer.concepts.undo()
        self.explorer.say("Undone.")

    def redo(self) -> None:
        """Make it again."""
        self.explorer.concepts.redo()
        self.explorer.say("Done again.")

    def tick(self) -> None:
        """Tick the chosen, or untick them where all are ticked."""
        concepts = self.explorer.concepts
        on = all(concepts[name].selected for name in self._names)
        (concepts.deselect if on else concepts.select)(*self._names)

    def all(self) -> None:
        """Tick all."""
        self.explorer.concepts.select()

    def none(self) -> None:
        """Untick all."""
        self.explorer.concepts.deselect()

    def lock(self) -> None:
        """Lock the chosen, or unlock them where all are locked."""
        concepts = self.explorer.concepts
        on = all(concepts[name].locked for name in self._names)
        (concepts.unlock if on else concepts.lock)(*self._names)

    def delete(self) -> None:
        """Delete the chosen."""
        names = self._names
        self.explorer.concepts.delete(*names)
        self.explorer.say(f"Deleted {', '.join(names)}. Undo brings them back.")

    def merge(self) -> None:
        """Merge the chosen; name and criterion as typed, else the first one's name and either criterion."""
        names, typed = self._names, {"name": self._typed("name"), "criterion": self._typed("criterion")}
        made = self.explorer.concepts.merge(*names, **{key: value for key, value in typed.items() if value})
        self._clear()
        self.explorer.choose(made.id)
        self.explorer.say(f"Merged into {made.name}.")

    def split(self) -> None:
        """Split the chosen one by its matches."""
        made = self.explorer.concepts.split(self._names[0])
        self.explorer.choose(*(concept.id for concept in made))
        self.explorer.say(f"Split into {' and '.join(c.name for c in made)}. Score brings their scores.")

    def rename(self) -> None:
        """Rename the chosen one as typed."""
        made = self.explorer.concepts.rename(self._names[0], self._typed("name"))
        self._clear()
        self.explorer.say(f"It is {made.name} now; the scores stay.")

    def edit(self) -> None:
        """Another criterion for the chosen one."""
        name = self._names[0]
        self.explorer.concepts.edit(name, criterion=self._typed("criterion"))
        self._clear()
        self.explorer.say(f"{name} has a new criterion. Score brings its scores.")

    def add(self) -> None:
        """Add a concept as typed; with nothing typed, one from the selected documents' words."""
        name, criterion = self._typed("name"), self._typed("criterion")
        rows = self.explorer.rows
        concepts = self.explorer.concepts
        if not name and rows:
            name, suggested = concepts.suggest(rows)
            criterion = criterion or suggested
        fields = {"examples": tuple(rows[:8])} if rows else {}
        made = concepts.add(name, criterion, **fields)
        self._clear()
        self.explorer.choose(made.id)
        self.explorer.say(f"Added {made.name}. Score brings its scores.")

    def rescore(self) -> None:
        """Show what scoring would cost; pressed again, score."""
        concepts, explorer = self.explorer.concepts, self.explorer
        if self.job is not None and self.job.status == "running":
            self.job.cancel()
            explorer.say("Stopping. What was answered is kept.")
            return
        estimate = str(concepts.estimate())
        if self._asked != estimate and not concepts.free:
            self._asked = estimate
            explorer.say(f"{estimate}. Press Score again to go on.")
            return
        self._asked = None
        self.follow(concepts.rescore())

    def follow(self, job: Any) -> None:
        """Show a job's progress until it ends; a newer job takes the line over."""
        self.job = job

        def going(progress: str) -> None:
            if self.job is job:
                self.explorer.say(f"{progress} (Score stops it)")

        def ended(_result: Any, wrong: str | None) -> None:
            if self.job is job:
                self.explorer.refresh()
                self.explorer.say(wrong or "Scored.")

        follow(job, going, ended)

    def export(self) -> None:
        """Write ``concepts.json`` and ``concepts.html`` into the working folder."""
        self.explorer.concepts.save("concepts.json")
        self.explorer.to_html("concepts.html")
        self.explorer.say("Wrote concepts.json and concepts.html beside the notebook.")
