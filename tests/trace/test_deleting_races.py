"""What writers, collections and erasures do to each other when they come in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from headwater.check.publishing import publish
from headwater.errors import ConflictError, CorruptError, InvalidInputError
from headwater.lake import (
    Entry,
    Version,
    add_files,
    commit,
    merge,
    put_files,
    read_bytes,
    resolve,
    set_branch,
)
from headwater.lake.branches import move_branch
from headwater.lake.collecting import delete
from headwater.lake.manifest import apply_changes
from headwater.objects import collecting as packs
from headwater.objects import values
from headwater.project import LocalProject, open_project
from headwater.trace import verify
from headwater.trace.collecting import collect
from headwater.trace.erasing import erase
from tests.trace.test_collecting import age, disk, version
from tests.trace.test_erasing import ID, NAME, SUBJECT, WHY, others, table


def keep_versions(project: LocalProject, days: int) -> LocalProject:
    with open(project.folder / "headwater.toml", "a", encoding="utf-8") as file:
        file.write(f"\n[retention]\nversions_days = {days}\n")
    found = open_project(project.folder, actor="ann")
    assert isinstance(found, LocalProject)
    return found


def collected_one(project: LocalProject) -> Version:
    """Return a version that was collected."""
    made = version(project, "ab")
    delete(project, made.ref, "over")
    age(project, 2)
    collect(project, free=True)
    return made


def test_a_branch_does_not_move_to_a_version_that_was_collected_while_its_checks_ran(
    sqlite_project: LocalProject,
) -> None:
    chosen = collected_one(sqlite_project)

    with sqlite_project.ledger.write() as tx, pytest.raises(ConflictError, match="was collected"):
        move_branch(tx, sqlite_project, "main", chosen, expected=None)


def test_a_version_younger_than_the_grace_stays_however_short_its_retention_is(sqlite_project: LocalProject) -> None:
    with keep_versions(sqlite_project, 0) as project:
        old = version(project, "xyz")
        delete(project, old.ref, "over")
        age(project, 2)
        waiting = version(project, "ab")  # its branch is not moved yet
        assert collect(project, free=True).objects > 0

        set_branch(project, "notes", "main", waiting.id, expected=None)
        age(project, 2)
        collect(project, free=True)

        assert read_bytes(project, "notes", "a").startswith(b"a of")


def test_a_pack_that_is_put_again_after_it_was_dropped_goes_for_good(sqlite_project: LocalProject) -> None:
    sqlite_project.objects.put(b"slow" * 500)
    [record] = sqlite_project.objects.pending()
    with open_project(sqlite_project.folder) as other:
        assert isinstance(other, LocalProject)
        with other.ledger.write() as tx:
            tx.insert("dropped_packs", pack=record.id, size=1, dropped_at=1, deleted=1)
            tx.execute("DELETE FROM packs")
    sqlite_project.objects.forget_pack(record.id)  # its writer gave up
    collect(sqlite_project, free=True)
    age(sqlite_project, 2)
    before = disk(sqlite_project)

    assert collect(sqlite_project, free=True).packs_dropped == 1
    assert record.id not in {pack for pack, _, _ in sqlite_project.objects.backend.packs()}
    assert disk(sqlite_project) < before


def test_a_pack_that_a_commit_listed_since_the_sweep_looked_is_not_dropped(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    data = b"sent by another machine" * 100
    digest = project.objects.put(data)
    [record] = project.objects.pending()
    project.objects.forget_pack(record.id)  # as if only the other machine's index knew it
    collect(project, free=True)
    age(project, 2)
    real = packs.rewrite

    def listed_meanwhile(*given: Any) -> Any:
        with project.ledger.write() as tx:  # a fact that no other fact announces
            tx.insert(
                "packs", seq=tx.next("packs"), id=record.id, size=record.size, entries=1,
                footer_digest=record.id, created_at=tx.database_now(),
            )  # fmt: skip
            tx.insert(
                "webhook_deliveries", seq=1, source="s", parameters="", delivery="1", object=digest, size=len(data),
                media="", sender="", received_at=tx.now,
            )  # fmt: skip
        return real(*given)

    monkeypatch.setattr(packs, "rewrite", listed_meanwhile)
    collect(project, free=True)

    project.objects.refresh(whole=True)
    assert project.objects.get(digest) == data


def test_who_relies_on_a_large_file_relies_on_its_chunks_too(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    monkeypatch.setattr(values, "PACK_BYTES", 5 * 2**20)  # chunks and their list lie in several packs
    data = random.Random(1).randbytes(9_000_000)
    (tmp_path / "a").write_bytes(data)
    [entry] = put_files(project, {"a": tmp_path / "a"})
    old = commit(project, "big", put=[entry])
    delete(project, old.ref, "over")
    age(project, 2)

    assert project.objects.missing([entry.digest]) == []
    assert collect(project, free=True).objects < 5  # the old version's manifest alone

    assert project.objects.get(entry.digest) == data


def test_nothing_is_freed_while_a_pack_is_missing_that_may_list_chunks(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    monkeypatch.setattr(values, "PACK_BYTES", 5 * 2**20)
    data = random.Random(1).randbytes(9_000_000)
    (tmp_path / "a").write_bytes(data)
    [entry] = put_files(project, {"a": tmp_path / "a"})
    set_branch(project, "big", "main", commit(project, "big", put=[entry]).id, expected=None)
    age(project, 2)
    pack = project.objects.locate(bytes.fromhex(entry.digest)).pack
    path = project.state / "objects" / "packs" / f"{pack}.pack"
    path.rename(tmp_path / "aside")
    project.close()
    (project.state / "cache" / "index.sqlite").unlink()  # another machine's index never knew the pack

    with pytest.raises(CorruptError, match="Nothing was freed"):
        collect(project, free=True)
    (tmp_path / "aside").rename(path)

    assert read_bytes(project, "big", "a") == data


def people(project: LocalProject, folder: Path) -> tuple[Version, Path]:
    table(folder / "people.parquet", [*others(), (ID, NAME, "m", 7)])
    made = add_files(project, "customers", [folder / "people.parquet"])
    publish(project, "customers", version=made.id)
    return made, folder


def put(project: LocalProject, name: str) -> Entry:
    data = name.encode() * 100
    return Entry(path=name, digest=project.objects.put(data), size=len(data))


def test_a_commit_that_an_erasure_of_its_base_overtakes_is_built_again(
    local_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = local_project
    base, _ = people(project, tmp_path)
    late: list[object] = []
    real = apply_changes

    def overtaken(*given: Any) -> Any:
        root = real(*given)
        if not late:
            late.append(None)
            late.append(erase(project, SUBJECT, why=WHY, carry_out=True))
        return root

    monkeypatch.setattr("headwater.lake.versions.apply_changes", overtaken)
    new = put(project, "more")
    made = commit(project, "customers", put=[new], base=base.id)

    assert len(late) == 2
    assert [each.message for each in verify(project) if each.severity == "error"] == []
    assert NAME.encode() not in read_bytes(project, made.ref, "people.parquet")
    assert read_bytes(project, made.ref, "more") == b"more" * 100


def test_a_merge_that_an_erasure_overtakes_is_not_recorded(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    base, _ = people(project, tmp_path)
    ours = commit(project, "customers", put=[put(project, "one")], base=base.id)
    theirs = commit(project, "customers", put=[put(project, "two")], base=base.id)
    real = apply_changes

    def overtaken(*given: Any) -> Any:
        root = real(*given)
        monkeypatch.setattr("headwater.lake.merging.apply_changes", real)
        erase(project, SUBJECT, why=WHY, carry_out=True)
        return root

    monkeypatch.setattr("headwater.lake.merging.apply_changes", overtaken)

    with pytest.raises(ConflictError, match="changed by an erasure"):
        merge(project, "customers", theirs.id, ours.id)
    assert merge(project, "customers", theirs.id, ours.id).files == 3
    assert verify(project) == []


def test_what_is_named_again_while_an_erasure_looks_is_left_and_named_not_lost(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    made, _ = people(project, tmp_path)
    [row] = list(versions_files(project, made))
    late: list[Version] = []
    real = packs.rewrite

    def named_meanwhile(*given: Any) -> Any:
        if not late:
            late.append(commit(project, "elsewhere", put=[row]))
        return real(*given)

    monkeypatch.setattr(packs, "rewrite", named_meanwhile)
    done = erase(project, SUBJECT, why=WHY, carry_out=True)

    assert NAME.encode() in read_bytes(project, late[0].ref, "people.parquet")
    assert f"elsewhere@v1 people.parquet (object:{row.digest})" in {each.what for each in done.left}


def versions_files(project: LocalProject, made: Version) -> list[Entry]:
    from headwater.lake import iter_files

    return list(iter_files(project, made.ref))


def test_bytes_that_an_erasure_takes_between_looking_and_recording_are_not_named(
    sqlite_project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = sqlite_project
    made, _ = people(project, tmp_path)
    [row] = versions_files(project, made)
    real = apply_changes

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr("headwater.lake.versions.apply_changes", real)
        erase(project, SUBJECT, why=WHY, carry_out=True)
        return real(*given)

    monkeypatch.setattr("headwater.lake.versions.apply_changes", overtaken)

    with pytest.raises(InvalidInputError, match="not in the store"):
        commit(project, "elsewhere", put=[row])
    assert resolve(project, "customers").files == 1


def test_a_fact_recorded_long_after_its_bytes_were_looked_for_names_none_that_went(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.objects.store import ObjectStore
    from tests.serve.models import add_version

    real = ObjectStore.missing
    looked: list[bool] = []

    def paused_then(self: ObjectStore, digests: Any, **options: Any) -> Any:
        found = real(self, digests, **options)
        if not looked and found == []:
            looked.append(True)
            with sqlite_project.ledger.write() as tx:
                tx.next("seen")
            age(sqlite_project, 200)  # as long as the writer slept
            with open_project(sqlite_project.folder) as other:
                collect(other, free=True)
        return found

    monkeypatch.setattr(ObjectStore, "missing", paused_then)

    with pytest.raises(ConflictError, match="were collected or erased since they were put"):
        add_version(sqlite_project)

    assert looked and [each for each in verify(sqlite_project) if each.severity == "error"] == []
