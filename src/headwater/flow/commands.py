"""Command steps: any program, in any language, on declared files in a fresh folder, remembered like any step."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from headwater.errors import InvalidInputError, UserCodeError

from .command_files import File, as_file, place, take
from .command_process import execute
from .containers import in_container
from .identities import IMAGE, find_program, program_identity
from .made import made_function
from .steps import Step, step
from .unwatched import unwatched

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
# What a program may see of the environment without being told: how it finds programs, its home, how it writes text.
_PASSED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_NAMED = 12


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it was declared."""

    name: str
    words: tuple[str, ...]
    inputs: dict[str, File]
    outputs: dict[str, File]
    single: bool
    stdin: str
    stdout: str
    environ: dict[str, str]
    env: tuple[str, ...]
    files: tuple[str, ...]
    programs: tuple[str, ...]
    exits: tuple[int, ...]
    stop_after_s: float | str | None
    image: str
    on_line: Callable[..., Any] | None


def command(
    words: Sequence[str],
    *,
    inputs: Mapping[str, File | str] | None = None,
    outputs: Mapping[str, File | str] | File | str | None = None,
    stdin: str = "",
    stdout: str = "",
    defaults: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    exits: Sequence[int] = (0,),
    stop_after_s: float | str | None = None,
    on_line: Callable[..., Any] | None = None,
    image: str = "",
    name: str = "",
    **options: Any,
) -> Step[..., Any]:
    """Return a step that runs a program in a fresh folder.

    ``words`` are the program and its arguments, no shell between. ``{name}`` in a word stands for the path of an
    input or output of that name, else for an argument of the step, as text; a word that is ``{name}`` and nothing
    else becomes several for a list. ``{{`` is a brace. ``inputs`` and ``outputs`` map names to files in the folder:
    ``outputs="page.txt"`` gives that file's value, a mapping gives a dict. ``stdin`` names an input, ``stdout`` a file
    of the folder that takes what the program prints, instead of the log. ``environ`` are variables that it gets
    beside those that ``env`` declares. ``files`` are copied from the project into the folder. ``exits`` are the
    statuses that mean success. ``stop_after_s`` (a number, or the name of an argument) ends the program after that
    time, which is no failure: what it wrote counts. ``on_line`` is called with each line that it prints, and with the
    step's arguments where it takes two. ``image`` runs it in a container without network. Other ``options`` are those
    of ``step``.

    Raises:
        InvalidInputError: the declaration contradicts itself; the message names what.
    """
    if isinstance(words, str) or not words:
        raise InvalidInputError('a command is a list of words: ["tesseract", "{image}", "page"].')
    given = {key: as_file(each) for key, each in (inputs or {}).items()}
    listed: dict[str, File | str] = {}
    if isinstance(outputs, Mapping):
        listed = dict(outputs)
    elif outputs is not None or stdout:
        listed = {"": outputs or stdout}
    called = name or re.sub(r"\W", "_", PurePosixPath(words[0]).stem) or "command"
    declared = _declared_programs(words[0], image, options)
    spec = Spec(
        name=called, words=tuple(map(str, words)), inputs=given, single="" in listed,
        outputs={key: as_file(each) for key, each in listed.items()},
        stdin=stdin, stdout=stdout, environ=dict(environ or {}), env=tuple(options.get("env", ())),
        files=tuple(map(str, options.get("files", ()))), programs=declared, exits=tuple(exits),
        stop_after_s=stop_after_s, image=image, on_line=on_line,
    )  # fmt: skip
    needed = _parameters(spec)
    unused = [key for key in defaults or {} if key not in needed]
    if unused:
        raise InvalidInputError(f"the command {called} has a default for '{unused[0]}', which no word names.")
    function = made_function(
        called, needed, dict(defaults or {}), lambda arguments: _run(spec, arguments), sys._getframe(1),
        f"Run ``{' '.join(spec.words)}``.",
    )  # fmt: skip
    return step(**{**options, "programs": declared})(function)


def _declared_programs(first: str, image: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the programs that the key has to know: the first word, unless it is a file or another decides it."""
    given = tuple(map(str, options.get("programs", ())))
    if image:
        return (f"{IMAGE}{image}", *given)
    files = {os.path.normpath(each) for each in map(str, options.get("files", ()))}
    plain = "{" not in first and os.path.normpath(first) not in files
    return (first, *given) if plain and first not in given else given


def _parameters(spec: Spec) -> list[str]:
    """Return the names of the step's arguments: inputs first, then what words name beside files."""
    known = {*spec.inputs, *spec.outputs}
    named = list(spec.inputs)
    for word in spec.words:
        for found in _PLACE.finditer(word):
            inner = found[1]
            if inner is None:
                continue
            if not inner.isidentifier():
                raise InvalidInputError(
                    f"the command {spec.name}: '{found[0]}' in the word '{word}' is no name; write '{{{{' for a brace."
                )
            if inner not in known and inner not in named:
                named.append(inner)
    if isinstance(spec.stop_after_s, str) and spec.stop_after_s not in named:
        named.append(spec.stop_after_s)
    both = [key for key in spec.inputs if key in spec.outputs]
    if both:
        raise InvalidInputError(f"the command {spec.name}: '{both[0]}' is both an input and an output.")
    if spec.stdin and spec.stdin not in spec.inputs:
        raise InvalidInputError(f"the command {spec.name}: stdin names '{spec.stdin}', which is no input.")
    wrong = next((each for each in (*named, *spec.outputs) if each and not each.isidentifier()), None)
    if wrong is not None:
        raise InvalidInputError(f"the command {spec.name}: '{wrong}' is no name of an argument.")
    return named


def _run(spec: Spec, arguments: dict[str, Any]) -> Any:
    root = Path.cwd()
    _note_programs(spec, root)
    with fresh_folder() as folder:
        for each in spec.files:
            _copy_declared(root, each, folder)
        for name, file in spec.inputs.items():
            place(arguments[name], file, folder, f"the input '{name}' of the command {spec.name}")
        for file in spec.outputs.values():
            path = folder / file.path
            (path if file.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
        before = set(_paths_in(folder))
        words = _filled(spec, arguments)
        environ = _environment(spec)
        stop = None
        if spec.image:
            words, stop = in_container(spec.image, words, folder, {**_constant(environ, spec)})
        elif find_program(words[0], folder) is None:
            raise UserCodeError(
                f"the command {spec.name}: there is no program '{words[0]}'. Install it so that it is on PATH, or, "
                "where it is a file of the project, declare it: files=[...].",
                "",
            )
        limit = spec.stop_after_s
        execute(
            spec.name, words, folder, environ,
            stdin=spec.inputs[spec.stdin].path if spec.stdin else "", stdout=spec.stdout, exits=spec.exits,
            stop_after_s=float(arguments[limit]) if isinstance(limit, str) else limit, on_line=_heard(spec, arguments),
            stop=stop,
        )  # fmt: skip
        return _outputs(spec, folder, before)


def _heard(spec: Spec, arguments: dict[str, Any]) -> Callable[[str], Any] | None:
    """Return what hears the program's lines: the declared function, with the step's arguments where it wants them."""
    heard = spec.on_line
    if heard is None or len(inspect.signature(heard).parameters) < 2:
        return heard
    return lambda line: heard(line, arguments)


def _note_programs(spec: Spec, root: Path) -> None:
    """Tell the memory which programs ran, for a command that another step called."""
    from . import watching
    from .reads import ReadItem

    watch = watching.active
    if watch is None:
        return
    with unwatched():
        for name in spec.programs:
            watch.reads.setdefault(("program", name), ReadItem("program", name, program_identity(name, root)))


def _copy_declared(root: Path, name: str, folder: Path) -> None:
    """Copy a declared file to the same place below the folder; one outside of the project stays where it is."""
    source = root / name
    if os.path.isabs(name) or ".." in PurePosixPath(name).parts:
        return
    if not source.is_file():
        raise UserCodeError(f"the declared file '{name}' is not below '{root}'. Put it there, or declare another.", "")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _filled(spec: Spec, arguments: Mapping[str, Any]) -> list[str]:
    paths = {name: file.path.rstrip("/") for name, file in {**spec.inputs, **spec.outputs}.items()}

    def text(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        return paths[found[1]] if found[1] in paths else str(arguments[found[1]])

    words: list[str] = []
    for word in spec.words:
        whole = _PLACE.fullmatch(word)
        value = arguments.get(whole[1]) if whole and whole[1] and whole[1] not in paths else None
        if isinstance(value, list | tuple):
            words += [str(each) for each in value]
        else:
            words.append(_PLACE.sub(text, word))
    return words


def _environment(spec: Spec) -> dict[str, str]:
    passed = {name: os.environ[name] for name in (*_PASSED, *spec.env) if name in os.environ}
    return {"LANG": "C.UTF-8", **passed, **spec.environ}


def _constant(environ: Mapping[str, str], spec: Spec) -> dict[str, str]:
    """Return what a container gets: nothing of this machine's paths."""
    return {name: value for name, value in environ.items() if name in spec.env or name in spec.environ}


def _outputs(spec: Spec, folder: Path, before: set[str]) -> Any:
    there = set(_paths_in(folder))
    for name, file in spec.outputs.items():
        if not (folder / file.path).exists():
            made = sorted(there - before)
            raise UserCodeError(
                f"the command {spec.name} ended well but did not write {_described(name, file)}. It wrote: "
                f"{_some(made) or 'nothing'}. Correct outputs=, or the command's words.",
                "",
            )
    declared = [file.path for file in (*spec.outputs.values(), *spec.inputs.values())]
    left = sorted(
        path for path in there - before
        if not any(path == each or path.startswith(each.rstrip("/") + "/") for each in declared)
    )  # fmt: skip
    if left:
        sys.stderr.write(f"warning: {_some(left)} not declared in outputs: left behind with the folder\n")
    values = {name: take(file, folder) for name, file in spec.outputs.items()}
    return values[""] if spec.single else values or None


def _described(name: str, file: File) -> str:
    return f"'{file.path}'" + (f", its output '{name}'" if name else "")


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _paths_in(folder: Path) -> Iterator[str]:
    for each in folder.rglob("*"):
        if not each.is_dir():
            yield each.relative_to(folder).as_posix()


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Yield an empty folder that goes when the block ends; in a run it lies in the run's own, which goes with it."""
    work = os.environ.get("HEADWATER_WORK")
    folder = Path(tempfile.mkdtemp(prefix="step-", dir=work if work and os.path.isdir(work) else None))
    try:
        yield folder
    finally:
        with unwatched():
            shutil.rmtree(folder, ignore_errors=True)
