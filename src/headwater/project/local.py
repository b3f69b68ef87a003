"""A project opened by its folder: the three stores in place, operations run in this process."""

from __future__ import annotations

import contextvars
import copy
import getpass
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from headwater.durable import make_directory, write_new
from headwater.errors import ConflictError, GoneError, HeadwaterError, InvalidInputError, NotFoundError
from headwater.ids import new_id

from .audit import record_audit
from .base import Actor, Clock, Project, utc_now_us
from .permissions import require
from .settings import FILE, STATE, Settings, resolve

if TYPE_CHECKING:
    from headwater.events import EventLog
    from headwater.ledger import Ledger, WriteTx
    from headwater.objects import ObjectStore
    from headwater.operation import Operation

_inside: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("inside_operations", default=())


class _Stores:
    """The stores of one project, shared by every actor's view of it; opened when first used."""

    def __init__(self, root: Path, settings: Settings, clock: Clock, credentials: dict[str, str] | None) -> None:
        self.root = root
        self.settings = settings
        self.clock = clock
        self.credentials = credentials
        self.ledger: Ledger | None = None
        self.objects: ObjectStore | None = None
        self.events: EventLog | None = None
        self._recording = threading.local()

    @property
    def state(self) -> Path:
        return self.root / STATE

    def open_ledger(self) -> Ledger:
        if self.ledger is None:
            from headwater.ledger import open_ledger

            self.ledger = open_ledger(ledger_url(self.root, self.settings), self.clock)
            self.ledger.before_commit.append(self._record_packs)
            self.ledger.after_commit.append(self._packs_recorded)
        return self.ledger

    def open_objects(self) -> ObjectStore:
        if self.objects is None:
            from headwater.objects import open_store

            url = self.settings.text("stores", "objects")
            credentials = self.credentials or self.settings.store_credentials()
            self.objects = open_store(
                url or self.state / "objects", cache=self.state / "cache", credentials=credentials or None
            )
            self.objects.packs_since = self._packs_since
            self.objects.use_packs = self._use_packs
            self.objects.dropped_packs = self._dropped_packs
            self.objects.explain_gone = self._explain_gone
        return self.objects

    def open_events(self) -> EventLog:
        if self.events is None:
            from headwater.events import open_events

            self.events = open_events(self.state / "events", self.open_ledger(), self.open_objects(), self.clock)
        return self.events

    def _packs_since(self, seq: int) -> list[Any]:
        from headwater.objects import PackRecord

        with self.open_ledger().read() as tx:
            rows = tx.all(
                "SELECT seq, id, size, entries, footer_digest, created_at FROM packs WHERE seq > ? ORDER BY seq", (seq,)
            )
        return [
            PackRecord(
                id=row.id,
                size=row.size,
                entries=row.entries,
                footer_digest=row.footer_digest,
                created_at=row.created_at,
                seq=row.seq,
            )
            for row in rows
        ]

    def _use_packs(self, packs: list[str]) -> set[str]:
        from headwater.ledger.packs import use_packs

        return use_packs(self.open_ledger(), packs)

    def _dropped_packs(self, packs: list[str]) -> set[str]:
        from headwater.ledger.packs import dropped_packs

        with self.open_ledger().read() as tx:
            return dropped_packs(tx, packs)

    def _explain_gone(self, digest: str) -> GoneError | None:
        from headwater.ledger.packs import explain_gone

        with self.open_ledger().read() as tx:
            return explain_gone(tx, f"object:{digest}")

    def _record_packs(self, tx: WriteTx) -> None:
        """Write the rows of packs made since the last commit, in the transaction whose facts need them.

        Raises:
            ConflictError: a pack waited so long that it was collected, or bytes that were relied on were erased.
        """
        self._recording.packs = ()
        packs = self.objects.pending() if self.objects is not None else []
        if packs:
            from headwater.ledger.packs import refuse_dropped

            try:
                refuse_dropped(tx, [pack.id for pack in packs])
            except ConflictError as error:
                for lost in error.values["packs"]:
                    self.objects.forget_pack(lost)  # type: ignore[union-attr]  # there are packs, so there is a store
                raise
        for pack in packs:
            if tx.one("SELECT 1 AS one FROM packs WHERE id = ?", (pack.id,)) is None:
                tx.insert(
                    "packs",
                    seq=tx.next("packs"),
                    id=pack.id,
                    size=pack.size,
                    entries=pack.entries,
                    footer_digest=pack.footer_digest,
                    created_at=tx.database_now(),
                )
                self._there_again(tx, pack.id)
        self._recording.packs = packs

    def _there_again(self, tx: WriteTx, pack: str) -> None:
        """Let what a new pack holds no longer count as gone, so that its absence is an error again."""
        first = tx.one("SELECT 1 AS one FROM gone WHERE ref >= 'object:' AND ref < 'object;' LIMIT 1")
        if first is not None and self.objects is not None:
            refs = [f"object:{digest.hex()}" for digest, _ in self.objects.index.locations(pack)]
            back = tx.all_in("SELECT ref FROM gone WHERE ref IN (??)", refs)
            tx.executemany("DELETE FROM gone WHERE ref = ?", [(row.ref,) for row in back])

    def _packs_recorded(self) -> None:
        packs = getattr(self._recording, "packs", ())
        if packs and self.objects is not None:
            self.objects.recorded(packs)
        self._recording.packs = ()

    def close(self) -> None:
        for store in (self.events, self.objects, self.ledger):
            if store is not None:
                store.close()
        self.events = self.objects = self.ledger = None


class LocalProject(Project):
    """A project whose stores this process opens itself."""

    def __init__(
        self,
        root: Path,
        *,
        actor: Actor,
        clock: Clock = utc_now_us,
        credentials: dict[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.root: Path | None = root
        self.settings = settings or Settings.read(root / FILE)
        self.clock = clock
        self.actor = actor
        self._stores = _Stores(root, self.settings, clock, credentials)
        meta = self._stores.open_ledger()
        self.id = meta.project_id
        self.name = meta.name

    @property
    def ledger(self) -> Ledger:
        return self._stores.open_ledger()

    @property
    def objects(self) -> ObjectStore:
        return self._stores.open_objects()

    @property
    def events(self) -> EventLog:
        return self._stores.open_events()

    @property
    def folder(self) -> Path:
        """The folder that holds headwater.toml."""
        assert self.root is not None
        return self.root

    @property
    def state(self) -> Path:
        """The folder of this project's own files (.headwater)."""
        return self._stores.state

    def call(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outer = _inside.get()
        if not outer:
            require(self.actor, operation.needs, operation.name)
        token = _inside.set((*outer, operation.name))
        outcome = "done"
        try:
            return operation.body(self, *args, **kwargs)
        except HeadwaterError as error:
            outcome = error.kind
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            _inside.reset(token)
            if operation.audited and not outer:
                record_audit(self, operation, args, kwargs, outcome)

    def as_actor(self, actor: Actor | str) -> Self:
        seen = copy.copy(self)
        seen.actor = Actor(name=actor) if isinstance(actor, str) else actor
        return seen

    def close(self) -> None:
        self._stores.close()


def running_operations() -> tuple[str, ...]:
    """Return the names of the operations that this code runs in, the outermost first; () outside any."""
    return _inside.get()


def ledger_url(root: Path, settings: Settings) -> str | Path:
    """Return where the ledger is: the setting ``stores.ledger``, else a file in the project's folder."""
    text = settings.text("stores", "ledger")
    return _address(text) if text else root / STATE / "ledger.sqlite"


def _address(text: str) -> str:
    """Return the address of a ledger, or raise InvalidInputError: a file of its own would depend on the folder."""
    if not text.startswith(("postgresql://", "postgres://")):
        raise InvalidInputError(
            f"the ledger '{text}' is no address of a database: write postgresql://USER@HOST/DATABASE, or env:NAME for "
            "one in the environment; without it the ledger is a file in the project's folder."
        )
    return text


def claimed_actor(name: str | None = None) -> Actor:
    """Return who says they are acting: ``--as``, $HEADWATER_AS, or the name of the login."""
    chosen = name or os.environ.get("HEADWATER_AS")
    if not chosen:
        try:
            chosen = getpass.getuser()
        except (KeyError, OSError):
            chosen = "unknown"
    return Actor(name=chosen)


def create_project(
    folder: str | Path,
    *,
    name: str | None = None,
    ledger_url: str | None = None,
    objects_url: str | None = None,
    credentials: dict[str, str] | None = None,
    actor: str | None = None,
    clock: Clock = utc_now_us,
) -> LocalProject:
    """Make a project in a folder and open it: ``headwater.toml`` and ``.headwater/``.

    An existing ``headwater.toml`` without stores yet is kept as it is. ``ledger_url`` and ``objects_url`` name
    Postgres and a bucket; without them the stores are files in the folder.

    Raises:
        ConflictError: the folder holds a project already.
        InvalidInputError: the ledger's address is none, or a variable of the environment is not set; nothing was made.
    """
    from headwater.ledger import create_ledger

    if ledger_url:
        _address(resolve(ledger_url))
    if objects_url:
        resolve(objects_url)
    root = Path(folder).absolute()
    make_directory(root / STATE, "project.create")
    path = root / FILE
    if not path.exists():
        write_new(path, _first_settings(name or root.name, ledger_url, objects_url).encode(), "project.settings")
    settings = Settings.read(path)
    text = settings.text("stores", "ledger")
    url = _address(text) if text else root / STATE / "ledger.sqlite"
    if isinstance(url, Path) and url.exists():
        raise ConflictError(f"'{root}' holds a project already. Run 'hw status' there to see it.", path=str(root))
    _ignore_state(root)
    title = name or str(settings.table("project").get("name", root.name))
    create_ledger(url, clock, project_id=new_id(clock()), name=title).close()
    return LocalProject(root, actor=claimed_actor(actor), clock=clock, credentials=credentials, settings=settings)


def open_folder(
    root: Path, *, actor: str | None = None, clock: Clock = utc_now_us, credentials: dict[str, str] | None = None
) -> LocalProject:
    """Open the project of a folder.

    Raises:
        NotFoundError: the folder holds no project.
    """
    if not (root / FILE).exists():
        raise NotFoundError(f"'{root}' is not a project: it has no {FILE}. Run 'hw init' there to make one.")
    return LocalProject(root.absolute(), actor=claimed_actor(actor), clock=clock, credentials=credentials)


def _first_settings(name: str, ledger: str | None, objects: str | None) -> str:
    import json

    lines = ["[project]", f"name = {json.dumps(name)}"]
    if ledger or objects:
        lines += ["", "[stores]"]
        lines += [f"ledger = {json.dumps(ledger)}"] if ledger else []
        lines += [f"objects = {json.dumps(objects)}"] if objects else []
    return "\n".join(lines) + "\n"


def _ignore_state(root: Path) -> None:
    """Keep the stores out of git, where the folder is a checkout."""
    ignore = root / STATE / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
