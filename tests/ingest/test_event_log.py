"""Pulling from the project's own event log: each event once, whatever becomes of the seals that it is in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headwater.durable import on_crash_point
from headwater.errors import ConflictError, InvalidInputError, NotFoundError
from headwater.events import reading, sealing
from headwater.events.erasing import find_in_seals, rewrite_seal
from headwater.events.reading import Piece
from headwater.events.removing import remove_rows
from headwater.ingest import event_log, plan, pull, reach_source, read_proof
from headwater.lake import Entry, commit, iter_files, scan, set_branch
from headwater.ledger import WriteTx
from headwater.project import LocalProject
from tests.events.streams import Stores, point, points

Declare = Callable[[str], None]


@pytest.fixture(autouse=True)
def _no_crash_points_left() -> Iterator[None]:
    yield
    on_crash_point(None)


@pytest.fixture(params=[4, pytest.param(sealing.GATHER_AT, marks=pytest.mark.long)])
def gather_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many small seals are gathered into one: few, which takes less time, and as many as they are."""
    monkeypatch.setattr(sealing, "GATHER_AT", request.param)
    return int(request.param)


def declare_points(declare: Declare, more: str = "", name: str = "points") -> None:
    declare(f'[[source]]\nname = "{name}"\nkind = "events"\ndataset = "{name}"\nstream = "test_points"\n{more}')


def sealed(project: LocalProject, steps: range | list[int], run: str = "r") -> None:
    """Append events, each sealed by itself."""
    for step in steps:
        project.events.append("test_points", [point(step, run=run)])
        project.events.seal(all=True)


def in_force(project: LocalProject) -> int:
    with project.ledger.read() as tx:
        return int(tx.value("SELECT count(*) FROM seals WHERE replaced_by IS NULL"))


def steps(project: LocalProject, dataset: str = "points") -> list[int]:
    return [n for (n,) in scan(project, dataset, sql="SELECT step FROM data ORDER BY step").fetchall()]


def when_read(act: Callable[[], object]) -> None:
    """Do something once, when the next pull has read its events and has not recorded them."""
    waiting = [act]

    def reached(name: str) -> None:
        if name == "ingest.events.read" and waiting:
            waiting.pop()()

    on_crash_point(reached)


def nothing_carried(tx: WriteTx, replaced: list[str], made: str) -> None:
    """The planted failure: a replacement that forgets the readers."""


def unchecked_take(tx: WriteTx, line: str, number: int, pieces: list[Piece]) -> bool:
    """The planted failure: takes seals though others took their place meanwhile."""
    columns = ("line", "seal", "first_take", "last_take")
    tx.insert_many("event_reads", columns, [(line, piece.seal.id, number, number) for piece in pieces])
    return True


@pytest.mark.long_elsewhere
@pytest.mark.parametrize("carried", [True, False])
def test_events_are_pulled_once_while_their_seals_are_gathered(
    local_project: LocalProject, declare: Declare, gather_at: int, monkeypatch: pytest.MonkeyPatch, carried: bool
) -> None:
    declare_points(declare)
    if not carried:
        monkeypatch.setattr(sealing, "carry", nothing_carried)
    done = 0
    for count in (gather_at - 2, gather_at, gather_at - 1):  # of those that were pulled, and of those that were not
        sealed(local_project, range(done, done + count))
        done += count
        local_project.events.append("test_points", points([done]))
        done += 1
        assert pull(local_project, "points").outcome == "published"
    nothing = pull(local_project, "points").outcome

    assert (steps(local_project) == list(range(done))) is carried
    assert nothing == "unchanged"
    assert in_force(local_project) < done // 2


def test_a_part_file_per_pull_says_which_seals_it_has(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_points(declare, 'path = "all/of/it"')
    sealed(sqlite_project, range(2))
    found = plan(sqlite_project, "points").planned
    first = pull(sqlite_project, "points")
    sqlite_project.events.append("test_points", points([2, 3]))
    second = pull(sqlite_project, "points")

    assert [each.what for each in found] == ["2 events of 'test_points'"]
    assert plan(sqlite_project, "points").planned == ()
    assert [e.path for e in iter_files(sqlite_project, "points")] == [
        f"all/of/it/part-{number:08d}.parquet" for number in (1, 2)
    ]
    with sqlite_project.ledger.read() as tx:
        seals = [row.id for row in tx.all("SELECT id FROM seals ORDER BY id")]
    told = [read_proof(sqlite_project, each.id).files[0] for each in (first, second)]
    assert [each["stream"] for each in told] == ["test_points"] * 2
    assert [each["seals"] for each in told] == [
        [{"seal": seals[0], "rows": 1}, {"seal": seals[1], "rows": 1}],
        [{"seal": seals[2], "rows": 2}],
    ]
    assert "4 events" in reach_source(sqlite_project, "points").found


def test_values_come_through_as_they_are(sqlite_project: LocalProject, declare: Declare) -> None:
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))[0]  # a NaN with a sign and a payload
    rows: list[dict[str, Any]] = [
        {"words": "a'\"\0é", "number": 2**63 - 1, "real": odd, "flag": True, "raw": b"\0\xff"},
        {"words": "", "number": -(2**63), "real": -0.0, "flag": False, "raw": b"", "occurred_at": -5},
        {"real": float("-inf"), "occurred_at": 1_767_225_600_000_001},
    ]
    declare('[[source]]\nname = "types"\nkind = "events"\ndataset = "types"\nstream = "test_types"')
    for row in rows:
        sqlite_project.events.append("test_types", [row])
    pull(sqlite_project, "types")

    exact = "SELECT words, number, real::BIT::BIGINT, flag, raw, occurred_at, recorded_at FROM {} ORDER BY ALL"
    wanted = sqlite_project.events.query(exact.format("test_types"), streams=["test_types"])
    found = scan(sqlite_project, "types", sql=exact.format("data"))
    assert found.fetchall() == wanted.fetchall()
    assert {row[2] for row in found.fetchall() or wanted.fetchall()} == {
        struct.unpack("<q", struct.pack("<d", value))[0] for value in (odd, -0.0, float("-inf"))
    }
    types = scan(sqlite_project, "types", sql="SELECT DISTINCT typeof(occurred_at), typeof(recorded_at) FROM data")
    assert types.fetchall() == [("BIGINT", "BIGINT")]


def test_columns_and_rows_are_chosen(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_points(declare, 'columns = ["step", "run"]\nwhere = {run = ["a", "b\'"], value = 0.5, step = [1, 2, 3]}')
    for run in ("a", "b'", "c"):
        sqlite_project.events.append("test_points", [*points(range(4), run=run), point(2, 1.5, run)])
    pull(sqlite_project, "points")
    sqlite_project.events.append("test_points", points([1], run="c"))
    nothing = pull(sqlite_project, "points")

    found = scan(sqlite_project, "points", sql="SELECT * FROM data ORDER BY ALL")
    assert found.fetchall() == [(step, run) for step in (1, 2, 3) for run in ("a", "b'")]
    assert (nothing.outcome, nothing.message) == ("unchanged", "0 events")
    assert plan(sqlite_project, "points").planned == ()  # what is left out was taken all the same


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ('stream = "nowhere"', NotFoundError, r"no event stream 'nowhere'\. There are: .*test_points"),
        ('stream = "test_points"\ncolumns = ["colour"]', InvalidInputError, r"no column 'colour'.*step BIGINT"),
        ('stream = "test_points"\nwhere = {colour = 1}', InvalidInputError, r"no column 'colour'.*step BIGINT"),
        ('stream = "test_points"\nwhere = {step = "1"}', InvalidInputError, "'step' of 'test_points' is BIGINT"),
        ('stream = "test_types"\nwhere = {raw = "1"}', InvalidInputError, "bytes cannot be asked for"),
        ('stream = "test_points"\nmax_rows = 0', InvalidInputError, "max_rows is at least 1"),
    ],
)
def test_what_does_not_fit_the_stream_is_told(
    sqlite_project: LocalProject, declare: Declare, more: str, error: type[Exception], says: str
) -> None:
    declare(f'[[source]]\nname = "wrong"\nkind = "events"\ndataset = "wrong"\n{more}')

    for act in (pull, plan, reach_source):
        with pytest.raises(error, match=says):
            act(sqlite_project, "wrong")


def test_a_pull_takes_whole_seals_up_to_its_rows(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_points(declare, "max_rows = 4")
    for first, count in ((0, 5), (5, 1), (6, 3), (9, 1)):
        sqlite_project.events.append("test_points", points(range(first, first + count)))
        sqlite_project.events.seal(all=True)
    messages = [pull(sqlite_project, "points").message for _ in range(4)]

    assert messages == ["5 events", "4 events", "1 events", ""]
    assert steps(sqlite_project) == list(range(10))


def test_the_latest_only_are_those_after_the_first_pull(
    sqlite_project: LocalProject, declare: Declare, gather_at: int
) -> None:
    declare_points(declare, 'start = "latest"')
    sealed(sqlite_project, range(3))
    first = pull(sqlite_project, "points")
    sealed(sqlite_project, range(3, 5 + gather_at))
    pull(sqlite_project, "points")

    assert first.outcome == "unchanged"
    assert steps(sqlite_project) == list(range(3, 5 + gather_at))


@pytest.mark.long_elsewhere
@pytest.mark.parametrize("checked", [True, False])
def test_seals_gathered_while_they_are_pulled_are_read_again(
    local_project: LocalProject, declare: Declare, gather_at: int, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    declare_points(declare)
    if not checked:
        monkeypatch.setattr(event_log, "take", unchecked_take)
    sealed(local_project, range(gather_at - 1))
    when_read(lambda: sealed(local_project, [gather_at - 1]))
    pull(local_project, "points")

    assert in_force(local_project) == 1
    pull(local_project, "points")
    assert (steps(local_project) == list(range(gather_at))) is checked


def test_a_pull_that_is_always_overtaken_takes_nothing(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_points(declare)
    sqlite_project.events.append("test_points", [point(n, run=f"r{n}") for n in range(10)])
    runs = iter(range(10))

    def remove(name: str) -> None:
        if name == "ingest.events.read":
            assert remove_rows(sqlite_project, "test_points", "run", [f"r{next(runs)}"]) == 1

    on_crash_point(remove)
    with pytest.raises(ConflictError, match="nothing was taken"):
        pull(sqlite_project, "points")
    on_crash_point(None)
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM event_reads") == 0
    pull(sqlite_project, "points")
    assert steps(sqlite_project) == list(range(next(runs), 10))


@pytest.mark.long_elsewhere
def test_events_are_pulled_once_while_rows_are_removed_and_erased(
    local_project: LocalProject, declare: Declare
) -> None:
    declare_points(declare)
    local_project.events.append("test_points", [point(0), point(1, run="gone"), point(2, run="named")])
    pull(local_project, "points")
    erase(local_project, "named")
    assert remove_rows(local_project, "test_points", "run", ["gone"]) == 1
    assert pull(local_project, "points").outcome == "unchanged"

    local_project.events.append("test_points", [point(3), point(4, run="gone"), point(5, run="named")])

    def remove_and_erase() -> None:
        remove_rows(local_project, "test_points", "run", ["gone"])
        erase(local_project, "named")

    when_read(remove_and_erase)
    pull(local_project, "points")

    # What was pulled before is the dataset's to erase; what was not comes without.
    found = scan(local_project, "points", sql="SELECT step, run FROM data ORDER BY step").fetchall()
    assert found == [(0, "r"), (1, "gone"), (2, "named"), (3, "r"), (5, "erased")]


def erase(project: LocalProject, name: str) -> None:
    for seal, cells, _ in list(find_in_seals(project, lambda value: value == name)):
        rewrite_seal(project, seal, cells, lambda _: "erased", lambda _: None)


def test_readers_of_one_stream_are_independent(sqlite_project: LocalProject, declare: Declare, gather_at: int) -> None:
    declare_points(declare, name="one")
    declare_points(declare, name="other")
    declare('[[source]]\nname = "by"\nkind = "events"\ndataset = "by_{x}"\nstream = "test_points"\nparameters = ["x"]')
    sealed(sqlite_project, range(1))
    pull(sqlite_project, "one")
    sealed(sqlite_project, range(1, 3))
    pull(sqlite_project, "other")
    end = 3 + gather_at
    sealed(sqlite_project, range(3, end))
    for name in ("one", "other"):
        pull(sqlite_project, name)
    for value in ("a", "b"):
        pull(sqlite_project, "by", {"x": value})

    for dataset in ("one", "other", "by_a", "by_b"):
        assert steps(sqlite_project, dataset) == list(range(end))


@pytest.mark.long
def test_a_branch_that_goes_on_from_an_older_version_gets_again_what_came_after_it(
    local_project: LocalProject, declare: Declare, gather_at: int
) -> None:
    most, then = gather_at // 4, gather_at // 2
    declare_points(declare, f"max_rows = {most}")
    versions: list[str] = []
    for step in range(gather_at):
        sealed(local_project, [step])
        made = pull(local_project, "points").version
        assert made is not None
        versions.append(made)
    sealed(local_project, [gather_at])
    assert in_force(local_project) == 2  # of the first, not all were there at any of the versions

    go_on_from(local_project, versions[then - 1])
    assert steps(local_project) == list(range(then))
    pull(local_project, "points")
    assert steps(local_project) == list(range(then + most))
    end = 2 * gather_at + 1
    sealed(local_project, range(gather_at + 1, end))  # others are gathered while some is not read again yet
    again = pull_all(local_project)
    assert steps(local_project) == list(range(end))

    for version in (versions[-2], again):
        sealed(local_project, [end])
        end += 1
        go_on_from(local_project, version)
        pull_all(local_project)
        assert steps(local_project) == list(range(end))


def pull_all(project: LocalProject) -> str:
    """Pull until there is nothing new, and return the last version."""
    version = ""
    while (done := pull(project, "points")).outcome == "published":
        assert done.version is not None
        version = done.version
    return version


def test_going_on_from_where_events_can_no_longer_be_told_apart_is_refused(
    sqlite_project: LocalProject, declare: Declare, gather_at: int
) -> None:
    declare_points(declare)
    sealed(sqlite_project, [0])
    first = pull(sqlite_project, "points").version
    sealed(sqlite_project, range(1, gather_at), run="gone")
    last = pull(sqlite_project, "points").version
    sealed(sqlite_project, [gather_at])
    remove_rows(sqlite_project, "test_points", "run", ["gone"])
    assert first is not None and last is not None

    go_on_from(sqlite_project, first)
    with pytest.raises(ConflictError, match="cannot be told apart"):
        pull(sqlite_project, "points")
    move(sqlite_project, last)
    pull(sqlite_project, "points")
    assert steps(sqlite_project) == list(range(gather_at + 1))


def go_on_from(project: LocalProject, version: str) -> None:
    """Set the branch to something that somebody made of an older version."""
    note = Entry(path="note.txt", digest=project.objects.put(version.encode()), size=len(version))
    move(project, commit(project, "points", put=[note], base=version).id)


def move(project: LocalProject, version: str) -> None:
    with project.ledger.read() as tx:
        head = tx.pointer("branch", "points/main")
    set_branch(project, "points", "main", version, expected=head)


def test_what_a_living_writer_holds_is_pulled_when_it_writes_again(
    sqlite_project: LocalProject, declare: Declare
) -> None:
    declare_points(declare)
    other = Stores(sqlite_project).open()
    other.append("test_points", points([0]))
    held = pull(sqlite_project, "points").outcome
    other.append("test_points", points([1]))
    pull(sqlite_project, "points")
    got = steps(sqlite_project)
    other.seal()  # as a server does from time to time
    pull(sqlite_project, "points")
    other.close()

    assert (held, got, steps(sqlite_project)) == ("unchanged", [0], [0, 1])


def test_seals_that_a_reader_took_never_become_one_with_others(sqlite_project: LocalProject) -> None:
    sealed(sqlite_project, range(3))
    with sqlite_project.ledger.write() as tx:
        one, *rest = reading.list_unread(tx, "test_points", "line", 0)
        assert reading.take(tx, "line", 1, [one])
    with sqlite_project.ledger.write() as tx, pytest.raises(ConflictError, match="1 of 3 seals"):
        reading.carry(tx, [piece.seal.id for piece in (one, *rest)], "made")
