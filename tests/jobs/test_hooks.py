"""Webhooks as triggers: signed, within minutes, once."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.access.signing import timed_signature
from headwater.errors import ConflictError, InvalidInputError, TooLargeError, UnauthenticatedError
from headwater.jobs import list_jobs, list_triggers, pause_trigger
from headwater.jobs.hooks import hook_routes, take_hook
from headwater.project import LocalProject
from tests.jobs.places import MakeProject
from tests.projects import served

HOOK = """
[[triggers]]
name = "built"
on = "webhook"
secret = "env:HOOK_SECRET"
match = { action = "rel*", "repo.private" = false }
operation = "test.sum"
arguments = { numbers = "{sizes}", extra = "{repo.stars}" }
largest_kib = 1
"""
SECRET = "kept between two"
BODY = {"action": "released", "sizes": [1, 2], "repo": {"stars": 5, "private": False}}


@pytest.fixture
def project(make: MakeProject, monkeypatch: pytest.MonkeyPatch) -> LocalProject:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    return make(HOOK)


def signed(
    project: LocalProject, body: Any = BODY, *, ago_s: int = 0, secret: str = SECRET, delivery: str = ""
) -> tuple[bytes, dict[str, str]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    at_s = project.clock() // 1_000_000 - ago_s
    named = {"headwater-delivery": delivery} if delivery else {}
    return data, {"headwater-signature": timed_signature(secret, at_s, data), **named}


def test_a_signed_body_becomes_a_job_with_its_arguments(project: LocalProject) -> None:
    taken = take_hook(project, "built", *signed(project, delivery="d-1"))

    (job,) = list_jobs(project)
    assert (taken.job, taken.delivery) == (job.id, "d-1")
    assert (job.operation, job.arguments, job.cause) == (
        "test.sum",
        {"numbers": [1, 2], "extra": 5},
        "webhook:built/d-1",
    )
    assert (job.actor, job.trigger) == ("trigger:built", "built")


def test_the_same_delivery_or_signature_makes_no_second_job(project: LocalProject) -> None:
    body, headers = signed(project, delivery="d-1")
    first = take_hook(project, "built", body, headers)

    with pytest.raises(ConflictError, match=f"taken before: it is job {first.job}"):
        take_hook(project, "built", body, headers)  # replayed as it is
    with pytest.raises(ConflictError, match="taken before"):
        take_hook(project, "built", body, {**headers, "headwater-delivery": "d-2"})  # under another id
    with pytest.raises(ConflictError, match="taken before"):
        take_hook(project, "built", *signed(project, ago_s=9, delivery="d-1"))  # sent again, anew
    assert len(list_jobs(project)) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"headwater-signature": ""}, "is missing or not written as"),
        ({"headwater-signature": "sha256=" + "0" * 64}, "not written as"),
        ({"headwater-signature": f"t=1,v1={'0' * 64}"}, "is not that of this body"),
    ],
)
def test_a_body_that_is_not_signed_is_refused(project: LocalProject, change: dict[str, str], says: str) -> None:
    body, headers = signed(project)

    with pytest.raises(UnauthenticatedError, match=says):
        take_hook(project, "built", body, {**headers, **change})
    assert list_jobs(project) == []


def test_another_body_secret_or_time_does_not_pass(project: LocalProject) -> None:
    body, headers = signed(project)
    late = signed(project, ago_s=301)
    early = signed(project, ago_s=-301)

    with pytest.raises(UnauthenticatedError, match="not that of this body"):
        take_hook(project, "built", body + b" ", headers)
    with pytest.raises(UnauthenticatedError, match="not that of this body"):
        take_hook(project, "built", *signed(project, secret="another"))
    with pytest.raises(UnauthenticatedError, match="made 301 s ago"):
        take_hook(project, "built", *late)
    with pytest.raises(UnauthenticatedError, match="made 301 s ahead"):
        take_hook(project, "built", *early)
    assert list_jobs(project) == []


def test_the_same_checks_pass_a_body_that_is_right(project: LocalProject) -> None:
    # what the refusals above are held against: the same sender within its minutes
    assert take_hook(project, "built", *signed(project, ago_s=299)).job


def test_what_the_trigger_does_not_ask_for_makes_no_job(project: LocalProject) -> None:
    other = {**BODY, "action": "opened"}
    hidden = {**BODY, "repo": {"stars": 5, "private": True}}

    assert take_hook(project, "built", *signed(project, other)).ignored
    assert take_hook(project, "built", *signed(project, hidden)).ignored
    assert list_jobs(project) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[1]", "no JSON object"),
        (b"{", "no JSON"),
        ({"action": "released", "repo": {"private": False, "stars": 1}}, r"asks for '\{sizes\}'"),
        ({**BODY, "sizes": ["one"]}, "do not fit"),
    ],
)
def test_a_body_that_cannot_fill_the_arguments_is_told(project: LocalProject, body: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        take_hook(project, "built", *signed(project, body))
    assert list_jobs(project) == []


def test_a_paused_webhook_takes_nothing_and_can_be_sent_again(project: LocalProject) -> None:
    pause_trigger(project, "built")
    sent = signed(project)
    with pytest.raises(ConflictError, match="is paused"):
        take_hook(project, "built", *sent)

    pause_trigger(project, "built", paused=False)
    assert take_hook(project, "built", *sent).job


def test_a_server_that_has_not_the_secret_tells_the_sender_nothing_of_it(
    project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = signed(project)
    monkeypatch.delenv("HOOK_SECRET")

    with pytest.raises(UnauthenticatedError) as refused:
        take_hook(project, "built", *sent)
    assert "HOOK_SECRET" not in refused.value.message


@pytest.fixture
def address(project: LocalProject) -> Iterator[str]:
    with served(project, routes=hook_routes(project)) as found:
        yield found


def test_over_http_each_outcome_has_its_status(project: LocalProject, address: str) -> None:
    def status(body: bytes, headers: dict[str, str], name: str = "built") -> int:
        request = urllib.request.Request(f"{address}/hooks/{name}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    body, headers = signed(project)
    large, of_large = signed(project, {**BODY, "more": "x" * 2000})

    assert status(body, headers) == 202
    assert status(body, headers) == 409
    assert status(body, {}) == 401
    assert status(*signed(project, {"action": "opened"})) == 200
    assert status(*signed(project, b"[]")) == 400
    assert status(large, of_large) == 413
    assert status(body, headers, "other") == 404
    with pytest.raises(TooLargeError, match="at most 1 KiB"):
        take_hook(project, "built", large, of_large)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("env:HOOK_SECRET", "kept between two"), 'secret = "env:NAME"'),
        (('secret = "env:HOOK_SECRET"\n', ""), 'secret = "env:NAME"'),
        (("largest_kib = 1", "tolerance_s = 0"), "at least 1"),
        (('"webhook"', '"manual"'), "'match' has nothing|'secret' belongs"),
    ],
)
def test_a_webhook_that_is_written_wrong_is_named(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    maker = MakeProject(tmp_path / "project", None)
    project = maker(HOOK.replace(*change))

    with pytest.raises(InvalidInputError, match=says):
        list_triggers(project)
    maker.close()
