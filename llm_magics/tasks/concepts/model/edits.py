"""Edits of a list of concepts: pure functions from one state to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Concept


@dataclass(frozen=True)
class State:
    """The concepts in order, and the number that the next new one gets."""

    concepts: tuple[Concept, ...] = ()
    next_id: int = 1

    def find(self, key: str) -> Concept:
        """The concept of this name or id. Raises NotFound with the near names."""
        for concept in self.concepts:
            if key in (concept.name, concept.id):
                return concept
        raise NotFound.among("concept", key, [concept.name for concept in self.concepts])

    def several(self, keys: Iterable[str]) -> list[Concept]:
        """The concepts of these names or ids, each once, in the order given."""
        return list(dict.fromkeys(self.find(key) for key in keys))


@dataclass(frozen=True)
class Edit:
    """One change, as the method that made it: ``names`` positional, ``arguments`` by keyword."""

    verb: str
    names: tuple[Any, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def code(self, variable: str) -> str:
        """The call that makes this change."""
        given = [repr(name) for name in self.names]
        given += [f"{key}={value!r}" for key, value in self.arguments.items()]
        return f"{variable}.{self.verb}({', '.join(given)})"


def frozen(value: Any) -> Any:
    """Lists as tuples, all the way down, so that an edit can't change under the log."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def apply(state: State, edit: Edit) -> State:
    """The state after the edit. Raises UsageError where it can't be made; nothing is changed then."""
    return _VERBS[edit.verb](state, *edit.names, **edit.arguments)


def start(concepts: Iterable[Concept]) -> State:
    """A state of these concepts; those without an id get one, names are made unique."""
    state = State()
    for concept in concepts:
        ours = concept.id or f"c{state.next_id}"
        if any(other.id == ours for other in state.concepts):
            ours = f"c{state.next_id}"
        named = replace(concept, id=ours, name=_free_name(state, concept.name))
        state = State((*state.concepts, named), _after(state.next_id, ours))
    return state


def _after(next_id: int, used: str) -> int:
    number = int(used[1:]) if used[:1] == "c" and used[1:].isdigit() else 0
    return max(next_id, number) + 1


def _free_name(state: State, name: str) -> str:
    taken = {concept.name for concept in state.concepts}
    free, n = name, 2
    while free in taken:
        free, n = f"{name} ({n})", n + 1
    return free


def _new_name(state: State, name: str, leaving: Iterable[Concept] = ()) -> str:
    """``name`` if no concept that stays has it."""
    gone = {concept.id for concept in leaving}
    clean = " ".join(name.split())
    if not clean:
        raise UsageError("a concept needs a name.")
    if any(clean in (other.name, other.id) for other in state.concepts if other.id not in gone):
        raise UsageError(
            f"there is a concept {clean!r} already.", hint="Merge the two, or choose another name."
        )
    return clean


def _open(concept: Concept) -> Concept:
    if concept.locked:
        raise UsageError(f"the concept {concept.name!r} is locked.", hint=f".unlock({concept.name!r}) first")
    return concept


def _swap(state: State, old: Concept, new: Concept) -> State:
    return replace(state, concepts=tuple(new if c.id == old.id else c for c in state.concepts))


def _put(state: State, gone: list[Concept], made: list[Concept]) -> State:
    """``made`` in the place of the first of ``gone``."""
    ids = {concept.id for concept in gone}
    first = min((i for i, c in enumerate(state.concepts) if c.id in ids), default=len(state.concepts))
    before = [c for c in state.concepts[:first] if c.id not in ids]
    behind = [c for c in state.concepts[first:] if c.id not in ids]
    return State((*before, *made, *behind), state.next_id + len(made))


def add(state: State, name: str, criterion: str = "", **fields: Any) -> State:
    """A new concept at the end; without a criterion its name is one."""
    name = _new_name(state, name)
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    concept = Concept(f"c{state.next_id}", name, criterion.strip() or name, **fields)
    return _put(state, [], [concept])


def rename(state: State, concept: str, name: str) -> State:
    """Another name; the criterion, and with it the scores, stay."""
    old = _open(state.find(concept))
    return _swap(state, old, replace(old, name=_new_name(state, name, [old])))


def edit(state: State, concept: str, **fields: Any) -> State:
    """Other fields: ``criterion``, ``summary``, ``keywords``, ``examples``, ``seed``."""
    old = _open(state.find(concept))
    unknown = set(fields) - {"criterion", "summary", "keywords", "examples", "seed"}
    if unknown:
        raise UsageError(f"a concept's {min(unknown)!r} can't be edited.", hint="rename() changes a name.")
    if not fields.get("criterion", old.criterion).strip():
        raise UsageError("a concept needs a criterion.")
    plain: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    return _swap(state, old, replace(old, **plain))


def merge(state: State, *concepts: str, name: str | None = None, criterion: str | None = None) -> State:
    """Several as one, in the place of the first, with the examples, keywords and seed of all.

    Without a criterion the merged concept holds where at least one of its parts holds.
    """
    parts = [_open(concept) for concept in state.several(concepts)]
    if len(parts) < 2:
        raise UsageError("merging takes two concepts or more.")
    merged = Concept(
        f"c{state.next_id}",
        _new_name(state, name or parts[0].name, parts),
        criterion or either([part.criterion for part in parts]),
        examples=_union(part.examples for part in parts),
        seed=next((part.seed for part in parts if part.seed), ""),
        keywords=_union(part.keywords for part in parts),
        selected=any(part.selected for part in parts),
    )
    return _put(state, parts, [merged])


def either(criteria: Iterable[str]) -> str:
    """One criterion that holds where at least one of these does."""
    flat = [part for criterion in criteria for part in criterion.removeprefix(_EITHER).split(_OR)]
    return _EITHER + _OR.join(dict.fromkeys(flat))


def alternatives(criterion: str) -> list[str]:
    """The criteria that ``either`` joined, or the criterion itself."""
    return criterion.removeprefix(_EITHER).split(_OR) if criterion.startswith(_EITHER) else [criterion]


_EITHER = "At least one holds: "
_OR = " | or: "


def _union(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for part in parts for item in part))


def split(state: State, concept: str, parts: Iterable[Any]) -> State:
    """One as several: ``parts`` are (name, criterion) or (name, criterion, examples)."""
    old = _open(state.find(concept))
    listed = [tuple(part) for part in parts]
    if len(listed) < 2:
        raise UsageError("splitting takes two parts or more: [(name, criterion), ...].")
    bare = replace(state, concepts=tuple(c for c in state.concepts if c.id != old.id))
    made: list[Concept] = []
    for number, (said, criterion, *rest) in enumerate(listed):
        name = _new_name(replace(bare, concepts=(*bare.concepts, *made)), said)
        examples = tuple(rest[0]) if rest else ()
        made.append(
            Concept(f"c{state.next_id + number}", name, criterion.strip() or name, examples, seed=old.seed)
        )
    return _put(state, [old], made)


def delete(state: State, *concepts: str) -> State:
    """Without these."""
    gone = {_open(concept).id for concept in state.several(concepts)}
    return replace(state, concepts=tuple(c for c in state.concepts if c.id not in gone))


def _flag(field_name: str, value: bool) -> Callable[..., State]:
    def verb(state: State, *concepts: str) -> State:
        ids = {concept.id for concept in state.several(concepts)}
        changed = (replace(c, **{field_name: value}) if c.id in ids else c for c in state.concepts)  # type: ignore[arg-type]
        return replace(state, concepts=tuple(changed))

    return verb


Verb: TypeAlias = Callable[..., State]
_VERBS: dict[str, Verb] = {
    "add": add,
    "rename": rename,
    "edit": edit,
    "merge": merge,
    "split": split,
    "delete": delete,
    "lock": _flag("locked", True),
    "unlock": _flag("locked", False),
    "select": _flag("selected", True),
    "deselect": _flag("selected", False),
}


def concept_code(concept: Concept) -> str:
    """The expression that makes this concept; fields at their default are left out."""
    given = [
        f"{spec.name}={getattr(concept, spec.name)!r}"
        for spec in fields(concept)
        if spec.name not in ("id", "name") and getattr(concept, spec.name) != spec.default
    ]
    return f"Concept({', '.join([repr(concept.id), repr(concept.name), *given])})"
