from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.errors import CorruptError, GoneError, InvalidInputError, NotFoundError, RefusedError
from headwater.lake import Version, commit, put_files, read_bytes, set_branch
from headwater.lake.collecting import delete
from headwater.objects.findings import Finding
from headwater.project import LocalProject, open_project
from headwater.trace import verify
from headwater.trace.collecting import collect
from headwater.trace.losing import accept_loss, list_losses
from tests.trace.test_collecting import age, entry_of, version
from tests.trace.test_repairing import flip, pack_files

WHY = "the disk died and its backup too"
OLD, NEW = b"only in the lost pack" * 20, b"in another pack" * 20


def found(project: LocalProject, severity: str) -> list[Finding]:
    """Return what a process that just began finds."""
    with open_project(project.folder) as fresh:
        return [each for each in verify(fresh) if each.severity == severity]


def lose(project: LocalProject, holding: bytes) -> str:
    """Remove the pack that holds these bytes; return its id."""
    [path] = [each for each in pack_files(project) if holding in each.read_bytes()]
    path.unlink()
    project.objects.backend.close()
    return path.stem


@pytest.fixture
def lossy(sqlite_project: LocalProject) -> LocalProject:
    """Return a project whose head needs ``OLD`` and ``NEW``, each in a pack, and that has something to collect."""
    first = sqlite_project.objects.put(OLD)
    with sqlite_project.ledger.write() as tx:  # lists the pack
        tx.next("seen")
    made = commit(
        sqlite_project, "notes",
        put=[entry_of("old", first, len(OLD)), entry_of("new", sqlite_project.objects.put(NEW), len(NEW))],
    )  # fmt: skip
    set_branch(sqlite_project, "notes", "main", made.id, expected=None)
    commit_dead(sqlite_project)
    return sqlite_project


def commit_dead(project: LocalProject) -> Version:
    made = commit(project, "dead", put=[entry_of("a", project.objects.put(b"dead" * 99), 396)])
    delete(project, made.ref, "over")
    age(project, 2)
    return made


def test_a_loss_that_was_accepted_lets_collecting_go_on_and_is_named_as_accepted(lossy: LocalProject) -> None:
    pack = lose(lossy, OLD)
    assert found(lossy, "error") and [each.pack for each in list_losses(lossy)] == [pack]
    with pytest.raises(CorruptError, match="accept-loss"):
        collect(lossy, free=True)

    [loss] = accept_loss(lossy, [pack], WHY)

    assert (loss.by, loss.why, loss.objects) == (lossy.actor.name, WHY, 1)
    assert found(lossy, "error") == []
    notes = [each.message for each in found(lossy, "note")]
    assert any("accepted that on 20" in each and WHY in each for each in notes)
    assert any("are not in the store" in each and "This loss was accepted." in each for each in notes)
    assert collect(lossy, free=True).problems == () and collect(lossy).objects == 0
    with pytest.raises(GoneError, match=f"was lost on .*{WHY}"):
        read_bytes(lossy, "notes", "old")
    assert read_bytes(lossy, "notes", "new") == NEW
    with lossy.ledger.read() as tx:
        assert tx.one("SELECT 1 AS one FROM chain WHERE kind = 'loss' AND ref = ?", (f"pack:{pack}",)) is not None


def test_a_loss_that_comes_after_the_accepted_one_is_an_error_again(lossy: LocalProject) -> None:
    accept_loss(lossy, [lose(lossy, OLD)], WHY)

    lose(lossy, NEW)

    assert any("is missing" in each.message for each in found(lossy, "error"))
    with pytest.raises(CorruptError):
        collect(lossy, free=True)


def test_lost_bytes_that_are_put_again_are_there_again_and_their_next_loss_is_an_error(lossy: LocalProject) -> None:
    accept_loss(lossy, [lose(lossy, OLD)], WHY)

    lossy.objects.put(OLD)
    commit(lossy, "more", put=[entry_of("old", lossy.objects.put(OLD), len(OLD))])

    assert read_bytes(lossy, "notes", "old") == OLD
    assert [each.kind for each in verify(lossy)] == ["loss"]
    lose(lossy, OLD)
    assert any("of one of its files are not in the store" in each.message for each in found(lossy, "error"))


def test_collected_bytes_that_were_put_again_and_vanish_are_an_error(sqlite_project: LocalProject) -> None:
    delete(sqlite_project, version(sqlite_project, "ab").ref, "over")
    age(sqlite_project, 2)
    collect(sqlite_project, free=True)
    digest = sqlite_project.objects.put(b"an artefact" * 30)
    with sqlite_project.ledger.write() as tx:  # as if a version that went had held it
        tx.insert("gone", ref=f"object:{digest}", at=1, how="collected", why="it was of notes@v1")
    with sqlite_project.ledger.write() as tx:
        tx.insert("artefacts", run="r", name="a", digest=digest, size=330, media="", recorded_at=0)
    lose(sqlite_project, b"an artefact")

    assert any(f"{digest}, an artefact of" in each.message for each in found(sqlite_project, "error"))


def test_what_still_reads_of_a_damaged_pack_is_kept(sqlite_project: LocalProject) -> None:
    with sqlite_project.objects.batch() as batch:
        made = [entry_of("bad", batch.put(OLD), len(OLD)), entry_of("good", batch.put(NEW), len(NEW))]
    commit(sqlite_project, "notes", put=made)
    [path] = [each for each in pack_files(sqlite_project) if OLD in each.read_bytes()]
    flip(path, path.read_bytes().index(OLD))
    sqlite_project.objects.backend.close()

    accept_loss(sqlite_project, [path.stem], WHY)

    assert read_bytes(sqlite_project, "notes@v1", "good") == NEW
    with pytest.raises(GoneError):
        read_bytes(sqlite_project, "notes@v1", "bad")
    assert found(sqlite_project, "error") == [] and not path.exists()


def test_a_version_whose_manifest_is_lost_is_named_and_does_not_stop_a_collection(
    sqlite_project: LocalProject, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(OLD)
    made = commit(sqlite_project, "notes", put=put_files(sqlite_project, {"a": tmp_path / "a"}))
    set_branch(sqlite_project, "notes", "main", made.id, expected=None)
    packs = [each.stem for each in pack_files(sqlite_project)]
    for path in pack_files(sqlite_project):
        path.unlink()
    sqlite_project.objects.backend.close()

    accept_loss(sqlite_project, packs, WHY)

    assert found(sqlite_project, "error") == [] and collect(sqlite_project, free=True).problems == ()


def test_what_is_whole_or_unknown_or_without_a_reason_is_no_loss(lossy: LocalProject) -> None:
    lost, other = lose(lossy, OLD), lose(lossy, NEW)
    whole = pack_files(lossy)[0].stem

    with pytest.raises(RefusedError, match="is whole"):
        accept_loss(lossy, [whole], WHY)
    with pytest.raises(RefusedError, match=f"more pack.* {other} first"):
        accept_loss(lossy, [lost], WHY)
    with pytest.raises(NotFoundError, match="needs no pack"):
        accept_loss(lossy, ["0" * 64], WHY)
    with pytest.raises(InvalidInputError, match="a reason"):
        accept_loss(lossy, [lost], " ")
    assert len(accept_loss(lossy, [lost, other], WHY)) == 2


KILLED = """
import os, sys
from headwater.durable import on_crash_point
from headwater.project import open_project
from headwater.trace.losing import accept_loss

on_crash_point(lambda name: os._exit(9) if name == sys.argv[3] else None)
accept_loss(open_project(sys.argv[1]), [sys.argv[2]], "the disk died")
"""


@pytest.mark.parametrize("point", ["trace.losing.rescued", "trace.losing.recorded", "trace.losing.named"])
def test_accepting_that_was_killed_is_completed_by_accepting_again(lossy: LocalProject, point: str) -> None:
    pack = lose(lossy, OLD)
    lossy.close()
    command = [sys.executable, "-c", KILLED, str(lossy.folder), pack, point]
    assert subprocess.run(command, env=os.environ, check=False).returncode == 9

    with open_project(lossy.folder, actor="ann") as project:
        assert isinstance(project, LocalProject)
        with project.ledger.write() as tx:
            tx.execute("UPDATE leases SET expires_at = 0")
        assert [each.objects for each in accept_loss(project, [pack], WHY)] != [None]
        assert found(project, "error") == [] and collect(project, free=True).problems == ()
