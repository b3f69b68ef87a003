"""A delivery: one candidate on its way through the stages, kept as a small file that stages hand on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from headwater.durable import disk_error
from headwater.errors import InvalidInputError

from .pipeline import STAGES


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How far a candidate got.

    ``data`` and ``test_data`` are the versions that were pinned, ``candidate`` and ``champion`` labels of model
    versions (the champion is what production pointed to when the candidate was tested, "" for nothing), ``request``
    the id of the release request. ``passed`` are stages in their order, ``failed`` the one that did not pass.
    """

    commit: str = ""
    data: str = ""
    test_data: str = ""
    run: str = ""
    candidate: str = ""
    champion: str = ""
    request: str = ""
    passed: tuple[str, ...] = ()
    failed: str = ""
    taken_back: bool = False

    @property
    def waits(self) -> bool:
        """Whether it was asked for a release, and nothing was decided yet as far as this file knows."""
        return "approval" in self.passed and "production" not in self.passed and not self.failed

    def with_passed(self, stage: str) -> Delivery:
        """Return it with a stage passed, which takes back what later stages found."""
        kept = (*(each for each in self.passed if STAGES.index(each) < STAGES.index(stage)), stage)
        return msgspec.structs.replace(self, passed=kept, failed="")


def read_delivery(path: Path) -> Delivery | None:
    """Return the delivery that a file holds, or None where there is no file.

    Raises:
        InvalidInputError: the file holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Delivery)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InvalidInputError(
            f"'{path}' holds no delivery: {error}. Delete it and run 'hw ci run', which begins a new one.",
            path=str(path),
        ) from error


def write_delivery(path: Path, delivery: Delivery) -> None:
    """Write a delivery to its file.

    Raises:
        StorageError: the folder is full or not writable.
    """
    replace_text(path, msgspec.json.format(msgspec.json.encode(delivery), indent=2).decode() + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file all at once: whoever reads it sees the one before or this one.

    Raises:
        StorageError: the folder is full or not writable.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise disk_error(error, path) from error
