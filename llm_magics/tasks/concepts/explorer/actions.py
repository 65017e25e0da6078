"""What the explorer's buttons do to concepts: the set's own methods, and jobs whose cost is shown first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from llm_magics.core.errors import UsageError
from llm_magics.tasks.concepts.model.concept_model import ConceptModel
from llm_magics.widgets.job import follow


class Explorable(Protocol):
    """What the buttons need of the explorer."""

    concepts: ConceptModel
    chosen: tuple[str, ...]

    @property
    def rows(self) -> Sequence[int]:
        """Numbers of the selected documents' rows."""

    def choose(self, *names: str) -> None:
        """Open the first of these concepts and stand the others beside it."""

    def say(self, text: str) -> None:
        """Show a sentence in the status line."""

    def changed(self) -> None:
        """Draw everything anew."""

    def to_html(self, path: Any = None) -> str:
        """A page that needs nothing but a browser."""


class Actions:
    """One method a button. Concepts are given by id or name; by default the chosen ones."""

    def __init__(self, explorer: Explorable) -> None:
        self.explorer = explorer
        self.job: Any = None
        self._asked: str | None = None

    @property
    def intents(self) -> dict[str, Callable[..., object]]:
        """The buttons' names on the page."""
        return {
            "undo": self.undo,
            "redo": self.redo,
            "tick": self.tick,
            "all": self.all,
            "none": self.none,
            "lock": self.lock,
            "delete": self.delete,
            "merge": self.merge,
            "split": self.split,
            "rename": self.rename,
            "edit": self.edit,
            "add": self.add,
            "rescore": self.rescore,
            "export": self.export,
        }

    @property
    def _concepts(self) -> ConceptModel:
        return self.explorer.concepts

    def _names(self, keys: Sequence[str] = ()) -> list[str]:
        """Names of these concepts, or of the chosen; an error where there is none."""
        names = [self._concepts[key].name for key in keys or self.explorer.chosen]
        if not names:
            raise UsageError("choose a concept in the list first.")
        return names

    def undo(self) -> None:
        """Take the last edit back; how the set was found is nobody's edit."""
        if self._concepts.last_edit is None:
            raise UsageError("there is no edit to undo.")
        self._concepts.undo()
        self.explorer.say("Undone.")

    def redo(self) -> None:
        """Make it again."""
        self._concepts.redo()
        self.explorer.say("Done again.")

    def tick(self, keys: Sequence[str] = ()) -> None:
        """Tick these, or untick them where all are ticked."""
        names = self._names(keys)
        on = all(self._concepts[name].selected for name in names)
        (self._concepts.deselect if on else self._concepts.select)(*names)

    def all(self) -> None:
        """Tick all."""
        self._concepts.select()

    def none(self) -> None:
        """Untick all."""
        self._concepts.deselect()

    def lock(self, keys: Sequence[str] = ()) -> None:
        """Lock these, or unlock them where all are locked."""
        names = self._names(keys)
        on = all(self._concepts[name].locked for name in names)
        (self._concepts.unlock if on else self._concepts.lock)(*names)

    def delete(self, keys: Sequence[str] = ()) -> None:
        """Delete these."""
        names = self._names(keys)
        self._concepts.delete(*names)
        self.explorer.say(f"Deleted {', '.join(names)}. Undo brings them back.")

    def merge(self, keys: Sequence[str] = (), name: str = "", criterion: str = "") -> None:
        """Merge these; without a name the first one's, without a criterion either one's holds."""
        given = {key: value for key, value in (("name", name), ("criterion", criterion)) if value.strip()}
        made = self._concepts.merge(*self._names(keys), **given)
        self.explorer.choose(made.id)
        self.explorer.say(f"Merged into {made.name}.")

    def split(self, key: str = "") -> None:
        """Split one by its matches."""
        made = self._concepts.split(self._names([key] if key else ())[0])
        self.explorer.choose(*(concept.id for concept in made))
        self.explorer.say(f"Split into {' and '.join(c.name for c in made)}. Score brings their scores.")

    def rename(self, name: str, key: str = "") -> None:
        """Rename one."""
        made = self._concepts.rename(self._names([key] if key else ())[0], name.strip())
        self.explorer.say(f"It is {made.name} now; the scores stay.")

    def edit(self, criterion: str, key: str = "") -> None:
        """Another criterion for one."""
        name = self._names([key] if key else ())[0]
        self._concepts.edit(name, criterion=criterion.strip())
        self.explorer.say(f"{name} has a new criterion. Score brings its scores.")

    def add(self, name: str = "", criterion: str = "") -> None:
        """Add a concept; without a name, one from the selected documents' words."""
        name, criterion, rows = name.strip(), criterion.strip(), self.explorer.rows
        if not name and rows:
            name, suggested = self._concepts.suggest(rows)
            criterion = criterion or suggested
        fields = {"examples": tuple(rows[:8])} if rows else {}
        made = self._concepts.add(name, criterion, **fields)
        self.explorer.choose(made.id)
        self.explorer.say(f"Added {made.name}. Score brings its scores.")

    # --- scoring ------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a job is under way."""
        return self.job is not None and self.job.status == "running"

    @property
    def scoring(self) -> dict[str, Any]:
        """What the score button says, and how many concepts lack scores."""
        stale = len(self._concepts.stale)
        text = "Stop" if self.running else "Score now" if self._asked else "Score"
        return {
            "text": text,
            "stale": stale,
            "running": self.running,
            "can": self._concepts.scorer is not None,
        }

    def rescore(self) -> None:
        """Show what scoring would cost; pressed again, score. While it runs: stop."""
        concepts, explorer = self._concepts, self.explorer
        if self.running:
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
                self.explorer.say(f"{progress} (Stop ends it)")

        def ended(_result: Any, wrong: str | None) -> None:
            if self.job is job:
                self.explorer.changed()
                self.explorer.say(wrong or "Scored.")

        follow(job, going, ended)

    def export(self) -> None:
        """Write ``concepts.json`` and ``concepts.html`` into the working folder."""
        self._concepts.save("concepts.json")
        self.explorer.to_html("concepts.html")
        self.explorer.say("Wrote concepts.json and concepts.html beside the notebook.")
