"""What a source is: read settings, pull what changed since the last time, say what it would fetch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec

from ..errors import ConflictError, InvalidInputError
from ..lake import Entry
from .values import Planned

if TYPE_CHECKING:
    from ..ledger import WriteTx
    from ..project import Project
    from .intake import Intake

S = TypeVar("S", bound=msgspec.Struct)


class ReadAgain(ConflictError):
    """What a source read is no longer as it was: nothing was recorded, and the pull is tried again.

    Raised by ``pull`` or by what it gave as ``also``.
    """


class Here(NamedTuple):
    """Where a source is read: the project, and the name and parameters by which it is pulled."""

    project: Project
    name: str
    parameters: Mapping[str, str]


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says at the end of a pull.

    ``state`` (JSON-able, without secrets) is what the next pull gets as ``since``: etags, offsets, a high-water mark.
    ``mirror``: files of the last version that were neither put nor kept are removed. ``note`` is a line for people.
    ``also`` records more, in the transaction that records the pull's end, whose ref it gets.
    """

    state: dict[str, Any] = {}
    mirror: bool = False
    note: str = ""
    also: Callable[[WriteTx, str], None] | None = None


class Source(ABC):
    """One declared source, its parameters filled in. A kind of source is a class, named in ``kinds.KINDS``."""

    kind: ClassVar[str]
    _here: Here | None = None

    def placed(self, project: Project, name: str, parameters: Mapping[str, str]) -> Self:
        """Say where the source is read, and return it."""
        self._here = Here(project, name, parameters)
        return self

    @property
    def here(self) -> Here:
        """Where the source is read."""
        assert self._here is not None  # whoever makes a source to use it says so (declared.bind)
        return self._here

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: dict[str, Any], *, root: Path) -> Self:
        """Return the source that the settings declare; reads no secret and reaches nothing.

        ``root`` is the project's folder, against which relative paths count.

        Raises:
            InvalidInputError: a setting is missing, unknown or cannot be used.
        """

    @property
    @abstractmethod
    def text(self) -> str:
        """Where the data comes from, for people and the lineage: never a secret."""

    @abstractmethod
    def pull(self, since: dict[str, Any] | None, into: Intake) -> Pulled:
        """Read what changed since the last pull (None: everything), put it into the intake, and say how it went.

        Nothing reaches the lake when this raises.
        """

    def plan(self, since: dict[str, Any] | None, current: Mapping[str, Entry]) -> list[Planned]:
        """Return what a pull would do, fetching as little as can be."""
        return [Planned(act="fetch", what=self.text, why="what changed since the last pull" if since else "all of it")]

    def behind(self, since: dict[str, Any] | None) -> int | None:
        """Return how many records wait at the source; None: it cannot tell."""
        return None

    def test(self) -> str:
        """Return what was found where the source points, fetching no data; raises where it cannot be reached."""
        return f"the settings can be used; nothing was asked of {self.text}"


def read_settings(kind: str, settings: dict[str, Any], form: type[S]) -> S:
    """Return the settings of a source as the struct ``form``.

    Raises:
        InvalidInputError: a key is unknown or missing, or a value is of another type; the message lists the known.
    """
    known = [field.encode_name for field in msgspec.structs.fields(form)]
    unknown = sorted(set(settings) - set(known))
    required = [field.encode_name for field in msgspec.structs.fields(form) if field.required]
    missing = [name for name in required if name not in settings]
    says = [f"it has no setting '{name}'" for name in unknown] + [f"'{name}' is missing" for name in missing]
    if says:
        raise InvalidInputError(
            f"a source of kind '{kind}' cannot be declared like this: {', '.join(says)}. "
            f"It takes: {', '.join(known)}; and, as every source: name, kind, dataset, branch, under, parameters, "
            "extract, description.",
            kind=kind,
            unknown=unknown,
            missing=missing,
        )
    try:
        return msgspec.convert(settings, form)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"a setting of a source of kind '{kind}' cannot be used: {error}.", kind=kind
        ) from error
