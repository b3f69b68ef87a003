"""Everything that can go wrong, by what a caller would do about it.

A message says what happened, why, and what to do next, with the values in it. Each class has
a ``kind`` that never changes once released; the values ride along as ``values`` so that the
terminal, the page and the JSON each show the same fact their own way.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HeadwaterError(Exception):
    """The root of the tree. ``exit_code``: 1 the answer is no, 2 wrong use, 3 it broke."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.values = values


class InvalidInputError(HeadwaterError):
    """What was given cannot be used as it is: correct it and call again."""

    kind = "invalid_input"
    exit_code = 2
    http_status = 400


class TooLargeError(InvalidInputError):
    """What was sent is larger than may be sent at once; the message gives the limit."""

    kind = "too_large"
    http_status = 413


class NotFoundError(HeadwaterError):
    """There is no such thing: the message says how to list those there are."""

    kind = "not_found"
    exit_code = 2
    http_status = 404


class GoneError(NotFoundError):
    """It was there: its bytes were collected or erased on a date that the message gives."""

    kind = "gone"
    http_status = 410


class SourceMissingError(NotFoundError):
    """Another server answered that it has no such thing: what a source pointed to is not there any longer."""

    kind = "source_missing"
    exit_code = 3
    http_status = 502


class ConflictError(HeadwaterError):
    """Somebody else moved or made it first: look again, then decide."""

    kind = "conflict"
    exit_code = 2
    http_status = 409


class MergeConflictError(ConflictError):
    """Two lines changed the same paths differently: the message names them and says how to choose a side."""

    kind = "merge_conflict"
    exit_code = 1


class RefusedError(HeadwaterError):
    """The answer is no: a failed check, a closed gate, a missing approval. The message says what would change it."""

    kind = "refused"
    exit_code = 1
    http_status = 422


class NotPublishableError(RefusedError):
    """A protected branch was asked to move to a version without a passing verdict."""

    kind = "not_publishable"


class DeniedError(HeadwaterError):
    """The person may not do this: the message names the permission."""

    kind = "denied"
    exit_code = 2
    http_status = 403


class UnauthenticatedError(DeniedError):
    """The server does not know who is asking."""

    kind = "unauthenticated"
    http_status = 401


class StorageError(HeadwaterError):
    """The disk, the bucket or the database failed; nothing acknowledged is lost."""

    kind = "storage"


class DiskFullError(StorageError):
    """There is no room: free some, then send the same again."""

    kind = "disk_full"
    http_status = 507


class CorruptError(StorageError):
    """Bytes are not what their digest says."""

    kind = "corrupt"


class UnavailableError(HeadwaterError):
    """A server or database does not answer: try again, or start it."""

    kind = "unavailable"
    http_status = 503


class UpgradeNeededError(HeadwaterError):
    """The project and the program are of different schemas."""

    kind = "upgrade_needed"
    exit_code = 2
    http_status = 409


class MissingExtraError(HeadwaterError):
    """An optional library is not installed: the message names the extra."""

    kind = "missing_extra"
    exit_code = 2
    http_status = 501

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. Run: pip install 'headwater[{extra}]'",
            package=package,
            extra=extra,
        )


class UserCodeError(HeadwaterError):
    """The user's own step, check or model raised; carries the user's traceback as text."""

    kind = "user_code"
    exit_code = 1
    http_status = 422

    def __init__(self, message: str, traceback: str, **values: Any) -> None:
        super().__init__(message, traceback=traceback, **values)
        self.traceback = traceback


def error_classes() -> dict[str, type[HeadwaterError]]:
    """Return the class of each kind, so that a client raises what the server raised; one without a kind is its base."""
    found: dict[str, type[HeadwaterError]] = {}
    waiting: list[type[HeadwaterError]] = [HeadwaterError]
    while waiting:
        cls = waiting.pop()
        if "kind" in vars(cls):
            found[cls.kind] = cls
        waiting.extend(cls.__subclasses__())
    return found


def as_document(error: HeadwaterError) -> dict[str, Any]:
    """Return the error as JSON-ready fields: kind, message, values."""
    return {"kind": error.kind, "message": error.message, "values": error.values}


def from_document(document: dict[str, Any]) -> HeadwaterError:
    """Return the error that ``as_document`` described; an unknown kind becomes the root class."""
    cls = error_classes().get(document.get("kind", "error"), HeadwaterError)
    error = cls.__new__(cls)
    HeadwaterError.__init__(error, document.get("message", "unknown error"), **document.get("values", {}))
    if isinstance(error, UserCodeError):
        error.traceback = error.values.get("traceback", "")
    return error
