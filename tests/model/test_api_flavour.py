"""Somebody's HTTP API as a model: asked within its rate and cost, its answers recorded, its credentials kept out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from headwater.canonical import digest
from headwater.errors import CorruptError, DeniedError, InvalidInputError, RefusedError, UnavailableError
from headwater.lake import add_table
from headwater.model import ModelFile, add_model, get_model_version, load, register, trust, untrusted
from headwater.model.flavours import get_flavour
from headwater.model.flavours.api import Api, ApiPredictor, trust_name
from headwater.model.flavours.files import ANSWERS
from headwater.model.recording import record_answers
from headwater.project import Actor, LocalProject
from headwater.serve.following import FollowedModel
from tests.cli.running import done, hw
from tests.model.made import api_files, made
from tests.model.vendors import Vendor
from tests.serve.models import point

CONTRACT = made("api").contract


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as made_one:
        yield made_one


def opened(vendor: Vendor, **more: Any) -> ApiPredictor:
    files = api_files(vendor.url, **{"allow_private": True, **more})
    return cast(ApiPredictor, get_flavour("api").load(files, CONTRACT, [trust_name(files)]))


def ask(predictor: ApiPredictor, *hours: int) -> Any:
    import numpy as np

    return predictor.predict({"hour": np.array(hours)})["label"].tolist()


def test_each_row_is_asked_once_and_counted(vendor: Vendor) -> None:
    predictor = opened(vendor, cost_per_call=0.5, currency="EUR")

    assert ask(predictor, 15, 16, 15) == [False, True, False]

    assert vendor.asked == [{"rows": [{"hour": 15}]}, {"rows": [{"hour": 16}]}]
    usage = predictor.usage()
    assert (usage.calls, usage.recorded, usage.cost, usage.currency) == (2, 1, 1.0, "EUR")


def test_what_would_cost_too_much_is_not_asked(vendor: Vendor) -> None:
    predictor = opened(vendor, cost_per_call=0.5, currency="EUR", most_cost=1.0)

    with pytest.raises(RefusedError, match="2 calls have cost 1 EUR"):
        ask(predictor, 1, 2, 3)
    assert len(vendor.asked) == 2


def test_calls_keep_the_rate_of_the_api() -> None:
    files = api_files("https://vendor.example/v1", per_second=4.0)
    import msgspec

    now, waits = [100.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    api = msgspec.json.decode(files["api.json"], type=Api)
    predictor = ApiPredictor(api, {}, CONTRACT, clock=lambda: now[0], wait=wait)
    for _ in range(4):
        predictor._take_turn()

    assert waits == pytest.approx([0.25, 0.25, 0.25])
    for _ in range(40):  # nobody waits for these turns, so the next one is ten seconds away
        predictor._next_at += 0.25
    predictor._next_at += 0.25
    with pytest.raises(UnavailableError, match="may be asked 4 times a second"):
        predictor._take_turn()


def test_an_answer_that_may_change_is_asked_for_again_and_others_are_not(vendor: Vendor) -> None:
    vendor.codes = [503, 429]
    assert ask(opened(vendor), 16) == [True]
    vendor.codes = [400]
    with pytest.raises(RefusedError, match="refused the request: 400"):
        ask(opened(vendor), 16)
    vendor.codes = [302]
    with pytest.raises(RefusedError, match="302"):
        ask(opened(vendor), 16)
    vendor.codes = [500, 500]
    with pytest.raises(UnavailableError, match="after 2 attempts: 500"):
        ask(opened(vendor, retries=1), 16)
    assert len(vendor.asked) == 3 + 1 + 1 + 2


@pytest.mark.parametrize(("body", "told"), [(b"<html>", "what is no JSON"), (b'{"answers": []}', "has no '/answers/0")])
def test_an_answer_of_another_form_is_told(vendor: Vendor, body: bytes, told: str) -> None:
    vendor.body = body

    with pytest.raises(UnavailableError, match=told):
        ask(opened(vendor), 16)


def test_credentials_come_from_the_environment_and_are_in_no_error(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_KEY", "s3cret-key")
    vendor.body, vendor.codes = b"no such key: s3cret-key", [401]

    with pytest.raises(RefusedError) as caught:
        ask(opened(vendor, headers={"Authorization": "Bearer env:VENDOR_KEY"}), 16)

    assert vendor.headers[0]["Authorization"] == "Bearer s3cret-key"
    assert "s3cret-key" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="written out"):
        opened(vendor, headers={"Authorization": "Bearer s3cret-key"})


def test_an_address_off_the_public_network_is_not_asked_unless_the_description_says_so(vendor: Vendor) -> None:
    with pytest.raises(RefusedError, match="not on the public network"):
        ask(opened(vendor, allow_private=False), 16)
    assert vendor.asked == []


def test_a_description_that_cannot_work_is_refused_when_it_is_saved() -> None:
    save = get_flavour("api").save

    with pytest.raises(InvalidInputError, match="takes no input"):
        save(api_files("https://vendor.example", body={"rows": []}), CONTRACT)
    with pytest.raises(InvalidInputError, match="takes minute"):
        save(api_files("https://vendor.example", body={"$input": "minute"}), CONTRACT)
    with pytest.raises(CorruptError, match="cannot be read"):
        save(api_files("https://vendor.example", per_minute=3), CONTRACT)
    with pytest.raises(CorruptError, match="line 1"):
        get_flavour("api").load(api_files("https://vendor.example") | {ANSWERS: b"{}\n"}, CONTRACT, ())


def test_answers_are_recorded_in_a_version_that_asks_nobody_about_them(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_bytes(
        api_files(vendor.url, allow_private=True, cost_per_call=1.0, most_cost=4.0)["api.json"]
    )
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 16, 1, 20, 5, 6]})
    add_model(sqlite_project, "vendor", tmp_path / "api.json", contract=CONTRACT, trusted=["code"])

    first = record_answers(sqlite_project, "vendor@v1", "flights@v1", limit=3)
    second = record_answers(sqlite_project, "vendor@v2", "flights@v1")
    asked = len(vendor.asked)
    answers = load(sqlite_project, "vendor@v3").predict([{"hour": 1}, {"hour": 20}])

    assert (first.label, first.recorded, first.calls, first.cost) == ("vendor@v2", 2, 2, 2.0)
    assert (second.recorded, second.calls, second.ended) == (5, 3, "")
    assert [answer["label"] for answer in answers] == [False, True] and len(vendor.asked) == asked == 5
    version = get_model_version(sqlite_project, "vendor@v3")
    assert version.description == "as v2, recorded 2 → 5"
    assert {file.name for file in version.files} == {"api.json", ANSWERS}
    assert untrusted(sqlite_project, "vendor@v3") == []


def test_what_was_answered_before_the_cost_ended_it_is_kept(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_bytes(
        api_files(vendor.url, allow_private=True, cost_per_call=1.0, most_cost=2.0)["api.json"]
    )
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 2, 3]})
    add_model(sqlite_project, "vendor", tmp_path / "api.json", contract=CONTRACT, trusted=["code"])

    found = record_answers(sqlite_project, "vendor@v1", "flights@v1")

    assert (found.recorded, found.label) == (2, "vendor@v2") and "most_cost = 2" in found.ended


@pytest.mark.parametrize(("raised", "told"), [(KeyboardInterrupt(), "interrupted"), (ValueError("x"), "ValueError: x")])
def test_answers_that_were_paid_for_are_kept_whatever_ends_the_recording(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path, raised: BaseException, told: str
) -> None:
    (tmp_path / "api.json").write_bytes(api_files(vendor.url, allow_private=True)["api.json"])
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 2, 3]})
    version = registered(sqlite_project, (tmp_path / "api.json").read_bytes())
    trust(sqlite_project, version, reason="ours")

    def tell(done: int, rows: int) -> None:
        if done == 2:
            raise raised

    found = record_answers(sqlite_project, version, "flights@v1", tell=tell)

    assert (found.recorded, found.label) == (2, "vendor@v2") and told in found.ended


def registered(project: LocalProject, description: bytes) -> str:
    """Register an API without a child process, and return the ref of its version."""
    file = ModelFile(name="api.json", digest=project.objects.put(description), size=len(description), flavour="api")
    return register(project, "vendor", files=[file], contract=CONTRACT).label


def test_nobody_is_asked_before_an_admin_trusted_the_description(
    sqlite_project: LocalProject, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_S3_SECRET", "s3cret-key")
    headers = {"X-Stolen": "env:SHOP_S3_SECRET"}
    description = api_files(vendor.url, allow_private=True, headers=headers)["api.json"]
    ref = registered(sqlite_project, description)
    waiting = untrusted(sqlite_project, ref)

    assert waiting == [f"api:{digest(description)}"]
    with pytest.raises(RefusedError, match="no admin trusted"):
        load(sqlite_project, ref).predict([{"hour": 16}])
    assert vendor.asked == []

    trust(sqlite_project, ref, reason="ours")
    assert load(sqlite_project, ref).predict([{"hour": 16}])[0]["label"] is True
    assert vendor.headers[0]["X-Stolen"] == "s3cret-key"


def test_a_developer_records_what_is_trusted_and_cannot_change_what_is_asked(
    sqlite_project: LocalProject, vendor: Vendor
) -> None:
    ref = registered(sqlite_project, api_files(vendor.url, allow_private=True)["api.json"])
    version = trust(sqlite_project, ref, reason="ours")
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 2, 3]})
    sqlite_project.actor = Actor(name="dev", roles=("developer",), claimed=False)

    made_one = get_model_version(sqlite_project, record_answers(sqlite_project, ref, "flights@v1").version)

    assert made_one.trusted == version.trusted != ()
    other = api_files(vendor.url, allow_private=True, timeout_s=9)["api.json"]
    file = ModelFile(name="api.json", digest=sqlite_project.objects.put(other), size=len(other), flavour="api")
    with pytest.raises(DeniedError, match="may not trust"):
        register(sqlite_project, "vendor", files=[file], contract=CONTRACT, parent=version.id, trusted=version.trusted)


def test_recorded_answers_need_no_trust_and_an_address_is_told_without_its_query() -> None:
    flavour, own = get_flavour("api"), made("api")
    alone = own.files | api_files("https://vendor.example/v1", answers="recorded")

    assert flavour.describe(alone)["untrusted"] == []
    for files in (own.files, alone):
        assert flavour.load(files, own.contract, ()).predict(own.columns)["label"].tolist()
    assert flavour.describe(api_files("https://vendor.example/v1?key=s3cret"))["url"] == "https://vendor.example/v1"


def test_each_attempt_costs_and_none_is_made_beyond_what_may_be_spent(vendor: Vendor) -> None:
    vendor.codes = [500, 500, 500]
    predictor = opened(vendor, cost_per_call=1.0, most_cost=2.0, retries=5)

    with pytest.raises(RefusedError, match="2 calls have cost 2"):
        ask(predictor, 16)
    assert len(vendor.asked) == predictor.usage().calls == 2


def test_a_server_keeps_no_answers_in_memory(vendor: Vendor) -> None:
    predictor = opened(vendor)

    ask(predictor, 15, 16)

    assert predictor.recorded == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": 11}, {"retries": -1}, {"timeout_s": 0}, {"timeout_s": 301},
        {"headers": {"X-A": "a\r\nX-B: c"}}, {"headers": {"X A": "a"}}, {"headers": {"X-Ä": "a"}},
        {"headers": {"Content-Length": "3"}}, {"headers": {"host": "inside.example"}},
        {"headers": {f"X-{n}": "a" for n in range(51)}}, {"headers": {"X-A": "a" * 8_193}},
    ],
)  # fmt: skip
def test_what_an_api_cannot_be_asked_with_is_refused_when_it_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"retries = |line end|may have 50 headers"):
        get_flavour("api").describe(api_files("https://vendor.example", **wrong))


def test_a_secret_with_a_line_end_is_neither_sent_nor_shown(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", "s3cret\nkey")

    with pytest.raises(InvalidInputError, match="header Authorization") as caught:
        ask(opened(vendor, headers={"Authorization": "Bearer env:VENDOR_KEY"}), 16)
    assert "s3cret" not in str(caught.value) and vendor.asked == []


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_drips_ends_at_the_limit(vendor: Vendor, part: str) -> None:
    vendor.drips = part  # some 20 bytes in a second, each well within the limit
    start = time.monotonic()

    with pytest.raises(UnavailableError, match=r"was not whole after 0\.3 s"):
        ask(opened(vendor, timeout_s=0.3, retries=0), 16)
    assert time.monotonic() - start < 0.9


def test_a_deployed_api_is_not_asked_to_warm_up(sqlite_project: LocalProject, vendor: Vendor) -> None:
    from headwater.serve.deployments import Deployment

    ref = registered(sqlite_project, api_files(vendor.url, allow_private=True)["api.json"])
    trust(sqlite_project, ref, reason="ours")

    deployment = Deployment("vendor", "production", load(sqlite_project, ref), "")

    assert vendor.asked == [] and not deployment.joins and deployment.expected_us(1) >= 1e6


def test_a_process_that_follows_an_api_asks_it_only_what_it_is_asked(
    sqlite_project: LocalProject, vendor: Vendor, tmp_path: Path
) -> None:
    ref = registered(sqlite_project, api_files(vendor.url, allow_private=True)["api.json"])
    point(sqlite_project, trust(sqlite_project, ref, reason="ours"))

    model = FollowedModel("vendor@production", lambda: sqlite_project, "here", home=tmp_path, record=False)

    assert (model.version.label, vendor.asked) == ("vendor@v1", [])
    assert model.predict([{"hour": 16}])[0]["label"] is True and len(vendor.asked) == 1
    model.close()


def test_the_command_that_records_ends_with_1_where_it_ended_early(
    sqlite_project: LocalProject, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = registered(
        sqlite_project, api_files(vendor.url, allow_private=True, cost_per_call=1, most_cost=2)["api.json"]
    )
    add_table(sqlite_project, "flights", "a.parquet", {"hour": [1, 2, 3]})
    assert sqlite_project.root is not None
    monkeypatch.chdir(sqlite_project.root)

    done("model", "trust", ref, "--reason", "ours")
    ended = hw("model", "record", ref, "flights@v1")

    assert (ended.code, vendor.asked[-1]) == (1, {"rows": [{"hour": 2}]})
    assert "2 answers are recorded" in ended.out and "would pass most_cost = 2" in ended.out


def test_only_an_api_is_recorded(sqlite_project: LocalProject) -> None:
    trees = made("xgboost")
    data = trees.files["model.ubj"]
    file = ModelFile(name="model.ubj", digest=sqlite_project.objects.put(data), size=len(data), flavour="xgboost")
    register(sqlite_project, "trees", files=[file], contract=trees.contract)

    with pytest.raises(InvalidInputError, match="only an 'api' is recorded"):
        record_answers(sqlite_project, "trees@v1", "flights@v1")
