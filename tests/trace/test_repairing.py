from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.errors import InvalidInputError, NotFoundError
from headwater.lake import commit, iter_files, log, put_files, read_bytes, resolve, set_branch, tag
from headwater.project import LocalProject, create_project, open_project
from headwater.trace import verify
from headwater.trace.heads import write_checkpoint
from headwater.trace.recovering import recover
from headwater.trace.repairing import repair
from tests.lake.test_versions import entry
from tests.trace.test_verifying import fill


def pack_files(project: LocalProject) -> list[Path]:
    return sorted((project.state / "objects" / "packs").glob("*.pack"))


def errors(project: LocalProject) -> list[str]:
    return [f"{each.what}: {each.message}" for each in verify(project) if each.severity == "error"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x20
    path.unlink()
    path.write_bytes(data)


@pytest.fixture
def small(sqlite_project: LocalProject) -> LocalProject:
    made = commit(sqlite_project, "notes", put=[entry(sqlite_project, "a", "first"), entry(sqlite_project, "b", "two")])
    set_branch(sqlite_project, "notes", "main", made.id, expected=None)
    return sqlite_project


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
def test_every_single_flipped_byte_of_every_pack_is_found_and_named(small: LocalProject, every: int) -> None:
    flipped = found = 0
    for path in pack_files(small):
        whole = path.read_bytes()
        for at in range(0, len(whole), every):
            flip(path, at)
            small.objects.backend.close()
            named = [each for each in small.objects.verify() if each.severity == "error"]
            flipped += 1
            found += any(path.stem in each.message for each in named)
            path.write_bytes(whole)

    assert found == flipped > 500 // every
    assert errors(small) == []


def test_every_single_flipped_byte_of_an_open_segment_is_found_and_named(sqlite_project: LocalProject) -> None:
    from headwater.track import Point, log_metrics, start_run

    run = start_run(sqlite_project, "one").id
    log_metrics(sqlite_project, run, [Point(key="loss", value=0.5)])
    sqlite_project.events.close()
    [path] = (sqlite_project.state / "events" / "metrics").glob("*.seg")
    whole = path.read_bytes()
    unseen = []
    for at in range(len(whole)):
        flip(path, at)
        if not any(path.stem in each.what for each in sqlite_project.events.verify()):
            unseen.append(at)
        path.write_bytes(whole)

    assert unseen == []


@pytest.mark.parametrize(
    ("region", "table", "column"),
    [
        ("message of a version", "versions", "message"),
        ("root of a version", "versions", "root"),
        ("author of a version", "versions", "author"),
        ("link of the chain", "chain", "hash"),
        ("what a link refers to", "chain", "ref"),
        ("digest of a model's file", "model_files", "digest"),
        ("lineage", "edges", "parent"),
        ("head of a branch", "pointers", "head"),
    ],
)
def test_a_flipped_byte_of_a_fact_is_found_and_named(
    sqlite_project: LocalProject, region: str, table: str, column: str
) -> None:
    fill(sqlite_project)
    set_branch(sqlite_project, "flights", "seen", resolve(sqlite_project, "flights@v1").id, expected=None)
    assert errors(sqlite_project) == []
    with sqlite_project.ledger.write() as tx:
        condition = {"edges": "parent LIKE 'version:%'", "pointers": "kind = 'branch'"}.get(table, f"{column} <> ''")
        key = {"versions": "id", "chain": "seq", "model_files": "digest", "edges": "child", "pointers": "name"}[table]
        row = tx.one(f"SELECT {column} AS said, {key} AS k FROM {table} WHERE {condition} ORDER BY 1 LIMIT 1")
        assert row is not None, region
        changed = row.said[:-1] + chr(ord(row.said[-1]) ^ 1)
        tx.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ? AND {key} = ?", (changed, row.said, row.k))

    assert errors(sqlite_project) != []


@pytest.mark.parametrize("damage", ["body", "footer", "trailer", "cut", "missing", "header"])
def test_a_damaged_pack_is_repaired_from_a_mirror(small: LocalProject, tmp_path: Path, damage: str) -> None:
    shutil.copytree(small.folder, tmp_path / "mirror")
    path = max(pack_files(small), key=lambda each: each.stat().st_size)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        flip(path, {"body": 17, "footer": len(whole) - 90, "trailer": len(whole) - 20, "header": 1}[damage])
    small.objects.backend.close()
    assert errors(small) != []

    done = repair(small, str(tmp_path / "mirror" / ".headwater" / "objects"))

    assert (done.packs, done.left) == ((path.stem,), ())
    assert path.read_bytes() == whole
    assert errors(small) == []


def test_a_repair_takes_single_objects_from_a_place_that_packs_otherwise(small: LocalProject, tmp_path: Path) -> None:
    path = next(each for each in pack_files(small) if b"first" in each.read_bytes())
    flip(path, 17)
    with create_project(tmp_path / "other", actor="bob") as other:
        other.objects.put(b"first")
    small.objects.backend.close()

    done = repair(small, str(tmp_path / "other"))

    assert (done.packs, done.fetched, done.left) == ((path.stem,), 1, ())
    assert read_bytes(small, "notes", "a") == b"first"


def test_what_the_mirror_has_damaged_too_is_told_and_not_taken(small: LocalProject, tmp_path: Path) -> None:
    path = next(each for each in pack_files(small) if b"first" in each.read_bytes())
    flip(path, 17)
    shutil.copytree(small.folder, tmp_path / "mirror")
    small.objects.backend.close()

    done = repair(small, str(tmp_path / "mirror"))

    assert done.packs == () and path.stem in done.left[0]
    assert errors(small) != []
    with pytest.raises(InvalidInputError, match="neither a project nor a folder of objects"):
        repair(small, str(tmp_path))


def test_a_project_comes_back_from_its_objects_alone(small: LocalProject, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(random.Random(2).randbytes(9_000_000))
    base = resolve(small, "notes")
    made = commit(small, "notes", put=put_files(small, {"large": tmp_path / "large"}), base=base.id, message="more")
    set_branch(small, "notes", "main", made.id, expected=base.id)
    tag(small, "notes", "first", base.id)
    checkpoint = write_checkpoint(small)
    late = commit(small, "notes", remove=["a"], base=made.id)
    before = {each.id: each for each in log(small, "notes")}
    shutil.move(small.state / "objects", tmp_path / "objects")
    small.close()

    done = recover(tmp_path / "again", str(tmp_path / "objects"), actor="ann")

    assert (done.versions, done.names, done.incomplete, done.damaged) == (3, 2, (), ())
    assert done.head == f"{checkpoint.seq}:{checkpoint.hash}"
    with open_project(tmp_path / "again", actor="ann") as again:
        assert isinstance(again, LocalProject)
        assert errors(again) == []
        assert {each.id: each for each in log(again, "notes")} == before
        assert resolve(again, "notes@main").id == made.id
        assert resolve(again, "notes@first").id == base.id
        assert [each.path for each in iter_files(again, late.ref)] == ["b", "large"]
        assert read_bytes(again, "notes", "large") == (tmp_path / "large").read_bytes()


def test_recovering_from_a_place_without_objects_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no objects"):
        recover(tmp_path / "again", str(tmp_path))


def test_the_index_is_made_again_from_the_packs(small: LocalProject) -> None:
    small.close()
    for path in (small.state / "cache").glob("index.sqlite*"):
        path.unlink()

    with open_project(small.folder) as again:
        assert read_bytes(again, "notes", "a") == b"first"


KILLED = """
import os, sys
from headwater.durable import on_crash_point
from headwater.project import open_project
from headwater.trace.repairing import repair

passed = []
def point(name):
    passed.extend([name] if "replace" in name else [])
    if len(passed) == int(sys.argv[3]):
        os._exit(9)

project = open_project(sys.argv[1])
on_crash_point(point)
repair(project, sys.argv[2])
print(len(passed))
"""


def test_a_repair_that_is_killed_anywhere_loses_nothing_that_was_whole(small: LocalProject, tmp_path: Path) -> None:
    with small.objects.batch() as batch:
        first, second = batch.put(b"a damaged one" * 9), batch.put(b"whole, and nowhere else" * 9)
    commit(small, "notes", put=[entry(small, "c", "three")])
    path = next(each for each in pack_files(small) if b"a damaged one" in each.read_bytes())
    flip(path, path.read_bytes().index(b"a damaged one"))
    with create_project(tmp_path / "mirror", actor="bob") as mirror:
        mirror.objects.put(b"a damaged one" * 9)
    small.close()

    killed = 0
    for at in range(1, 100):
        folder = tmp_path / f"copy-{at}"
        shutil.copytree(small.folder, folder)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "mirror"), str(at)],
            capture_output=True, text=True, env=os.environ, check=False,
        )  # fmt: skip
        killed += ended.returncode == 9
        with open_project(folder) as project:
            assert isinstance(project, LocalProject)
            assert project.objects.get(second) == b"whole, and nowhere else" * 9, at
            repair(project, str(tmp_path / "mirror"))
            assert project.objects.get(first) == b"a damaged one" * 9 and errors(project) == []
        if ended.returncode == 0:
            break
        assert ended.returncode == 9, ended.stderr

    assert killed == 4
