from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.canonical import encode
from headwater.check import arrive, mirror, move, publish, quarantine, release_from_quarantine, run_checks
from headwater.errors import (
    ConflictError,
    CorruptError,
    GoneError,
    InvalidInputError,
    NotFoundError,
    NotPublishableError,
)
from headwater.lake import (
    Entry,
    commit,
    create_branch,
    describe_dataset,
    iter_files,
    list_branches,
    log,
    protect,
    read_bytes,
    resolve,
    tag,
    verify,
)
from headwater.lake.origins import get_origin
from headwater.lake.receiving import receive
from headwater.ledger import verify_chain
from headwater.project import LocalProject, Project, create_project, open_project
from headwater.trace import verify as verify_all
from tests.lake.test_versions import entry
from tests.projects import served

CHECKS = '[project]\nname = "strict"\n[[checks.d]]\nkind = "range"\ncolumn = "x"\nmax = 3\n'


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LocalProject]:
    """The other project: in a folder of its own, with a history of three versions of 'd'."""
    with create_project(tmp_path / "other", name="other", actor="bea") as made:
        for number in range(3):
            files = [entry(made, f"f-{number}", f"text {number}"), entry(made, "same", "same")]
            publish(made, "d", put=files, message=f"day {number}")
        yield made


def entries(project: Project, texts: dict[str, str]) -> list[Entry]:
    with project.objects.batch() as batch:
        return [Entry(path=path, digest=batch.put(text.encode()), size=len(text)) for path, text in texts.items()]


def numbers(project: Project, dataset: str = "d") -> list[tuple[str, tuple[str, ...], str, str, int]]:
    return [(v.id, v.parents, v.author, v.message, v.created_at) for v in log(project, dataset)]


def test_a_push_moves_versions_as_they_are_and_the_branch(project: Project, other: LocalProject) -> None:
    publish(project, "first", put=[entry(project, "a", "a")])

    moved = move(other, project, "d@main")

    assert (moved.outcome, moved.versions) == ("moved", 3)
    assert numbers(project) == numbers(other)
    assert resolve(project, "d").id == resolve(other, "d").id
    assert read_bytes(project, "d@v2", "f-1") == b"text 1"
    again = move(other, project, "d@main")
    assert (again.outcome, again.objects, again.bytes) == ("same", 0, 0)


def test_a_pull_is_a_push_seen_from_the_other_side(project: Project, other: LocalProject) -> None:
    publish(project, "mine", put=[entry(project, "a", "a")], message="from afar")

    moved = move(project, other, "mine")

    assert moved.versions == 1
    assert resolve(other, "mine").message == "from afar"
    assert list(verify_all(other)) == []


def test_what_arrived_is_whole_and_says_where_it_came_from(local_project: LocalProject, other: LocalProject) -> None:
    head = get_origin(other)

    move(other, local_project, "d")

    assert verify_all(local_project) == []
    with local_project.ledger.read() as tx:
        rows = tx.all("SELECT kind, project, name, head_seq, head_hash, author, standing FROM imports")
        links = tx.all("SELECT kind FROM chain ORDER BY seq")
        edges = {(row.role, row.parent) for row in tx.edges_of(f"version:{resolve(other, 'd').id}")}
        assert list(verify_chain(tx)) == []
    assert {tuple(row) for row in rows} == {("copy", other.id, "other", head.seq, head.hash, "ann", "")}
    assert [row.kind for row in links] == ["import"]
    assert ("import", f"project:{other.id}@{head.seq}:{head.hash}") in edges


def test_only_what_differs_travels(sqlite_project: LocalProject, other: LocalProject) -> None:
    publish(other, "wide", put=entries(other, {f"{n:05}": str(n) for n in range(5000)}))
    everything = move(other, sqlite_project, "wide")
    publish(other, "wide", put=[entry(other, "02500", "changed")])

    change = move(other, sqlite_project, "wide")

    assert everything.objects > 5000
    # The file, the leaf that names it, the nodes above, the record.
    assert change.objects <= 5
    assert change.bytes < everything.bytes / 2


PUSHER = textwrap.dedent(
    """
    import os, signal, sys
    from headwater.check import move
    from headwater.durable import on_crash_point
    from headwater.lake import sending
    from headwater.project import open_project

    source, target, name, at = sys.argv[1:]
    sending.BATCH_OBJECTS = 50
    passed = 0

    def point(reached):
        global passed
        passed += reached == name
        if passed and passed == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

    on_crash_point(point)
    with open_project(source) as a, open_project(target) as b:
        moved = move(a, b, "d")
        print(moved.objects, moved.bytes)
    """
)


@pytest.mark.parametrize("by_url", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_push_that_was_killed_sends_only_the_rest_when_it_runs_again(
    tmp_path: Path, by_url: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_project(tmp_path / "a") as source:
        publish(source, "d", put=entries(source, {f"f-{n}": f"text {n}" * 20 for n in range(1000)}))
        size = resolve(source, "d").bytes
    create_project(tmp_path / "b").close()

    def push(target: str, at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PUSHER, str(tmp_path / "a"), target, "lake.send.batch", str(at)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def both(target: str) -> subprocess.CompletedProcess[str]:
        assert push(target, 12).returncode == -9
        return push(target, 0)

    if by_url:
        with open_project(tmp_path / "b") as behind, served(behind) as address:  # type: ignore[arg-type]  # opened by folder
            done = both(address)
    else:
        done = both(str(tmp_path / "b"))

    assert done.returncode == 0, done.stderr
    objects, sent = map(int, done.stdout.split())
    assert objects <= 1000 - 11 * 50 + 10  # 12 batches were durable but for the last, which may not have been
    assert sent < size * 0.75
    with open_project(tmp_path / "b") as target:
        assert len(list(iter_files(target, "d"))) == 1000
        assert list(verify(target)) == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["lake.receive.verified", "lake.receive.recorded", "check.publish.committed"])
def test_a_push_that_was_killed_while_facts_are_recorded_is_finished_by_the_next(
    other: LocalProject, tmp_path: Path, name: str
) -> None:
    create_project(tmp_path / "b").close()
    command = [sys.executable, "-c", PUSHER, str(other.folder), str(tmp_path / "b"), name]

    assert subprocess.run([*command, "1"], capture_output=True, check=False).returncode == -9
    with open_project(tmp_path / "b") as target:
        assert list(verify(target)) == []
    assert subprocess.run([*command, "0"], capture_output=True, check=False).returncode == 0

    with open_project(tmp_path / "b") as target:
        assert numbers(target) == numbers(other)
        assert resolve(target, "d").id == resolve(other, "d").id
        assert verify_all(target) == []


def diverge(project: Project, other: LocalProject) -> None:
    move(other, project, "d")
    publish(project, "d", put=[entry(project, "ours", "ours")], message="ours")
    publish(other, "d", put=[entry(other, "theirs", "theirs")], message="theirs")


def test_diverged_branches_are_told_and_nothing_is_sent(sqlite_project: LocalProject, other: LocalProject) -> None:
    diverge(sqlite_project, other)
    before = resolve(sqlite_project, "d").id

    with pytest.raises(ConflictError, match=r"diverged.*--merge.*--as-branch"):
        move(other, sqlite_project, "d")

    assert len(log(sqlite_project, "d")) == 4
    assert resolve(sqlite_project, "d").id == before


def test_diverged_branches_can_be_kept_both_or_merged(project: Project, other: LocalProject) -> None:
    diverge(project, other)

    beside = move(other, project, "d", as_branch="theirs")
    merged = move(other, project, "d", merging=True)

    assert (beside.branch, beside.outcome, merged.outcome) == ("theirs", "moved", "merged")
    assert {each.path for each in iter_files(project, "d@main")} >= {"ours", "theirs", "f-0"}
    assert len(merged.version.parents) == 2
    back = move(project, other, "d")
    assert back.outcome == "moved"


def test_a_side_that_is_ahead_stays(sqlite_project: LocalProject, other: LocalProject) -> None:
    move(other, sqlite_project, "d")
    publish(sqlite_project, "d", put=[entry(sqlite_project, "ours", "ours")])

    assert move(other, sqlite_project, "d").outcome == "ahead"
    assert "ours" in {each.path for each in iter_files(sqlite_project, "d")}


def test_a_branch_that_moved_meanwhile_is_not_moved_over(sqlite_project: LocalProject, other: LocalProject) -> None:
    diverge(sqlite_project, other)
    seen = log(sqlite_project, "d")[1].id
    move(other, sqlite_project, resolve(other, "d").id)

    with pytest.raises(ConflictError, match="while this was on its way"):
        arrive(sqlite_project, "d", resolve(other, "d").id, "main", expected=seen)


def test_a_version_alone_moves_no_branch(sqlite_project: LocalProject, other: LocalProject) -> None:
    moved = move(other, sqlite_project, "d@v2")

    assert (moved.outcome, moved.versions) == ("versions", 2)
    assert list_branches(sqlite_project, "d") == []


def test_a_protected_branch_demands_its_own_checks(project_folder: Path, other: LocalProject) -> None:
    (project_folder / "headwater.toml").write_text(CHECKS)
    with create_project(project_folder) as strict:
        publish(other, "d", put=[entry(other, "t.csv", "x\n9\n")])

        moved = move(other, strict, "d")

        assert (moved.outcome, moved.arrived) == ("quarantined", False)
        assert list_branches(strict, "d") == []
        assert [each.version.id for each in quarantine(strict)] == [resolve(other, "d").id]
        publish(other, "d", put=[entry(other, "t.csv", "x\n3\n")])
        assert move(other, strict, "d").outcome == "moved"


@pytest.fixture
def failing(project_folder: Path) -> Iterator[LocalProject]:
    """A project whose newest version of 'd' failed its checks."""
    (project_folder / "headwater.toml").write_text(CHECKS)
    with create_project(project_folder) as made:
        publish(made, "d", put=[entry(made, "t.csv", "x\n1\n")])
        publish(made, "d", put=[entry(made, "t.csv", "x\n9\n")])
        yield made


def test_a_quarantined_version_stays_so(failing: LocalProject, tmp_path: Path) -> None:
    with create_project(tmp_path / "lax", actor="ann") as lax:
        move(failing, lax, "d")

        with pytest.raises(NotPublishableError, match="waits in quarantine"):
            move(failing, lax, "d@v2", as_branch="main")

        assert resolve(lax, "d").id == resolve(failing, "d").id
        assert [each.version.message for each in quarantine(lax)] == [""]
        assert verify_all(lax) == []
        release_from_quarantine(lax, "d@v2", "it is a test")
        assert resolve(lax, "d").number == 2


def test_a_release_over_there_opens_no_protected_branch_here(failing: LocalProject, tmp_path: Path) -> None:
    release_from_quarantine(failing, "d@v2", "known to be right")
    with create_project(tmp_path / "lax") as lax, create_project(tmp_path / "strict") as strict:
        publish(strict, "d2", put=[entry(strict, "a", "a")])
        move(failing, strict, "d@v1", as_branch="main")
        protect(strict, "d")

        assert move(failing, lax, "d").outcome == "moved"
        with pytest.raises(NotPublishableError, match=r"known to be right.*does not count here"):
            move(failing, strict, "d")


def test_a_passing_verdict_does_not_travel(sqlite_project: LocalProject, other: LocalProject) -> None:
    run_checks(other, "d")

    move(other, sqlite_project, "d")

    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM verdicts") == 0


def test_a_flipped_byte_of_the_source_does_not_arrive(sqlite_project: LocalProject, other: LocalProject) -> None:
    packs = sorted((other.state / "objects" / "packs").glob("*.pack"), key=lambda path: path.stat().st_mtime)
    for pack in packs:
        data = bytearray(pack.read_bytes())
        place = data.find(b"text 1")
        if place >= 0:
            data[place] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(data)

    with pytest.raises(CorruptError):
        move(other, sqlite_project, "d")

    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM versions") == 0


def test_versions_without_their_bytes_or_parents_are_not_recorded(
    sqlite_project: LocalProject, other: LocalProject
) -> None:
    origin, head = get_origin(other), resolve(other, "d")
    with pytest.raises(InvalidInputError, match="not in the store yet"):
        receive(sqlite_project, "d", [head.record], origin)

    sqlite_project.objects.put(other.objects.get(head.record))
    with pytest.raises(InvalidInputError, match="which is not here"):
        receive(sqlite_project, "d", [head.record], origin)

    first = log(other, "d")[-1]
    sqlite_project.objects.put(other.objects.get(first.record))
    with pytest.raises(InvalidInputError, match="not in the store yet") as caught:
        receive(sqlite_project, "d", [first.record], origin)
    assert caught.value.values["missing"] == [first.root]

    sqlite_project.objects.put(other.objects.get(first.root))
    with pytest.raises(InvalidInputError, match="not in the store yet") as caught:
        receive(sqlite_project, "d", [first.record], origin)
    assert len(caught.value.values["missing"]) == 2


def test_a_record_that_lies_about_its_manifest_is_refused(sqlite_project: LocalProject, other: LocalProject) -> None:
    version = commit(sqlite_project, "e", put=[entry(sqlite_project, "a", "a")])
    fields: dict[str, Any] = {
        "format": "headwater.version/1",
        "id": "0" * 26,
        "dataset": "d",
        "parents": (),
        "root": version.root,
    }
    fields |= {"message": "", "author": "eve", "source": "", "created_at": 1, "rows": None, "produced_by": None}
    lying = sqlite_project.objects.put(encode({**fields, "inputs": (), "files": 7, "bytes": 1}))
    other_format = sqlite_project.objects.put(encode({**fields, "format": "x", "files": 1, "bytes": 1, "inputs": ()}))
    noise = sqlite_project.objects.put(b"\x01")

    with pytest.raises(CorruptError, match="7 files"):
        receive(sqlite_project, "d", [lying], get_origin(other))
    for record in (other_format, noise):
        with pytest.raises(InvalidInputError, match="record"):
            receive(sqlite_project, "d", [record], get_origin(other))


def test_a_project_does_not_send_to_itself(other: LocalProject) -> None:
    with pytest.raises(InvalidInputError, match="the same project"):
        move(other, other, "d@v1")


def test_a_mirror_has_every_version_branch_and_tag(project: Project, other: LocalProject) -> None:
    create_branch(other, "d", "side", "v1")
    tag(other, "d", "golden", "v2")
    commit(other, "d", put=[entry(other, "loose", "on no branch")], base=resolve(other, "d").id)
    publish(other, "e", put=[entry(other, "a", "a")])

    found = mirror(other, project)

    assert [(each.dataset, each.versions, each.problems) for each in found] == [("d", 4, ()), ("e", 1, ())]
    assert numbers(project) == numbers(other)
    ours, theirs = describe_dataset(project, "d"), describe_dataset(other, "d")
    assert [(b.name, b.version) for b in ours.branches] == [(b.name, b.version) for b in theirs.branches]
    assert [(t.name, t.version) for t in ours.tags] == [("golden", resolve(other, "d@v2").id)]
    assert mirror(other, project)[0].objects == 0


def test_a_mirror_says_what_could_not_follow(sqlite_project: LocalProject, other: LocalProject) -> None:
    diverge(sqlite_project, other)
    tag(other, "d", "golden", "v1")
    tag(sqlite_project, "d", "golden", "v2")
    tag(sqlite_project, "d", "own", "v2")

    found = mirror(other, sqlite_project, ["d"])[0]

    assert len(found.problems) == 2
    assert "diverged" in found.problems[0]
    assert "'golden'" in found.problems[1]
    assert found.only_there == ("own",)


def test_a_version_whose_bytes_were_collected_comes_as_a_fact(project: Project, other: LocalProject) -> None:
    lost = resolve(other, "d@v2")
    publish(other, "d", remove=["f-1"], message="without it")
    with other.ledger.write() as tx:
        tx.insert("gone", ref=f"version:{lost.id}", at=tx.now, how="collected", why="90 days are over")
    packs = list((other.state / "objects" / "packs").glob("*.pack"))
    assert packs

    # The manifest of v2 cannot be read any more: what a collection leaves.
    real = other.objects.get_many
    other.objects.get_many = lambda digests: _refusing(lost.root, real, digests)  # type: ignore[method-assign]  # planted
    move(other, project, "d")

    assert numbers(project) == numbers(other)
    assert {each.path for each in iter_files(project, "d")} == {"f-0", "f-2", "same"}
    with pytest.raises(GoneError):
        list(iter_files(project, "d@v2"))


def _refusing(root: str, real: Any, digests: Any) -> Any:
    assert root not in digests
    return real(digests)


def test_many_objects_come_in_a_few_answers(project: Project) -> None:
    with project.objects.batch() as batch:
        digests = [batch.put(bytes([number]) * 1_500_000) for number in range(20)]

    found = dict(project.objects.get_many([*digests, digests[0]]))

    assert found == {digest: bytes([number]) * 1_500_000 for number, digest in enumerate(digests)}
    with pytest.raises(NotFoundError):
        list(project.objects.get_many([*digests, "0" * 64]))
