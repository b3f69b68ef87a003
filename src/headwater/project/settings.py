"""The settings of a project: its ``headwater.toml``, read once, each table parsed by the room that owns it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from headwater.errors import InvalidInputError

FILE = "headwater.toml"
STATE = ".headwater"


class Settings:
    """The tables of ``headwater.toml``; values written ``env:NAME`` come from the environment."""

    __slots__ = ("path", "tables")

    def __init__(self, tables: dict[str, Any], path: Path | None = None) -> None:
        self.tables = tables
        self.path = path

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Return the settings of a file.

        Raises:
            InvalidInputError: the file is not TOML; the message gives the line.
        """
        import tomllib

        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")), path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(
                f"'{path}' cannot be read: {error}. Correct the line and run the command again.", path=str(path)
            ) from error

    def table(self, name: str) -> dict[str, Any]:
        """Return the table of that name, empty when there is none."""
        found = self.tables.get(name, {})
        if not isinstance(found, dict):
            raise InvalidInputError(f"[{name}] in {FILE} must be a table, not {type(found).__name__}.", table=name)
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the array of tables written ``[[name]]``, empty when there is none."""
        found = self.tables.get(name, [])
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise InvalidInputError(f"'{name}' in {FILE} must be written as [[{name}]] tables.", table=name)
        return found

    def text(self, table: str, key: str, default: str = "") -> str:
        """Return one text value, ``env:NAME`` resolved from the environment."""
        return resolve(self.table(table).get(key, default))

    def store_credentials(self) -> dict[str, str]:
        """Return what opens the object store: ``[stores.s3]`` where its URL begins with ``s3://``, and so on."""
        kind = self.text("stores", "objects").partition("://")[0]
        return {key: resolve(value) for key, value in self.table("stores").get(kind, {}).items()}


def resolve(value: Any) -> str:
    """Return a text value; ``env:NAME`` gives the environment variable.

    Raises:
        InvalidInputError: the variable is not set.
    """
    text = str(value)
    if not text.startswith("env:"):
        return text
    name = text[4:]
    if name not in os.environ:
        raise InvalidInputError(f"{FILE} takes a value from the environment variable {name}, which is not set.")
    return os.environ[name]
