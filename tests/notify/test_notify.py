"""Notices: who hears of what, once, signed, and what happens where the other side does not answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket

import pytest

from headwater.errors import InvalidInputError, NotFoundError, RefusedError
from headwater.notify import deliver_pending, list_deliveries, list_notifiers, retry_delivery, send_test
from headwater.notify.declared import Webhook
from headwater.notify.webhook import post
from headwater.project import LocalProject
from tests.jobs.places import MakeProject, announce
from tests.notify.servers import Hooks, Mails


def _webhook(url: str, *, private: bool = True, more: str = "") -> str:
    return (
        f'[[notify]]\nname = "chat"\non = ["alarm", "release"]\nwebhook = "{url}/hook?room=1"\n'
        f'secret = "s3cret"\nallow_private = {str(private).lower()}\n{more}'
    )


def _email(mails: Mails, *, encryption: str = "none", more: str = "") -> str:
    return (
        '[[notify]]\nname = "post"\non = ["alarm"]\nemail = ["ann@example.org", "ben@example.org"]\n'
        f'sender = "headwater@example.org"\nserver = "127.0.0.1:{mails.port}"\nencryption = "{encryption}"\n{more}'
    )


def _due_now(project: LocalProject) -> None:
    with project.ledger.write() as tx:
        tx.execute("UPDATE deliveries SET next_at = 0")


def test_a_webhook_is_posted_once_for_each_fact_it_asks_for_signed_and_with_its_id(
    make: MakeProject, hooks: Hooks
) -> None:
    project = make(_webhook(hooks.url))
    announce(project, "alarm", "alarm:before")
    assert deliver_pending(project) == 0  # a new notifier starts at the present
    announce(project, "alarm", "alarm:A")
    announce(project, "run", "run:R")

    assert deliver_pending(project) == 1
    assert deliver_pending(project) == 0

    (posted,) = hooks.posted
    (delivery,) = list_deliveries(project)
    body = json.loads(posted.body)
    assert posted.path == "/hook?room=1"
    assert (body["event"], body["ref"], body["project"]) == ("alarm", "alarm:A", "test")
    assert body["text"] == "[test] alarm: alarm:A"
    assert body["id"] == posted.headers["Headwater-Delivery"] == delivery.id
    assert (delivery.status, delivery.attempts, delivery.answer) == ("sent", 1, "200 note")
    time, _, signed = posted.headers["Headwater-Signature"].partition(",v1=")
    seconds = time.removeprefix("t=")
    assert signed == hmac.new(b"s3cret", f"{seconds}.".encode() + posted.body, hashlib.sha256).hexdigest()


def test_what_a_fact_is_decides_whether_it_is_told(make: MakeProject, hooks: Hooks) -> None:
    project = make(_webhook(hooks.url, more='match = { ref = "alarm:X*" }\n'))
    deliver_pending(project)
    announce(project, "alarm", "alarm:A1")
    announce(project, "alarm", "alarm:X1")

    assert deliver_pending(project) == 1
    assert json.loads(hooks.posted[0].body)["ref"] == "alarm:X1"


def test_a_server_that_is_down_is_tried_again_later_and_later(make: MakeProject, hooks: Hooks) -> None:
    project = make(_webhook(hooks.url))
    deliver_pending(project)
    hooks.statuses = [503, 429, 200]
    announce(project, "alarm", "alarm:A")

    assert deliver_pending(project) == 0
    (delivery,) = list_deliveries(project)
    assert (delivery.status, delivery.attempts) == ("waiting", 1)
    assert "503" in delivery.answer
    assert deliver_pending(project) == 0
    assert len(hooks.posted) == 1  # not before its time
    first_wait = delivery.next_at
    _due_now(project)
    assert deliver_pending(project) == 0
    (delivery,) = list_deliveries(project)
    assert delivery.next_at > first_wait + 20_000_000
    _due_now(project)
    assert deliver_pending(project) == 1
    assert [json.loads(each.body)["id"] for each in hooks.posted] == [delivery.id] * 3


def test_after_its_attempts_a_message_counts_as_failed_and_a_person_can_send_it_again(
    make: MakeProject, hooks: Hooks
) -> None:
    project = make(_webhook(hooks.url))
    deliver_pending(project)
    hooks.statuses = [500]
    announce(project, "alarm", "alarm:A")
    for _ in range(8):
        deliver_pending(project)
        _due_now(project)
    (delivery,) = list_deliveries(project, status="failed")
    assert delivery.attempts == len(hooks.posted) == 6

    hooks.statuses = [200]
    assert retry_delivery(project, delivery.id).status == "waiting"
    assert deliver_pending(project) == 1
    assert list_deliveries(project)[0].status == "sent"
    with pytest.raises(NotFoundError, match="list_deliveries"):
        retry_delivery(project, "nobody")


@pytest.mark.parametrize("status", [404, 302])
def test_an_answer_that_is_no_is_not_asked_for_again_and_no_redirect_is_followed(
    make: MakeProject, hooks: Hooks, status: int
) -> None:
    project = make(_webhook(hooks.url))
    deliver_pending(project)
    hooks.statuses = [status]
    announce(project, "alarm", "alarm:A")
    deliver_pending(project)

    (delivery,) = list_deliveries(project)
    assert delivery.status == "failed"
    assert [each.path for each in hooks.posted] == ["/hook?room=1"]


def test_a_private_address_is_refused_unless_it_is_allowed(make: MakeProject, hooks: Hooks) -> None:
    project = make(_webhook(hooks.url, private=False))
    deliver_pending(project)
    announce(project, "alarm", "alarm:A")
    deliver_pending(project)

    (delivery,) = list_deliveries(project)
    assert delivery.status == "failed"
    assert "allow_private = true" in delivery.answer
    assert hooks.posted == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.5", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "fe80::1", "fd00::1",
     "::ffff:10.0.0.5", "2002:a00:5::1", "64:ff9b::a00:5", "224.0.0.1"],
)  # fmt: skip
def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def found(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))
        return [public, (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def unreachable(*_: object, **__: object) -> socket.socket:
        raise AssertionError("nothing is to be connected")

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    way = Webhook(url="https://hooks.example.org/x", secret="", allow_private=False)

    with pytest.raises(RefusedError, match="private network"):
        post(way, b"{}", delivery="D", timestamp_s=0)


def test_an_email_goes_to_all_its_receivers(make: MakeProject, mails: Mails) -> None:
    project = make(_email(mails, more='user = "me"\npassword = "pw"\n'))
    deliver_pending(project)
    announce(project, "alarm", "alarm:A")

    assert deliver_pending(project) == 1

    ((sender, receivers, text),) = mails.taken
    (delivery,) = list_deliveries(project)
    assert (sender, receivers) == ("headwater@example.org", ["ann@example.org", "ben@example.org"])
    assert "Subject: [test] alarm: alarm:A" in text
    assert f"Message-ID: <{delivery.id}@headwater>" in text
    assert "hw trace alarm:A" in text
    assert any(line.startswith("AUTH PLAIN") for line in mails.lines)


def test_a_receiver_that_is_refused_is_said(make: MakeProject, mails: Mails) -> None:
    project = make(_email(mails))
    deliver_pending(project)
    mails.refused["ben@example.org"] = "550 nobody here"
    announce(project, "alarm", "alarm:A")
    assert deliver_pending(project) == 1
    assert list_deliveries(project)[0].answer == "accepted, but not for ben@example.org"

    mails.refused["ann@example.org"] = "450 later"
    mails.refused["ben@example.org"] = "450 later"
    announce(project, "alarm", "alarm:B")
    assert deliver_pending(project) == 0
    newest = list_deliveries(project)[0]
    assert newest.status == "waiting"
    assert "450 later" in newest.answer


def test_a_password_is_not_sent_in_the_clear_where_encryption_was_asked_for(make: MakeProject, mails: Mails) -> None:
    project = make(_email(mails, encryption="starttls", more='user = "me"\npassword = "pw"\n'))
    deliver_pending(project)
    announce(project, "alarm", "alarm:A")

    assert deliver_pending(project) == 0
    assert mails.taken == []
    assert not any(line.startswith("AUTH") for line in mails.lines)


def test_words_from_a_fact_cannot_add_lines_to_the_head_of_an_email(make: MakeProject, mails: Mails) -> None:
    from headwater.jobs.queue import add_job
    from headwater.project import Actor

    project = make(_email(mails).replace('["alarm"]', '["job"]'))
    deliver_pending(project)
    with project.ledger.write() as tx:
        add_job(
            tx, operation="x", arguments={}, actor=Actor(name="x"), cause="y:1", error="broken\r\nBcc: all@example.org"
        )

    assert deliver_pending(project) == 1
    head = mails.taken[0][2].partition("\r\n\r\n")[0]
    assert "\r\nBcc:" not in head
    assert "Subject: [test] job: broken Bcc: all@example.org" in head


def test_two_servers_send_each_message_once(make: MakeProject, hooks: Hooks) -> None:
    import threading

    project = make(_webhook(hooks.url))
    other = make.again()
    deliver_pending(project)
    for number in range(20):
        announce(project, "alarm", f"alarm:{number:02}")

    threads = [threading.Thread(target=deliver_pending, args=(seen,)) for seen in (project, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(json.loads(each.body)["ref"] for each in hooks.posted) == [f"alarm:{n:02}" for n in range(20)]


def test_a_test_message_reaches_the_notifier(make: MakeProject, hooks: Hooks) -> None:
    project = make(_webhook(hooks.url))
    assert send_test(project, "chat").status == "waiting"

    assert deliver_pending(project) == 1
    assert "ann asked for this test message" in json.loads(hooks.posted[0].body)["text"]
    with pytest.raises(NotFoundError, match="declares: chat"):
        send_test(project, "nobody")


def test_secrets_come_from_the_environment_and_are_not_shown(
    make: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_URL", "http://127.0.0.1:1/token-in-path")
    project = make('[[notify]]\nname = "chat"\non = ["alarm"]\nwebhook = "env:HOOK_URL"\nsecret = "env:HOOK_SECRET"\n')
    with pytest.raises(InvalidInputError, match="HOOK_SECRET"):
        list_notifiers(project)

    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    (notifier,) = list_notifiers(project)
    assert notifier.target == "env:HOOK_URL"
    assert "s3cret" not in repr(notifier)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('[[notify]]\nname = "n"\non = []\nwebhook = "http://x"\n', "at least one kind"),
        ('[[notify]]\nname = "n"\non = ["alarm"]\n', "either 'webhook'"),
        ('[[notify]]\nname = "n"\non = ["alarm"]\nemail = ["a@b"]\n', "needs 'sender' and 'server'"),
        ('[[notify]]\nname = "n"\non = ["alarm"]\nwebhook = "http://x"\nencryption = "rot13"\n', "is one of none"),
        ('[[notify]]\nname = "n"\non = "alarm"\nwebhook = "http://x"\n', "Expected `array`"),
    ],
)
def test_a_notifier_that_is_written_wrong_is_named(make: MakeProject, settings: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        list_notifiers(make(settings))
