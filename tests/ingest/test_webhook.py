from __future__ import annotations

import hmac
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headwater.api.identity import actor_of
from headwater.durable import on_crash_point
from headwater.errors import InvalidInputError
from headwater.ingest import pull, reach_source
from headwater.ingest.receiving import deliver, ingest_routes
from headwater.lake import scan
from headwater.project import LocalProject, Project
from tests.ingest.conftest import files_of
from tests.projects import served

Declare = Callable[[str], None]
SECRET = "a-webhook-secret"


@pytest.fixture
def address(sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with served(sqlite_project, ingest_routes(sqlite_project, identify=actor_of)) as found:
        yield found


def declare_hook(declare: Declare, more: str = 'secret = "env:HOOK_SECRET"\nid_header = "X-Delivery"') -> None:
    declare(f'[[source]]\nname = "events"\nkind = "webhook"\ndataset = "events"\n{more}')


def post(address: str, body: bytes, signature: str | None = "", query: str = "", **headers: str) -> tuple[int, Any]:
    """Send a delivery; "" signs it rightly, None not at all. Returns the status and the answer."""
    request = urllib.request.Request(f"{address}/v1/ingest/events{query}", body, method="POST")
    request.add_header("Content-Type", "application/json")
    if signature is not None:
        right = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        request.add_header("X-Hub-Signature-256", signature or f"sha256={right}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request) as answered:
            return answered.status, json.loads(answered.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def bodies(project: LocalProject) -> list[str]:
    return [row[0] for row in scan(project, "events@main").sql("SELECT body FROM data ORDER BY body").fetchall()]


def test_signed_deliveries_are_batched_into_versions(
    sqlite_project: LocalProject, declare: Declare, address: str
) -> None:
    declare_hook(declare)
    for number in range(3):
        assert post(address, b'{"n": %d}' % number, X_Delivery=f"d{number}") == (
            202,
            {"source": "events", "delivery": f"d{number}", "new": True},
        )
    first = pull(sqlite_project, "events")
    second = pull(sqlite_project, "events")
    post(address, b'{"n": 3}', X_Delivery="d3")
    third = pull(sqlite_project, "events")

    assert [p.outcome for p in (first, second, third)] == ["published", "unchanged", "published"]
    assert (first.files, third.files) == (1, 1)
    assert bodies(sqlite_project) == [f'{{"n": {n}}}' for n in range(4)]
    rows = scan(sqlite_project, "events@main").sql("SELECT DISTINCT sender, media FROM data").fetchall()
    assert rows == [("webhook:events", "application/json")]


def test_a_delivery_that_comes_again_counts_once(sqlite_project: LocalProject, declare: Declare, address: str) -> None:
    declare_hook(declare)
    answers = [post(address, b'{"n": 1}', X_Delivery="same") for _ in range(2)]
    pull(sqlite_project, "events")
    answers.append(post(address, b'{"n": 1}', X_Delivery="same"))

    assert [(status, answer["new"]) for status, answer in answers] == [(202, True), (202, False), (202, False)]
    assert pull(sqlite_project, "events").outcome == "unchanged"
    assert bodies(sqlite_project) == ['{"n": 1}']


def test_many_senders_of_one_delivery_make_one(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_hook(declare, 'id_field = "event.id"')
    made: list[bool] = []

    def send() -> None:
        made.append(deliver(sqlite_project, "events", b'{"event": {"id": "e1"}}').new)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False] * 5 + [True]


@pytest.mark.parametrize("signature", [None, "sha256=00", "x", "sha256=" + "0" * 64, "sha256=ä"])
def test_a_delivery_that_is_not_signed_is_refused_and_leaves_nothing(
    sqlite_project: LocalProject, declare: Declare, address: str, signature: str | None
) -> None:
    declare_hook(declare)
    if signature == "sha256=ä":
        signature = "sha256=%C3%A4"
    status, answer = post(address, b"{}", signature)

    assert status == 401
    assert "not signed with its secret" in answer["error"]["message"] and SECRET not in str(answer)
    with sqlite_project.ledger.read() as tx:
        assert tx.value("SELECT count(*) FROM webhook_deliveries") == 0


def test_the_signature_of_another_body_does_not_do(
    sqlite_project: LocalProject, declare: Declare, address: str
) -> None:
    declare_hook(declare)
    other = hmac.new(SECRET.encode(), b"other", "sha256").hexdigest()

    assert post(address, b"{}", f"sha256={other}")[0] == 401


def test_a_secret_that_is_not_set_takes_nothing(
    sqlite_project: LocalProject, declare: Declare, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_hook(declare)
    monkeypatch.delenv("HOOK_SECRET")

    assert post(address, b"{}")[0] == 401
    with pytest.raises(InvalidInputError, match="HOOK_SECRET, which is not set"):
        reach_source(sqlite_project, "events")


def test_a_secret_written_out_is_refused(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_hook(declare, 'secret = "plain"')

    with pytest.raises(InvalidInputError, match="comes from the environment"):
        pull(sqlite_project, "events")


def test_a_body_beyond_the_bound_is_refused_before_it_is_read(
    sqlite_project: LocalProject, declare: Declare, address: str
) -> None:
    declare_hook(declare, 'secret = "env:HOOK_SECRET"\nlargest_kib = 1')

    assert post(address, b"x" * 1024)[0] == 202
    status, answer = post(address, b"x" * 1025)
    assert (status, answer["error"]["kind"]) == (413, "too_large")


def test_without_a_secret_the_sender_needs_the_permission(
    sqlite_project: LocalProject, declare: Declare, address: str
) -> None:
    declare_hook(declare, "")

    assert post(address, b'"by claim"', None)[0] == 202  # no accounts yet, on loopback: a claimed name is taken
    from headwater.access import add_person, create_token

    add_person(sqlite_project, "ann", ["admin"], password="a long passphrase")
    add_person(sqlite_project, "vic", ["viewer"], password="a long passphrase")
    assert post(address, b"{}", None)[0] == 401
    viewer = create_token(sqlite_project, "vic")
    writer = create_token(sqlite_project, "ann")
    assert post(address, b'{"n": 1}', None, Authorization=f"Bearer {viewer.text}")[0] == 403
    assert post(address, b'{"n": 2}', None, Authorization=f"Bearer {writer.text}")[0] == 202


def test_an_unknown_source_and_one_of_another_kind_take_nothing(
    sqlite_project: LocalProject, declare: Declare, address: str
) -> None:
    assert post(address, b"{}")[0] == 404
    declare('[[source]]\nname = "events"\nkind = "files"\ndataset = "d"\npath = "x"')
    assert post(address, b"{}")[0] == 400


def test_a_parameter_parts_deliveries(sqlite_project: LocalProject, declare: Declare, address: str) -> None:
    declare(
        '[[source]]\nname = "events"\nkind = "webhook"\ndataset = "events"\nunder = "{shop}"\nparameters = ["shop"]'
    )
    post(address, b'"a"', None, "?shop=north")
    post(address, b'"a"', None, "?shop=south")
    pull(sqlite_project, "events", {"shop": "north"})

    assert post(address, b'"a"', None, "?shop=../x")[0] == 400
    assert [path.split("/")[0] for path in files_of(sqlite_project, "events")] == ["north"]


def test_files_keep_their_bytes(project: Project, declare: Declare) -> None:
    declare_hook(declare, 'keep_as = "files"')
    deliver(project, "events", b"%PDF-\xff\x00", media="application/pdf")
    pull(project, "events")

    assert list(files_of(project, "events").items()) == [("deliveries/000000000001.pdf", b"%PDF-\xff\x00")]


def test_bytes_that_are_no_text_are_refused_for_a_table(sqlite_project: LocalProject, declare: Declare) -> None:
    declare_hook(declare, "")

    with pytest.raises(InvalidInputError, match=r'not UTF-8.*keep_as = "files"'):
        deliver(sqlite_project, "events", b"\xff\xfe")


@pytest.mark.parametrize("body", [b"no json", b"[]", b'{"event": 1}', b'{"event": {"id": null}}'])
def test_a_body_without_its_id_is_refused(sqlite_project: LocalProject, declare: Declare, body: bytes) -> None:
    declare_hook(declare, 'id_field = "event.id"')

    with pytest.raises(InvalidInputError, match="id"):
        deliver(sqlite_project, "events", body)


def test_a_delivery_that_was_not_acknowledged_is_taken_when_it_comes_again(
    sqlite_project: LocalProject, declare: Declare
) -> None:
    declare_hook(declare, "")

    def cut(name: str) -> None:
        if name == "ingest.deliver.put":
            raise OSError("the power went")

    on_crash_point(cut)
    try:
        with pytest.raises(OSError, match="power"):
            deliver(sqlite_project, "events", b"one")
    finally:
        on_crash_point(None)

    assert deliver(sqlite_project, "events", b"one").new
    pull(sqlite_project, "events")
    assert bodies(sqlite_project) == ["one"]
