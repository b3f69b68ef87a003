from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pandas as pd
import pytest

from headwater.access import add_person, create_token, disable_person, revoke_token
from headwater.api.operations import load_operations
from headwater.check import publish_tables
from headwater.operation import get_operation
from headwater.project import LocalProject
from headwater.track import get_run, start_run
from tests.projects import served

MSGPACK = "application/msgpack"


@pytest.fixture
def client(sqlite_project: LocalProject) -> Iterator[httpx.Client]:
    """A client of a server with one dataset of three rows."""
    publish_tables(sqlite_project, "orders", {"rows": pd.DataFrame({"id": [1, 2, 3], "price": [2.5, 4.0, 9.0]})})
    with served(sqlite_project) as address, httpx.Client(base_url=f"{address}/api/v1", timeout=30) as client:
        yield client


def call(client: httpx.Client, name: str, token: str = "", **arguments: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return client.post(f"/operations/{name}", json=arguments, headers=headers)


def token_of(project: LocalProject, role: str) -> str:
    add_person(project, role, [role])
    return create_token(project, role).text


def test_without_accounts_a_name_is_believed_and_marked_as_claimed(client: httpx.Client) -> None:
    actor = client.get("/project", headers={"x-headwater-as": "J%C3%BCrgen"}).json()["actor"]

    assert (actor["name"], actor["claimed"]) == ("Jürgen", True)


def test_an_account_switches_claimed_names_off(client: httpx.Client, sqlite_project: LocalProject) -> None:
    assert call(client, "data.list").status_code == 200
    token = token_of(sqlite_project, "viewer")

    refused = client.post("/operations/data.list", json={}, headers={"x-headwater-as": "ann"})

    assert (refused.status_code, refused.json()["error"]["kind"]) == (401, "unauthenticated")
    assert call(client, "data.list", token).status_code == 200


def test_a_wrong_revoked_or_closed_token_is_refused(client: httpx.Client, sqlite_project: LocalProject) -> None:
    add_person(sqlite_project, "maria", ["viewer"])
    first, second = create_token(sqlite_project, "maria"), create_token(sqlite_project, "maria")
    assert call(client, "data.list", first.text).status_code == 200

    revoke_token(sqlite_project, first.token.id)
    assert call(client, "data.list", first.text).status_code == 401
    assert call(client, "data.list", "hw_guess").status_code == 401
    assert call(client, "data.list", second.text).status_code == 200
    disable_person(sqlite_project, "maria")
    assert call(client, "data.list", second.text).status_code == 401


@pytest.mark.parametrize(
    ("role", "reads", "writes", "administers"),
    [
        ("viewer", 200, 403, 403),
        ("developer", 200, 200, 403),
        ("approver", 200, 403, 403),
        ("service", 200, 403, 403),
        ("admin", 200, 200, 200),
    ],
)
def test_roles_hold_over_http(
    client: httpx.Client, sqlite_project: LocalProject, role: str, reads: int, writes: int, administers: int
) -> None:
    token = token_of(sqlite_project, role)

    assert call(client, "data.list", token).status_code == reads
    assert call(client, "data.set_description", token, dataset="orders", description="all orders").status_code == writes
    assert call(client, "access.audit", token).status_code == administers


def test_an_operation_that_the_event_loop_runs_itself_asks_for_the_role_too(
    client: httpx.Client, sqlite_project: LocalProject
) -> None:
    run = start_run(sqlite_project, "fit", {}).id
    viewer, developer = token_of(sqlite_project, "viewer"), token_of(sqlite_project, "developer")
    points = [{"key": "loss", "value": 0.5, "step": 1}]

    assert get_operation("run.metrics").brief
    assert call(client, "run.metrics", viewer, run=run, points=points).status_code == 403
    assert call(client, "run.metrics", developer, run=run, points=[{"key": "loss"}]).status_code == 400
    assert call(client, "run.metrics", developer, run=run, points=points).status_code == 200
    assert get_run(sqlite_project, run).metrics["loss"].points == 1


def test_the_points_of_many_clients_at_once_are_all_kept(client: httpx.Client, sqlite_project: LocalProject) -> None:
    run = start_run(sqlite_project, "fit", {}).id

    def log(step: int) -> int:
        points = [{"key": "loss", "value": 0.5, "step": step}]
        return call(client, "run.metrics", run=run, points=points).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(log, range(160))) == {200}

    assert get_run(sqlite_project, run).metrics["loss"].points == 160


def test_the_streaming_routes_ask_for_the_role_too(client: httpx.Client, sqlite_project: LocalProject) -> None:
    headers = {"authorization": f"Bearer {token_of(sqlite_project, 'viewer')}"}

    put = client.put("/objects", content=b"bytes", headers=headers)
    append = client.post("/events/metrics", json=[], headers=headers)
    scan = client.get("/scan", params={"ref": "orders"}, headers=headers)

    assert (put.status_code, append.status_code, scan.status_code) == (403, 403, 200)
    assert client.get("/scan", params={"ref": "orders"}).status_code == 401


def test_a_scan_is_one_parquet_file_of_the_rows_asked_for(client: httpx.Client) -> None:
    answer = client.get("/scan", params={"ref": "orders@v1", "columns": "id", "where": "price > 3"})

    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert pd.read_parquet(io.BytesIO(answer.content)).to_dict("list") == {"id": [2, 3]}


def test_bodies_are_json_or_messagepack_as_asked(client: httpx.Client) -> None:
    body = msgspec.msgpack.encode({"dataset": "orders"})

    packed = client.post("/operations/data.log", content=body, headers={"content-type": MSGPACK, "accept": MSGPACK})
    plain = call(client, "data.log", dataset="orders")

    assert packed.headers["content-type"] == MSGPACK
    assert msgspec.msgpack.decode(packed.content) == plain.json()
    assert plain.json()[0]["number"] == 1


@pytest.mark.parametrize(
    ("name", "arguments", "status", "kind", "words"),
    [
        ("data.log", {"dataset": "nothing"}, 404, "not_found", "nothing"),
        ("data.log", {}, 400, "invalid_input", "dataset"),
        ("data.log", {"dataset": "orders", "colour": 1}, 400, "invalid_input", "colour"),
        ("data.log", {"dataset": 5}, 400, "invalid_input", "dataset"),
        ("no.such", {}, 404, "not_found", "no.such"),
    ],
)
def test_an_error_keeps_its_kind_message_and_values(
    client: httpx.Client, name: str, arguments: dict[str, Any], status: int, kind: str, words: str
) -> None:
    answer = call(client, name, **arguments)

    error = answer.json()["error"]
    assert (answer.status_code, error["kind"]) == (status, kind)
    assert words in error["message"]
    assert set(error) == {"kind", "message", "values"}


def test_a_body_that_is_not_json_is_named_as_such(client: httpx.Client) -> None:
    answer = client.post("/operations/data.log", content=b"{dataset")

    assert (answer.status_code, answer.json()["error"]["kind"]) == (400, "invalid_input")


def test_the_openapi_document_describes_every_operation(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {f"/api/v1/operations/{each.name}" for each in load_operations()}
    used = {word for word in msgspec.json.encode(document).decode().split('"') if word.startswith("#/components/")}
    assert {each.rpartition("/")[2] for each in used} <= set(document["components"]["schemas"])


def test_bytes_put_are_got_and_asked_for_by_digest(client: httpx.Client) -> None:
    put = client.put("/objects", content=b"some bytes").json()

    assert put["size"] == 10
    assert client.get(f"/objects/{put['digest']}").content == b"some bytes"
    assert client.get(f"/objects/{put['digest']}/size").json() == 10
    assert client.get(f"/objects/{'0' * 64}").status_code == 404
