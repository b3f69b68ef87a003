"""Keys: what a call's result depends on before it runs, digested, and what differs between two calls in words."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest_of

from .closure import Analysis, Closure
from .distributions import Installed, _write
from .facts import FORMAT, Facts
from .reads import ABSENT, env_digest, file_digest
from .tree import Tree

if TYPE_CHECKING:
    from .steps import Options

KEY_FORMAT = 1
_SHOWN = 60


class Ingredients(msgspec.Struct, frozen=True):
    """The code part of a key: the closure's statements (label, digest, path, line), libraries, platform."""

    step: str
    code: str
    items: list[tuple[str, str, str, int]]
    libraries: dict[str, str]
    platform: str


class Call(msgspec.Struct, frozen=True):
    """The call's part of a key. ``shown`` are the arguments in short, for sentences only."""

    args: dict[str, str]
    env: dict[str, str]
    files: dict[str, str]
    classes: dict[str, str]
    seed: int | None
    save: str | None
    shown: dict[str, str]
    programs: dict[str, str] = {}
    notebooks: dict[str, str] = {}

    def digest(self) -> str:
        """Return the digest of what counts."""
        counted = [self.args, self.env, self.files, self.classes, self.seed, self.save, self.programs, self.notebooks]
        return digest_of(counted)


class Code:
    """The project's code at one moment: closures, kept in a file by the digest of the whole tree."""

    def __init__(self, tree: Tree, cache: Path) -> None:
        self.tree = tree
        self.installed = Installed(cache)
        self._closures_path = cache / f"closures-{FORMAT}-{tree.digest[:32]}.msgpack"
        self._facts_path = cache / f"facts-{FORMAT}.msgpack"
        self._closures = _read(self._closures_path, dict[str, Closure])
        self._analysis: Analysis | None = None
        self._made = 0
        self._ingredients: dict[tuple[str, str], tuple[str, Ingredients]] = {}

    def closure(self, step: str, also: Iterable[str]) -> Closure:
        """Return the closure of ``module:qualname``."""
        key = f"{step}|{','.join(also)}"
        if key not in self._closures:
            if self._analysis is None:
                self._analysis = Analysis(self.tree, _read(self._facts_path, dict[str, Facts]))
            module, _, name = step.partition(":")
            self._closures[key] = self._analysis.closure(module, name.partition(".")[0], also)
            self._made += 1
        found: Closure = self._closures[key]
        return found

    def ingredients(self, step: str, also: Iterable[str]) -> tuple[str, Ingredients]:
        """Return the code part of a step's key and its digest."""
        place = (step, ",".join(also))
        if place not in self._ingredients:
            closure = self.closure(step, also)
            libraries = self.installed.versions(closure.outside)
            items = [(item.label, item.digest, item.path, item.line) for item in closure.items]
            made = Ingredients(step, closure.digest, items, libraries, platform_tag())
            counted = [KEY_FORMAT, step.rpartition(":")[2], closure.digest, libraries, made.platform]
            self._ingredients[place] = digest_of(counted), made
        return self._ingredients[place]

    def keep(self) -> None:
        """Write down what was analysed, for the next run."""
        if not self._made:
            return
        _write(self._closures_path, msgspec.msgpack.encode(self._closures))
        if self._analysis is not None and self._analysis.read:
            current = {f"{module}:{file.digest}" for module, file in self.tree.files.items()}
            facts = {key: value for key, value in self._analysis.known.items() if key in current}
            _write(self._facts_path, msgspec.msgpack.encode(facts))
        self._made = 0


def platform_tag() -> str:
    """Return what of the platform a result depends on."""
    return f"python {platform.python_version()} on {sys.platform} {platform.machine()}"


def make_call(
    options: Options, args: Mapping[str, str], shown: Mapping[str, str], classes: Mapping[str, str], root: Path
) -> Call:
    """Return the call's part of a key, with declared variables, files, programs and notebooks as they are now."""
    programs, notebooks = {}, {}
    if options.programs or options.notebooks:
        from .identities import notebook_identity, program_identity

        programs = {name: program_identity(name, root) for name in sorted(options.programs)}
        notebooks = {name: notebook_identity(name, root) for name in sorted(options.notebooks)}
    return Call(
        args=dict(args),
        env={name: env_digest(name) for name in sorted(options.env)},
        files={name: file_digest(root / name) for name in sorted(options.files)},
        classes=dict(sorted(classes.items())),
        seed=options.seed,
        save=options.save,
        shown=dict(shown),
        programs=programs,
        notebooks=notebooks,
    )


def shown(value: Any) -> str:
    """Return a value in at most a few words: itself where it is short, else its type."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    if isinstance(value, list | tuple | dict | set):
        text = repr(value) if len(value) <= 8 else ""
        return text if 0 < len(text) <= _SHOWN else f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    name = f"{type(value).__name__}"
    return f"{name} {shape}" if isinstance(shape, tuple) else name


def difference(old: Ingredients, old_call: Call, new: Ingredients, new_call: Call) -> str:
    """Return in words the first thing that differs between two calls of a step, "" when nothing does."""
    checks: tuple[Callable[[], str], ...] = (
        lambda: _code_difference(old, new),
        lambda: _changed_name(old.libraries, new.libraries, "the library"),
        lambda: f"{new.platform} instead of {old.platform}" if old.platform != new.platform else "",
        lambda: _argument_difference(old_call, new_call),
        lambda: _one_changed(old_call.files, new_call.files, "the file"),
        lambda: _one_changed(old_call.programs, new_call.programs, "the program"),
        lambda: _one_changed(old_call.notebooks, new_call.notebooks, "the code of the notebook"),
        lambda: _one_changed(old_call.env, new_call.env, "the environment variable"),
        lambda: _class_difference(old_call, new_call),
        lambda: f"the seed is {new_call.seed}, was {old_call.seed}" if old_call.seed != new_call.seed else "",
        lambda: f"the format is {new_call.save}, was {old_call.save}" if old_call.save != new_call.save else "",
    )
    return next((text for check in checks if (text := check())), "")


def _code_difference(old: Ingredients, new: Ingredients) -> str:
    if old.code == new.code:
        return ""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for label, digest, *_ in old.items:
        before.setdefault(label, []).append(digest)
    for label, digest, *_ in new.items:
        after.setdefault(label, []).append(digest)
    changed = [item for item in new.items if item[0] in before and before[item[0]] != after[item[0]]]
    own = new.step.replace(":", ".")
    changed.sort(key=lambda item: item[0] != own)
    if changed:
        label, _, path, line = changed[0]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{label} changed ({path}:{line}){more}"
    known = {item[1] for item in old.items}
    for label, digest, path, line in new.items:
        if label not in before and digest not in known:
            return f"{label} is new ({path}:{line})"
    gone = next((label for label in before if label not in after), "")
    return f"{gone} is not used any more" if gone else "what is run on import changed its order"


def _argument_difference(old: Call, new: Call) -> str:
    for name, value in new.args.items():
        if name not in old.args:
            return f"the argument {name} is new ({new.shown.get(name, '?')})"
        if old.args[name] != value:
            now, was = new.shown.get(name, "?"), old.shown.get(name, "?")
            if now == was or now.startswith("the result of"):
                return f"the argument {name} has other content ({now})"
            return f"the argument {name} is {now}, was {was}"
    gone = next((name for name in old.args if name not in new.args), "")
    return f"the argument {gone} is not given any more" if gone else ""


def _class_difference(old: Call, new: Call) -> str:
    name = next((name for name in new.classes if old.classes.get(name) != new.classes[name]), "")
    return f"{name.replace(':', '.')}, which an argument is made of, changed" if name else ""


def _changed_name(old: Mapping[str, str], new: Mapping[str, str], what: str) -> str:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            return f"{what} {name} is {new.get(name, 'not used any more')}, was {old.get(name, 'not used')}"
    return ""


def _one_changed(old: Mapping[str, str], new: Mapping[str, str], what: str) -> str:
    name = next((name for name in sorted({*old, *new}) if old.get(name) != new.get(name)), "")
    if not name:
        return ""
    return f"{what} {name} {'is not there any more' if new.get(name) == ABSENT else 'changed'}"


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return {}
