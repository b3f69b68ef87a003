from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from headwater.errors import ConflictError
from headwater.notify import deliver_pending
from headwater.project import Actor, LocalProject, open_project
from headwater.release import approve, get_release, reject, release_log, request_release, review_version, rollback
from tests.notify.servers import Hooks, Mails, mail_server, web_server
from tests.release.champions import add_version


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with web_server() as running:
        yield running


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mail_server() as running:
        yield running


def telling(project: LocalProject, settings: str) -> LocalProject:
    """Open the project again with two approvals for production, and a notifier that has seen the present."""
    text = f'[project]\nname = "test"\n[channels.production]\napprovals = 2\n{settings}'
    (project.folder / "headwater.toml").write_text(text)
    told = open_project(project.folder, actor="ann")
    assert isinstance(told, LocalProject)
    deliver_pending(told)
    return told


def test_requests_decisions_and_releases_are_posted_as_sentences(sqlite_project: LocalProject, hooks: Hooks) -> None:
    kinds = '["request", "approval", "release"]'
    notifier = f'[[notify]]\nname = "chat"\non = {kinds}\nwebhook = "{hooks.url}"\nallow_private = true\n'
    bob, cleo = (sqlite_project.as_actor(name).actor for name in ("bob", "cleo"))

    def news(project: LocalProject) -> set[str]:
        """Return what is told of what happened since; of one moment in any order."""
        hooks.posted.clear()
        deliver_pending(project)
        return {json.loads(each.body)["text"].partition(": ")[2] for each in hooks.posted}

    with telling(sqlite_project, notifier) as project:
        add_version(project)
        review_version(project.as_actor(bob), "delay@v1", "approve", "read the card")
        assert news(project) == {"bob approved delay@v1: read the card"}
        asked = request_release(project, "delay@v1", "production", "it is better")
        what = "delay v1 → production"
        assert news(project) == {f"{what} waits for 2 approvals; ann asks: it is better (request {asked.id})"}
        approve(project.as_actor(bob), asked.id, "same rows")
        assert news(project) == {
            f"bob approved {what}: same rows",
            f"{what} waits for 1 approval; ann asks: it is better (request {asked.id})",
        }
        approve(project.as_actor(cleo), asked.id, "slices too")
        assert news(project) == {
            f"cleo approved {what}: slices too",
            "delay@production is v1, released by cleo: it is better",
        }
        second = request_release(project, add_version(project).id, "production", "more data")
        news(project)
        reject(project.as_actor(bob), second.id, "not before the holidays")
        no = "not before the holidays"
        assert news(project) == {
            f"bob said no to delay v2 → production: {no}",
            f"delay v2 → production is rejected: bob (claimed) said no: {no} (request {second.id})",
        }


def test_who_may_approve_gets_a_mail_that_says_what_waits_for_how_many(
    sqlite_project: LocalProject, mails: Mails
) -> None:
    notifier = (
        '[[notify]]\nname = "approvers"\non = ["request"]\nmatch = { status = "waiting" }\n'
        f'email = ["maria@example.org"]\nsender = "hw@example.org"\nserver = "127.0.0.1:{mails.port}"\n'
        'encryption = "none"\n'
    )
    with telling(sqlite_project, notifier) as project:
        add_version(project)
        asked = request_release(project, "delay@v1", "production", "it is better")
        assert deliver_pending(project) == 1

    text = mails.taken[0][2]
    assert "waits for 2 approvals" in text.replace("=\r\n", "")
    assert asked.id in text


def test_a_request_that_went_stale_is_told_too(sqlite_project: LocalProject, hooks: Hooks) -> None:
    notifier = f'[[notify]]\nname = "chat"\non = ["request"]\nwebhook = "{hooks.url}"\nallow_private = true\n'
    with telling(sqlite_project, notifier) as project:
        first, second = (request_release(project, add_version(project).id, "production", "go") for _ in range(2))
        for name in ("bob", "cleo"):
            approve(project.as_actor(name), second.id, "yes")
        with pytest.raises(ConflictError, match="is closed"):
            approve(project.as_actor("bob"), first.id, "yes")
        deliver_pending(project)

    texts = [json.loads(each.body)["text"] for each in hooks.posted]
    assert any("delay v1 → production is closed: production points to delay@v2 now" in each for each in texts)


def test_the_roles_of_a_decision_are_kept_with_it(sqlite_project: LocalProject) -> None:
    sqlite_project.settings.tables["channels"] = {"production": {"approvals": 1, "roles": ["reviewer"]}}
    add_version(sqlite_project)
    asked = request_release(sqlite_project, "delay@v1", "production", "go")
    cleo = Actor(name="cleo", claimed=False, roles=("approver", "reviewer"))

    done = approve(sqlite_project.as_actor(cleo), asked.id, "read it")

    [approval] = get_release(sqlite_project, done.release or "").approvals
    assert (approval.by, approval.claimed, approval.roles) == ("cleo", False, ("approver", "reviewer"))


def test_the_log_at_a_date_shows_the_evidence_as_it_was_then(sqlite_project: LocalProject) -> None:
    from headwater.cli.release_commands import release_text
    from tests.release.champions import evaluated

    sqlite_project.settings.tables["channels"] = {"production": {"approvals": 1, "gates": ["bar:auc>0.6"]}}
    made = []
    for auc in (0.7, 0.8):
        evaluated(sqlite_project, add_version(sqlite_project), auc)
        asked = request_release(sqlite_project, "delay@latest", "production", "go")
        done = approve(sqlite_project.as_actor("bob"), asked.id, "looked")
        made.append(get_release(sqlite_project, done.release or ""))
    rollback(sqlite_project, "delay", "production", reason="complaints")
    evaluated(sqlite_project, add_version(sqlite_project), 0.1)  # later evidence changes no past

    [then] = release_log(sqlite_project, at=made[1].released_at)
    [now] = release_log(sqlite_project, at=sqlite_project.clock())

    text = release_text(then)
    assert "delay@production is v2 since" in text
    assert "approved by bob (claimed) as admin: looked" in text
    assert "gate bar:auc>0.6 was open: auc is 0.8 on 1,000 rows" in text
    assert then.gates[0].looked_at[0] in text
    assert "no gate: going back takes none" in release_text(now)
