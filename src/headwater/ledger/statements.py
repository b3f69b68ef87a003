"""SQL as text: cutting a schema file into statements and finding what lies outside quotes and comments."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_QUOTED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/"
_SCHEMA = Path(__file__).parent / "schema"


def replacing(
    pattern: str, flags: re.RegexFlag = re.IGNORECASE
) -> Callable[[Callable[[re.Match[str]], str], str], str]:
    """Return a substitution of ``pattern`` that leaves string literals, quoted names and comments alone."""
    scanner = re.compile(f"(?P<quoted>{_QUOTED})|{pattern}", re.DOTALL | flags)

    def replace(by: Callable[[re.Match[str]], str], sql: str) -> str:
        return scanner.sub(lambda found: found[0] if found["quoted"] is not None else by(found), sql)

    return replace


_without_comments = re.compile(r"(?P<kept>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|--[^\n]*|/\*.*?\*/", re.DOTALL)
_ends = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?P<end>;)")


def split(script: str) -> list[str]:
    """Return the statements of a script, without comments; a semicolon in a literal does not end one."""
    bare = _without_comments.sub(lambda found: found["kept"] or " ", script)
    found: list[str] = []
    start = 0
    for end in _ends.finditer(bare):
        if end["end"] is not None:
            found.append(bare[start : end.start()].strip())
            start = end.end()
    found.append(bare[start:].strip())
    return [each for each in found if each]


def schema_statements() -> list[str]:
    """Return the statements that make a ledger of the current schema, files in order of their names."""
    return [each for file in sorted(_SCHEMA.glob("*.sql")) for each in split(file.read_text("utf-8"))]
