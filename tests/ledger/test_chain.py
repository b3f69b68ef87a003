"""The chain of governance shows every way of changing the past."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.canonical import digest, encode
from headwater.errors import NotFoundError
from headwater.ledger import Head, Ledger, WriteTx, body_of, erase_body, verify_chain
from headwater.ledger.chain import genesis, link_hash
from headwater.objects.findings import Finding

from .conftest import PROJECT


@pytest.fixture
def governed(ledger: Ledger) -> Ledger:
    for number in range(1, 6):
        with ledger.write() as tx:
            tx.govern("release", f"release:{number}", {"model": "delay", "number": number, "score": 0.5})
    return ledger


def findings(ledger: Ledger, head: tuple[int, str] | Head | None = None) -> list[Finding]:
    with ledger.read() as tx:
        return list(verify_chain(tx, head))


def test_an_untouched_chain_has_no_findings(governed: Ledger) -> None:
    assert findings(governed) == []
    assert findings(governed, governed.export_head()) == []


def test_an_empty_chain_has_a_head_that_names_its_project(ledger: Ledger) -> None:
    head = ledger.export_head()

    assert head == Head(project=PROJECT, seq=0, hash=genesis(PROJECT), at=ledger.created_at)
    assert findings(ledger, head) == []
    assert [each.kind for each in findings(ledger, (0, genesis("another project")))] == ["chain.head"]


def test_a_link_is_hashed_as_documented(ledger: Ledger) -> None:
    with ledger.write() as tx:
        made = tx.govern("approval", "approval:1", {"by": "ann"})
        row = tx.one("SELECT * FROM chain")
        body = tx.value("SELECT body FROM chain_bodies")
        assert body_of(tx, 1) == {"by": "ann"}

    assert row is not None
    assert body == encode({"by": "ann"})
    assert row.commitment == digest(row.salt + body)
    assert row.prev == genesis(PROJECT)
    fields = {"seq": 1, "kind": "approval", "ref": "approval:1", "at": row.at}
    assert made == row.hash == digest(encode({**fields, "commitment": row.commitment, "prev": row.prev}))


def test_equal_bodies_have_unequal_commitments(ledger: Ledger) -> None:
    # A guess of a small body must not be confirmed by its commitment once the salt is gone.
    with ledger.write() as tx:
        for _ in range(2):
            tx.govern("erasure", "subject:1", {"name": "ann"})
        assert len(tx.all("SELECT DISTINCT commitment FROM chain")) == 2


def test_links_follow_each_other_within_one_transaction(ledger: Ledger) -> None:
    with ledger.write() as tx:
        hashes = [tx.govern("k", f"r:{n}", {}) for n in range(3)]
        assert [row.prev for row in tx.all("SELECT prev FROM chain ORDER BY seq")] == [genesis(PROJECT), *hashes[:2]]

    assert findings(ledger) == []


def rehash(tx: WriteTx, first: int) -> None:
    """Make the chain agree with itself again from a link on, as the database's owner could."""
    prev = tx.value("SELECT hash FROM chain WHERE seq = ?", (first - 1,)) or genesis(PROJECT)
    for row in tx.all("SELECT * FROM chain WHERE seq >= ? ORDER BY seq", (first,)):
        made = link_hash(
            seq=row.seq, kind=row.kind, ref=row.ref, at=row.at, commitment=row.commitment, prev=prev
        )  # fmt: skip
        tx.execute("UPDATE chain SET prev = ?, hash = ? WHERE seq = ?", (prev, made, row.seq))
        prev = made


def swap(tx: WriteTx) -> None:
    for old, new in ((2, -2), (3, 2), (-2, 3)):
        tx.execute("UPDATE chain SET seq = ? WHERE seq = ?", (new, old))
        tx.execute("UPDATE chain_bodies SET seq = ? WHERE seq = ?", (new, old))


def replace_body(tx: WriteTx) -> None:
    body = encode({"model": "delay", "number": 3, "score": 0.9})
    tx.execute("UPDATE chain_bodies SET body = ? WHERE seq = 3", (body,))


def change_salt(tx: WriteTx) -> None:
    tx.execute("UPDATE chain SET salt = ? WHERE seq = 3", (b"x" * 32,))


def cut(tx: WriteTx) -> None:
    for table in ("chain", "chain_bodies"):
        tx.execute(f"DELETE FROM {table} WHERE seq > 3")


def hide(tx: WriteTx) -> None:
    for table in ("chain", "chain_bodies"):
        tx.execute(f"DELETE FROM {table} WHERE seq = 3")


def close_gap(tx: WriteTx) -> None:
    hide(tx)
    for table in ("chain", "chain_bodies"):
        for seq in (4, 5):
            tx.execute(f"UPDATE {table} SET seq = ? WHERE seq = ?", (seq - 1, seq))
    tx.execute("UPDATE counters SET value = 4 WHERE name = 'chain'")


def by(sql: str) -> Callable[[WriteTx], None]:
    def act(tx: WriteTx) -> None:
        tx.execute(sql)

    return act


TAMPERINGS: dict[str, tuple[Callable[[WriteTx], None], set[str], str]] = {
    "a changed kind": (by("UPDATE chain SET kind = 'rollback' WHERE seq = 3"), {"chain:3"}, "was changed"),
    "a changed ref": (by("UPDATE chain SET ref = 'release:9' WHERE seq = 3"), {"chain:3"}, "was changed"),
    "a changed time": (by("UPDATE chain SET at = at - 1 WHERE seq = 1"), {"chain:1"}, "was changed"),
    "a changed commitment": (by("UPDATE chain SET commitment = 'x' WHERE seq = 3"), {"chain:3"}, "was changed"),
    "a changed hash": (by("UPDATE chain SET hash = 'x' WHERE seq = 3"), {"chain:3", "chain:4"}, "not follow"),
    "a changed prev": (by("UPDATE chain SET prev = 'x' WHERE seq = 3"), {"chain:3"}, "not follow"),
    "a changed salt": (change_salt, {"chain:3"}, "not the one"),
    "a replaced body": (replace_body, {"chain:3"}, "not the one committed to"),
    "a lost body": (by("DELETE FROM chain_bodies WHERE seq = 3"), {"chain:3"}, "no erasure is recorded"),
    "a lost salt": (by("UPDATE chain SET salt = NULL WHERE seq = 3"), {"chain:3"}, "no erasure is recorded"),
    "a missing link": (hide, {"chain:3"}, "link 3 of the chain is missing"),
    "a missing first link": (by("DELETE FROM chain WHERE seq = 1"), {"chain:1"}, "missing"),
    "a cut end": (cut, {"chain:4"}, "links 4 to 5 of the chain are missing"),
    "two links swapped": (swap, {"chain:2", "chain:3", "chain:4"}, "not follow"),
    "a closed gap": (close_gap, {"chain:3", "chain:4"}, "was changed"),
    "a number past the counter": (
        by("UPDATE counters SET value = 4 WHERE name = 'chain'"), {"chain:5"}, "past the counter",
    ),
    "a body without its link": (by("DELETE FROM chain WHERE seq = 5"), {"chain:5"}, "its body is still there"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_where_it_was_done(governed: Ledger, name: str) -> None:
    tamper, where, said = TAMPERINGS[name]
    with governed.write() as tx:
        tamper(tx)

    found = findings(governed)
    assert {each.what for each in found} == where
    assert all(each.severity == "error" for each in found)
    assert any(said in each.message for each in found), [each.message for each in found]


def test_a_history_rewritten_consistently_is_seen_only_by_a_head_kept_elsewhere(governed: Ledger) -> None:
    kept = governed.export_head()
    with governed.write() as tx:
        body = encode({"model": "delay", "number": 3, "score": 0.9})
        salt = tx.value("SELECT salt FROM chain WHERE seq = 3")
        tx.execute("UPDATE chain_bodies SET body = ? WHERE seq = 3", (body,))
        tx.execute("UPDATE chain SET commitment = ? WHERE seq = 3", (digest(salt + body),))
        rehash(tx, 3)

    assert findings(governed) == []
    found = findings(governed, kept)
    assert [(each.kind, each.what) for each in found] == [("chain.head", "chain:5")]
    assert "rewritten" in found[0].message
    assert [each.what for each in findings(governed, (kept.seq, kept.hash))] == ["chain:5"]


def test_an_end_cut_off_with_its_counter_is_seen_by_a_head_kept_elsewhere(governed: Ledger) -> None:
    kept = governed.export_head()
    with governed.write() as tx:
        cut(tx)
        tx.execute("UPDATE counters SET value = 3 WHERE name = 'chain'")

    assert findings(governed) == []
    assert "cut or replaced" in findings(governed, kept)[0].message


def test_an_earlier_head_still_agrees_after_the_chain_grew(governed: Ledger) -> None:
    kept = governed.export_head()
    with governed.write() as tx:
        tx.govern("release", "release:6", {})

    assert findings(governed, kept) == []


def test_an_erased_body_leaves_the_chain_whole(governed: Ledger) -> None:
    kept = governed.export_head()
    with governed.write() as tx:
        erase_body(tx, 3, "subject asked")
        with pytest.raises(NotFoundError, match="erased"):
            body_of(tx, 3)
        with pytest.raises(NotFoundError):
            erase_body(tx, 3, "again")

    assert findings(governed, kept) == []
    with governed.read() as tx2:
        assert tx2.value("SELECT salt FROM chain WHERE seq = 3") is None
        assert tx2.one("SELECT kind, ref FROM chain WHERE seq = 6") == ("erasure", "chain:3")


def test_a_body_said_to_be_erased_and_still_there_is_found(governed: Ledger) -> None:
    with governed.write() as tx:
        tx.govern("erasure", "chain:3", {})

    assert ["still there" in each.message for each in findings(governed)] == [True]


def test_nothing_is_added_to_a_chain_whose_end_is_missing(governed: Ledger) -> None:
    with governed.write() as tx:
        cut(tx)

    with pytest.raises(Exception, match="hw verify"), governed.write() as tx:
        tx.govern("release", "release:6", {})
