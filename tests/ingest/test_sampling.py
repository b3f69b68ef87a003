from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.check import publish_tables
from headwater.cli.root import cli
from headwater.errors import InvalidInputError, NotFoundError, RefusedError
from headwater.ingest import Related, sample
from headwater.ingest.drawing import parse_related
from headwater.lake import iter_files, log, read_bytes, resolve, scan
from headwater.project import LocalProject, Project, create_project
from headwater.trace import trace, verify

SECRETS = ("@corp.com", "Smith", "CUST-")
RELATED = (Related(ref="items@main", column="order_id", of="id"),)
MASKS = {"email": "", "name": "", "customer": "", "id": "", "at": ""}


def orders(rows: int = 1200, customers: int = 100) -> dict[str, Any]:
    start = datetime.datetime(2025, 1, 1)  # noqa: DTZ001  # the times of a table have no zone
    return {
        "id": list(range(100_000, 100_000 + rows)),
        "customer": [f"CUST-{n % customers:06}" for n in range(rows)],
        "email": [f"user{n % customers}@corp.com" if n % 10 else None for n in range(rows)],
        "name": [f"Ann Smith{n % customers}" for n in range(rows)],
        "at": [start + datetime.timedelta(hours=n) for n in range(rows)],
        "amount": [n * 1.25 for n in range(rows)],
    }


def items(rows: int = 1200) -> dict[str, Any]:
    return {
        "order_id": [100_000 + n // 2 for n in range(2 * rows)],
        "sku": [f"s{n % 50}" for n in range(2 * rows)],
        "shipped": [datetime.date(2025, 6, 1) + datetime.timedelta(days=n % 30) for n in range(2 * rows)],
    }


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[LocalProject]:
    with create_project(tmp_path / "laptop", name="laptop", actor="bea") as made:
        yield made


@pytest.fixture
def prod(project: Project) -> Project:
    """PROD in each of its forms, with orders of 100 customers and the items of each."""
    publish_tables(project, "orders", {"orders": orders()})
    publish_tables(project, "items", {"items": items()})
    return project


def table(project: Project, name: str, dataset: str = "orders-sample") -> list[dict[str, Any]]:
    return scan(project, dataset, prefix=f"{name}.parquet").to_dicts()


def test_a_sample_is_whole_masked_and_names_prod(prod: Project, laptop: LocalProject) -> None:
    made = sample(laptop, prod, "orders@main", rows=240, by="customer", mask=MASKS, related=RELATED, seed=3)

    rows, belonging = table(laptop, "orders"), table(laptop, "items")
    assert len(rows) == 240
    by_customer: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_customer.setdefault(row["customer"], []).append(row)
    # 100 customers have 12 orders each: 20 whole ones are 240 rows.
    assert {len(some) for some in by_customer.values()} == {12}
    assert len(belonging) == 480
    assert {row["order_id"] for row in belonging} == {row["id"] for row in rows}
    assert len({row["id"] for row in rows}) == 240
    assert made.version.number == 1
    assert verify(laptop) == []
    text = str(rows) + str(belonging)
    assert not any(secret in text for secret in SECRETS)
    # 100 customers are named every 10 rows: customer 0, 10, ... never has a mail address, the others always.
    assert {len({row["email"] for row in some}) for some in by_customer.values()} == {1}
    assert any(row["email"] is None for row in rows)


def test_the_lineage_of_a_sample_leads_to_prod(prod: Project, laptop: LocalProject) -> None:
    made = sample(laptop, prod, "orders", rows=50, by="customer", mask=MASKS, seed=3)

    parents = {(edge.role, edge.parent) for edge in trace(laptop, f"version:{made.version.id}").edges}
    there = resolve(prod, "orders")
    assert ("sampled", f"elsewhere:{prod.id}/version:{there.id}") in parents
    assert ("import", made.drawn.origin.ref) in parents
    assert prod.id in made.drawn.origin.ref
    source = next(parent for role, parent in parents if role == "source")
    assert f"orders@v1 ({there.id})" in source
    with laptop.ledger.read() as tx:
        row = tx.one("SELECT kind, project, origin FROM imports")
    assert row is not None
    assert tuple(row) == ("sample", prod.id, there.id)


def test_raw_rows_and_the_key_never_reach_the_laptop(
    prod: Project, laptop: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_MASK_KEY", "the secret that nobody may see 123")

    made = sample(laptop, prod, "orders", rows=100, by="customer", mask=MASKS, related=RELATED)

    planted = [b"user1@corp.com", b"the secret that nobody", b"Ann Smith1"]
    places = [laptop.folder, tmp_path / "client-cache"]
    for place in places:
        for path in place.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(secret in data for secret in planted), path
    # Parquet compresses what it holds, so the raw files are looked for by their digests too.
    raw = [entry.digest for name in ("orders", "items") for entry in iter_files(prod, name)]
    assert laptop.objects.missing(raw) == raw
    names = {path.name for place in places for path in place.rglob("*")}
    assert not names & set(raw)
    for name in ("orders", "items"):
        assert "@corp.com" not in str(table(laptop, name))
    assert "the secret" not in str(made)


def test_the_same_seed_gives_the_same_sample(sqlite_project: LocalProject, laptop: LocalProject) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders()})

    def draw(seed: int, name: str) -> bytes:
        sample(laptop, sqlite_project, "orders", rows=100, by="customer", mask=MASKS, seed=seed, dataset=name)
        return read_bytes(laptop, name, "orders.parquet")

    assert draw(1, "a") == draw(1, "b") != draw(2, "c")
    assert draw(1, "a")
    assert len(log(laptop, "a")) == 1


def test_pseudonyms_join_across_samples_and_differ_between_projects(
    sqlite_project: LocalProject, laptop: LocalProject, tmp_path: Path
) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders()})
    publish_tables(sqlite_project, "visits", {"visits": {"who": orders()["customer"], "page": [1] * 1200}})
    with create_project(tmp_path / "second") as second:
        publish_tables(second, "orders", {"orders": orders()})
        sample(laptop, sqlite_project, "orders", rows=600, mask={"customer": "", "email": "drop", "name": "drop"})
        sample(laptop, sqlite_project, "visits", rows=600, mask={"who": ""})
        sample(
            laptop, second, "orders", rows=600, mask={"customer": "", "email": "drop", "name": "drop"}, dataset="other"
        )

    ours = {row["customer"] for row in table(laptop, "orders")}
    assert ours == {row["who"] for row in table(laptop, "visits", "visits-sample")}
    assert not ours & {row["customer"] for row in table(laptop, "orders", "other")}
    assert oct((sqlite_project.state / "mask.key").stat().st_mode & 0o777) == "0o600"


def test_dates_of_one_subject_move_together(sqlite_project: LocalProject, laptop: LocalProject) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders()})
    publish_tables(sqlite_project, "items", {"items": items()})
    masks = {"at": "date", "shipped": "date", "email": "drop", "name": "drop"}

    sample(laptop, sqlite_project, "orders", rows=240, by="customer", mask=masks, related=RELATED)

    before = dict(zip(orders()["id"], orders()["at"], strict=True))
    shipped: dict[int, list[datetime.date]] = {}
    for order, day in zip(items()["order_id"], items()["shipped"], strict=True):
        shipped.setdefault(order, []).append(day)
    moved: dict[str, set[datetime.timedelta]] = {}
    by_order = {}
    for row in table(laptop, "orders"):
        moved.setdefault(row["customer"], set()).add(row["at"] - before[row["id"]])
        by_order[row["id"]] = row["customer"]
    assert {len(each) for each in moved.values()} == {1}
    assert len({next(iter(each)) for each in moved.values()}) > 10
    for row in table(laptop, "items"):
        customer = by_order[row["order_id"]]
        assert row["shipped"] - next(iter(moved[customer])) in shipped[row["order_id"]]


def test_a_planted_unmasked_copy_is_found(sqlite_project: LocalProject, laptop: LocalProject) -> None:
    planted = orders(300)
    planted["contact"] = planted["email"]
    planted["note"] = ["call back", *(f"wrote to <USER{n % 100}@corp.com>, twice" for n in range(1, 300))]
    planted["copy_of_id"] = planted["id"]
    publish_tables(sqlite_project, "orders", {"orders": planted})
    publish_tables(sqlite_project, "mails", {"mails": {"order_id": [100_001], "body": ["dear Ann, user1@corp.com ok"]}})
    related = [Related(ref="mails", column="order_id", of="id")]

    def take(leave: list[str], **mask: str) -> None:
        sample(laptop, sqlite_project, "orders", rows=300, mask=MASKS | mask, related=related, leave=leave)

    with pytest.raises(RefusedError) as caught:
        take([])
    leaks = caught.value.values["leaks"]
    assert {leak.split("'")[1] for leak in leaks} == {"contact", "note", "copy_of_id", "body"}
    with pytest.raises(NotFoundError):
        resolve(laptop, "orders-sample")

    take(["copy_of_id", "mails.body"], contact="email", note="drop")
    rows = table(laptop, "orders")
    assert all(row["contact"] == row["email"] for row in rows)
    assert "note" not in rows[0]


def test_columns_that_look_personal_are_named(sqlite_project: LocalProject, laptop: LocalProject) -> None:
    publish_tables(sqlite_project, "orders", {"orders": {**orders(50), "iban": ["DE89370400440532013000"] * 50}})

    made = sample(laptop, sqlite_project, "orders", rows=10, mask={"email": ""})

    assert any(
        "'iban' of 'orders' is not masked and looks like account numbers" in each for each in made.drawn.warnings
    )
    assert any("'name'" in each and "looks like names" in each for each in made.drawn.warnings)
    assert not any("'email'" in each for each in made.drawn.warnings)


def test_a_sample_within_one_project_has_its_origin_as_input(sqlite_project: LocalProject) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders(100)})

    made = sample(sqlite_project, sqlite_project, "orders", rows=10, mask=MASKS)

    assert made.version.inputs == (resolve(sqlite_project, "orders").id,)
    assert verify(sqlite_project) == []


def test_what_cannot_be_sampled_is_said(sqlite_project: LocalProject, laptop: LocalProject) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders(100)})

    for options, said in (
        ({"by": "client"}, "no column 'client'"),
        ({"mask": {"mail": ""}}, "no column 'mail'"),
        ({"mask": {"amount": "email"}}, "does not take"),
        ({"rows": 0}, "1 to"),
        ({"related": [Related(ref="orders", column="id", of="id")]}, "once"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            sample(laptop, sqlite_project, "orders", **options)
    with pytest.raises(InvalidInputError, match="write DATASET"):
        parse_related("items")


def test_the_command_samples_a_place_by_its_name(
    sqlite_project: LocalProject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_tables(sqlite_project, "orders", {"orders": orders(200)})
    create_project(tmp_path / "dev").close()
    settings = tmp_path / "dev" / "headwater.toml"
    settings.write_text(settings.read_text() + '\n[places]\nprod = "../project"\n')
    command = ["-p", str(tmp_path / "dev"), "data", "sample", "orders@main", "--project", "prod", "--rows", "24"]

    cli.main([*command, "--by", "customer", "--mask", "email,name,customer"], standalone_mode=False)

    shown = capsys.readouterr()
    assert "orders-sample@v1: 24 rows of orders" in shown.out
    assert "from test; masked: orders.customer (text)" in shown.out
