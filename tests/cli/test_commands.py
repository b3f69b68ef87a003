from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from headwater.cli.root import COMMANDS, cli
from headwater.project import open_project
from headwater.release import list_release_requests
from headwater.serve import list_predictions
from tests.cli.running import done, hw


def tree(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from tree(command, (*words, name))


def test_every_command_helps_and_says_what_it_does_in_a_line() -> None:
    words = list(tree(cli))

    assert len(words) > 60
    for each in words:
        text = done(*each, "--help").out
        assert text.startswith(f"Usage: hw {' '.join(each)}"), each
        assert len(text.splitlines()[2].strip()) >= 8, each


def test_the_first_help_names_every_command_and_the_exit_codes() -> None:
    text = done("--help").out

    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []
    assert "Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 it broke." in text


@pytest.mark.parametrize(
    ("words", "near"), [(("dat",), "data"), (("relese", "log"), "release"), (("model", "lst"), "list")]
)
def test_an_unknown_command_names_the_nearest(words: tuple[str, ...], near: str) -> None:
    found = hw(*words)

    assert found.code == 2
    assert f"Did you mean '{near}'?" in found.err


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "data list",
        "data log flights",
        "data show flights@v2",
        "data diff flights@v1 flights@v2",
        "data read flights --limit 3",
        "data branch flights",
        "data tag flights",
        "data describe flights",
        "check show flights@v2",
        "check quarantine",
        "runs list",
        "runs list --filter metrics.auc>0.7",
        "flow list",
        "model list",
        "model list delay",
        "model show delay@production",
        "model card delay@v2",
        "release requests",
        "release channels",
        "release consumers list delay",
        "release log",
        "release log --at 2026-01-03",
        "release gates delay@v2 production",
        "alarm list",
        "alarm list --open",
        "job list",
        "trigger list",
        "trace model:delay@production",
        "trace flights@v1 --down",
        "replay run --sample 5",
        "sql SELECT\tcount(*)\tAS\tn\tFROM\tpredictions",
        "verify",
        "people list",
        "token list",
        "audit",
        "api operations",
        "api openapi",
        "watch",
    ],
)
def test_each_answer_is_text_or_with_json_anywhere_json(place: Path, words: str) -> None:
    command = [word.replace("\t", " ") for word in words.split(" ")]

    text = done(*command).out
    first, last = done("--json", *command), done(*command, "--json")

    assert text.strip()
    if words not in ("audit", "watch"):  # the audit tells of the command before, and is told of it
        assert first.answer == last.answer
    assert last.answer is not None
    assert "Traceback" not in text + last.err


def test_a_project_is_made_and_data_goes_through_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    monkeypatch.setenv("HEADWATER_AS", "ann")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "orders"
    assert "hw data add" in done("init", str(folder)).out
    monkeypatch.chdir(folder)
    rows = folder / "rows.csv"
    rows.write_text("id,price\n1,2.5\n2,4.0\n")

    assert "orders@v1" in done("data", "add", "orders", "rows.csv", "-m", "first").out
    assert done("data", "add", "orders", "rows.csv").out == "orders@v1: nothing changed, no new version\n"
    rows.write_text("id,price\n1,2.5\n2,4.0\n3,9.0\n")
    told = done("data", "add", "orders", "rows.csv").out
    assert told == "orders@v2: 1 file, 27 B\nbranch 'main' of 'orders' points to v2\n"
    assert done("data", "diff", "orders@v1", "orders@v2", "--json").answer["changed_count"] == 1
    read = done("data", "read", "orders", "--where", "price > 3", "--columns", "id,price", "--json").answer
    assert [row["id"] for row in read] == [2, 3]
    done("data", "branch", "orders", "try", "--at", "v1")
    done("data", "tag", "orders", "first", "--at", "v1")
    done("data", "checkout", "orders@first", "out")

    assert (folder / "out" / "rows.csv").read_text().count("\n") == 3
    assert done("data", "show", "orders@try", "--json").answer["version"]["number"] == 1
    assert "orders" in done("status").out


def test_the_exit_code_is_1_when_the_answer_is_no(place: Path) -> None:
    assert hw("check", "run", "flights@v3").code == 1
    assert hw("check", "show", "flights@v3").code == 1
    assert hw("verify", "--head", "1:" + "0" * 64).code == 1


def test_the_exit_code_is_2_for_wrong_use_and_says_what_to_do(place: Path) -> None:
    for words in (
        ["data", "show", "nothing"],
        ["data", "read", "flights", "--where", "no such column ="],
        ["model", "show", "delay@v99"],
        ["alarm", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
        ["runs", "list", "--filter", "colour = 'red'"],
        ["release", "log", "--at", "some day"],
        ["sql", "DROP TABLE predictions"],
        ["watch", "nothing"],
    ):
        found = hw(*words)
        assert found.code == 2, (words, found.out, found.err)
        assert found.err.startswith("error: "), words
        assert "Traceback" not in found.err, words
        assert found.out == "", words


def test_the_exit_code_is_3_when_it_broke(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pack in (place / ".headwater" / "objects").rglob("*.pack"):
        pack.unlink()
    shutil.rmtree(place / ".headwater" / "cache" / "files", ignore_errors=True)
    lost = hw("data", "read", "flights@main")
    assert lost.code == 3 and lost.err.startswith("error: ") and "are missing" in lost.err

    def defect(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("headwater.lake.list_datasets", defect)
    broken = hw("data", "list")
    assert broken.code == 3 and "ZeroDivisionError: planted" in broken.err
    assert broken.err.splitlines()[-1].startswith("error: this is a defect")


def test_outside_a_project_the_message_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWATER_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)

    found = hw("status")

    assert (found.code, found.out) == (2, "")
    assert "hw init" in found.err


def test_an_error_under_json_is_a_document_with_its_kind(place: Path) -> None:
    found = hw("data", "show", "nothing", "--json")

    assert found.code == 2
    assert found.answer["error"]["kind"] == "not_found"
    assert "nothing" in found.answer["error"]["message"]


def test_a_request_is_approved_rejected_and_rolled_back(place: Path) -> None:
    with open_project(place) as project:
        [waiting] = list_release_requests(project, status="waiting")

    assert waiting.id in done("release", "requests", "--status", "waiting").out
    assert "released" in done("--as", "maria", "release", "approve", waiting.id, "-r", "good").out
    assert hw("release", "approve", waiting.id, "-r", "again").code == 2
    log = done("release", "log", "--json").answer
    assert (log[0]["by"], log[0]["claimed"], log[0]["number"]) == ("maria", True, 2)
    assert "v1 again" in done("rollback", "delay", "-r", "slower").out


def test_an_alarm_is_shown_and_settled(place: Path) -> None:
    [alarm] = done("alarm", "list", "--json").answer

    assert "drifted" in done("alarm", "show", alarm["id"]).out
    done("alarm", "acknowledge", alarm["id"], "-r", "a storm")

    assert done("alarm", "list", "--open", "--json").answer == []


def test_runs_are_shown_and_compared(place: Path) -> None:
    runs = done("runs", "list", "--json").answer["runs"]
    first, second = runs[0]["id"], runs[1]["id"]

    assert "loss" in done("runs", "show", first).out
    assert "param rate" in done("runs", "compare", first, second).out
    assert len(done("runs", "metrics", first, "loss", "--json").answer["points"]) == 40
    assert "trained on" in done("runs", "logs", first).out


def test_a_prediction_is_traced_to_its_source_and_replayed(place: Path, tmp_path: Path) -> None:
    with open_project(place) as project:
        [prediction] = list_predictions(project, "delay", limit=1)

    assert "timetable export of January" in done("trace", prediction.ref).out
    assert "1 of 1 byte-equal" in done("replay", "run", prediction.id).out
    bundle = str(tmp_path / "bundle")
    done("replay", "export", bundle, "--sample", "20")
    assert "20 of 20 byte-equal" in done("replay", "bundle", bundle).out


def test_accounts_and_tokens_are_made_listed_and_closed(place: Path) -> None:
    done("people", "add", "maria", "--role", "approver", "--role", "viewer")
    text = done("token", "create", "maria", "--role", "viewer", "--days", "3").out.splitlines()[0]
    [token] = done("token", "list", "--json").answer

    assert text.startswith("hw_")
    assert text not in done("token", "list").out
    assert token["roles"] == ["viewer"]
    done("token", "revoke", token["id"])
    assert hw("token", "revoke", token["id"]).code == 2
    assert hw("people", "add", "bob", "--role", "king").code == 2
    done("people", "disable", "maria")
    assert done("people", "list", "--json").answer[0]["disabled_at"]
    assert "access.people.add" in done("audit", "--operation", "access").out


def test_a_server_beyond_this_machine_needs_accounts(place: Path) -> None:
    for command in ("up", "serve"):
        found = hw(command, "--host", "0.0.0.0")

        assert found.code == 2
        assert "hw people add" in found.err
