"""A candidate on its way: the stages run here as in a CI system, stop where a person is missing, and go back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.check import publish_tables
from headwater.evaluate import find_evidence
from headwater.model import channels, get_model_version
from headwater.project import open_project
from headwater.release import release_log
from headwater.release.delivery import read_delivery, write_delivery
from tests.cli.running import Done, done, hw
from tests.projects import running
from tests.release.delivery.shop import CI, SETTINGS, as_arrow, git, visits

IN_THE_PIPELINES = '"failed": "production"'
"""What the files of CI systems look for in delivery.json, and then take back."""
STAGES = ["source", "build", "test", "staging", "approval", "production"]


def delivery() -> dict[str, Any]:
    found = done("--json", "ci", "status").answer
    assert isinstance(found, dict)
    return found


def in_channels() -> dict[str, str]:
    with open_project(".") as project:
        return {channel: version.label for channel, version in channels(project, "spending").items()}


def commands(run: Done) -> list[str]:
    """Return the commands that a run performed, its ids replaced."""
    return [re.sub(r"[0-9A-HJKMNP-TV-Z]{26}", "ID", line[2:]) for line in run.out.splitlines() if line[:2] == "$ "]


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "flows.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_delivery_stops_at_the_approval_goes_on_and_is_taken_back(shop: Path) -> None:
    stopped = hw("ci", "run")
    reason = f"--reason 'delivery of spending: commit {delivery()['commit'][:12]}, visits@v1'"

    assert stopped.code == 1 and "needs 1 more person" in stopped.out
    assert commands(stopped) == [
        "hw check run visits@v1",
        "hw run train data=visits@v1",
        "test -s flows.py",
        "hw model evaluate spending@v1 visits@v1 --target spent --slice device",
        "hw ci report spending@v1 --channel production --output report.md",
        f"hw release request spending@v1 staging {reason}",
        "hw model predict spending@staging sample.json",
        f"hw release request spending@v1 production {reason}",
    ]
    assert delivery()["passed"] == STAGES[:-1] and in_channels() == {"staging": "spending@v1"}
    assert hw("ci", "run").code == 1  # nobody has approved it yet

    done("--as", "maria", "release", "approve", delivery()["request"], "--reason", "good on visits")
    went_on = done("ci", "run")
    assert commands(went_on) == [
        "hw release log --model spending --channel production --limit 1",
        "hw model predict spending@production sample.json",
    ]
    assert delivery()["passed"] == STAGES and in_channels()["production"] == "spending@v1"

    change(shop, "strength: float = 1.0", "strength: float = 0.5")
    second = hw("ci", "run")
    assert "hw model compare spending@v1 spending@v2 visits@v1 --target spent" in commands(second)
    done("--as", "maria", "release", "approve", delivery()["request"], "--reason", "still good")
    done("ci", "run")
    assert in_channels()["production"] == "spending@v2"

    taken_back = done("ci", "run", "rollback", "--reason", "complaints since noon")
    assert commands(taken_back) == [
        "hw rollback spending --channel production --to spending@v1 --reason 'complaints since noon'"
    ]
    with open_project(".") as project:
        log = release_log(project, "spending", "production")
    assert [(each.kind, each.number, [a.by for a in each.approvals]) for each in log] == [
        ("rollback", 1, []),
        ("release", 2, ["maria"]),
        ("release", 1, ["maria"]),
    ]
    assert "nothing to take back" in done("ci", "run", "rollback").out
    assert in_channels()["production"] == "spending@v1"


def test_the_same_code_and_data_train_nothing_and_move_nothing(shop: Path) -> None:
    hw("ci", "run")
    done("--as", "maria", "release", "approve", delivery()["request"], "--reason", "good")
    done("ci", "run")

    again = done("ci", "run")

    assert "0 steps executed, 1 remembered" in again.out and delivery()["candidate"] == "spending@v1"
    assert not [line for line in commands(again) if line.startswith("hw release request")]
    assert "was in production before this delivery" in done("ci", "run", "rollback").out


@pytest.mark.parametrize(
    ("planted", "stage", "said"),
    [
        (("headwater.toml", "test -s flows.py", "test -s gone.py"), "test", "'test -s gone.py' ended with another"),
        (("headwater.toml", '["bar:mae<100"]\n', '["bar:mae<0.001"]\n'), "staging", "ended with exit code 1"),
        (("flows.py", "    return fit(data, strength)", "    raise ValueError"),
         "build", "ended with exit code 1"),
        (("flows.py", "    return fit(data, strength)", "    return None"), "build", "left no version of 'spending'"),
    ],
)  # fmt: skip
def test_a_stage_that_does_not_pass_ends_the_delivery(
    shop: Path, planted: tuple[str, str, str], stage: str, said: str
) -> None:
    name, old, new = planted
    path = shop / name
    path.write_text(path.read_text().replace(old, new))

    ended = hw("ci", "run")

    assert ended.code == 1 and f"{stage} failed: " in ended.out and said in ended.out
    assert delivery()["failed"] == stage and delivery()["passed"] == STAGES[: STAGES.index(stage)]


def test_the_teams_own_tests_are_evidence_also_where_they_fail(shop: Path) -> None:
    toml = shop / "headwater.toml"
    toml.write_text(toml.read_text().replace('tests = ["test -s flows.py"]', 'tests = ["false", "true"]'))
    hw("ci", "run")

    with open_project(".") as project:
        version = get_model_version(project, "spending@v1")
        found = find_evidence(project, version.ref, "tests")
    assert found is not None and not found.body["passed"]
    assert [(each["command"], each["passed"]) for each in found.body["commands"]] == [("false", False), ("true", True)]
    assert found.body["commit"] == delivery()["commit"]


def test_a_rejected_request_fails_production_and_moves_nothing(shop: Path) -> None:
    hw("ci", "run")
    done("--as", "maria", "release", "reject", delivery()["request"], "--reason", "too few rows")

    ended = hw("ci", "run")

    assert ended.code == 1 and "is rejected: maria" in ended.out and "too few rows" in ended.out
    assert IN_THE_PIPELINES in (shop / ".headwater" / "delivery.json").read_text()
    assert in_channels() == {"staging": "spending@v1"}


def test_a_version_that_cannot_answer_in_production_is_taken_back(shop: Path) -> None:
    hw("ci", "run")
    done("--as", "maria", "release", "approve", delivery()["request"], "--reason", "good")
    done("ci", "run")
    change(shop, "strength: float = 1.0", "strength: float = 0.5")
    hw("ci", "run")
    done("--as", "maria", "release", "approve", delivery()["request"], "--reason", "good")
    (shop / "sample.json").write_text('[{"pages": "many"}]')  # what production is asked in the end

    ended = hw("ci", "run")

    assert ended.code == 2 and "pages" in ended.err
    assert in_channels()["production"] == "spending@v1" and delivery()["taken_back"]


def test_without_a_demanded_approval_production_moves_in_its_own_stage(shop: Path) -> None:
    toml = shop / "headwater.toml"
    toml.write_text(toml.read_text().replace("approvals = 1", "approvals = 0"))
    for stage in STAGES[:-1]:
        done("ci", "run", stage)
    assert in_channels() == {"staging": "spending@v1"}

    done("ci", "run", "production")

    assert in_channels()["production"] == "spending@v1"


def test_a_canary_is_waited_for_and_ended_by_a_rollback(shop: Path) -> None:
    toml = shop / "headwater.toml"
    toml.write_text(
        toml.read_text().replace("approvals = 1", "approvals = 0").replace("[ci]\n", "[ci]\ncanary = true\n")
    )
    done("ci", "run")  # the first version of a channel has nothing beside it
    change(shop, "strength: float = 1.0", "strength: float = 0.5")

    growing = hw("ci", "run")
    again = hw("ci", "run", "production")
    assert any(" production --canary --reason " in line for line in commands(growing))
    assert growing.code == again.code == 1 and "the canary of spending@v2 is at" in again.out
    assert not [line for line in commands(again) if "release request" in line]
    file = shop / ".headwater" / "delivery.json"
    assert IN_THE_PIPELINES not in file.read_text()  # a canary that waits is no reason to take anything back
    known = read_delivery(file)
    assert known is not None
    write_delivery(file, msgspec.structs.replace(known, failed="production", champion=""))
    hw("ci", "run", "production")
    assert IN_THE_PIPELINES not in file.read_text()  # what failed before was tried again, and waits

    taken_back = done("ci", "run", "rollback")
    assert " --to spending@v1 " in commands(taken_back)[0]
    ended = hw("ci", "run", "production")
    assert ended.code == 1 and "the canary of spending@v2 went back" in ended.out
    assert in_channels()["production"] == "spending@v1"
    assert IN_THE_PIPELINES in file.read_text()

    path = shop / "headwater.toml"
    path.write_text(path.read_text().replace("approvals = 0", "approvals = 1"))
    waiting = hw("ci", "run", "--new")
    hw("ci", "run", "production")
    assert "needs 1 more person" in waiting.out and IN_THE_PIPELINES not in file.read_text()


def test_a_command_that_cannot_even_begin_fails_its_stage_too(shop: Path) -> None:
    (shop / "sample.json").unlink()

    ended = hw("ci", "run")

    assert ended.code == 2 and "sample.json" in ended.err and delivery()["failed"] == "staging"


def test_a_stage_does_not_run_before_the_one_it_needs(shop: Path) -> None:
    early = hw("ci", "run", "staging")
    assert early.code == 2 and "comes after 'source'" in early.err
    done("ci", "run", "source")
    assert "comes after 'build'" in hw("ci", "run", "test").err
    assert "has built nothing yet" in hw("ci", "run", "rollback").err


def test_data_that_fails_its_checks_is_not_learnt_from(shop: Path) -> None:
    toml = shop / "headwater.toml"
    toml.write_text(
        f"{toml.read_text()}\n[[checks.visits]]\nkind = 'range'\nname = 'pages'\ncolumns = ['pages']\nmax = 10\n"
    )

    ended = hw("ci", "run")

    assert ended.code == 1 and "source failed" in ended.out and commands(ended) == ["hw check run visits@v1"]


def test_data_that_arrives_meanwhile_does_not_slip_into_a_delivery(shop: Path) -> None:
    done("ci", "run", "source")
    with open_project(".") as project:
        publish_tables(project, "visits", {"visits": as_arrow(visits(seed=2))}, message="more")

    built = done("ci", "run", "build")

    assert commands(built) == ["hw run train data=visits@v1"]


def test_a_delivery_file_that_holds_something_else_says_what_to_do(shop: Path) -> None:
    (shop / "own.json").write_text('{"passed": 3}')
    told = hw("ci", "run", "test", "--delivery", "own.json")

    assert told.code == 2 and "own.json" in told.err and "Delete it" in told.err


def test_a_flow_need_not_return_the_version_and_may_remember_it(shop: Path) -> None:
    change(shop, "    return fit(data, strength)", "    return {'fitted': fit(data, strength).result()}")
    done("ci", "run", "source")
    built = done("ci", "run", "build")

    assert "1 remembered" in built.out and delivery()["candidate"] == "spending@v1"


def test_the_stages_work_on_a_project_opened_by_url(shop: Path) -> None:
    from headwater.api.app import build_app
    from headwater.project.local import open_folder

    with open_folder(shop, actor="server") as project, running(build_app(project)) as address:
        stopped = hw("-p", address, "ci", "run")
        request = msgspec.json.decode((shop / ".headwater" / "delivery.json").read_bytes())["request"]
        done("-p", address, "--as", "maria", "release", "approve", request, "--reason", "good")
        done("-p", address, "ci", "run")

    assert stopped.code == 1 and "needs 1 more person" in stopped.out
    assert in_channels()["production"] == "spending@v1"


def test_the_settings_of_a_pipeline_are_read_strictly(shop: Path) -> None:
    toml = shop / "headwater.toml"
    for planted, said in (('metrik = "auc"', "metrik"), ('model = "a b"', "cannot name a model"), ("", "--model")):
        toml.write_text(SETTINGS + (CI.replace('model = "spending"', planted) if planted else ""))
        told = hw("ci", "run")
        assert told.code == 2 and said in told.err, told.err


def test_a_delivery_is_of_the_commit_that_is_checked_out(shop: Path) -> None:
    done("ci", "run", "source")
    first = delivery()["commit"]
    git(shop, "commit", "-q", "--allow-empty", "-m", "second")
    done("ci", "run", "source")

    assert len(first) == 40 and delivery()["commit"] not in ("", first)
