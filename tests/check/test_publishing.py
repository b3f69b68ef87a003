"""Publishing and quarantine, on each kind of project."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from headwater.check import (
    find_verdict,
    get_verdict,
    list_verdicts,
    publish,
    publish_files,
    publish_tables,
    quarantine,
    release_from_quarantine,
    run_checks,
)
from headwater.durable import on_crash_point
from headwater.errors import ConflictError, InvalidInputError, NotPublishableError, RefusedError
from headwater.lake import (
    add_table,
    commit,
    delete_branch,
    describe_dataset,
    find_head,
    list_branches,
    merge,
    protect,
    resolve,
    scan,
    set_branch,
    verify,
)
from headwater.project import LocalProject, Project
from tests.check.flights import changed, declare, month
from tests.lake.test_versions import entry

LIMIT = 'kind = "range"\ncolumn = "delay"\nmin = -60\nmax = 100\nwhy = "Minutes."'


@pytest.fixture
def checked_folder(project_folder: Path) -> Path:
    """The project's folder with one check of flights declared; ask for it before the project."""
    declare(project_folder, LIMIT)
    return project_folder


@pytest.fixture
def checked(checked_folder: Path, project: Project) -> Project:
    """A project in which flights have a check."""
    return project


def too_late(number: int) -> dict[str, list[object]]:
    return changed(month(number), delay=[d * 60 for d in month(number)["delay"]])


def test_a_version_that_passes_moves_the_branch_and_one_that_fails_waits(checked: Project) -> None:
    good = publish_tables(checked, "flights", {"2013-01": month(1)}, message="January", source="nyc")
    bad = publish_tables(checked, "flights", {"2013-02": too_late(2)})

    assert (good.published, bad.published) == (True, False)
    assert resolve(checked, "flights") == good.version
    assert (good.version.message, good.version.source) == ("January", "nyc")
    assert scan(checked, bad.version.ref).sql("SELECT count(*) FROM data").fetchall() == [(1120,)]
    [waiting] = quarantine(checked)
    assert waiting.version.id == bad.version.id
    assert waiting.verdict == bad.verdict
    assert quarantine(checked, "others") == []
    assert [b.protected for b in list_branches(checked, "flights")] == [True]
    verdict = find_verdict(checked, "flights@v2")
    assert verdict is not None
    assert verdict == get_verdict(checked, verdict.id)
    assert (verdict.outcome, verdict.baseline) == ("failed", good.version.id)
    assert [v.outcome for v in list_verdicts(checked, "flights")] == ["failed", "passed"]
    assert list_verdicts(checked, before=verdict.id)[0].version == good.version.id


def test_a_corrected_version_is_published_over_the_old_head(checked: Project) -> None:
    publish_tables(checked, "flights", {"2013-01": month(1)})
    publish_tables(checked, "flights", {"2013-02": too_late(2)})

    corrected = publish_tables(checked, "flights", {"2013-02": month(2)})

    assert corrected.published
    assert resolve(checked, "flights").number == 3


def test_a_protected_branch_takes_only_what_passed(checked: Project) -> None:
    version = add_table(checked, "flights", "2013-01", month(1))
    with pytest.raises(NotPublishableError, match="has no verdict"):
        set_branch(checked, "flights", "main", version.id, expected=None)
    bad = add_table(checked, "flights", "2013-01", too_late(1))
    run_checks(checked, bad.id)
    with pytest.raises(NotPublishableError, match="failed its checks") as caught:
        set_branch(checked, "flights", "main", bad.id, expected=None)
    assert caught.value.values["version"] == bad.id
    set_branch(checked, "flights", "trial", bad.id, expected=None)  # another branch is nobody's promise

    assert find_head(checked, "flights") is None
    assert publish(checked, "flights", version="v1").published
    with pytest.raises(RefusedError, match="is protected"):
        delete_branch(checked, "flights", "main")


def test_a_decision_releases_a_version_with_its_reason(checked: Project) -> None:
    publish_tables(checked, "flights", {"2013-01": month(1)})
    bad = publish_tables(checked, "flights", {"2013-02": too_late(2)})
    with pytest.raises(InvalidInputError, match="needs a reason"):
        release_from_quarantine(checked, bad.version.id, " ")
    with pytest.raises(InvalidInputError, match="not in quarantine: it has passed"):
        release_from_quarantine(checked, "flights@v1", "why not")

    branch = release_from_quarantine(checked, bad.version.ref, "A storm: these delays are real.")

    assert (branch.version, branch.protected) == (bad.version.id, True)
    assert resolve(checked, "flights").id == bad.version.id
    assert quarantine(checked) == []


def test_publishing_and_releasing_are_links_of_the_governance_chain(
    checked_folder: Path, local_project: LocalProject
) -> None:
    publish_tables(local_project, "flights", {"2013-01": month(1)})
    bad = publish_tables(local_project, "flights", {"2013-02": too_late(2)})
    release_from_quarantine(local_project, bad.version.id, "a storm")

    with local_project.ledger.read() as tx:
        kinds = [row.kind for row in tx.all("SELECT kind FROM chain ORDER BY seq")]
        [decision] = tx.all("SELECT reason, author, verdict FROM quarantine_releases")
        assert bad.verdict is not None
        assert tuple(decision) == ("a storm", "ann", bad.verdict.id)
        edges = {tuple(edge) for edge in tx.edges_of(f"verdict:{bad.verdict.id}")}
        assert ("checked", f"version:{bad.version.id}") in edges
    assert [kind for kind in kinds if kind in ("publish", "quarantine.release")] == [
        "publish",
        "quarantine.release",
        "publish",
    ]
    assert list(verify(local_project)) == []


def test_a_release_does_not_outlive_another_verdict(checked_folder: Path, sqlite_project: LocalProject) -> None:
    good = publish_tables(sqlite_project, "flights", {"2013-01": month(1)})
    bad = publish_tables(sqlite_project, "flights", {"2013-02": too_late(2)})
    release_from_quarantine(sqlite_project, bad.version.id, "a storm")
    set_branch(sqlite_project, "flights", "main", good.version.id, expected=bad.version.id)
    run_checks(sqlite_project, bad.version.id)

    with pytest.raises(NotPublishableError, match="failed its checks"):
        set_branch(sqlite_project, "flights", "main", bad.version.id, expected=good.version.id)


def test_without_declarations_publishing_moves_the_branch_at_once(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")

    publication = publish_files(project, "notes", tmp_path / "a.txt")
    again = publish_files(project, "notes", tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("b")
    changed = publish_files(project, "notes", tmp_path / "a.txt")

    assert (publication.published, publication.verdicts) == (True, ())
    assert [each.version.changed for each in (publication, again, changed)] == [True, False, True]
    assert (again.version.number, changed.version.number) == (1, 2)
    assert not describe_dataset(project, "notes").branches[0].protected
    assert again.published
    assert "nothing changed" in again.message


def test_a_branch_protected_by_hand_needs_a_verdict_even_without_checks(project: Project) -> None:
    version = commit(project, "notes", put=[entry(project, "a", "1")])
    protect(project, "notes")
    with pytest.raises(NotPublishableError, match="has no verdict"):
        set_branch(project, "notes", "main", version.id, expected=None)

    assert publish(project, "notes", version=version.id).published

    protect(project, "notes", on=False)
    other = commit(project, "notes", put=[entry(project, "a", "2")])
    set_branch(project, "notes", "main", other.id, expected=version.id)


def test_what_would_drop_the_work_of_others_is_refused_and_can_be_merged(checked: Project) -> None:
    base = publish_tables(checked, "flights", {"2013-01": month(1)}).version
    mine = add_table(checked, "flights", "2013-02", month(2))
    publish_tables(checked, "flights", {"2013-03": month(3)})

    with pytest.raises(ConflictError, match="does not build on flights@v3") as caught:
        publish(checked, "flights", version=mine.id)

    assert caught.value.values["version"] == mine.id
    joined = merge(checked, "flights", mine.id)
    assert publish(checked, "flights", version=joined.id).published
    assert scan(checked, "flights").sql("SELECT count(*) FROM data").fetchall() == [(3 * 560,)]
    assert base.number == 1


def test_of_two_publishers_at_once_one_wins_and_the_other_loses_nothing(
    checked_folder: Path, local_project: LocalProject
) -> None:
    head = publish_tables(local_project, "flights", {"2013-01": month(1)}).version
    made = [
        add_table(local_project, "flights", f"2013-{n:02d}", month(n), base=head.id, message=str(n)) for n in (2, 3, 4)
    ]
    start = threading.Barrier(3)
    outcomes: list[str] = []

    def work(version: str) -> None:
        start.wait()
        try:
            outcomes.append("published" if publish(local_project, "flights", version=version).published else "failed")
        except ConflictError:
            outcomes.append("conflict")

    threads = [threading.Thread(target=work, args=(version.id,)) for version in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["conflict", "conflict", "published"]
    assert resolve(local_project, "flights").id in {version.id for version in made}
    with local_project.ledger.read() as tx:
        assert len(tx.pointer_history("branch", "flights/main")) == 2
    assert list(verify(local_project)) == []


def test_a_version_and_changes_are_not_given_together(project: Project) -> None:
    one = entry(project, "a", "1")
    version = commit(project, "d", put=[one])

    with pytest.raises(InvalidInputError, match="not both"):
        publish(project, "d", version=version.id, put=[one])


class PowerCutError(BaseException):
    """What no code may catch."""


@pytest.mark.parametrize("point", ["check.publish.committed", "check.publish.checked", "lake.commit.durable"])
def test_publishing_that_is_cut_off_leaves_the_branch_and_can_be_done_again(
    checked_folder: Path, sqlite_project: LocalProject, point: str
) -> None:
    head = publish_tables(sqlite_project, "flights", {"2013-01": month(1)}).version

    def cut(name: str) -> None:
        if name == point:
            raise PowerCutError

    on_crash_point(cut)
    try:
        with pytest.raises(PowerCutError):
            publish_tables(sqlite_project, "flights", {"2013-02": month(2)})
    finally:
        on_crash_point(None)

    assert resolve(sqlite_project, "flights").id == head.id
    assert list(verify(sqlite_project)) == []
    again = publish_tables(sqlite_project, "flights", {"2013-02": month(2)})
    assert again.published
    assert resolve(sqlite_project, "flights").id == again.version.id
