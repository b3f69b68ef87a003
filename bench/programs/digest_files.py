"""The work of the incremental measure: a slow digest of each file below some folders, by two processes.

``all FOLDER... OUT`` digests every file. ``new FOLDER... OUT`` keeps digests by content in a synced SQLite file beside
OUT, and digests only what is not there: the least that any memory must do. ``one FILE OUT`` digests one file.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROUNDS = 6000


def slow_digest(data: bytes) -> str:
    return hashlib.pbkdf2_hmac("sha256", data, b"incremental", ROUNDS).hex()


def of_file(path: Path) -> str:
    return slow_digest(path.read_bytes())


def main(what: str, folders: list[Path], out: Path) -> None:
    if what == "one":
        out.write_text(of_file(folders[0]))
        return
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    known: dict[str, str] = {}
    base = sqlite3.connect(out.with_suffix(".db"), isolation_level=None) if what == "new" else None
    if base is not None:
        base.execute("CREATE TABLE IF NOT EXISTS digests (content TEXT PRIMARY KEY, digest TEXT)")
        known = dict(base.execute("SELECT content, digest FROM digests"))
    contents = {path: hashlib.blake2b(path.read_bytes()).hexdigest() for path in paths}
    fresh = [path for path in paths if contents[path] not in known]
    with ProcessPoolExecutor(2) as pool:
        made = {contents[path]: each for path, each in zip(fresh, pool.map(of_file, fresh, chunksize=16), strict=True)}
    if base is not None:
        base.execute("PRAGMA synchronous = FULL")
        base.execute("BEGIN")
        base.executemany("INSERT OR IGNORE INTO digests VALUES (?, ?)", made.items())
        base.execute("COMMIT")
    known |= made
    out.write_text(hashlib.sha256("".join(known[contents[path]] for path in paths).encode()).hexdigest())
    print(f"{len(fresh)} digested")


if __name__ == "__main__":
    main(sys.argv[1], [Path(each) for each in sys.argv[2:-1]], Path(sys.argv[-1]))
