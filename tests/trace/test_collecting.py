from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater.check import publish
from headwater.errors import ConflictError, GoneError, InvalidInputError, NotFoundError, RefusedError
from headwater.lake import Version, commit, put_files, read_bytes, set_branch, show, tag
from headwater.lake.collecting import delete, hold, list_holds, release_hold
from headwater.ledger.leases import take_lease
from headwater.objects import store as object_store
from headwater.objects.collecting import HOLDERS
from headwater.project import LocalProject, open_project
from headwater.trace import verify
from headwater.trace.collecting import collect
from headwater.track import add_artefact, end_run, start_run
from tests.lake.test_versions import entry
from tests.serve.models import add_version

DAY_US = 86_400_000_000


def version(project: LocalProject, names: str, base: Version | None = None) -> Version:
    with project.objects.batch() as batch:
        made = []
        for name in names:
            data = f"{name} of this test ".encode() * 120
            made.append(entry_of(name, batch.put(data), len(data)))
    return commit(project, "notes", put=made, base=base.id if base else None)


def entry_of(name: str, digest: str, size: int):  # type: ignore[no-untyped-def]
    from headwater.lake import Entry

    return Entry(path=name, digest=digest, size=size)


def age(project: LocalProject, days: float) -> None:
    """Make every pack, use and unnamed version look this much older."""
    by = int(days * DAY_US)
    with project.ledger.write() as tx:
        tx.execute("UPDATE packs SET created_at = created_at - ?", (by,))
        tx.execute("UPDATE pack_uses SET used_at = used_at - ?", (by,))
        tx.execute("UPDATE stray_packs SET seen_at = seen_at - ?", (by,))
        tx.execute("UPDATE runs SET ended_at = ended_at - ? WHERE ended_at IS NOT NULL", (by,))


def disk(project: LocalProject) -> int:
    return sum(size for _, size, _ in project.objects.backend.packs())


def test_a_dry_run_tells_what_the_collection_then_frees(local_project: LocalProject) -> None:
    kept = version(local_project, "ab")
    set_branch(local_project, "notes", "main", kept.id, expected=None)
    version(local_project, "cde", kept)
    delete(local_project, "notes@v2", "not needed")
    age(local_project, 2)

    told = collect(local_project)
    assert (told.freed_already, [each.what for each in told.freed]) == (False, ["notes@v2"])
    before = disk(local_project)
    done = collect(local_project, free=True)

    assert (done.objects, done.bytes) == (told.objects, told.bytes)
    assert done.disk_before == before and done.disk_after is not None
    assert before - done.disk_after >= done.bytes > 5000
    assert disk(local_project) - done.disk_after < 1000  # the checkpoint that follows
    assert done.problems == () and verify(local_project) == []
    assert read_bytes(local_project, "notes@v1", "a").startswith(b"a of")
    with pytest.raises(GoneError, match=r"collected on .*: it was of notes@v2; deleted by ann: not needed"):
        read_bytes(local_project, "notes@v2", "c")
    assert show(local_project, "notes@v2").files == 5


def test_a_pack_that_is_mostly_dead_is_written_anew(local_project: LocalProject) -> None:
    version(local_project, "abcdefghij")
    kept = commit(local_project, "notes", remove=list("bcdefghij"), base=show(local_project, "notes@v1").id)
    set_branch(local_project, "notes", "main", kept.id, expected=None)
    with local_project.ledger.write() as tx:  # the history goes, the head stays
        tx.execute("UPDATE versions SET parent = NULL, parents = '' WHERE id = ?", (kept.id,))
    delete(local_project, "notes@v1", "superseded")
    age(local_project, 2)

    done = collect(local_project, free=True)

    assert done.packs_rewritten == 1 and done.problems == ()
    assert read_bytes(local_project, "notes", "a").startswith(b"a of")
    assert disk(local_project) < 10_000 < done.disk_before


def test_a_reader_that_knows_the_old_place_finds_the_new_one(sqlite_project: LocalProject) -> None:
    version(sqlite_project, "abcdefghij")
    digest = sqlite_project.objects.put(b"a of this test " * 120)
    kept = commit(sqlite_project, "other", put=[entry_of("a", digest, 15 * 120)])
    set_branch(sqlite_project, "other", "main", kept.id, expected=None)
    delete(sqlite_project, "notes", "over")
    age(sqlite_project, 2)
    with open_project(sqlite_project.folder) as reader:
        assert isinstance(reader, LocalProject)
        assert reader.objects.get(digest)
        place = reader.objects.locate(bytes.fromhex(digest))

        assert collect(sqlite_project, free=True).packs_rewritten == 1

        assert reader.objects.get(digest).startswith(b"a of")
        assert reader.objects.locate(bytes.fromhex(digest)).pack != place.pack


def test_why_things_stay_is_told(sqlite_project: LocalProject) -> None:
    project = sqlite_project
    first = version(project, "ab")
    set_branch(project, "notes", "main", first.id, expected=None)
    second = version(project, "cd", first)
    set_branch(project, "notes", "main", second.id, expected=first.id)
    held = version(project, "ef")
    hold(project, "notes@v3", "the auditors look at it")
    delete(project, held.ref, "over")
    read = version(project, "gh")
    model = add_version(project, trained_on=[read.ref])
    delete(project, read.ref, "over")
    run = start_run(project, "one").id
    add_artefact(project, run, "plot", project.objects.put(b"plot" * 500))
    end_run(project, run)
    age(project, 2)

    told = {each.why for each in collect(project).kept}

    assert told >= {
        "heads of branches and tags", "history of branches and tags", "held: the auditors look at it",
        "model versions and what they came from", "runs within retention",
    }  # fmt: skip
    assert collect(project, free=True).objects == 0
    assert model.files and verify(project) == []


def test_a_hold_that_is_released_holds_no_longer(sqlite_project: LocalProject) -> None:
    version(sqlite_project, "ab")
    hold(sqlite_project, "notes@v1", "for a while")
    delete(sqlite_project, "notes@v1", "over")
    age(sqlite_project, 2)
    assert collect(sqlite_project).objects == 0
    release_hold(sqlite_project, list_holds(sqlite_project)[0].id)

    assert collect(sqlite_project, free=True).objects == 4


def test_artefacts_go_when_the_retention_of_their_run_is_over(sqlite_project: LocalProject) -> None:
    run = start_run(sqlite_project, "one").id
    digest = sqlite_project.objects.put(b"plot" * 500)
    add_artefact(sqlite_project, run, "plot", digest)
    end_run(sqlite_project, run)
    age(sqlite_project, 89)
    assert collect(sqlite_project, free=True).objects == 0
    age(sqlite_project, 2)

    assert collect(sqlite_project, free=True).objects == 1
    with pytest.raises(GoneError, match="its retention is over"):
        sqlite_project.objects.get(digest)
    assert verify(sqlite_project) == []


def test_the_head_of_a_branch_and_a_tagged_version_are_not_deleted(sqlite_project: LocalProject) -> None:
    first = version(sqlite_project, "ab")
    tag(sqlite_project, "notes", "good", first.id)

    with pytest.raises(RefusedError, match="the tag 'good' points to it"):
        delete(sqlite_project, "notes@v1", "over")
    with pytest.raises(InvalidInputError, match="needs a reason"):
        delete(sqlite_project, "notes", " ")
    assert [each.ref for each in delete(sqlite_project, "notes", "over")] == ["notes@v1"]


def test_what_is_young_stays(sqlite_project: LocalProject) -> None:
    version(sqlite_project, "ab")
    sqlite_project.objects.put(b"named by nothing" * 100)
    delete(sqlite_project, "notes", "over")

    told = collect(sqlite_project, free=True)

    assert told.objects == 0 and "nothing needs it, but too young" in {each.why for each in told.kept}


def test_packs_that_no_fact_names_go_after_the_grace(sqlite_project: LocalProject) -> None:
    digest = sqlite_project.objects.put(b"a write that was never finished" * 99)
    sqlite_project.close()
    with open_project(sqlite_project.folder, actor="ann") as project:
        assert isinstance(project, LocalProject)
        assert collect(project, free=True).packs_dropped == 0
        for _ in range(2):  # the collection's own commits list what this machine's index still waits for
            age(project, 2)
            collect(project, free=True)

        assert project.objects.missing([digest]) == [digest]


@contextmanager
def without_the_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(object_store.ObjectStore, "relied", object_store.ObjectStore.held)
        yield


@pytest.mark.parametrize("guarded", [True, False])
def test_bytes_that_a_writer_relies_on_are_not_freed_before_it_names_them(
    local_project: LocalProject, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    version(local_project, "abc")
    delete(local_project, "notes", "over")
    age(local_project, 2)

    def put_then_collected() -> None:
        data = b"a of this test " * 120
        digest = local_project.objects.put(data)  # held already: nothing is written
        collect(local_project, free=True)
        with local_project.ledger.write() as tx:  # a fact of a room that does not look again before it names
            tx.insert("artefacts", run="r", name="a", digest=digest, size=len(data), media="", recorded_at=0)
        assert local_project.objects.get(digest) == data

    if guarded:
        put_then_collected()
        return
    with without_the_guard(monkeypatch), pytest.raises(NotFoundError):
        put_then_collected()


def test_the_same_bytes_are_put_under_another_pack_after_theirs_was_dropped(local_project: LocalProject) -> None:
    version(local_project, "abc")
    before = {pack for pack, _, _ in local_project.objects.backend.packs()}
    delete(local_project, "notes", "over")
    age(local_project, 2)
    collect(local_project, free=True)

    again = version(local_project, "abc")

    assert not before & {pack for pack, _, _ in local_project.objects.backend.packs()}
    assert read_bytes(local_project, again.ref, "a") and verify(local_project) == []


def test_a_writer_whose_pack_was_dropped_is_told_and_can_go_on(sqlite_project: LocalProject) -> None:
    digest = sqlite_project.objects.put(b"slow" * 500)
    [record] = sqlite_project.objects.pending()
    with open_project(sqlite_project.folder) as other:
        assert isinstance(other, LocalProject)
        with other.ledger.write() as tx:  # as a collection on another machine does when the grace is over
            tx.execute("DELETE FROM packs")
            tx.insert("dropped_packs", pack=record.id, size=1, dropped_at=1, deleted=0)

    with pytest.raises(ConflictError, match="were collected before a fact named them"):
        commit(sqlite_project, "notes", put=[entry_of("a", digest, 2000)])
    again = sqlite_project.objects.put(b"slow" * 500)
    assert commit(sqlite_project, "notes", put=[entry_of("a", again, 2000)]).number == 1
    assert verify(sqlite_project)[0].severity == "note"  # the dropped pack, whose file is still there


def test_a_version_is_not_made_from_one_that_was_collected(sqlite_project: LocalProject) -> None:
    base = version(sqlite_project, "ab")
    delete(sqlite_project, "notes", "over")
    age(sqlite_project, 2)
    collect(sqlite_project, free=True)

    with pytest.raises((ConflictError, GoneError), match="collected"):
        commit(sqlite_project, "notes", put=[entry(sqlite_project, "z", "z")], base=base.id)
    with pytest.raises(ConflictError, match="was collected"):
        tag(sqlite_project, "notes", "late", base.id)


def test_a_fact_recorded_between_looking_and_dropping_is_seen(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = version(sqlite_project, "abc")
    age(sqlite_project, 100)
    with sqlite_project.ledger.write() as tx:
        tx.execute("UPDATE versions SET created_at = 0")
    from headwater.objects import collecting as packs

    real = packs.rewrite
    late: list[object] = []

    def tagged_meanwhile(*given: Any) -> object:
        if not late:
            late.append(tag(sqlite_project, "notes", "late", made.id))
        return real(*given)

    monkeypatch.setattr(packs, "rewrite", tagged_meanwhile)

    assert collect(sqlite_project, free=True).objects == 0
    assert read_bytes(sqlite_project, "notes@late", "a")


def test_two_collections_at_once_are_one(local_project: LocalProject) -> None:
    with local_project.ledger.write() as tx:
        take_lease(tx, "collect", "bob", ttl_s=60)

    with pytest.raises(ConflictError, match="an erasure is under way"):
        collect(local_project, free=True)


def test_writers_lose_nothing_while_collections_run(sqlite_project: LocalProject) -> None:
    made: list[Version] = []
    stop = threading.Event()

    def write() -> None:
        for number in range(12):
            made.append(version(sqlite_project, f"ab{number % 3}"))
            time.sleep(0.01)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        age(sqlite_project, 2)
        collect(sqlite_project, free=True)
    writer.join()

    assert verify(sqlite_project) == []
    assert all(read_bytes(sqlite_project, each.ref, "a") for each in made)


@pytest.mark.parametrize("spoken_for", [False, True])
def test_what_a_fact_names_stays_though_its_room_never_registered(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch, spoken_for: bool
) -> None:
    digest = sqlite_project.objects.put(b"proof of where it came from" * 50)
    run = start_run(sqlite_project, "one").id
    with sqlite_project.ledger.write() as tx:  # a task's warnings hold a digest, as any text may
        tx.insert("run_tags", run=run, key="proof", value=f"see {digest}")
    age(sqlite_project, 2)
    if spoken_for:  # planted: a holder that claims to look after the column and keeps nothing of it
        assert "run_tags" in HOLDERS["track"].speaks_for
        assert collect(sqlite_project, free=True).objects == 1
        return
    speaks_for = HOLDERS["track"].speaks_for - {"run_tags"}
    monkeypatch.setitem(HOLDERS, "track", HOLDERS["track"]._replace(speaks_for=speaks_for))

    assert collect(sqlite_project, free=True).objects == 0
    assert "named in run_tags" in {each.why for each in collect(sqlite_project).kept}


def test_results_go_when_no_run_within_retention_used_them_and_are_made_again(sqlite_project: LocalProject) -> None:
    from headwater.flow.memory import Result
    from headwater.flow.saving import Part

    digest = sqlite_project.objects.put(b'"the result"' * 100)
    part = Part(format="json", digest=digest, size=1200)
    made = Result(
        id="0" * 26, static_key="k", step="m:f", output="o", parts=(part,), reads=(), seconds=1.0, warnings=(),
        created_at=1,
    )  # fmt: skip
    insert_result(sqlite_project, made)
    age(sqlite_project, 2)

    done = collect(sqlite_project, free=True)

    assert [each.what for each in done.freed] == [f"result:{made.id}"]
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT broken FROM results") == 2
    with pytest.raises(GoneError, match="beyond their retention"):
        sqlite_project.objects.get(digest)
    assert verify(sqlite_project) == []


def insert_result(project: LocalProject, made: Any) -> None:
    import msgspec

    with project.ledger.write() as tx:
        tx.insert(
            "results", id=made.id, static_key=made.static_key, step=made.step, slot="s", ingredients="i", call="{}",
            reads="[]", output=made.output, parts=msgspec.json.encode(made.parts).decode(), seconds=made.seconds,
            warnings="[]", created_at=made.created_at, broken=0,
        )  # fmt: skip


def test_large_files_keep_the_chunks_they_share(sqlite_project: LocalProject, tmp_path: Path) -> None:
    import random

    data = random.Random(1).randbytes(9_000_000)
    (tmp_path / "a").write_bytes(data)
    first = put_files(sqlite_project, {"a": tmp_path / "a"})
    kept = commit(sqlite_project, "big", put=first)
    (tmp_path / "a").write_bytes(data[:-1_000_000] + b"other" * 100_000)
    going = commit(sqlite_project, "big", put=put_files(sqlite_project, {"a": tmp_path / "a"}))
    publish(sqlite_project, "big", version=kept.id)
    delete(sqlite_project, going.ref, "over")
    age(sqlite_project, 2)

    done = collect(sqlite_project, free=True)

    assert 0 < done.bytes < 6_000_000 and verify(sqlite_project) == []
    assert read_bytes(sqlite_project, "big", "a") == data


def test_a_version_is_gone_only_when_something_of_it_went(sqlite_project: LocalProject) -> None:
    old = version(sqlite_project, "ab")
    delete(sqlite_project, old.ref, "over")
    age(sqlite_project, 2)
    young = version(sqlite_project, "cd")
    delete(sqlite_project, young.ref, "over")

    collect(sqlite_project, free=True)

    with sqlite_project.ledger.read() as tx:
        assert [row.ref for row in tx.all("SELECT ref FROM gone WHERE ref LIKE 'version:%'")] == [f"version:{old.id}"]
    assert read_bytes(sqlite_project, young.ref, "c").startswith(b"c of")
    age(sqlite_project, 2)
    collect(sqlite_project, free=True)
    with pytest.raises(GoneError):
        read_bytes(sqlite_project, young.ref, "c")


def test_code_that_is_missing_for_no_known_reason_stops_a_collection(sqlite_project: LocalProject) -> None:
    version(sqlite_project, "ab")
    with sqlite_project.ledger.write() as tx:
        columns = tx.tables()["snapshots"]
        row = {name: 0 if name in ("files", "bytes", "size", "created_at") else "" for name in columns}
        row |= {"digest": "d", "manifest": "0" * 64}
        tx.insert("snapshots", **row)

    with pytest.raises(NotFoundError, match="the store has no object 0000"):
        collect(sqlite_project)
    with sqlite_project.ledger.write() as tx:
        tx.insert("gone", ref=f"object:{'0' * 64}", at=1, how="collected", why="over")

    assert collect(sqlite_project).problems == ()
