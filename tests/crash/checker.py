"""Whether a project that was cut off still has everything it acknowledged, is sound, and goes on working."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwater.errors import GoneError, HeadwaterError
from headwater.lake import find_head, list_tags, read_bytes, resolve, scan
from headwater.lake.needles import Needles
from headwater.model import channels, get_model_version
from headwater.project import LocalProject, create_project, open_project
from headwater.release import get_release
from headwater.trace import collect, verify
from headwater.trace.finding import places
from headwater.track import Point, get_run, log_metrics, metric_series, start_run


def check(folder: Path) -> list[str]:
    """Return what is missing or wrong in ``folder/project`` after the acknowledgements of ``folder/acks.jsonl``."""
    acks = read_acks(folder / "acks.jsonl")
    try:
        project = _open(folder / "project", made=bool(acks))
    except Exception as error:  # noqa: BLE001  # whatever hinders opening is what was found
        return [f"the project does not open: {error!r}"]
    with project:
        wrong = [text for each in acks if (text := _asked(project, each))]
        wrong += [f"verify: {each.message}" for each in verify(project) if each.severity == "error"]
        try:
            with project.ledger.write() as tx:  # what a killed process held runs out
                tx.execute("UPDATE leases SET expires_at = 0")
            collect(project, free=True)
            run = start_run(project, "afterwards").id
            log_metrics(project, run, [Point(key="loss", value=1.0)])
            project.events.seal(all=True)
        except HeadwaterError as error:
            wrong.append(f"it does not go on: {error}")
        points = [each for each in acks if each["kind"] == "metrics"]
        wrong += [f"after sealing: {text}" for each in points if (text := _asked(project, each))]
    return wrong


def read_acks(path: Path) -> list[dict[str, Any]]:
    """Return the acknowledgements, without a line that was cut off."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _open(path: Path, made: bool) -> LocalProject:
    if not made and not (path / ".headwater" / "ledger.sqlite").exists():
        return create_project(path, name="crash", actor="ann")
    project = open_project(path, actor="ann")
    assert isinstance(project, LocalProject)
    return project


def _asked(project: LocalProject, said: dict[str, Any]) -> str:
    try:
        fits = _FACTS[said["kind"]](project, said)
    except Exception as error:  # noqa: BLE001  # a fact that cannot be read is missing, whatever the reason
        return f"{said} was acknowledged and is not there: {error!r}"
    return "" if fits else f"{said} was acknowledged and is otherwise"


def _version(project: LocalProject, said: dict[str, Any]) -> bool:
    ref = f"version:{said['id']}"
    texts = {name: read_bytes(project, ref, name).decode() for name in said["texts"]}
    return bool(resolve(project, ref).root == said["root"] and texts == said["texts"])


def _release(project: LocalProject, said: dict[str, Any]) -> bool:
    return get_release(project, said["id"]).version == said["version"] and "staging" in channels(project, "delay")


def _model(project: LocalProject, said: dict[str, Any]) -> bool:
    version = get_model_version(project, said["id"])
    return (version.number, version.files[0].digest) == (said["number"], said["digest"]) and _object(project, said)


def _object(project: LocalProject, said: dict[str, Any]) -> bool:
    return bool(project.objects.get(said["digest"]).decode() == said["text"])


def _head_reached(project: LocalProject, said: dict[str, Any]) -> bool:
    head = find_head(project, said["dataset"])
    return head is not None and head.number >= said["number"]


def _tagged(project: LocalProject, said: dict[str, Any]) -> bool:
    return (said["name"], said["version"]) in {(each.name, each.version) for each in list_tags(project, "notes")}


def _deleted(project: LocalProject, said: dict[str, Any]) -> bool:
    with project.ledger.read() as tx:
        return tx.one("SELECT version FROM deletions WHERE version = ?", (said["id"],)) is not None


def _collected(project: LocalProject, said: dict[str, Any]) -> bool:
    kept = bool(read_bytes(project, f"version:{said['kept']}", "a").decode() == said["text"])
    try:
        read_bytes(project, f"version:{said['id']}", "a")
    except GoneError:
        return kept
    return False


def _erased(project: LocalProject, said: dict[str, Any]) -> bool:
    version = resolve(project, f"version:{said['id']}")
    return bool(version.files == 1 and not list(places(project, Needles([said["text"]]))))


_FACTS: dict[str, Callable[[LocalProject, dict[str, Any]], bool]] = {
    "project": lambda project, said: project.id == said["id"] and project.settings.text("project", "name") == "crash",
    "version": _version,
    "branch": _head_reached,
    "tag": _tagged,
    "table": lambda project, said: len(scan(project, f"version:{said['id']}").fetchall()) == said["rows"],
    "run": lambda project, said: get_run(project, said["id"]).name == "training",
    "metrics": lambda project, said: len(metric_series(project, said["run"], "loss").points) >= said["count"],
    "ended": lambda project, said: get_run(project, said["run"]).status == "done",
    "sealed": lambda project, said: len(metric_series(project, said["run"], "loss").points) == 3,
    "object": _object,
    "model": _model,
    "release": _release,
    "deleted": _deleted,
    "collected": _collected,
    "erased": _erased,
}
