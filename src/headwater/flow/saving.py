"""How values are kept: open formats by type, each value as a skeleton in JSON and leaves in files.

Plain values live in the skeleton. A frame, an array, a model is a leaf, kept in the first registered format that
takes it; pickle is the last resort, and what was kept with it is loaded only by code that trusts where it came from.
The digest of a saved value is that of its parts, so a value passed by hand and the same value made by a step agree.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from headwater.canonical import digest, digest_of
from headwater.durable import disk_error
from headwater.errors import InvalidInputError, RefusedError

from .items import ITEMS, spell_item
from .spelling import Filling, filled, is_unicode, spell, spell_scalar

if TYPE_CHECKING:
    from headwater.objects import ObjectStore

    from .items import DataFile

DEEPEST = 200
LARGE_BYTES = 1 << 20
"""A leaf that is larger goes through a file where its format can, and is never a second time in memory."""
OBJECT = "object"
"""The format of a part that is an object of the store as it is: the content of an item of data."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of functions under a name. ``takes`` tells whether it can keep a value; ``trusted`` formats run no code.

    ``save`` returns bytes, or None when the value turns out not to fit; ``load`` gives the value back. A format of
    large values adds a pair for files: ``write`` writes the same bytes as ``save`` to an open file, a piece at a time
    (False: the value turned out not to fit), and ``read`` gives the value back from a file, which it must not change
    and may map into memory. ``size`` says about how many bytes a value is, to choose between the two pairs.
    """

    name: str
    takes: Callable[[Any], bool]
    save: Callable[[Any], bytes | None]
    load: Callable[[bytes], Any]
    trusted: bool = True
    write: Callable[[Any, BinaryIO], bool] | None = None
    read: Callable[[Path], Any] | None = None
    size: Callable[[Any], int] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a saved value. ``classes`` are the classes that loading a pickle imports (``module:name``).

    ``stored`` is set where the object of that digest turned out damaged: the store would keep the damaged bytes, so
    the good ones lie masked (every byte turned by one) in an object of another digest.
    """

    format: str
    digest: str
    size: int
    classes: tuple[str, ...] = ()
    stored: str = ""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A value as parts: the first is the skeleton. ``contents`` holds the bytes of each where they are at hand,
    ``files`` where they lie in a file. An item of data has neither: its bytes are in the store.
    """

    parts: tuple[Part, ...]
    contents: dict[str, bytes] = {}
    files: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """The digest that names the value."""
        return digest_of([[part.format, part.digest] for part in self.parts])


Get = Callable[[Part], bytes | Path]

_formats: list[Format] = []


def register_format(given: Format) -> None:
    """Register a format; the last registered is asked first. Registering a name again replaces it.

    Register in the module of the step, so that workers do too::

        register_format(Format(name="wav", takes=lambda v: isinstance(v, Sound), save=to_wav, load=from_wav))

    What ``save`` returns must be the same for the same value: the value's digest is that of these bytes.
    """
    _formats[:] = [each for each in _formats if each.name != given.name]
    _formats.insert(0, given)


def save(
    value: Any,
    what: str = "the value",
    wanted: str | None = None,
    special: Callable[[Any], Any] | None = None,
    folder: Path | None = None,
) -> Saved:
    """Return a value as parts. ``special`` may spell values of its own in JSON; None means that it does not.

    With a ``folder``, leaves of more than ``LARGE_BYTES`` are written to files in it; their parts are the same.

    Raises:
        InvalidInputError: it holds something that cannot be kept: the message names it.
        StorageError: the disk is full.
    """
    saver = _Saver(what, wanted, special, folder)
    skeleton = msgspec.json.encode(saver.skeleton(value, "", 0))
    parts = [Part(format="json", digest=digest(skeleton), size=len(skeleton)), *saver.parts]
    return Saved(parts=tuple(parts), contents={parts[0].digest: skeleton, **saver.contents}, files=saver.files)


def load(parts: Sequence[Part], get: Get, *, trust: bool) -> Any:
    """Return the value of parts; ``get`` gives the bytes of one, or a file that holds them and stays.

    Raises:
        RefusedError: a part needs code to be run to load it, and ``trust`` is False.
    """
    first = get(parts[0])
    skeleton = msgspec.json.decode(first.read_bytes() if isinstance(first, Path) else first)

    def leaf(number: int) -> Any:
        part = parts[number]
        found = find_format(part.format)
        if not found.trusted and not trust:
            raise RefusedError(
                f"this result is kept as {part.format}, which runs code when it is loaded. Load it where you trust the "
                "step that made it, with trust=True.",
                format=part.format,
            )
        content = get(part)
        if not isinstance(content, Path):
            return found.load(content)
        return found.read(content) if found.read is not None else found.load(content.read_bytes())

    def nested(given: list[Any]) -> Any:
        return load([msgspec.convert(each, Part) for each in given], get, trust=trust)

    def item(given: list[Any]) -> Any:
        from .items import read_item

        def of(number: int) -> tuple[str, int, Callable[[], bytes | Path]]:
            part = parts[number]
            return part.digest, part.size, lambda: get(part)

        return read_item(given, of, lambda values: filled(values, filling))

    filling = Filling(leaf, nested, item)
    return filled(skeleton, filling)


def find_format(name: str) -> Format:
    """Return a registered format.

    Raises:
        InvalidInputError: none has that name.
    """
    from .formats import BUILT_IN

    for each in (*_formats, *BUILT_IN):
        if each.name == name:
            return each
    known = ", ".join(each.name for each in (*_formats, *BUILT_IN))
    raise InvalidInputError(f"no format is called '{name}'. There are: {known}; register_format adds one.", name=name)


def fetch(objects: ObjectStore, part: Part) -> bytes:
    """Return the bytes of a part from the store.

    Raises:
        CorruptError: they are not what the part's digest says.
        NotFoundError: they are not there.
    """
    return objects.get(part.digest) if not part.stored else unmask(objects.get(part.stored))


def fetch_place(objects: ObjectStore, part: Part) -> bytes | Path:
    """Return the bytes of a part, or a file that holds them where there are many; raises as ``fetch`` does."""
    if part.size <= LARGE_BYTES or part.stored:
        return fetch(objects, part)
    return objects.cached_path(part.digest)


def mask(data: bytes, turn: int) -> bytes:
    """Return bytes that share no stretch with ``data``: ``turn`` (1 to 255), then each byte turned by it."""
    return bytes([turn]) + data.translate(bytes(each ^ turn for each in range(256)))


def unmask(data: bytes) -> bytes:
    """Return what ``mask`` was given."""
    return data[1:].translate(bytes(each ^ data[0] for each in range(256)))


class _Saver:
    def __init__(
        self, what: str, wanted: str | None, special: Callable[[Any], Any] | None, folder: Path | None
    ) -> None:
        self.what = what
        self.special = special
        self.wanted = wanted
        self.folder = folder
        self.parts: list[Part] = []
        self.contents: dict[str, bytes] = {}
        self.files: dict[str, str] = {}
        self._above: set[int] = set()

    def skeleton(self, value: Any, path: str, depth: int) -> Any:
        if self.wanted is not None and depth == 0:
            return self._leaf(value, path)
        kind = type(value)
        scalar = spell_scalar(kind, value)
        if scalar is not NotImplemented:
            return scalar
        if kind in _CONTAINERS:
            return self._container(kind, value, path, depth)
        if kind in ITEMS:
            return spell_item(value, self._refer, lambda values: self.skeleton(values, path, depth + 1))
        spelled = self.special(value) if self.special is not None else None
        spelled = spell(kind, value) if spelled is None else spelled
        return spelled if spelled is not None else self._leaf(value, path)

    def _container(self, kind: type, value: Any, path: str, depth: int) -> Any:
        if id(value) in self._above or depth > DEEPEST:
            raise InvalidInputError(
                f"{self.what}{path} holds itself, or is nested more than {DEEPEST} deep: it cannot be kept. "
                "Make it a flat structure.",
                path=path,
            )
        self._above.add(id(value))
        try:
            if kind is dict:
                return self._mapping(value, path, depth)
            items = list(value)
            if kind in (set, frozenset):
                made = [self.skeleton(each, f"{path}{{…}}", depth + 1) for each in items]
                made.sort(key=msgspec.json.encode)
            else:
                made = [self.skeleton(each, f"{path}[{number}]", depth + 1) for number, each in enumerate(items)]
            return made if kind is list else {f"${kind.__name__}": made}
        finally:
            self._above.discard(id(value))

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> Any:
        plain = all(type(key) is str and not key.startswith("$") and is_unicode(key) for key in value)
        if plain:
            return {key: self.skeleton(each, f"[{key!r}]", depth + 1) for key, each in value.items()}
        pairs = [
            [self.skeleton(key, f"{path} key", depth + 1), self.skeleton(each, f"{path}[{key!r}]", depth + 1)]
            for key, each in value.items()
        ]
        return {"$dict": pairs}

    def _leaf(self, value: Any, path: str) -> Any:
        from .formats import BUILT_IN

        choice = [find_format(self.wanted)] if self.wanted else [*_formats, *BUILT_IN]
        for each in choice:
            if self.wanted or each.takes(value):
                kept = self._try(each, value)
                if kept is not None:
                    return kept
        from .formats import why_not

        raise InvalidInputError(
            f"{self.what}{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be kept: "
            f"{why_not(value)}. Make it of plain values, arrays or frames, or give the step a format of its own "
            "(register_format, @step(save=...)).",
            path=path,
        )

    def _try(self, form: Format, value: Any) -> Any:
        """Keep a value in a format; None when it does not fit."""
        large = form.size is not None and self.folder is not None and form.size(value) > LARGE_BYTES
        if large and form.write is not None and self.folder is not None:
            return self._write(form, form.write, value, self.folder)
        data = form.save(value)
        return None if data is None else self._keep(form, data)

    def _write(self, form: Format, write: Callable[[Any, BinaryIO], bool], value: Any, folder: Path) -> Any:
        """Keep a value in a file named by its digest and this process."""
        from .reads import file_digest

        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f"making-{os.getpid()}-{threading.get_ident()}-{len(self.parts)}"
        try:
            with making.open("xb") as file:
                fits = write(value, file)
                size = file.tell()
            if not fits:
                return None
            name = file_digest(making)
            target = folder / f"{name}.{os.urandom(6).hex()}"
            os.replace(making, target)
        except OSError as error:
            raise disk_error(error, making) from error
        finally:
            making.unlink(missing_ok=True)
        self.files[name] = str(target)
        self.parts.append(Part(format=form.name, digest=name, size=size))
        return {"$part": len(self.parts)}

    def _keep(self, form: Format, data: bytes) -> Any:
        from .formats import classes_in

        part = Part(format=form.name, digest=digest(data), size=len(data), classes=classes_in(form, data))
        self.parts.append(part)
        self.contents[part.digest] = data
        return {"$part": len(self.parts)}

    def _refer(self, file: DataFile) -> int:
        """Name an object that the store has as a part, and return the part's number."""
        self.parts.append(Part(format=OBJECT, digest=file.digest, size=file.size))
        return len(self.parts)


_CONTAINERS = (list, tuple, dict, set, frozenset)
