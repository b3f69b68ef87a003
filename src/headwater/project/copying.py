"""Copying a whole project: from a folder to Postgres and a bucket, and back.

The order is what makes it safe. Packs of objects go first, each verified before it has its name; then, of one snapshot
of the ledger, what came since, the open events, the settings; last the ledger, in one transaction that first compares
its rows with the source's and looks whether the source changed meanwhile. A project opens only when it has a ledger,
so an interrupted copy opens never, and running it again passes over the packs that are there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headwater.durable import crash_point, make_directory, write_new
from headwater.errors import ConflictError, CorruptError, InvalidInputError, NotFoundError

from .base import Clock, utc_now_us
from .local import LocalProject, claimed_actor, ledger_url
from .settings import FILE, STATE, Settings

if TYPE_CHECKING:
    from headwater.events.transfer import OpenRows
    from headwater.ledger import Head, Tx, WriteTx
    from headwater.ledger.comparing import Sums
    from headwater.objects import ObjectStore, PackRecord

Progress = Callable[[int, int, int], None]
"""Called with packs done, packs in all, bytes copied."""
CODE = ("checks.py",)
"""Files beside headwater.toml that say what may be published: a project without them would be open."""
KEPT = ("mask.key",)
"""Files of .headwater that cannot be made anew: masks must give the same pseudonyms on the other side."""
NOT_COMPARED = frozenset({"event_tail", "leases", "pack_uses", "stray_packs"})
"""The open tail lies elsewhere in a folder; the others say who is at work where, and are begun anew."""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy brought over: rows by table, packs and bytes (those copied in this run), open events, the chain."""

    project: str
    name: str
    tables: dict[str, int]
    packs: int
    bytes: int
    events: int
    head_seq: int
    head_hash: str


def copy_project(
    source: LocalProject,
    to: str | Path,
    *,
    ledger: str | None = None,
    objects: str | None = None,
    credentials: dict[str, str] | None = None,
    clock: Clock = utc_now_us,
    progress: Progress | None = None,
) -> Copied:
    """Copy a project, ids and history and all, into a folder whose stores are ``ledger`` and ``objects``.

    Without them the stores are those that the folder's own headwater.toml names, else files in the folder. The folder
    and the stores must be empty, but for what an interrupted copy of this very project left.

    Raises:
        ConflictError: there is a project already, other packs lie in the store, or the source was written to
            meanwhile.
        CorruptError: the copy's rows are not the source's, or a pack is damaged.
    """
    root = Path(to).absolute()
    settings = _settings_for(source, root, ledger, objects)
    url = ledger_url(root, settings)
    _require_no_ledger(url, clock)
    make_directory(root / STATE, "project.copy")
    with _open_objects(root, settings, credentials) as target:
        copied = _copy_objects(source, target, progress)
        with source.ledger.read() as tx:
            copied += _copy_objects(source, target, progress, tx)
            return _copy_facts(source, tx, root, settings, url, copied, clock)


def _copy_facts(
    source: LocalProject, tx: Tx, root: Path, settings: Settings, url: str | Path, copied: int, clock: Clock
) -> Copied:
    from headwater.events.transfer import open_parts, open_rows, write_segments, write_tail
    from headwater.ledger.chain import head_of
    from headwater.ledger.transfer import copy_ledger

    before = open_rows(source.events)
    events = 0
    to_table = isinstance(url, str)
    if not to_table:
        shutil.rmtree(root / STATE / "events", ignore_errors=True)  # of a copy that did not come to its end
        events = write_segments(root / STATE / "events", open_parts(source.events), clock)
    _write_files(source, root, settings)

    def also(made: WriteTx, _: dict[str, int]) -> None:
        nonlocal events
        if to_table:
            events = write_tail(made, open_parts(source.events), clock)
        _require_same(tx, made)
        _require_unchanged(source, tx, before)
        crash_point("project.copy.compared")

    tables = copy_ledger(tx, url, leave_out=NOT_COMPARED, also=also)
    head: Head = head_of(tx)
    return Copied(
        project=source.id,
        name=source.name,
        tables=tables,
        packs=len(_packs_of(tx)),
        bytes=copied,
        events=events,
        head_seq=head.seq,
        head_hash=head.hash,
    )


def _copy_objects(source: LocalProject, target: ObjectStore, progress: Progress | None, tx: Tx | None = None) -> int:
    from headwater.objects.transfer import copy_packs, list_packs

    if tx is None:
        with source.ledger.read() as first:
            packs = _packs_of(first)
        strange = set(list_packs(target)) - {pack.id for pack in packs}
        if strange:
            raise ConflictError(
                f"the object store of the copy holds {len(strange)} pack(s) that are not of '{source.name}', "
                f"{min(strange)} first. A project is copied to an empty place: choose another folder or prefix.",
                packs=sorted(strange)[:100],
            )
    else:
        packs = _packs_of(tx)
    return copy_packs(source.objects, target, packs, progress)


def _packs_of(tx: Tx) -> list[PackRecord]:
    from headwater.objects import PackRecord

    rows = tx.all("SELECT seq, id, size, entries, footer_digest, created_at FROM packs ORDER BY seq")
    return [PackRecord(**row.as_dict()) for row in rows]


def _require_no_ledger(url: str | Path, clock: Clock) -> None:
    from headwater.ledger import open_ledger

    try:
        found = open_ledger(url, clock)
    except NotFoundError:
        return
    with found:
        raise ConflictError(
            f"'{found.where}' holds the project '{found.name}' ({found.project_id}) already. Copy to an empty place; "
            "'hw project compare' tells whether two projects hold the same.",
            project=found.project_id,
        )


def _require_same(tx: Tx, made: Tx) -> None:
    from headwater.ledger.comparing import differing, sum_tables

    ours, theirs = sum_tables(tx, NOT_COMPARED), sum_tables(made, NOT_COMPARED)
    for difference in differing(tx, made, ours, theirs):
        raise CorruptError(
            f"the copy was given up: table '{difference.table}' has {difference.rows_b:,} rows in it and "
            f"{difference.rows_a:,} in the source, or other values. Nothing was kept of its ledger; run it again.",
            table=difference.table,
        )


def _require_unchanged(source: LocalProject, tx: Tx, events: dict[str, OpenRows]) -> None:
    """Raise ConflictError where somebody wrote to the source since the snapshot was taken."""
    from headwater.events.transfer import open_rows
    from headwater.ledger.comparing import sum_tables

    snapshot: Sums = sum_tables(tx, NOT_COMPARED)
    with source.ledger.read() as now:
        current = sum_tables(now, NOT_COMPARED)
    changed = sorted(table for table in snapshot if snapshot[table] != current[table])
    streams = open_rows(source.events)
    changed += [f"events of '{name}'" for name in sorted(streams | events) if streams.get(name) != events.get(name)]
    if changed:
        raise ConflictError(
            f"'{source.name}' was written to while it was copied ({', '.join(changed[:5])}), so the copy was given up. "
            "Stop its server and workers, then run it again: the objects are there already.",
            changed=changed,
        )


def _open_objects(root: Path, settings: Settings, credentials: dict[str, str] | None) -> ObjectStore:
    from headwater.objects import open_store

    place = settings.text("stores", "objects") or root / STATE / "objects"
    return open_store(
        place, cache=root / STATE / "cache", credentials=credentials or settings.store_credentials() or None
    )


# ---- settings and files


def _settings_for(source: LocalProject, root: Path, ledger: str | None, objects: str | None) -> Settings:
    """Return the settings of the copy: the folder's own, else the source's with other stores."""
    path = root / FILE
    if path.exists():
        found = Settings.read(path)
        for key, given in (("ledger", ledger), ("objects", objects)):
            if given is not None and found.table("stores").get(key) != given:
                raise ConflictError(
                    f"'{path}' names other stores than were asked for ({key} = {given!r}). Change it, or leave the "
                    "option out: the file is followed.",
                    path=str(path),
                )
        return found
    import tomllib

    text = copied_settings(_text_of(source), ledger, objects)
    return Settings(tomllib.loads(text), None)


def copied_settings(text: str, ledger: str | None, objects: str | None) -> str:
    """Return the text of a headwater.toml with other stores, everything else as it was written.

    Raises:
        InvalidInputError: its stores are not written as tables of their own.
    """
    import tomllib

    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$", line)
        if header:
            name = header[1].replace('"', "").replace(" ", "")
            # The keys of a bucket stay where the copy lies in a bucket too.
            inside = name == "stores" or (name.startswith("stores.") and not (objects or "").startswith("s3://"))
        if not inside:
            kept.append(line)
    made = "\n".join(kept).rstrip() + "\n"
    if ledger or objects:
        stores = [("ledger", ledger), ("objects", objects)]
        made += "\n[stores]\n" + "".join(f"{key} = {_quoted(value)}\n" for key, value in stores if value)
    before, after = (
        {key: value for key, value in tomllib.loads(each).items() if key != "stores"} for each in (text, made)
    )
    named = tomllib.loads(made).get("stores", {})
    if before != after or (named.get("ledger"), named.get("objects")) != (ledger, objects):
        raise InvalidInputError(
            f"the stores in {FILE} cannot be replaced as they are written: make them tables of their own ([stores], "
            "[stores.s3]), or put the copy's headwater.toml into its folder yourself."
        )
    return made


def _quoted(value: str) -> str:
    import json

    return json.dumps(value)


def _text_of(source: LocalProject) -> str:
    return (source.folder / FILE).read_text(encoding="utf-8")


def _write_files(source: LocalProject, root: Path, settings: Settings) -> None:
    """Write the settings, the checks and what cannot be made anew; what the folder has already stays."""
    stores: dict[str, Any] = settings.table("stores")
    if settings.path is None:
        text = copied_settings(_text_of(source), stores.get("ledger"), stores.get("objects"))
        write_new(root / FILE, text.encode(), "project.copy")
    for name in CODE:
        if (source.folder / name).is_file():
            write_new(root / name, (source.folder / name).read_bytes(), "project.copy")
    for name in KEPT:
        kept = source.state / name
        if kept.is_file() and write_new(root / STATE / name, kept.read_bytes(), "project.copy"):
            os.chmod(root / STATE / name, 0o600)
    ignore = root / STATE / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def open_copy(
    to: str | Path, *, credentials: dict[str, str] | None = None, actor: str | None = None, clock: Clock = utc_now_us
) -> LocalProject:
    """Open the project that was copied to a folder."""
    return LocalProject(Path(to).absolute(), actor=claimed_actor(actor), clock=clock, credentials=credentials)
