"""What every project offers, however it was opened."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from .settings import Settings

if TYPE_CHECKING:
    from headwater.events import EventLog
    from headwater.ledger import Ledger
    from headwater.objects import ObjectStore
    from headwater.operation import Operation

Clock = Callable[[], int]


def utc_now_us() -> int:
    """Return the time of this machine's clock as UTC microseconds since 1970."""
    return time.time_ns() // 1000


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. ``claimed``: the name was given, not proven; whoever opens the folder is its administrator."""

    name: str
    claimed: bool = True
    roles: tuple[str, ...] = ("admin",)

    def __str__(self) -> str:
        return f"{self.name} (claimed)" if self.claimed else self.name


class Project(ABC):
    """A project seen by one actor. Operations take it as their first argument."""

    id: str
    name: str
    settings: Settings
    actor: Actor
    clock: Clock
    root: Path | None
    """The folder that holds headwater.toml; None when the project was opened by URL."""

    @property
    @abstractmethod
    def ledger(self) -> Ledger:
        """The facts. Only operation bodies use it; a project opened by URL has none here."""

    @property
    @abstractmethod
    def objects(self) -> ObjectStore:
        """The bytes."""

    @property
    @abstractmethod
    def events(self) -> EventLog:
        """The streams."""

    @abstractmethod
    def call(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation and return its result; permission and audit apply at the outermost call."""

    @abstractmethod
    def as_actor(self, actor: Actor | str) -> Self:
        """Return the same project as another person sees it; a bare name is a claim."""

    @abstractmethod
    def close(self) -> None:
        """Flush and let go of files and connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
