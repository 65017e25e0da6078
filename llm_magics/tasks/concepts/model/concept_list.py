"""A list of concepts with logged edits: undo, redo, and replay from code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model import edits
from llm_magics.tasks.concepts.model.edits import Edit, State, concept_code, frozen


class ConceptList:
    """Concepts, named by name or id everywhere. Each edit is logged and can be undone."""

    def __init__(self, concepts: Iterable[Concept] = ()) -> None:
        self._begun = self._state = edits.start(concepts)
        self._past: list[tuple[State, Edit]] = []
        self._future: list[tuple[State, Edit]] = []
        self._settled = 0
        self._watchers: list[Callable[[], None]] = []

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """All concepts, in order."""
        return self._state.concepts

    @property
    def selected(self) -> tuple[Concept, ...]:
        """The ticked concepts."""
        return tuple(concept for concept in self.concepts if concept.selected)

    @property
    def names(self) -> list[str]:
        """The concepts' names, in order."""
        return [concept.name for concept in self.concepts]

    def __getitem__(self, key: str) -> Concept:
        return self._state.find(key)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __contains__(self, key: object) -> bool:
        return any(key in (concept.name, concept.id, concept) for concept in self.concepts)

    # --- editing ---------------------------------------------------------------------------------

    def add(self, name: str, criterion: str = "", **fields: Any) -> Concept:
        """Add a concept; ``criterion`` is a yes/no question about a text (default: its name)."""
        self._do(Edit("add", (name, *([criterion] if criterion else ())), _plain(fields)))
        return self.concepts[-1]

    def rename(self, concept: str, name: str) -> Concept:
        """Rename a concept; its scores stay."""
        old = self[concept]
        self._do(Edit("rename", (old.name, name)))
        return self[old.id]

    def edit(self, concept: str, **fields: Any) -> Concept:
        """Change ``criterion`` (to be scored again), ``summary``, ``keywords``, ``examples`` or ``seed``."""
        old = self[concept]
        self._do(Edit("edit", (old.name,), _plain(fields)))
        return self[old.id]

    def merge(self, *concepts: str, name: str | None = None, criterion: str | None = None) -> Concept:
        """Merge concepts; without a criterion of its own the new one holds where one of its parts does."""
        parts = self._state.several(concepts)
        given = {key: value for key, value in (("name", name), ("criterion", criterion)) if value}
        place = min((self.concepts.index(part) for part in parts), default=0)
        self._do(Edit("merge", tuple(part.name for part in parts), given))
        return self.concepts[place]

    def split(self, concept: str, parts: Iterable[Sequence[Any]]) -> list[Concept]:
        """Split a concept; ``parts`` are (name, criterion) or (name, criterion, examples)."""
        old = self[concept]
        listed = frozen([tuple(part) for part in parts])
        self._do(Edit("split", (old.name, listed)))
        return [self[name] for name, *_ in listed]

    def delete(self, *concepts: str) -> None:
        """Delete these concepts."""
        self._several("delete", concepts)

    def lock(self, *concepts: str) -> None:
        """Protect these concepts from changes, by hand or by review."""
        self._several("lock", concepts)

    def unlock(self, *concepts: str) -> None:
        """Allow changes of these concepts again."""
        self._several("unlock", concepts)

    def select(self, *concepts: str) -> None:
        """Tick these concepts; without names, all."""
        self._several("select", concepts or self.names)

    def deselect(self, *concepts: str) -> None:
        """Untick these concepts; without names, all."""
        self._several("deselect", concepts or self.names)

    def _several(self, verb: str, concepts: Iterable[str]) -> None:
        named = tuple(concept.name for concept in self._state.several(concepts))
        if named:
            self._do(Edit(verb, named))

    def _do(self, edit: Edit) -> None:
        after = edits.apply(self._state, edit)
        self._past.append((self._state, edit))
        self._future.clear()
        self._become(after)

    def _become(self, state: State) -> None:
        self._state = state
        self.changed()

    # --- history ---------------------------------------------------------------------------------

    @property
    def history(self) -> list[Edit]:
        """The edits that are in effect, oldest first."""
        return [edit for _, edit in self._past]

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return bool(self._past)

    @property
    def last_edit(self) -> Edit | None:
        """The last edit since the set was settled: what a button offers to undo."""
        return self._past[-1][1] if len(self._past) > self._settled else None

    @property
    def settled(self) -> int:
        """How many of the edits are how the set was found, by review; ``undo`` in code undoes them too."""
        return min(self._settled, len(self._past))

    def settle(self, edits_so_far: int | None = None) -> None:
        """Take the edits so far (or so many) as how the set was found, not as a person's."""
        self._settled = len(self._past) if edits_so_far is None else edits_so_far

    @property
    def next_edit(self) -> Edit | None:
        """The edit that ``redo`` would make again."""
        return self._future[-1][1] if self._future else None

    def undo(self) -> None:
        """Undo the last edit; earlier scores are still there. Raises UsageError where there is none."""
        if not self._past:
            raise UsageError("there is no edit to undo.")
        before, edit = self._past.pop()
        self._settled = self.settled
        self._future.append((self._state, edit))
        self._become(before)

    def redo(self) -> None:
        """Redo the edit that was undone last."""
        if not self._future:
            raise UsageError("there is no edit to redo.")
        after, edit = self._future.pop()
        self._past.append((self._state, edit))
        self._become(after)

    def to_code(self, variable: str = "themes") -> str:
        """Python code that makes the original concepts and replays each edit."""
        first = [concept_code(concept) for concept in self._begun.concepts]
        lines = ["from llm_magics import Concept, ConceptSet", ""]
        lines += [f"{variable} = ConceptSet([", *(f"    {line}," for line in first), "])"]
        return "\n".join([*lines, *(edit.code(variable) for edit in self.history)]) + "\n"

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after every change of concepts or scores."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Stop calling ``watcher``."""
        self._watchers = [w for w in self._watchers if w != watcher]

    def changed(self) -> None:
        """Call the watchers."""
        for watcher in list(self._watchers):
            watcher()


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: frozen(value) for key, value in fields.items()}
