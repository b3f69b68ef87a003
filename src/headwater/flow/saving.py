"""How values are kept: open formats by type, each value as a skeleton in JSON and leaves in files.

Plain values live in the skeleton. A frame, an array, a model is a leaf, kept in the first registered format that
takes it; pickle is the last resort, and what was kept with it is loaded only by code that trusts where it came from.
The digest of a saved value is that of its parts, so a value passed by hand and the same value made by a step agree.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.canonical import digest, digest_of
from headwater.errors import InvalidInputError, RefusedError

if TYPE_CHECKING:
    from headwater.objects import ObjectStore

DEEPEST = 200


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of functions under a name. ``takes`` tells whether it can keep a value; ``trusted`` formats run no code.

    ``save`` returns bytes, or None when the value turns out not to fit; ``load`` gives the value back.
    """

    name: str
    takes: Callable[[Any], bool]
    save: Callable[[Any], bytes | None]
    load: Callable[[bytes], Any]
    trusted: bool = True


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
    """A value as parts: the first is the skeleton. ``contents`` holds the bytes of each where they are at hand."""

    parts: tuple[Part, ...]
    contents: dict[str, bytes] = {}

    @property
    def digest(self) -> str:
        """The digest that names the value."""
        return digest_of([[part.format, part.digest] for part in self.parts])


_formats: list[Format] = []


def register_format(given: Format) -> None:
    """Register a format; the last registered is asked first. Registering a name again replaces it.

    Register in the module of the step, so that workers do too.
    """
    _formats[:] = [each for each in _formats if each.name != given.name]
    _formats.insert(0, given)


def save(
    value: Any,
    what: str = "the value",
    wanted: str | None = None,
    special: Callable[[Any], Any] | None = None,
) -> Saved:
    """Return a value as parts. ``special`` may spell values of its own in JSON; None means that it does not.

    Raises:
        InvalidInputError: it holds something that cannot be kept: the message names it.
    """
    saver = _Saver(what, wanted, special)
    skeleton = msgspec.json.encode(saver.skeleton(value, "", 0))
    parts = [Part(format="json", digest=digest(skeleton), size=len(skeleton)), *saver.parts]
    return Saved(parts=tuple(parts), contents={parts[0].digest: skeleton, **saver.contents})


def load(parts: Sequence[Part], get: Callable[[Part], bytes], *, trust: bool) -> Any:
    """Return the value of parts; ``get`` gives the bytes of one.

    Raises:
        RefusedError: a part needs code to be run to load it, and ``trust`` is False.
    """
    skeleton = msgspec.json.decode(get(parts[0]))

    def leaf(number: int) -> Any:
        part = parts[number]
        found = find_format(part.format)
        if not found.trusted and not trust:
            raise RefusedError(
                f"this result is kept as {part.format}, which runs code when it is loaded. Load it where you trust the "
                "step that made it, with trust=True.",
                format=part.format,
            )
        return found.load(get(part))

    def nested(given: list[Any]) -> Any:
        return load([msgspec.convert(each, Part) for each in given], get, trust=trust)

    return _filled(skeleton, leaf, nested)


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


def mask(data: bytes, turn: int) -> bytes:
    """Return bytes that share no stretch with ``data``: ``turn`` (1 to 255), then each byte turned by it."""
    return bytes([turn]) + data.translate(bytes(each ^ turn for each in range(256)))


def unmask(data: bytes) -> bytes:
    """Return what ``mask`` was given."""
    return data[1:].translate(bytes(each ^ data[0] for each in range(256)))


class _Saver:
    def __init__(self, what: str, wanted: str | None, special: Callable[[Any], Any] | None) -> None:
        self.what = what
        self.special = special
        self.wanted = wanted
        self.parts: list[Part] = []
        self.contents: dict[str, bytes] = {}
        self._above: set[int] = set()

    def skeleton(self, value: Any, path: str, depth: int) -> Any:
        if self.wanted is not None and depth == 0:
            return self._leaf(value, path)
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return value if _is_unicode(value) else {"$text": list(value.encode("utf-8", "surrogatepass"))}
        if kind is int:
            return value if -(2**63) <= value < 2**64 else {"$int": hex(value)}
        if kind is float:
            return value if value - value == 0 else {"$float": value.hex() if value == value else _nan(value)}
        if kind in _CONTAINERS:
            return self._container(kind, value, path, depth)
        spelled = self.special(value) if self.special is not None else None
        spelled = _spell(kind, value) if spelled is None else spelled
        return spelled if spelled is not None else self._leaf(value, path)

    def _container(self, kind: type, value: Any, path: str, depth: int) -> Any:
        if id(value) in self._above or depth > DEEPEST:
            raise InvalidInputError(
                f"{self.what}{path} holds itself, or is nested more than {DEEPEST} deep: it cannot be kept. "
                "Return a flat structure.",
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
        plain = all(type(key) is str and not key.startswith("$") and _is_unicode(key) for key in value)
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
                data = each.save(value)
                if data is not None:
                    return self._keep(each, data)
        from .formats import why_not

        raise InvalidInputError(
            f"{self.what}{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be kept: "
            f"{why_not(value)}. Return plain values, arrays or frames, or give the step a format of its own "
            "(register_format, @step(save=...)).",
            path=path,
        )

    def _keep(self, form: Format, data: bytes) -> Any:
        from .formats import classes_in

        part = Part(format=form.name, digest=digest(data), size=len(data), classes=classes_in(form, data))
        self.parts.append(part)
        self.contents[part.digest] = data
        return {"$part": len(self.parts)}


def _filled(made: Any, leaf: Callable[[int], Any], nested: Callable[[list[Any]], Any]) -> Any:
    if isinstance(made, list):
        return [_filled(each, leaf, nested) for each in made]
    if not isinstance(made, dict):
        return made
    if len(made) == 1:
        (key, value) = next(iter(made.items()))
        if key.startswith("$"):
            return _meant(key, value, leaf, nested)
    return {key: _filled(value, leaf, nested) for key, value in made.items()}


def _meant(key: str, value: Any, leaf: Callable[[int], Any], nested: Callable[[list[Any]], Any]) -> Any:
    if key == "$part":
        return leaf(value)
    if key == "$value":
        return nested(value)
    if key == "$version":
        from .refs import DataRef

        return DataRef(f"{value[0]}@{value[1]}")
    if key in ("$tuple", "$set", "$frozenset"):
        return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[key](
            _filled(each, leaf, nested) for each in value
        )
    if key == "$dict":
        return {_filled(name, leaf, nested): _filled(each, leaf, nested) for name, each in value}
    if key == "$int":
        return int(value, 16)
    if key == "$float":
        return _float(value)
    if key == "$text":
        return bytes(value).decode("utf-8", "surrogatepass")
    if key == "$bytes":
        return base64.b64decode(value)
    if key == "$bytearray":
        return bytearray(base64.b64decode(value))
    if key == "$complex":
        return complex(_float(value[0]), _float(value[1]))
    if key == "$range":
        return range(*value)
    if key == "$slice":
        return slice(*value)
    return _read_spelling(key, value)


def _float(text: str) -> float:
    if text.startswith("nan:"):
        from headwater.canonical import float_from_bits

        return float_from_bits(int(text[4:]))
    return float.fromhex(text)


def _nan(value: float) -> str:
    from headwater.canonical import float_bits

    return f"nan:{float_bits(value)}"


def _exact(value: float) -> str:
    return value.hex() if value == value else _nan(value)


_CONTAINERS = (list, tuple, dict, set, frozenset)
_SMALL_BYTES = 4096


def _spell(kind: type, value: Any) -> Any:
    """Return the spelling of a plain value that JSON lacks, None for what is a leaf."""
    if kind is bytes and len(value) <= _SMALL_BYTES:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is bytearray and len(value) <= _SMALL_BYTES:
        return {"$bytearray": base64.b64encode(value).decode()}
    if kind is complex:
        return {"$complex": [_exact(value.real), _exact(value.imag)]}
    if kind is range:
        return {"$range": [value.start, value.stop, value.step]}
    if kind is slice and all(each is None or type(each) is int for each in (value.start, value.stop, value.step)):
        return {"$slice": [value.start, value.stop, value.step]}
    if kind.__module__ == "datetime" and kind.__name__ in ("datetime", "date", "time"):
        zone = getattr(value, "tzinfo", None)
        if zone is None or type(zone).__name__ == "timezone":
            return {f"${kind.__name__}": value.isoformat()}
    if kind.__module__ == "datetime" and kind.__name__ == "timedelta":
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if (kind.__module__, kind.__name__) in (("decimal", "Decimal"), ("uuid", "UUID")):
        return {f"${kind.__name__}": str(value)}
    if kind.__module__.startswith("pathlib") and kind.__name__ in ("PosixPath", "PurePosixPath"):
        return {f"${kind.__name__}": str(value)}
    return None


def _read_spelling(key: str, value: Any) -> Any:
    import datetime
    import decimal
    import pathlib
    import uuid

    if key == "$timedelta":
        return datetime.timedelta(*value)
    classes: dict[str, Any] = {
        "$datetime": datetime.datetime.fromisoformat,
        "$date": datetime.date.fromisoformat,
        "$time": datetime.time.fromisoformat,
        "$Decimal": decimal.Decimal,
        "$UUID": uuid.UUID,
        "$PosixPath": pathlib.PosixPath,
        "$PurePosixPath": pathlib.PurePosixPath,
    }
    return classes[key](value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
