from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headwater.check import quarantine, release_from_quarantine
from headwater.errors import ConflictError, InvalidInputError, NotFoundError, UserCodeError
from headwater.ingest import history, list_sources, plan, pull, read_proof, show_source
from headwater.ingest.leasing import holding
from headwater.lake import add_files, commit, log, resolve, scan, set_branch
from headwater.lake.collecting import delete
from headwater.project import LocalProject, Project
from headwater.trace import trace, verify
from headwater.trace.collecting import collect
from tests.ingest.conftest import files_of

Declare = Callable[[str], None]

COUNTING = """
from pathlib import Path
import headwater as hw

@hw.source("counted", dataset="counts", parameters=["customer"])
def counted(since, into, customer):
    seen = (since or {}).get("seen", 0)
    wanted = int(Path(__file__ + ".wanted").read_text())
    for number in range(seen, wanted):
        into.put_table(f"{customer}/{number}", {"n": [number]}, proof={"number": number})
    return {"seen": wanted}
"""


def counting(folder: Path, wanted: int, code: str = COUNTING) -> None:
    (folder / "sources.py").write_text(code)
    (folder / "sources.py.wanted").write_text(str(wanted))


def test_a_pull_makes_a_version_and_the_next_goes_on_from_its_state(project: Project, project_folder: Path) -> None:
    counting(project_folder, 2)
    first = pull(project, "counted", {"customer": "acme"})
    counting(project_folder, 3)
    second = pull(project, "counted", {"customer": "acme"})
    third = pull(project, "counted", {"customer": "acme"})

    assert (first.outcome, first.number, first.files) == ("published", 1, 2)
    assert (second.outcome, second.number, second.files) == ("published", 2, 1)
    assert (third.outcome, third.version, third.files) == ("unchanged", second.version, 0)
    assert sorted(row[0] for row in scan(project, "counts@main").fetchall()) == [0, 1, 2]
    assert [each.id for each in history(project, "counted")] == [third.id, second.id, first.id]
    assert len(log(project, "counts")) == 2


def test_a_source_per_customer_is_a_parameter(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    pull(sqlite_project, "counted", {"customer": "acme"})
    pull(sqlite_project, "counted", {"customer": "bolt"})

    assert set(files_of(sqlite_project, "counts")) == {"acme/0.parquet", "bolt/0.parquet"}
    assert [p.parameters for p in history(sqlite_project, "counted", {"customer": "bolt"})] == [{"customer": "bolt"}]


def test_the_version_names_the_pull_and_the_pull_its_source(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    done = pull(sqlite_project, "counted", {"customer": "acme"})
    version = resolve(sqlite_project, "counts")
    graph = trace(sqlite_project, "counts@main")
    proof = read_proof(sqlite_project, version.id)

    assert version.source == "python:sources.py:counted" == done.origin
    assert version.produced_by == f"pull:{done.id}"
    assert {"source:python:sources.py:counted", f"pull:{done.id}"} <= {node.ref for node in graph.nodes}
    assert not any(node.missing for node in graph.nodes)
    assert [(f["path"], f["number"]) for f in proof.files] == [("acme/0.parquet", 0)]
    assert proof.pull.id == done.id


@pytest.mark.parametrize("value", ["", "a'; DROP TABLE x --", "../etc", "a/b", "x y", "a--b", "a@b", "-x", "é" * 201])
def test_a_parameter_that_could_be_more_than_a_value_is_refused(
    sqlite_project: LocalProject, project_folder: Path, value: str
) -> None:
    counting(project_folder, 1)

    with pytest.raises(InvalidInputError, match="letters, digits"):
        pull(sqlite_project, "counted", {"customer": value})


def test_parameters_that_are_missing_or_unknown_are_named(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)

    with pytest.raises(InvalidInputError, match="'customer' is missing, there is no parameter 'client'"):
        pull(sqlite_project, "counted", {"client": "acme"})


FAILING = """
import headwater as hw

@hw.source("broken", dataset="counts")
def broken(since, into):
    into.put_file("half.txt", b"half", proof={})
    raise RuntimeError("the other half is missing")
"""


def test_a_pull_that_fails_is_recorded_with_its_error_and_changes_nothing(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    (project_folder / "sources.py").write_text(FAILING)
    with pytest.raises(UserCodeError, match="the other half is missing"):
        pull(sqlite_project, "broken")

    (failed,) = history(sqlite_project, "broken")
    assert (failed.outcome, failed.version) == ("failed", None)
    assert "the other half is missing" in failed.message
    with pytest.raises(NotFoundError):
        resolve(sqlite_project, "counts")


def test_two_pulls_into_one_branch_exclude_each_other(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    with (
        holding(sqlite_project, "ingest:counts:main"),
        pytest.raises(ConflictError, match="another pull into 'counts@main'"),
    ):
        pull(sqlite_project, "counted", {"customer": "acme"})

    assert pull(sqlite_project, "counted", {"customer": "acme"}).outcome == "published"


STOLEN = """
import headwater as hw

@hw.source("slow", dataset="counts")
def slow(since, into):
    with into.project.ledger.write() as tx:  # as if the process had slept past its lease
        tx.execute("UPDATE leases SET token = token + 1, holder = 'another' WHERE name = 'ingest:counts:main'")
    into.put_file("late.txt", b"late", proof={})
    return {"late": True}
"""


def test_a_pull_that_lost_its_lease_records_nothing(sqlite_project: LocalProject, project_folder: Path) -> None:
    (project_folder / "sources.py").write_text(STOLEN)
    with pytest.raises(ConflictError, match="'another' holds it"):
        pull(sqlite_project, "slow")

    (only,) = history(sqlite_project, "slow")
    assert (only.outcome, only.version) == ("running", None)
    with pytest.raises(NotFoundError):
        resolve(sqlite_project, "counts")


def test_pulls_that_race_lose_nothing(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    outcomes: list[str] = []

    def race(customer: str) -> None:
        try:
            outcomes.append(pull(sqlite_project, "counted", {"customer": customer}).outcome)
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=race, args=(f"c{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(files_of(sqlite_project, "counts")) == outcomes.count("published") >= 1
    assert set(outcomes) <= {"published", "conflict"}


CHECKED = """
[[checks.counts]]
kind = "range"
column = "n"
max = 1
"""


def test_a_version_that_fails_its_checks_waits_in_quarantine_and_the_next_pull_builds_on_it(
    project: Project, project_folder: Path, declare: Declare
) -> None:
    declare(CHECKED)
    counting(project_folder, 2)
    good = pull(project, "counted", {"customer": "acme"})
    counting(project_folder, 3)
    bad = pull(project, "counted", {"customer": "acme"})
    again = pull(project, "counted", {"customer": "acme"})

    assert (good.outcome, bad.outcome) == ("published", "quarantined")
    assert resolve(project, "counts@main").id == good.version
    assert "waits in quarantine" in bad.message
    # Its state went on with it: what it holds is not pulled twice, and not lost when it is released.
    assert (again.outcome, again.version) == ("unchanged", bad.version)
    assert [q.version.id for q in quarantine(project)] == [bad.version]

    assert bad.version is not None
    release_from_quarantine(project, bad.version, "the third is right")
    counting(project_folder, 4)
    last = pull(project, "counted", {"customer": "acme"})
    assert last.outcome == "quarantined"
    assert sorted(row[0] for row in scan(project, "counts").fetchall()) == [0, 1, 2]
    assert sorted(row[0] for row in scan(project, f"counts@v{last.number}").fetchall()) == [0, 1, 2, 3]


def test_a_branch_that_was_set_to_something_else_brings_back_the_state_that_belongs_to_it(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    counting(project_folder, 1)
    first = pull(sqlite_project, "counted", {"customer": "acme"})
    counting(project_folder, 3)
    second = pull(sqlite_project, "counted", {"customer": "acme"})
    corrected = commit(sqlite_project, "counts", put=[], base=first.version, allow_empty=True)
    set_branch(sqlite_project, "counts", "main", corrected.id, expected=second.version)

    third = pull(sqlite_project, "counted", {"customer": "acme"})

    assert third.files == 2
    assert len(files_of(sqlite_project, "counts")) == 3


def test_a_dataset_that_was_given_up_is_pulled_anew(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 2)
    pull(sqlite_project, "counted", {"customer": "acme"})
    delete(sqlite_project, "counts", "it was a trial")
    again = pull(sqlite_project, "counted", {"customer": "acme"})

    assert (again.outcome, again.files) == ("published", 2)


def test_work_that_others_committed_to_the_branch_stays(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    first = pull(sqlite_project, "counted", {"customer": "acme"})
    (project_folder / "note.txt").write_text("by hand")
    version = add_files(sqlite_project, "counts", project_folder / "note.txt")
    set_branch(sqlite_project, "counts", "main", version.id, expected=first.version)
    counting(project_folder, 2)
    pull(sqlite_project, "counted", {"customer": "acme"})

    assert set(files_of(sqlite_project, "counts")) == {"acme/0.parquet", "acme/1.parquet", "note.txt"}


LARGE = """
import headwater as hw

@hw.source("large", dataset="large")
def large(since, into):
    assert since is None or len(since["names"]) == 5000
    into.put_file("one.txt", b"one", proof={})
    return {"names": [f"name-{n}" for n in range(5000)]}
"""


def test_a_large_state_lies_in_the_store_once(sqlite_project: LocalProject, project_folder: Path) -> None:
    (project_folder / "sources.py").write_text(LARGE)
    pull(sqlite_project, "large")
    pull(sqlite_project, "large")

    with sqlite_project.ledger.read() as tx:
        rows = tx.all("SELECT state, state_object FROM pulls")
    assert [row.state for row in rows] == [None, None]
    assert len({row.state_object for row in rows}) == 1


SECRET = """
import headwater as hw
from headwater.ingest.secrets import resolve_secret

@hw.source("told", dataset="told")
def told(since, into):
    secret = resolve_secret("env:PULL_PASSWORD")
    into.put_file("a.txt", b"a", proof={"asked": f"with {secret}"})
    if since:
        raise RuntimeError(f"the server says: {secret} is wrong")
    return {"used": secret}
"""


def test_a_secret_is_kept_out_of_state_proof_and_errors(
    sqlite_project: LocalProject, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULL_PASSWORD", "hunter2-and-more")
    (project_folder / "sources.py").write_text(SECRET)
    done = pull(sqlite_project, "told")
    with pytest.raises(UserCodeError) as caught:
        pull(sqlite_project, "told")

    assert done.proof is not None
    proof = msgspec.json.decode(sqlite_project.objects.get(done.proof))
    assert proof["files"][0]["asked"] == "with env:PULL_PASSWORD"
    with sqlite_project.ledger.read() as tx:
        kept = str([row.as_dict() for row in tx.all("SELECT state, message FROM pulls")])
    assert "hunter2" not in kept + str(caught.value) + str(caught.value.values)
    assert "env:PULL_PASSWORD" in kept


def test_sources_are_listed_with_their_last_pull_and_what_is_wrong_with_them(
    project: Project, project_folder: Path, declare: Declare
) -> None:
    counting(project_folder, 1)
    declare('[[source]]\nname = "lost"\nkind = "files"\ndataset = "lost"\n')
    pull(project, "counted", {"customer": "acme"})
    lost, counted = list_sources(project)

    assert (counted.name, counted.kind, counted.parameters) == ("counted", "python", ("customer",))
    assert counted.last is not None and counted.last.outcome == "published"
    assert "needs path" in lost.problem and lost.last is None
    assert show_source(project, "counted").declared_in == "sources.py"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a b"\nkind = "files"\ndataset = "d"', "a name has letters"),
        ('name = "a"\nkind = "ftp"\ndataset = "d"', "no kind 'ftp'"),
        ('name = "a"\nkind = "files"\ndataset = "d"\npath = "x"\nextract = "ocr"', "extract = 'ocr'"),
        ('name = "a"\nkind = "files"\ndataset = "d"\npath = "x"\nparameters = ["c"]', "stands in no setting"),
        ('kind = "files"\ndataset = "d"', "missing required field `name`"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_its_reason(
    sqlite_project: LocalProject, declare: Declare, text: str, said: str
) -> None:
    declare(f"[[source]]\n{text}")

    with pytest.raises(InvalidInputError, match=said):
        list_sources(sqlite_project)


def test_an_unknown_setting_lists_the_known_ones(sqlite_project: LocalProject, declare: Declare) -> None:
    declare('[[source]]\nname = "a"\nkind = "http"\ndataset = "d"\nurl = "https://x.org/a"\nretry = 3')

    with pytest.raises(InvalidInputError, match=r"no setting 'retry'.*retries, backoff_s"):
        pull(sqlite_project, "a")


def test_sources_that_share_a_name_or_a_wrong_table_are_refused(sqlite_project: LocalProject, declare: Declare) -> None:
    declare('[[source]]\nname = "a"\nkind = "files"\ndataset = "d"\npath = "x"\n' * 2)
    with pytest.raises(InvalidInputError, match="two sources are called 'a'"):
        list_sources(sqlite_project)

    declare("[[sources]]")
    with pytest.raises(InvalidInputError, match=r"write \[\[source\]\]"):
        list_sources(sqlite_project)


def test_code_that_cannot_be_loaded_shows_its_traceback(sqlite_project: LocalProject, project_folder: Path) -> None:
    (project_folder / "sources.py").write_text("1 / 0")

    with pytest.raises(UserCodeError, match="ZeroDivisionError"):
        list_sources(sqlite_project)


def test_a_dry_run_records_nothing(sqlite_project: LocalProject, project_folder: Path) -> None:
    counting(project_folder, 1)
    planned = plan(sqlite_project, "counted", {"customer": "acme"})

    assert planned.since == "nothing was pulled yet"
    assert [each.act for each in planned.planned] == ["fetch"]
    assert history(sqlite_project) == []


def test_collecting_keeps_proofs_and_verify_misses_one_that_is_gone(
    sqlite_project: LocalProject, project_folder: Path
) -> None:
    (project_folder / "sources.py").write_text(LARGE)
    done = pull(sqlite_project, "large")
    collect(sqlite_project, free=True, grace_hours=0)
    kept = read_proof(sqlite_project, done.id)
    with sqlite_project.ledger.write() as tx:
        tx.execute("UPDATE pulls SET proof = ?", ("0" * 64,))

    assert [file["path"] for file in kept.files] == ["one.txt"]
    assert pull(sqlite_project, "large").outcome == "unchanged"
    assert [finding.message for finding in verify(sqlite_project)] == [
        f"the object {'0' * 64}, the proof of pull:{done.id}, is not in the store."
    ]
